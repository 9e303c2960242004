//! Who may ask a store: a service token within its scope, or a user with the permission.

use std::time::Instant;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::Utc;
use serde_json::json;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::{PosServerId, ServiceTokenId, UserId};
use tillwatch_protocol::rest::service_token::PREFIX;
use tillwatch_protocol::rest::session::Permission;

use crate::error::ApiError;
use crate::http::extract::{CurrentUser, Path, bearer};
use crate::state::AppState;
use crate::store::service_token::Entitled;
use crate::store::{self, service_token};
use crate::tokens::hash;

/// Who asks, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum CallerId {
    /// A program of a third party.
    Token(ServiceTokenId),
    /// Somebody who signed in.
    User(UserId),
}

/// Who asks whom, and may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    /// Who.
    pub(super) id: CallerId,
    /// The store's POS server.
    pub(super) pos_server_id: PosServerId,
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let to = Path::<PosServerId>::from_request_parts(parts, state).await.map(|Path(id)| id);
        match bearer(parts).filter(|token| token.starts_with(PREFIX)).map(str::to_owned) {
            Some(secret) => by_token(state, &secret, to).await,
            None => by_user(parts, state, to).await,
        }
    }
}

async fn by_token(
    state: &AppState,
    secret: &str,
    to: Result<PosServerId, ApiError>,
) -> Result<Caller, ApiError> {
    let token = match &to {
        Ok(to) => known_or_read(state, hash(secret), *to).await?,
        Err(_) => service_token::entitled(&state.store, &hash(secret), Permission::Relay, None).await?,
    };
    let token = token.ok_or_else(|| {
        ApiError::new(ErrorCode::Unauthorized, "The service token is unknown, or was revoked.")
    })?;
    tracing::Span::current().record("user", tracing::field::display(token.id));
    state.relay_rates.note_use(&state.store, token, Utc::now());
    let to = to?;
    if !token.reaches {
        return Err(ApiError::not_found());
    }
    Ok(Caller { id: CallerId::Token(token.id), pos_server_id: to })
}

async fn known_or_read(
    state: &AppState,
    token_hash: String,
    to: PosServerId,
) -> Result<Option<Entitled>, ApiError> {
    let (asked, now) = ((token_hash, to), Instant::now());
    if let Some(token) = state.known_tokens.get(&asked, now) {
        return Ok(Some(token));
    }
    let read = service_token::entitled(&state.store, &asked.0, Permission::Relay, Some(to)).await?;
    if let Some(token) = read.filter(|token| token.reaches) {
        state.known_tokens.insert(asked, token, now);
    }
    Ok(read)
}

async fn by_user(
    parts: &mut Parts,
    state: &AppState,
    to: Result<PosServerId, ApiError>,
) -> Result<Caller, ApiError> {
    let user = CurrentUser::from_request_parts(parts, state).await?;
    let to = to?;
    let db = state.store.read().await?;
    if !store::pos_server::is_visible(&db, user.viewer(), Permission::Relay, to).await? {
        if !store::pos_server::is_visible(&db, user.viewer(), Permission::OutletSetup, to).await? {
            return Err(ApiError::not_found());
        }
        return Err(ApiError::new(ErrorCode::PermissionDenied, "This needs the permission relay.")
            .with("permission", json!(Permission::Relay)));
    }
    Ok(Caller { id: CallerId::User(user.user.id), pos_server_id: to })
}
