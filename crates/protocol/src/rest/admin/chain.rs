//! Chains, and the POS version that each requires.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::ChainId;

/// `POST /admin/chains`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewChain {
    /// Unlike the name of any other chain.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub name: String,
}

/// `PATCH /admin/chains/{id}`: what is given changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ChainEdit {
    /// Unlike the name of any other chain.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub name: Option<String>,
}

/// A chain as its administrators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdminChain {
    /// The chain's id.
    pub id: ChainId,
    /// What the chain is called.
    pub name: String,
    /// The version below which its POS servers need an update.
    pub required_pos_version: Option<String>,
    /// How many outlets it has.
    pub outlets: u64,
    /// How many POS servers they have.
    pub pos_servers: u64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// `GET /admin/chains/{id}/release`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Release {
    /// The version below which the chain's POS servers need an update; null when none is required.
    pub pos_version: Option<String>,
}

/// `PUT /admin/chains/{id}/release`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RequireRelease {
    /// Such as `34.6.0`.
    #[cfg_attr(
        feature = "openapi",
        schema(pattern = r"^[0-9]+(\.[0-9]+)*([-+ ].*)?$", max_length = 64, example = "34.6.0")
    )]
    pub pos_version: String,
}
