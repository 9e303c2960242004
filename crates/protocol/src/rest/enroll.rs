//! How a connector becomes known to the cloud.

use serde::{Deserialize, Serialize};

use crate::ids::{CloudId, DeviceId, PosServerId};

/// `POST /enroll`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Enroll {
    /// The one-time code that an admin handed out.
    pub code: String,
    /// The connector's Ed25519 public key: 32 bytes in base64url without padding.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9_-]{43}$"))]
    pub public_key: String,
}

/// What enrollment gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Enrolled {
    /// Who the connector is from now on.
    pub device_id: DeviceId,
    /// Whom its tokens are addressed to.
    pub cloud_id: CloudId,
    /// The POS server it serves.
    pub pos_server_id: PosServerId,
    /// The outlet's name, for people.
    pub outlet: String,
    /// The outlet's IANA time zone, for log lines that state none.
    pub time_zone: String,
}
