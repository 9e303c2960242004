//! Stores' programs identify themselves by tokens that they sign with their own key.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tillwatch_protocol::device::{MAX_LIFE_SECONDS, TokenError, claimed_device, verify};
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::{DeviceId, PosServerId};
use uuid::Uuid;

use crate::error::ApiError;
use crate::http::extract::bearer;
use crate::state::AppState;
use crate::store;
use crate::store::token::Token;

/// A connector or a POS server that has proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// Its identity.
    pub id: DeviceId,
    /// The POS server that it serves.
    pub pos_server_id: PosServerId,
}

impl FromRequestParts<AppState> for Device {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let Caller { device, token } = Caller::from_request_parts(parts, state).await?;
        if state.store.spend_token(token).await? { Ok(device) } else { Err(used()) }
    }
}

/// A device whose token is used up by what it asks for, together with that: on this node it is refused from now
/// on, on others only then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Who it is.
    pub device: Device,
    /// By which token.
    pub token: Token,
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let refused =
            || ApiError::new(ErrorCode::Unauthorized, "No valid device token came with the request.");
        let token = bearer(parts).ok_or_else(refused)?;
        let claimed = claimed_device(token).ok_or_else(refused)?;
        let db = state.store.lone();
        let device = store::device::find(db, claimed).await?.ok_or_else(refused)?;
        let now = Utc::now();
        let claims = match verify(token, &device.public_key, state.cloud_id, now) {
            Ok(claims) => claims,
            Err(TokenError::Invalid) => return Err(refused()),
            Err(TokenError::Skewed) => {
                let detail = "The token does not fit the server's clock; sign with its time.";
                return Err(ApiError::new(ErrorCode::ClockSkewed, detail).with("server_time", json!(now)));
            }
        };
        // Told only to who holds the key: a guessed device id learns nothing.
        if device.revoked_at.is_some() {
            return Err(ApiError::new(ErrorCode::CredentialsRevoked, "Enroll this store again."));
        }
        let ends_at = DateTime::from_timestamp(claims.exp, 0).ok_or_else(refused)?;
        let token = Token { id: claims.jti, ends_at };
        if !state.seen_tokens.is_new(token.id, now) || store::token::is_spent(db, token).await? {
            return Err(used());
        }
        let device = Device { id: claimed, pos_server_id: device.pos_server_id.into() };
        tracing::Span::current().record("user", tracing::field::display(device.id));
        Ok(Self { device, token })
    }
}

fn used() -> ApiError {
    ApiError::new(ErrorCode::Unauthorized, "The device token was used before.")
}

/// The ids of tokens that were used here: most that come again need not be looked for. Each is kept at least as long as its token could be accepted.
#[derive(Debug)]
pub(crate) struct SeenTokens(Mutex<Generations>);

/// Two sets that take turns: when the younger is as old as a token can get, the elder is emptied.
#[derive(Debug)]
struct Generations {
    young: HashSet<Uuid>,
    old: HashSet<Uuid>,
    turned_at: DateTime<Utc>,
}

impl SeenTokens {
    /// An empty memory.
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        Self(Mutex::new(Generations { young: HashSet::new(), old: HashSet::new(), turned_at: now }))
    }

    /// Whether this is the first time; remembers it.
    pub(crate) fn is_new(&self, jti: Uuid, now: DateTime<Utc>) -> bool {
        // A panic elsewhere leaves the sets as they were: each step below is complete in itself.
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now - seen.turned_at > TimeDelta::seconds(MAX_LIFE_SECONDS + 1) {
            seen.old = std::mem::take(&mut seen.young);
            seen.turned_at = now;
        }
        !seen.old.contains(&jti) && seen.young.insert(jti)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_remembered_for_its_life_and_not_for_ever() {
        let start = Utc::now();
        let seen = SeenTokens::new(start);
        let jti = Uuid::new_v4();
        assert!(seen.is_new(jti, start));
        for second in 0..=MAX_LIFE_SECONDS {
            assert!(!seen.is_new(jti, start + TimeDelta::seconds(second)), "{second}");
        }
        for minute in 2..5 {
            seen.is_new(Uuid::new_v4(), start + TimeDelta::minutes(2 * minute));
        }
        let kept = seen.0.lock().unwrap();
        assert!(kept.young.len() + kept.old.len() <= 2);
    }
}
