//! The identity that the connector left in the store's data dir.

use std::io::ErrorKind;
use std::path::Path;

use tillwatch_protocol::device::{CA_FILE, IDENTITY_DIR, IDENTITY_FILE, Identity};

/// The store's identity and whom it trusts besides the system's roots.
#[derive(Clone)]
pub struct StoreIdentity {
    /// Who the store is.
    pub identity: Identity,
    /// CA certificates in PEM, if enrollment was given any.
    pub ca_pem: Option<Vec<u8>>,
    /// The identity file as it was read: tells whether it has changed since.
    source: Vec<u8>,
}

impl StoreIdentity {
    /// Whether both were read from the same files.
    pub fn is_same(&self, other: &Self) -> bool {
        self.source == other.source && self.ca_pem == other.ca_pem
    }
}

/// Why an identity that is there can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The files can't be read.
    #[error("reading the store's identity")]
    Read(#[from] std::io::Error),
    /// The file holds something else.
    #[error("the identity file is damaged; enroll the connector again")]
    Damaged,
}

/// Reads the identity of a data dir; none before the connector enrolled.
pub fn read(data_dir: &Path) -> Result<Option<StoreIdentity>, IdentityError> {
    let dir = data_dir.join(IDENTITY_DIR);
    let Some(source) = read_if_there(&dir.join(IDENTITY_FILE))? else { return Ok(None) };
    let identity = serde_json::from_slice(&source).map_err(|_| IdentityError::Damaged)?;
    Ok(Some(StoreIdentity { identity, ca_pem: read_if_there(&dir.join(CA_FILE))?, source }))
}

fn read_if_there(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
