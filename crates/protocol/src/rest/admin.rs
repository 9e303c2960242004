//! Administration under `/admin`: chains, outlets, POS servers, enrollment, users, grants, releases, audit;
//! and what `fleet import` reads and prints, in files and over REST.

mod audit;
mod chain;
mod grant;
mod outlet;
mod pos_server;
mod user;

pub use audit::{AuditEntry, AuditState};
pub use chain::{AdminChain, ChainEdit, NewChain, Release, RequireRelease};
pub use grant::{Grant, GrantScope, NewGrant, UserRef};
pub use outlet::{AdminOutlet, NewOutlet, OutletEdit};
pub use pos_server::{
    AdminPosServer, CodeState, EnrollmentCode, NewEnrollmentCode, NewPosServer, PosServerEdit, StoreDevice,
};
pub use user::{AdminUser, CreatedUser, NewUser, PasswordSet, SetPassword, UserEdit};

use serde::{Deserialize, Serialize};

use crate::ids::PosServerId;

/// One line of a fleet import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FleetLine {
    /// The chain's name; made when it is not there.
    pub chain: String,
    /// The outlet's name within the chain; made when it is not there.
    pub outlet: String,
    /// The organisation's own id for the outlet.
    pub crm_id: String,
    /// Where it is; may be empty.
    #[serde(default)]
    pub address: String,
    /// IANA name, such as `Europe/Riga`.
    pub time_zone: String,
    /// The POS server's name within the outlet.
    pub pos_server: String,
}

/// A POS server that an import made, and the code by which its connector enrolls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Imported {
    /// The new POS server.
    pub pos_server_id: PosServerId,
    /// Its outlet's name.
    pub outlet: String,
    /// Good once, for 24 hours.
    pub enrollment_code: String,
}

/// What an import over REST gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FleetImported {
    /// Every POS server that it made, in the order of the file.
    pub items: Vec<Imported>,
}
