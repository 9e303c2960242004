//! What a caller is told when a call fails: one type, turned into `application/problem+json` once.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Map, Value};
use tillwatch_protocol::error::{ErrorCode, FieldError, Problem};

use crate::refusals;
use crate::store::{StoreError, Trouble};

/// When to come again after what passes by itself.
const SOON: Duration = Duration::from_secs(2);

/// The result of a handler.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// Why a call failed. [`render`] makes the document of it, as only the router knows the request's id.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    code: ErrorCode,
    detail: String,
    extra: Map<String, Value>,
    retry_after: Option<Duration>,
    /// A bug or a failing machine, for the log.
    cause: Option<Arc<anyhow::Error>>,
}

impl ApiError {
    /// A failure with what happened this time, in English, without secrets.
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), extra: Map::new(), retry_after: None, cause: None }
    }

    /// The thing is not there, or not for this user: the same answer for both.
    pub(crate) fn not_found() -> Self {
        Self::new(ErrorCode::NotFound, "It does not exist, or it is not yours to see.")
    }

    /// Fields or query parameters that were refused, each with the reason.
    pub(crate) fn invalid(errors: &[FieldError]) -> Self {
        let detail = errors
            .iter()
            .map(|error| format!("{}: {}", error.field, error.message))
            .collect::<Vec<_>>()
            .join("; ");
        Self::new(ErrorCode::InvalidRequest, detail).with("errors", serde_json::json!(errors))
    }

    /// One field that was refused.
    pub(crate) fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(&[FieldError { field: field.into(), message: message.into() }])
    }

    /// A failure that is no user's mistake: logged with the request's id, told without its cause.
    pub(crate) fn internal(cause: impl Into<anyhow::Error>) -> Self {
        let mut error = Self::new(ErrorCode::Internal, "The server's log tells more under the request id.");
        error.cause = Some(Arc::new(cause.into()));
        error
    }

    /// A failure of what the cloud stands on, which passes: logged, and the caller comes again.
    pub(crate) fn unavailable(detail: &str, cause: impl Into<anyhow::Error>) -> Self {
        let mut error = Self::new(ErrorCode::Unavailable, detail).retry_after(SOON);
        error.cause = Some(Arc::new(cause.into()));
        error
    }

    /// A text with a character that not every database keeps.
    pub(crate) fn nul() -> Self {
        Self::new(ErrorCode::InvalidRequest, "No text may have the character U+0000 in it.")
    }

    /// Adds a member to the document.
    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.extra.insert(key.to_owned(), value);
        self
    }

    /// Adds `Retry-After`, rounded up to whole seconds.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The stable code.
    pub(crate) fn code(&self) -> ErrorCode {
        self.code
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error.trouble() {
            None => Self::internal(error),
            Some(Trouble::Away) => Self::unavailable("The database does not answer.", error),
            Some(Trouble::Busy) => Self::unavailable("The database has too much to do.", error),
            Some(Trouble::Nul) => Self::nul(),
            Some(Trouble::Full) => Self::unavailable("The disk of the database is full.", error),
        }
    }
}

impl From<sea_orm::DbErr> for ApiError {
    fn from(error: sea_orm::DbErr) -> Self {
        StoreError::from(error).into()
    }
}

impl From<object_store::Error> for ApiError {
    fn from(error: object_store::Error) -> Self {
        if matches!(error, object_store::Error::NotFound { .. }) {
            // Something took it away behind our back, which does not pass.
            return Self::internal(error);
        }
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(error) = cause {
            let full = error.downcast_ref::<std::io::Error>();
            if full.is_some_and(|error| error.kind() == std::io::ErrorKind::StorageFull) {
                return Self::unavailable("The disk of the archives is full.", anyhow::anyhow!("{error}"));
            }
            cause = error.source();
        }
        Self::unavailable("The place of the archives does not answer.", error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> axum::response::Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives a failed answer its document. Answers that axum made by itself get the code of their status.
pub(crate) fn render(response: axum::response::Response, request_id: &str) -> axum::response::Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let error = response.extensions().get::<ApiError>().cloned().unwrap_or_else(|| from_status(status));
    if let Some(cause) = &error.cause {
        tracing::error!(error = format!("{cause:#}"), "a request failed");
    }
    refusals::log(error.code);
    let problem = Problem {
        code: error.code,
        title: error.code.title().into(),
        detail: error.detail.clone(),
        status: error.code.status(),
        request_id: request_id.into(),
        extra: error.extra.clone(),
    };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let (mut parts, _) = response.into_parts();
    parts.status = error.status();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if error.code.status() == 401 {
        parts.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(wait) = error.retry_after {
        parts.headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil() as u64));
    }
    Response::from_parts(parts, Body::from(body))
}

fn from_status(status: StatusCode) -> ApiError {
    let (code, detail) = match status.as_u16() {
        404 => (ErrorCode::NotFound, "No such address."),
        405 => (ErrorCode::MethodNotAllowed, "The address is there; `Allow` lists its methods."),
        413 => (ErrorCode::PayloadTooLarge, "The body is larger than this call takes."),
        415 => (ErrorCode::UnsupportedMediaType, "The body is of another type than this call takes."),
        422 => (ErrorCode::InvalidRequest, "The request is not of the form that this call takes."),
        401 => (ErrorCode::Unauthorized, "No valid token came with the request."),
        500 => (ErrorCode::Internal, "The server's log tells more under the request id."),
        501..=599 => (ErrorCode::Unavailable, "Try again later."),
        _ => (ErrorCode::MalformedBody, "The request could not be read."),
    };
    ApiError::new(code, detail)
}
