//! Service tokens: how programs of third parties sign in.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::session::Permission;
use crate::ids::{ChainId, PosServerId, ServiceTokenId};

/// What every service token begins with, so that scanners find one that leaked.
pub const PREFIX: &str = "tws_";

/// A service token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceToken {
    /// The token's id.
    pub id: ServiceTokenId,
    /// Whose it is, such as the integrator's name. No two tokens that are good have the same.
    pub name: String,
    /// Where it is good.
    pub scope: TokenScope,
    /// For what.
    pub permission: Permission,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// By whom: `user:<id>`, or `command_line`.
    pub created_by: String,
    /// When it was last used, to a minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Where a service token is good: `{"pos_server_id": …}` or `{"chain_id": …}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenScope {
    /// At one POS server.
    #[serde(rename = "pos_server_id")]
    PosServer(PosServerId),
    /// At every POS server of a chain.
    #[serde(rename = "chain_id")]
    Chain(ChainId),
}

/// Exactly one member: the derived schema would allow others beside it.
#[cfg(feature = "openapi")]
mod schema {
    use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder};
    use utoipa::openapi::{Ref, RefOr, Schema};

    use super::TokenScope;

    impl utoipa::ToSchema for TokenScope {}

    impl utoipa::PartialSchema for TokenScope {
        fn schema() -> RefOr<Schema> {
            let place = |member: &str, id: &str| {
                ObjectBuilder::new()
                    .property(member, Ref::from_schema_name(id))
                    .required(member)
                    .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            };
            OneOfBuilder::new()
                .item(place("pos_server_id", "PosServerId"))
                .item(place("chain_id", "ChainId"))
                .description(Some("Where a service token is good: at one POS server, or at all of a chain."))
                .into()
        }
    }
}

impl std::fmt::Display for TokenScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PosServer(id) => write!(f, "pos_server:{id}"),
            Self::Chain(id) => write!(f, "chain:{id}"),
        }
    }
}

/// `POST /admin/service-tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewServiceToken {
    /// Whose it is, such as the integrator's name. No two tokens that are good have the same.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100))]
    pub name: String,
    /// Where it is good.
    pub scope: TokenScope,
    /// For what: `relay`.
    pub permission: Permission,
}

/// What making a service token gives.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedServiceToken {
    /// The token.
    #[serde(flatten)]
    pub token: ServiceToken,
    /// What the third party sends as its bearer token; told this once.
    pub secret: String,
}
