//! What handlers take out of a request. Whatever does not fit is told as a problem.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::SessionId;
use tillwatch_protocol::rest::session::User;

use crate::domain::permission::Viewer;
use crate::domain::user::PROOF_LIFE;
use crate::error::{ApiError, ApiResult};
use crate::state::AppState;
use crate::store::session;

/// A JSON body from people and third parties: without NUL, which no text needs and not every database keeps.
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body from a store. What comes from its tills is taken: to refuse it would keep it there for ever.
pub(crate) struct StoreJson<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<AppState> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let body = json_body(request, state).await?;
        if holds_nul(&body) {
            return Err(ApiError::invalid_field("body", "must not hold the control character NUL"));
        }
        parse_json(&body).map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<AppState> for StoreJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        parse_json(&json_body(request, state).await?).map(Self)
    }
}

/// The body of a request that says it is JSON.
async fn json_body(request: Request, state: &AppState) -> Result<Bytes, ApiError> {
    let is_json = request.headers().get(CONTENT_TYPE).is_some_and(|value| {
        let kind = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
    });
    if !is_json {
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType, "This call takes application/json."));
    }
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
            ApiError::new(ErrorCode::PayloadTooLarge, "The body is larger than this call takes.")
        } else {
            ApiError::new(ErrorCode::MalformedBody, "The body broke off, or came too slowly.")
        }
    })
}

/// Whether JSON has an escaped NUL in a text; unescaped it would be no JSON.
fn holds_nul(json: &[u8]) -> bool {
    let is_escaped = |at: usize| json[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
    json.windows(6).enumerate().any(|(at, window)| window == b"\\u0000" && !is_escaped(at))
}

/// Reads JSON; tells what is no JSON apart from what is not what the call takes.
pub(crate) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // Serde would read the fields of an object from an array, one after the other.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(ApiError::invalid_field("body", "must be an object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let field = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            ApiError::invalid_field(if field == "." { "body".into() } else { field }, inner.to_string())
        } else {
            ApiError::new(ErrorCode::MalformedBody, format!("The body is no JSON: {inner}."))
        }
    })?;
    reader.end().map_err(|_| ApiError::new(ErrorCode::MalformedBody, "The body goes on after its end."))?;
    Ok(value)
}

/// The query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(ApiError::invalid_field("query", "must not hold the control character NUL"));
        }
        axum::extract::Query::try_from_uri(&parts.uri).map(|axum::extract::Query(query)| Self(query)).map_err(
            |rejection| {
                use std::error::Error;
                let reason = rejection.source().map_or_else(|| rejection.to_string(), ToString::to_string);
                ApiError::invalid_field("query", reason)
            },
        )
    }
}

/// Ids in the path. What can't be an id belongs to nothing: 404.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<AppState> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(path)| Self(path))
            .map_err(|_| ApiError::not_found())
    }
}

/// Who asks, by the access token in `Authorization`.
#[derive(Clone, Debug)]
pub(crate) struct CurrentUser {
    pub(crate) session_id: SessionId,
    /// When they proved who they are, where that is known.
    pub(crate) proved_at: Option<DateTime<Utc>>,
    pub(crate) user: User,
}

impl CurrentUser {
    /// As whom the store filters.
    pub(crate) fn viewer(&self) -> Viewer {
        Viewer { user_id: self.user.id, admin: self.user.admin }
    }

    /// Refuses what changes how people sign in, unless this one has proved lately who they are: a session may have been
    /// found open.
    pub(crate) fn must_have_proved(&self) -> ApiResult<()> {
        if self.proved_at.is_some_and(|proved_at| Utc::now() - proved_at <= PROOF_LIFE) {
            return Ok(());
        }
        let detail =
            "This is for sessions that began within ten minutes. Begin one, and repeat the call with it.";
        Err(ApiError::new(ErrorCode::ReauthenticationRequired, detail))
    }
}

impl FromRequestParts<AppState> for CurrentUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let refused =
            || ApiError::new(ErrorCode::Unauthorized, "No valid access token came with the request.");
        let token = bearer(parts).ok_or_else(refused)?;
        let live =
            session::by_access_token(state.store.lone(), token, Utc::now()).await?.ok_or_else(refused)?;
        let session::Live { id: session_id, proved_at, user } = live;
        tracing::Span::current().record("user", tracing::field::display(user.id));
        state.calls.admit(user.id)?;
        Ok(Self { session_id, proved_at, user })
    }
}

/// The longest idempotency key, in characters.
const MAX_KEY: usize = 255;

/// By what a request is known when it comes again.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> ApiResult<Option<&str>> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= MAX_KEY);
    key.map(Some).ok_or_else(|| {
        ApiError::invalid_field("Idempotency-Key", format!("must be 1 to {MAX_KEY} ASCII characters"))
    })
}

/// The bearer token of a request.
pub(crate) fn bearer(parts: &Parts) -> Option<&str> {
    let header = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_nul_is_found() {
        assert!(holds_nul(br#"{"name":"a\u0000"}"#));
        assert!(holds_nul(br#"{"name":"\\\u0000"}"#));
        assert!(!holds_nul(br#"{"name":"\\u0000 \u0001"}"#), "a backslash and five characters");
    }
}
