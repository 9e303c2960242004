//! What happened to a store, and what a restore of its database can go back to.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use specta::Type;
use tillwatch_protocol::rest::timeline as wire;

use super::Evidence;

mirror! {
    /// What an item of a timeline is about.
    TimelineKind = wire::TimelineKind {
        /// The link: `online`, `offline`, `unknown`.
        Link = "link",
        /// The POS server: `running`, `not_responding`, `stopped`.
        Pos = "pos",
        /// Exchanges: `failed`, `succeeded`.
        Exchange = "exchange",
        /// `pos_version` or `connector_version`.
        Version = "version",
        /// `generation`: another database.
        Database = "database",
        /// `requested`, then the state in which it ended.
        Job = "job",
        /// `enrolled` or `revoked`.
        Identity = "identity",
        /// `sums` of a day that is told no longer.
        Day = "day",
    }
}

/// What happened to a POS server in a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Timeline {
    /// Newest first. Those of the kinds link, POS and exchange that held when the period began are among them.
    pub items: Vec<TimelineItem>,
    /// Whether so much happened that the oldest is missing.
    pub truncated: bool,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct TimelineItem {
    /// When.
    pub at: DateTime<Utc>,
    /// When it ended; null for what goes on and for what has no length.
    pub until: Option<DateTime<Utc>>,
    /// What it is about.
    pub kind: TimelineKind,
    /// What happened.
    pub code: String,
    /// Figures and texts that belong to it, as text.
    pub params: BTreeMap<String, String>,
    /// What the cause of an outage rests on.
    pub evidence: Vec<Evidence>,
}

/// The databases that a restore can go back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Backups {
    /// Newest first.
    pub items: Vec<DatabaseBackup>,
    /// When the store last told of them; null when it never did.
    pub as_of: Option<DateTime<Utc>>,
}

/// A database that was moved away and is kept in its store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct DatabaseBackup {
    /// What a restore names.
    pub id: String,
    /// Which generation it was.
    #[specta(type = i32)]
    pub generation: i64,
    /// When it was moved away.
    pub created_at: DateTime<Utc>,
    /// How large it is.
    #[specta(type = u32)]
    pub size_bytes: u64,
}
