//! The audit trail.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::ChainId;

/// An entry of the audit trail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// Its number; the next entry has the next one.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who: `user:<id>`, `command_line`, `system` and the like.
    pub actor: String,
    /// The actor's name, when it is a user who is still there.
    pub actor_name: Option<String>,
    /// What was done, such as `session.started`.
    pub action: String,
    /// To what, such as `pos_server:<id>`.
    pub target: String,
    /// In which chain, when it was in one.
    pub chain_id: Option<ChainId>,
    /// What belongs to it; never a secret.
    pub details: serde_json::Map<String, serde_json::Value>,
    /// SHA-256 over the hash of the entry before it and all of this one.
    pub hash: String,
}

/// How the chain of hashes of the audit trail stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditState {
    /// Whether every entry fits the one before it.
    pub whole: bool,
    /// How many entries fit, from the first.
    pub entries: u64,
    /// The first entry that does not fit; null when all do.
    pub broken_at: Option<i64>,
}
