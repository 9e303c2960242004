//! The identity of a store's programs: an Ed25519 key made in the store, and short-lived tokens signed with it.
//!
//! A token is a JWT (EdDSA): `sub` the device id, `aud` the cloud id, `exp` at most [`MAX_LIFE_SECONDS`]
//! ahead, `jti` used once. The cloud keeps the public key only.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use crate::ids::{CloudId, DeviceId, PosServerId};

/// How far ahead of the cloud's clock a token may end.
pub const MAX_LIFE_SECONDS: i64 = 60;
/// How long the tokens live that we make: short of the limit, as clocks differ by a little.
const LIFE_SECONDS: i64 = 45;

/// Name of the folder, within a store's data dir, that connector and POS server share.
pub const IDENTITY_DIR: &str = "identity";
/// Name of the file within [`IDENTITY_DIR`] that holds an [`Identity`] as JSON; readable by its owner only.
pub const IDENTITY_FILE: &str = "identity.json";
/// Name of the file within [`IDENTITY_DIR`] that holds the CA certificates to trust, if enrollment was given any.
pub const CA_FILE: &str = "ca.pem";

/// Who a store's programs are and which cloud they talk to. Its `Debug` leaves the key out.
#[derive(Clone, Serialize, Deserialize)]
pub struct Identity {
    /// Base address of the cloud.
    pub cloud: Url,
    /// Whom tokens are addressed to.
    pub cloud_id: CloudId,
    /// Who they come from.
    pub device_id: DeviceId,
    /// Which POS server this is.
    pub pos_server_id: PosServerId,
    /// The outlet's name, for people.
    pub outlet: String,
    /// The outlet's IANA time zone.
    pub time_zone: String,
    /// The Ed25519 seed, 32 bytes in base64url.
    secret_key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("cloud", &self.cloud.as_str())
            .field("device_id", &self.device_id)
            .finish_non_exhaustive()
    }
}

/// A key made in the store that has no identity yet.
pub struct DeviceKey(SigningKey);

impl DeviceKey {
    /// Makes a key from the system's randomness.
    pub fn generate() -> Self {
        Self(SigningKey::from_bytes(&rand::random()))
    }

    /// The public half as enrollment sends it.
    pub fn public_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.verifying_key().as_bytes())
    }

    /// The identity that enrollment gave to this key.
    pub fn into_identity(self, cloud: Url, enrolled: crate::rest::enroll::Enrolled) -> Identity {
        Identity {
            cloud,
            cloud_id: enrolled.cloud_id,
            device_id: enrolled.device_id,
            pos_server_id: enrolled.pos_server_id,
            outlet: enrolled.outlet,
            time_zone: enrolled.time_zone,
            secret_key: URL_SAFE_NO_PAD.encode(self.0.to_bytes()),
        }
    }
}

/// The identity file does not hold a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key in the identity file is damaged; enroll again")]
pub struct BadKey;

/// Signs tokens for one identity.
#[derive(Clone)]
pub struct Signer {
    key: EncodingKey,
    device_id: DeviceId,
    cloud_id: CloudId,
}

impl Signer {
    /// Reads the identity's key.
    pub fn new(identity: &Identity) -> Result<Self, BadKey> {
        let seed = URL_SAFE_NO_PAD.decode(&identity.secret_key).map_err(|_| BadKey)?;
        let key = SigningKey::from_bytes(&seed.try_into().map_err(|_| BadKey)?);
        let der = key.to_pkcs8_der().map_err(|_| BadKey)?;
        Ok(Self {
            key: EncodingKey::from_ed_der(der.as_bytes()),
            device_id: identity.device_id,
            cloud_id: identity.cloud_id,
        })
    }

    /// A token for one request. `now` is the cloud's time as far as the store knows it.
    pub fn token(&self, now: DateTime<Utc>) -> String {
        let claims = Claims {
            sub: self.device_id,
            aud: self.cloud_id,
            exp: (now + TimeDelta::seconds(LIFE_SECONDS)).timestamp(),
            jti: Uuid::new_v4(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.key)
            .expect("plain claims and a checked key")
    }
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who asks.
    pub sub: DeviceId,
    /// Which cloud is asked.
    pub aud: CloudId,
    /// When the token ends, in seconds since 1970.
    pub exp: i64,
    /// Used once.
    pub jti: Uuid,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No token, a wrong signature, another cloud.
    #[error("the device token is not valid")]
    Invalid,
    /// It has ended, or ends too far ahead: the clocks differ.
    #[error("the device token does not fit the cloud's clock")]
    Skewed,
}

/// Whether a text is a public key as enrollment takes it.
pub fn is_public_key(text: &str) -> bool {
    public_key_bytes(text).is_some()
}

/// Reads who a token claims to be from, unchecked: to find the key that [`verify`] needs.
pub fn claimed_device(token: &str) -> Option<DeviceId> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Claims>(&payload).ok().map(|claims| claims.sub)
}

/// Checks signature, cloud and time of a token. That its `jti` is new is the caller's to check.
pub fn verify(
    token: &str,
    public_key: &str,
    cloud: CloudId,
    now: DateTime<Utc>,
) -> Result<Claims, TokenError> {
    let key = public_key_bytes(public_key).ok_or(TokenError::Invalid)?;
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_audience(&[cloud.to_string()]);
    // The time is checked below, against the clock that the caller gave.
    rules.validate_exp = false;
    let claims = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_ed_der(&key), &rules)
        .map_err(|_| TokenError::Invalid)?
        .claims;
    let left = claims.exp.checked_sub(now.timestamp()).ok_or(TokenError::Invalid)?;
    if (0..=MAX_LIFE_SECONDS).contains(&left) { Ok(claims) } else { Err(TokenError::Skewed) }
}

fn public_key_bytes(text: &str) -> Option<[u8; 32]> {
    let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    ed25519_dalek::VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak()).map(|_| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::enroll::Enrolled;

    fn enrolled() -> (Identity, String) {
        let key = DeviceKey::generate();
        let public_key = key.public_key();
        let enrolled = Enrolled {
            device_id: DeviceId::new(),
            cloud_id: CloudId::new(),
            pos_server_id: PosServerId::new(),
            outlet: "Riga Centrs".into(),
            time_zone: "Europe/Riga".into(),
        };
        (key.into_identity("https://cloud.example".parse().unwrap(), enrolled), public_key)
    }

    #[test]
    fn a_token_names_its_device_and_is_checked() {
        let (identity, public_key) = enrolled();
        let now = Utc::now();
        let token = Signer::new(&identity).unwrap().token(now);
        assert_eq!(claimed_device(&token), Some(identity.device_id));
        let claims = verify(&token, &public_key, identity.cloud_id, now).unwrap();
        assert_eq!(claims.sub, identity.device_id);
    }

    #[test]
    fn another_key_another_cloud_and_another_time_are_refused() {
        let (identity, public_key) = enrolled();
        let (_, other_key) = enrolled();
        let now = Utc::now();
        let token = Signer::new(&identity).unwrap().token(now);
        let check = |key: &str, cloud, at| verify(&token, key, cloud, at).unwrap_err();
        assert_eq!(check(&other_key, identity.cloud_id, now), TokenError::Invalid);
        assert_eq!(check(&public_key, CloudId::new(), now), TokenError::Invalid);
        assert_eq!(check(&public_key, identity.cloud_id, now + TimeDelta::minutes(10)), TokenError::Skewed);
        assert_eq!(check(&public_key, identity.cloud_id, now - TimeDelta::minutes(10)), TokenError::Skewed);
        assert_eq!(verify("a.b.c", &public_key, identity.cloud_id, now), Err(TokenError::Invalid));
    }

    #[test]
    fn debugging_an_identity_does_not_show_its_key() {
        let (identity, _) = enrolled();
        assert!(!format!("{identity:?}").contains(&identity.secret_key));
    }
}
