//! Query parameters that several lists share, read so that everything wrong with them is told at once.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tillwatch_protocol::error::FieldError;
use tillwatch_protocol::rest::{DEFAULT_LIMIT, MAX_LIMIT, Page};
use tillwatch_protocol::time::DURATION_PATTERN;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

/// A duration, as the document describes it.
pub(crate) struct IsoDuration;

impl utoipa::ToSchema for IsoDuration {}
impl utoipa::PartialSchema for IsoDuration {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).pattern(Some(DURATION_PATTERN)).into()
    }
}

/// The value, or its default with the error noted.
pub(crate) fn collect<T: Default>(result: Result<T, FieldError>, errors: &mut Vec<FieldError>) -> T {
    result.unwrap_or_else(|error| {
        errors.push(error);
        T::default()
    })
}

/// A parameter that is refused.
pub(crate) fn refuse(field: &str, message: impl Into<String>) -> FieldError {
    FieldError { field: field.into(), message: message.into() }
}

/// Reads an id.
pub(crate) fn id<T: FromStr>(field: &str, text: Option<&str>) -> Result<Option<T>, FieldError> {
    text.map(|text| text.parse().map_err(|_| refuse(field, "must be a UUID"))).transpose()
}

/// A cursor that holds this: where the next page begins, opaque to whoever hands it back.
pub(crate) fn to_cursor(position: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(position).unwrap_or_default())
}

/// What a cursor holds, or that it is none of ours.
pub(crate) fn from_cursor<T: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<T>, FieldError> {
    let Some(cursor) = cursor else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| foreign_cursor())?;
    serde_json::from_slice(&bytes).map(Some).map_err(|_| foreign_cursor())
}

/// The cursor does not belong to this list.
pub(crate) fn foreign_cursor() -> FieldError {
    refuse("cursor", "is not a cursor of this list")
}

/// Reads `limit`.
pub(crate) fn limit(text: Option<&str>) -> Result<u64, FieldError> {
    let Some(text) = text else { return Ok(DEFAULT_LIMIT.into()) };
    text.parse::<u64>()
        .ok()
        .filter(|limit| (1..=u64::from(MAX_LIMIT)).contains(limit))
        .ok_or_else(|| refuse("limit", format!("must be a number from 1 to {MAX_LIMIT}")))
}

/// A page of items that were read up to one more than `limit`: the one more says that there is a next page, which
/// begins after the `position` of the last.
pub(crate) fn page<T, P: Serialize>(mut items: Vec<T>, limit: u64, position: impl Fn(&T) -> P) -> Page<T> {
    let more = items.len() as u64 > limit;
    items.truncate(limit as usize);
    let next_cursor = items.last().filter(|_| more).map(|last| to_cursor(&position(last)));
    Page { items, next_cursor }
}
