//! Chains and outlets.

use serde::{Deserialize, Serialize};

use crate::ids::{ChainId, OutletId};

/// A chain as other things name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChainRef {
    /// The chain's id.
    pub id: ChainId,
    /// What the chain is called.
    pub name: String,
}

/// An outlet, as part of a status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutletRef {
    /// The outlet's id.
    pub id: OutletId,
    /// What the outlet is called; typed to confirm a reset.
    pub name: String,
    /// The organisation's own id for it. Text, as leading zeros count.
    pub crm_id: String,
    /// Where it is; may be empty.
    pub address: String,
    /// IANA name, such as `Europe/Riga`.
    pub time_zone: String,
}

/// An outlet of `GET /outlets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Outlet {
    /// The outlet itself.
    #[serde(flatten)]
    pub outlet: OutletRef,
    /// Whose it is.
    pub chain: ChainRef,
}
