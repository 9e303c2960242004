//! The grid: what is asked of the rows, and the rows on screen.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use specta::Type;
use tillwatch_protocol::rest::pos_server as wire;

use super::{ActiveJob, ExportColumn};

mirror! {
    /// Whether the link is up.
    LinkState = wire::LinkState {
        /// It is up.
        Online = "online",
        /// It is down.
        Offline = "offline",
        /// No connector was ever connected.
        NeverConnected = "never_connected",
        /// The cloud itself was away, and the store had no time yet to come back.
        Unknown = "unknown",
    }
}

mirror! {
    /// Why a link is down.
    OfflineCause = wire::OfflineCause {
        /// It was closed cleanly.
        ServiceStopped = "service_stopped",
        /// It fell silent.
        ConnectionLost = "connection_lost",
        /// The HTTPS heartbeat goes on without the link.
        WebsocketBlocked = "websocket_blocked",
        /// The POS server is too old.
        VersionUnsupported = "version_unsupported",
        /// Its identity was revoked.
        CredentialsRevoked = "credentials_revoked",
        /// Many outlets fell silent within a minute.
        OutageNearby = "outage_nearby",
        /// Two connectors share one identity.
        DuplicateIdentity = "duplicate_identity",
        /// Nothing is known.
        Unknown = "unknown",
    }
}

mirror! {
    /// How sure a cause is.
    Confidence = wire::Confidence {
        /// Nothing else fits.
        Certain = "certain",
        /// Others are rare.
        Likely = "likely",
        /// One of several.
        Possible = "possible",
    }
}

mirror! {
    /// Whether the POS server answers its connector.
    PosState = wire::PosState {
        /// It answers.
        Running = "running",
        /// It gave no answer.
        NotResponding = "not_responding",
        /// Its service is known to be stopped.
        Stopped = "stopped",
        /// Nobody could ask it.
        Unknown = "unknown",
    }
}

mirror! {
    /// The colour of a row: red, yellow, plain.
    Highlight = wire::Highlight {
        /// The last exchange failed.
        Error = "error",
        /// It needs an update.
        UpdateRequired = "update_required",
        /// Neither.
        None = "none",
    }
}

/// What is asked of the grid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct GridQuery {
    /// Only this chain's rows.
    pub chain_id: Option<String>,
    /// Only this outlet's rows.
    pub outlet_id: Option<String>,
    /// Only rows that reported within this ISO 8601 duration.
    pub within: Option<String>,
    /// Leave out what is online, running, up to date and synced.
    pub problems_only: bool,
    /// Words that a row's texts must all contain, whatever their case.
    pub search: String,
    /// Only the rows that a tile counts.
    pub only: Option<Only>,
    /// The order, the most important column first.
    pub sort: Vec<Sort>,
}

/// The tiles that filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Only {
    /// The last exchange failed.
    Error,
    /// An update is required.
    UpdateRequired,
    /// The link is down.
    Offline,
    /// The state of the link is not known.
    Unknown,
}

/// One column of the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Sort {
    /// The column's key, such as `organization`; unknown keys are passed over.
    pub column: String,
    /// Largest first. Rows without a value are last either way.
    pub descending: bool,
}

/// What the window shows around the grid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct GridSummary {
    /// One more each time any row, the order or the selection changed.
    pub version: u32,
    /// All rows.
    pub total: u32,
    /// Rows that match the query.
    pub matching: u32,
    /// Selected rows among those that match.
    pub selected: u32,
    /// Rows, of all, whose last exchange failed.
    pub errors: u32,
    /// Rows, of all, that need an update.
    pub update_required: u32,
    /// Rows, of all, whose link is down.
    pub offline: u32,
    /// Rows, of all, of whose link nothing is known.
    pub unknown: u32,
    /// When the rows were last known to be true.
    pub as_of: Option<DateTime<Utc>>,
    /// Whether there was ever anything to show: false before the first load of a profile without a cache.
    pub loaded: bool,
}

/// The rows on screen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub struct GridWindow {
    /// The version that they belong to.
    pub version: u32,
    /// The index of the first.
    pub offset: u32,
    /// In the current order.
    pub rows: Vec<Row>,
}

/// What became of the rows that were asked for last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub struct GridChanges {
    /// The version of the rows that this is to be put over; over others it says nothing.
    pub since: u32,
    /// The index of the first row that was asked for.
    pub offset: u32,
    /// How many were asked for. Of others nothing is known any more.
    pub limit: u32,
    /// Those that differ, at their places now.
    pub rows: Vec<PlacedRow>,
}

/// A row and its place in the current order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub struct PlacedRow {
    /// Its place.
    pub index: u32,
    /// The row.
    pub row: Row,
}

/// The store that the keyboard is at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Cursor {
    /// The POS server's id.
    pub id: String,
    /// Its place in the current order; null when it does not match any more.
    pub index: Option<u32>,
}

/// What goes to the clipboard of the selected rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct CopyRequest {
    /// The visible columns in their order.
    pub columns: Vec<ExportColumn>,
    /// Words of the user's language by key, such as `link.online`; English where one is missing.
    pub words: BTreeMap<String, String>,
    /// The language the words are in, such as `en`.
    pub locale: String,
    /// IANA name of the zone that times are written in, or `outlet` for each outlet's own.
    pub time_zone: String,
}

/// Everything the window shows about one POS server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub struct Row {
    /// The POS server's id.
    pub id: String,
    /// What it is called within its outlet.
    pub name: String,
    /// The revision at which it last changed.
    #[specta(type = u32)]
    pub revision: i64,
    /// The chain's id.
    pub chain_id: String,
    /// The chain's name.
    pub chain: String,
    /// The outlet's id.
    pub outlet_id: String,
    /// The outlet's name; typed to confirm a reset.
    pub organization: String,
    /// The organisation's own id for the outlet.
    pub crm_id: String,
    /// Where it is.
    pub address: String,
    /// IANA name, such as `Europe/Riga`.
    pub time_zone: String,
    /// Whether the link is up.
    pub link_state: LinkState,
    /// Since when it is in that state.
    pub link_since: Option<DateTime<Utc>>,
    /// When the cloud last heard the connector.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// The connector's version.
    pub connector_version: Option<String>,
    /// Why the link is down.
    pub cause: Option<OfflineCause>,
    /// How sure that is.
    pub confidence: Option<Confidence>,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
    /// Whether the POS server answers its connector.
    pub pos_state: PosState,
    /// Its version.
    pub pos_version: Option<String>,
    /// When that version was installed.
    pub version_updated_at: Option<DateTime<Utc>>,
    /// The version below which it needs an update.
    pub required_version: Option<String>,
    /// Whether it needs one.
    pub update_required: bool,
    /// When an exchange last succeeded.
    pub last_success_at: Option<DateTime<Utc>>,
    /// When one was last tried.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// Why the last one failed.
    pub error: Option<ExchangeError>,
    /// How many changes it has not taken yet.
    #[specta(type = u32)]
    pub behind_changes: u64,
    /// When the oldest of them was made.
    pub behind_oldest_at: Option<DateTime<Utc>>,
    /// Which life of its database this is.
    #[specta(type = Option<u32>)]
    pub generation: Option<i64>,
    /// When the database was made.
    pub db_created_at: Option<DateTime<Utc>>,
    /// How large it is.
    #[specta(type = Option<u32>)]
    pub db_size_bytes: Option<u64>,
    /// Transactions that were not sent yet; null when unknown.
    #[specta(type = Option<u32>)]
    pub unsent_transactions: Option<u64>,
    /// When link and POS were last known to answer.
    pub last_report_at: Option<DateTime<Utc>>,
    /// The row's colour.
    pub highlight: Highlight,
    /// Jobs that have not ended.
    pub active_jobs: Vec<ActiveJob>,
    /// Whether the row is selected.
    pub selected: bool,
    /// Whether the user may retrieve its logs.
    pub may_retrieve_logs: bool,
    /// Whether the user may reset its database and restart it.
    pub may_reset_database: bool,
}

/// Why exchanges fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ExchangeError {
    /// Stable, `snake_case`.
    pub code: String,
    /// What happened, in English; text from the store.
    pub message: String,
    /// Since when each exchange failed with this code.
    pub since: DateTime<Utc>,
    /// How many failed in a row.
    #[specta(type = u32)]
    pub consecutive_failures: u64,
}

/// One observation that a cause rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Evidence {
    /// What was observed.
    pub code: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Figures that belong to it, as text.
    pub params: BTreeMap<String, String>,
}

/// How the selection changes; indexes are places in the current order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum SelectOp {
    /// This row and no other.
    Only {
        /// Its place.
        index: u32,
    },
    /// This row changes, the others stay as they are.
    Toggle {
        /// Its place.
        index: u32,
    },
    /// The rows from the one that was last chosen by itself to this one.
    Extend {
        /// Its place.
        index: u32,
        /// Whether the others stay as they are, or no others are.
        keep: bool,
    },
    /// Everything that matches.
    All,
    /// Nothing.
    None,
}

/// The first choices of the Organization field that match what is typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct OutletOptions {
    /// Those, the best first.
    pub items: Vec<OutletOption>,
    /// How many match in all.
    pub matching: u32,
}

/// A choice of the Organization field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct OutletOption {
    /// The chain's id.
    pub chain_id: String,
    /// The chain's name.
    pub chain: String,
    /// The outlet's id; null stands for the whole chain.
    pub outlet_id: Option<String>,
    /// The outlet's name; null stands for the whole chain.
    pub organization: Option<String>,
    /// How many POS servers it has.
    pub count: u32,
}
