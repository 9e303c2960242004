//! Enrollment: how a connector becomes known to a cloud, and the files that remember it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tillwatch_protocol::device::{CA_FILE, DeviceKey, IDENTITY_DIR, IDENTITY_FILE, Identity, is_safe_cloud};
use tillwatch_protocol::rest::enroll::{Enroll, Enrolled};
use url::Url;

use crate::cloud_client::{self, CallError, Transport, TransportError};
use crate::files::{self, Access};
use crate::proxy::ProxyAddress;

/// How long the cloud may take to answer an enrollment.
const ENROLL_TIMEOUT: Duration = Duration::from_secs(30);
/// More than any answer to an enrollment has.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Why enrollment failed.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The text is no address of a cloud.
    #[error("`{address}` is not an address of a cloud: {reason}. It looks like https://cloud.example:8443")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The code is empty.
    #[error("the enrollment code is empty")]
    NoCode,
    /// TLS could not be set up.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The cloud's certificate is not trusted.
    #[error(
        "the certificate of {0} is not trusted. If the cloud made its own, give it with --ca (DIR/tls/cert.pem of the cloud)"
    )]
    Untrusted(Url),
    /// No cloud answers there.
    #[error("{url} can't be reached: {reason}")]
    Unreachable {
        /// The address.
        url: Url,
        /// Why.
        reason: String,
    },
    /// Something else answers there.
    #[error("{0} answers, but it is not a Tillwatch cloud")]
    NotACloud(Url),
    /// The cloud refused.
    #[error("the cloud refused: {0}")]
    Refused(CallError),
    /// A file could not be written.
    #[error("could not write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is none.
    #[error("{} is not there: enroll first", .0.display())]
    Missing(PathBuf),
    /// It can't be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is damaged.
    #[error("{} is damaged: enroll again", .0.display())]
    Damaged(PathBuf),
}

/// Exchanges a one-time code for an identity and writes it to the data dir. An identity that was there is
/// replaced; a `connector.toml` is left alone.
pub async fn enroll(
    cloud: &str,
    code: &str,
    ca: Option<&Path>,
    proxy: Option<&ProxyAddress>,
    data_dir: &Path,
) -> Result<Identity, EnrollError> {
    let transport = Transport::new(ca, proxy)?;
    enroll_with(&transport, cloud, code, ca, data_dir).await
}

/// [`enroll`] over connections that the caller shares between many.
pub async fn enroll_with(
    transport: &Transport,
    cloud: &str,
    code: &str,
    ca: Option<&Path>,
    data_dir: &Path,
) -> Result<Identity, EnrollError> {
    let base = parse_cloud(cloud)?;
    let code = code.trim();
    if code.is_empty() {
        return Err(EnrollError::NoCode);
    }
    // What can't be written is better known before the one-time code is used up.
    let dir = data_dir.join(IDENTITY_DIR);
    let write_error = |path: &Path| {
        let path = path.to_owned();
        move |source| EnrollError::Write { path, source }
    };
    files::create_dir(&dir, Access::Private).map_err(write_error(&dir))?;
    let ca_text = ca.map(|path| std::fs::read(path).map_err(write_error(path))).transpose()?;

    let key = DeviceKey::generate();
    let request = Enroll { code: code.to_owned(), public_key: key.public_key() };
    let response = transport
        .http
        .post(cloud_client::api_url(&base, "enroll"))
        .json(&request)
        .timeout(ENROLL_TIMEOUT)
        .send()
        .await
        .map_err(|error| call_error(&base, error.into()))?;
    let response = cloud_client::successful(response).await.map_err(|error| call_error(&base, error))?;
    let enrolled: Enrolled = cloud_client::read_capped(response, MAX_ANSWER_BYTES)
        .await
        .and_then(|body| serde_json::from_slice(&body).ok())
        .ok_or_else(|| EnrollError::NotACloud(base.clone()))?;

    let identity = key.into_identity(base, enrolled);
    let ca_file = dir.join(CA_FILE);
    match ca_text {
        Some(text) => files::write_atomic(&ca_file, &text, Access::Public).map_err(write_error(&ca_file))?,
        // The certificates of an earlier enrollment are not those of this one.
        None => files::remove(&ca_file).map_err(write_error(&ca_file))?,
    }
    let file = dir.join(IDENTITY_FILE);
    let text = serde_json::to_vec_pretty(&identity).expect("an identity is plain JSON");
    files::write_atomic(&file, &text, Access::Private).map_err(write_error(&file))?;
    Ok(identity)
}

/// Reads the identity that an enrollment left in the data dir.
pub fn load(data_dir: &Path) -> Result<Identity, IdentityError> {
    let path = data_dir.join(IDENTITY_DIR).join(IDENTITY_FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(IdentityError::Missing(path)),
        Err(source) => return Err(IdentityError::Read { path, source }),
    };
    serde_json::from_slice(&text).map_err(|_| IdentityError::Damaged(path))
}

/// The CA certificates that an enrollment left in the data dir, if it was given any.
pub fn ca_file(data_dir: &Path) -> Option<PathBuf> {
    Some(data_dir.join(IDENTITY_DIR).join(CA_FILE)).filter(|path| path.is_file())
}

/// Reads a cloud's address: `https`, or `http` for a cloud on this machine, and nothing but scheme, host, port and
/// path.
pub fn parse_cloud(address: &str) -> Result<Url, EnrollError> {
    let fail = |reason: &str| EnrollError::Address { address: address.to_owned(), reason: reason.to_owned() };
    let mut url: Url = address.trim().parse().map_err(|error: url::ParseError| fail(&error.to_string()))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(fail("it names no host"));
    }
    if !is_safe_cloud(&url) {
        return Err(fail("it must begin with https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(fail("it must not hold a name or a password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(fail("it must not have a query or a fragment"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

fn call_error(base: &Url, error: CallError) -> EnrollError {
    match error {
        CallError::Unreachable(reason) if reason.contains("certificate") => {
            EnrollError::Untrusted(base.clone())
        }
        CallError::Unreachable(reason) => EnrollError::Unreachable { url: base.clone(), reason },
        CallError::NotACloud(_) => EnrollError::NotACloud(base.clone()),
        CallError::Refused { .. } => EnrollError::Refused(error),
    }
}
