//! Cursors: where the next page begins, opaque to whoever hands them back.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tillwatch_protocol::error::FieldError;
use tillwatch_protocol::rest::{DEFAULT_LIMIT, MAX_LIMIT};

/// A cursor that holds this.
pub(crate) fn encode(position: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(position).unwrap_or_default())
}

/// What a cursor holds, or that it is none of ours.
pub(crate) fn decode<T: DeserializeOwned>(cursor: &str) -> Result<T, FieldError> {
    URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(refused)
}

/// The cursor does not belong to this list.
pub(crate) fn refused() -> FieldError {
    FieldError { field: "cursor".into(), message: "is not a cursor of this list".into() }
}

/// Reads `limit`.
pub(crate) fn limit(text: Option<&str>) -> Result<u64, FieldError> {
    let Some(text) = text else { return Ok(DEFAULT_LIMIT.into()) };
    text.parse::<u64>().ok().filter(|limit| (1..=u64::from(MAX_LIMIT)).contains(limit)).ok_or_else(|| {
        FieldError { field: "limit".into(), message: format!("must be a number from 1 to {MAX_LIMIT}") }
    })
}
