//! The identity of a store's programs: an Ed25519 key made in the store, and short-lived tokens signed with it.
//!
//! A token is a JWT (EdDSA): `sub` the device id, `aud` the cloud id, `exp` at most [`MAX_LIFE_SECONDS`]
//! ahead, `jti` used once. The cloud keeps the public key only.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use url::{Host, Url};
use uuid::Uuid;

use crate::ids::{CloudId, DeviceId, PosServerId};

#[cfg(feature = "device-token-check")]
mod check;

#[cfg(feature = "device-token-check")]
pub use check::{TokenError, claimed_device, is_public_key, verify};

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

/// Whether a store's programs may speak to a cloud there: by HTTPS, or for trials on this machine.
pub fn is_safe_cloud(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && loopback))
}

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

/// A key made in the store that has no identity yet: its seed.
pub struct DeviceKey([u8; 32]);

impl DeviceKey {
    /// Makes a key from the system's randomness.
    pub fn generate() -> Self {
        Self(rand::random())
    }

    /// The public half as enrollment sends it.
    pub fn public_key(&self) -> String {
        let pair = Ed25519KeyPair::from_seed_unchecked(&self.0).expect("a seed of 32 bytes");
        URL_SAFE_NO_PAD.encode(pair.public_key())
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
            secret_key: URL_SAFE_NO_PAD.encode(self.0),
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
    key: Arc<Ed25519KeyPair>,
    device_id: DeviceId,
    cloud_id: CloudId,
}

impl Signer {
    /// Reads the identity's key.
    pub fn new(identity: &Identity) -> Result<Self, BadKey> {
        let seed = URL_SAFE_NO_PAD.decode(&identity.secret_key).map_err(|_| BadKey)?;
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| BadKey)?;
        Ok(Self { key: Arc::new(key), device_id: identity.device_id, cloud_id: identity.cloud_id })
    }

    /// A token for one request. `now` is the cloud's time as far as the store knows it.
    pub fn token(&self, now: DateTime<Utc>) -> String {
        let claims = Claims {
            sub: self.device_id,
            aud: self.cloud_id,
            exp: (now + TimeDelta::seconds(LIFE_SECONDS)).timestamp(),
            jti: Uuid::new_v4(),
        };
        // RFC 7515, compact. A library for every kind of JWT would bring RSA and the like into each store.
        let claims = serde_json::to_vec(&claims).expect("plain claims");
        let encoded = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        let said = format!("{}.{}", encoded(br#"{"typ":"JWT","alg":"EdDSA"}"#), encoded(&claims));
        let signature = self.key.sign(said.as_bytes());
        format!("{said}.{}", encoded(signature.as_ref()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_across_a_network_is_spoken_to_by_https() {
        let check = |text: &str| is_safe_cloud(&text.parse().unwrap());
        for good in
            ["https://cloud.example", "http://127.0.0.1:8443", "http://[::1]:1/x", "http://localhost:1"]
        {
            assert!(check(good), "{good}");
        }
        for bad in [
            "http://cloud.example",
            "http://192.0.2.1:8443",
            "http://127.0.0.1.cloud.example",
            "http://localhost.cloud.example",
            "ftp://127.0.0.1",
            "mailto:a@cloud.example",
        ] {
            assert!(!check(bad), "{bad}");
        }
    }
}
