//! Checking the tokens of stores, which is the cloud's part.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::{Claims, MAX_LIFE_SECONDS};
use crate::ids::{CloudId, DeviceId};

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
    use chrono::TimeDelta;

    use super::*;
    use crate::device::{DeviceKey, Identity, Signer};
    use crate::ids::PosServerId;
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
