//! Outlets.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::ChainId;
use crate::rest::outlet::Outlet;

/// `POST /admin/outlets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewOutlet {
    /// Whose it is.
    pub chain_id: ChainId,
    /// Unlike the name of any other outlet of the chain.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub name: String,
    /// The organisation's own id for it; may be empty.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 200))]
    pub crm_id: String,
    /// Where it is; may be empty.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 200))]
    pub address: String,
    /// IANA name.
    #[cfg_attr(feature = "openapi", schema(example = "Europe/Riga"))]
    pub time_zone: String,
}

/// `PATCH /admin/outlets/{id}`: what is given changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct OutletEdit {
    /// Unlike the name of any other outlet of the chain.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub name: Option<String>,
    /// The organisation's own id for it; may be empty.
    #[cfg_attr(feature = "openapi", schema(max_length = 200))]
    pub crm_id: Option<String>,
    /// Where it is; may be empty.
    #[cfg_attr(feature = "openapi", schema(max_length = 200))]
    pub address: Option<String>,
    /// IANA name.
    #[cfg_attr(feature = "openapi", schema(example = "Europe/Riga"))]
    pub time_zone: Option<String>,
}

/// An outlet as its administrators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdminOutlet {
    /// The outlet and its chain.
    #[serde(flatten)]
    pub outlet: Outlet,
    /// How many POS servers it has.
    pub pos_servers: u64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}
