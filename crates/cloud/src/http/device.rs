//! Stores' programs identify themselves by tokens that they sign with their own key.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
        let token = Presented::new(parts)?;
        let key = Key::read(state, token.claimed).await?;
        let Caller { device, token } = token.check(&key, state)?;
        if state.store.spend_token(token).await? { Ok(device) } else { Err(used()) }
    }
}

/// Who wants to open a link, as far as this node knows by itself. Its token is used up by the hello: on this node it is
/// refused from now on, on others only then. Whether the identity was revoked meanwhile is looked at then, too.
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
        let token = Presented::new(parts)?;
        if let Some(key) = state.device_keys.get(token.claimed) {
            return token.check(&key, state);
        }
        let key = Key::read(state, token.claimed).await?;
        let caller = token.check(&key, state)?;
        state.device_keys.remember(caller.device.id, key);
        Ok(caller)
    }
}

/// A token that came with a request.
struct Presented<'a> {
    token: &'a str,
    /// Whose it says it is.
    claimed: DeviceId,
}

impl<'a> Presented<'a> {
    fn new(parts: &'a Parts) -> Result<Self, ApiError> {
        let token = bearer(parts).ok_or_else(refused)?;
        Ok(Self { token, claimed: claimed_device(token).ok_or_else(refused)? })
    }

    /// Who it is, if the key fits and the token was not used on this node.
    fn check(&self, key: &Key, state: &AppState) -> Result<Caller, ApiError> {
        let now = Utc::now();
        let claims = match verify(self.token, &key.public, state.cloud_id, now) {
            Ok(claims) => claims,
            Err(TokenError::Invalid) => return Err(refused()),
            Err(TokenError::Skewed) => {
                let detail = "The token does not fit the server's clock; sign with its time.";
                return Err(ApiError::new(ErrorCode::ClockSkewed, detail).with("server_time", json!(now)));
            }
        };
        // Told only to who holds the key: a guessed device id learns nothing.
        if key.revoked {
            return Err(ApiError::new(ErrorCode::CredentialsRevoked, "Enroll this store again."));
        }
        let ends_at = DateTime::from_timestamp(claims.exp, 0).ok_or_else(refused)?;
        let token = Token { id: claims.jti, ends_at };
        if !state.seen_tokens.is_new(token.id, now) {
            return Err(used());
        }
        let device = Device { id: self.claimed, pos_server_id: key.pos_server_id };
        tracing::Span::current().record("user", tracing::field::display(device.id));
        Ok(Caller { device, token })
    }
}

fn refused() -> ApiError {
    ApiError::new(ErrorCode::Unauthorized, "No valid device token came with the request.")
}

fn used() -> ApiError {
    ApiError::new(ErrorCode::Unauthorized, "The device token was used before.")
}

/// What an identity's tokens are checked with.
#[derive(Debug)]
pub(crate) struct Key {
    public: String,
    pos_server_id: PosServerId,
    revoked: bool,
}

impl Key {
    async fn read(state: &AppState, id: DeviceId) -> Result<Self, ApiError> {
        let row = store::device::find(state.store.lone(), id).await?.ok_or_else(refused)?;
        Ok(Self {
            public: row.public_key,
            pos_server_id: row.pos_server_id.into(),
            revoked: row.revoked_at.is_some(),
        })
    }
}

/// The keys by which links were opened here: a thousand stores that come back in a second cost no look into the
/// database. An identity's key is never another.
#[derive(Debug, Default)]
pub(crate) struct DeviceKeys(Mutex<HashMap<DeviceId, Arc<Key>>>);

impl DeviceKeys {
    fn get(&self, id: DeviceId) -> Option<Arc<Key>> {
        self.lock().get(&id).cloned()
    }

    fn remember(&self, id: DeviceId, key: Key) {
        self.lock().insert(id, Arc::new(key));
    }

    /// An identity was revoked.
    pub(crate) fn forget(&self, id: DeviceId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DeviceId, Arc<Key>>> {
        // Each step on the map is complete in itself, so a panic elsewhere leaves it sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
