//! POS servers, the codes by which their connectors enroll, and the identities that came of it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, OutletId, PosServerId};
use crate::rest::outlet::{ChainRef, OutletRef};

/// `POST /admin/pos-servers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewPosServer {
    /// Where it stands.
    pub outlet_id: OutletId,
    /// Unlike the name of any other POS server of the outlet.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub name: String,
}

/// `PATCH /admin/pos-servers/{id}`: what is given changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PosServerEdit {
    /// Unlike the name of any other POS server of the outlet.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub name: Option<String>,
}

/// A POS server as its administrators see it. How it fares is in its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdminPosServer {
    /// Its id.
    pub id: PosServerId,
    /// What it is called.
    pub name: String,
    /// Whose it is.
    pub chain: ChainRef,
    /// Where it stands.
    pub outlet: OutletRef,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its connector got the identity that is valid now; null when there is none.
    pub enrolled_at: Option<DateTime<Utc>>,
    /// Until when the code is good that is waiting to be used; null when there is none.
    pub code_expires_at: Option<DateTime<Utc>>,
}

/// A new code, told this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewEnrollmentCode {
    /// For which POS server.
    pub pos_server_id: PosServerId,
    /// Good once.
    #[cfg_attr(feature = "openapi", schema(example = "ABCDE-FGHJK-LMNPQ-RSTUV"))]
    pub enrollment_code: String,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// What became of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CodeState {
    /// It waits for its store.
    Usable,
    /// A store enrolled by it.
    Used,
    /// Its time is over.
    Expired,
    /// It was revoked, or a newer one was made.
    Revoked,
}

/// A code as it is listed: never the code itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnrollmentCode {
    /// What became of it.
    pub state: CodeState,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
    /// When a store enrolled by it.
    pub used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// The identity that came of it.
    pub device_id: Option<DeviceId>,
}

/// An identity of a connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoreDevice {
    /// Its id.
    pub id: DeviceId,
    /// Which POS server it serves.
    pub pos_server_id: PosServerId,
    /// When it enrolled.
    pub created_at: DateTime<Utc>,
    /// When it was revoked; null while it is valid.
    pub revoked_at: Option<DateTime<Utc>>,
}
