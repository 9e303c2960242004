//! Grants: who may do what where.

use serde::{Deserialize, Serialize};

use crate::ids::{ChainId, GrantId, OutletId, UserId};
use crate::rest::outlet::{ChainRef, OutletRef};
use crate::rest::session::Permission;

/// `POST /admin/grants`: exactly one of `everywhere`, `chain_id` and `outlet_id` says where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// Who.
    pub user_id: UserId,
    /// What.
    pub permission: Permission,
    /// In all chains.
    #[serde(default)]
    pub everywhere: bool,
    /// In all outlets of this chain.
    pub chain_id: Option<ChainId>,
    /// In this outlet.
    pub outlet_id: Option<OutletId>,
}

/// How far a grant reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum GrantScope {
    /// Everywhere.
    All,
    /// All outlets of a chain.
    Chain,
    /// One outlet.
    Outlet,
}

/// A user as other things name one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserRef {
    /// The user's id.
    pub id: UserId,
    /// By which the user signs in.
    pub email: String,
    /// What the user is called.
    pub name: String,
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Who.
    pub user: UserRef,
    /// What.
    pub permission: Permission,
    /// How far it reaches.
    pub scope: GrantScope,
    /// The chain in which it holds; null when it holds everywhere.
    pub chain: Option<ChainRef>,
    /// The one outlet in which it holds.
    pub outlet: Option<OutletRef>,
}
