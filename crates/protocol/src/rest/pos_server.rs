//! The status of a POS server. Link, POS, exchange and version are four facts that are never folded into one.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::PosServerId;
use crate::report::ExchangeError;
use crate::rest::job::JobRef;
use crate::rest::outlet::{ChainRef, OutletRef};

/// A whole status, as lists, events and the cache hold it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// The POS server's id.
    pub id: PosServerId,
    /// What it is called within its outlet.
    pub name: String,
    /// The revision at which it last changed.
    pub revision: i64,
    /// Whose it is.
    pub chain: ChainRef,
    /// Where it stands.
    pub outlet: OutletRef,
    /// Is the connector connected?
    pub link: Link,
    /// Does the POS server answer its connector?
    pub pos: Pos,
    /// Did the last exchange succeed?
    pub exchange: Exchange,
    /// Its database.
    pub database: Database,
    /// When link and POS were last known to answer.
    pub last_report_at: Option<DateTime<Utc>>,
    /// The row's colour.
    pub highlight: Highlight,
    /// Jobs that have not ended.
    pub active_jobs: Vec<JobRef>,
}

/// The WebSocket between connector and cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Link {
    /// Whether it is up.
    pub state: LinkState,
    /// Since when it is in that state; null when it was never connected.
    pub since: Option<DateTime<Utc>>,
    /// When the cloud last heard the connector.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// The connector's version, once known.
    pub connector_version: Option<String>,
    /// Why it is offline, when it is.
    pub cause: Option<OfflineCause>,
    /// How sure the cause is.
    pub confidence: Option<Confidence>,
    /// What the cause rests on.
    pub evidence: Vec<Evidence>,
}

/// Whether the link is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// It is up.
    Online,
    /// It is down.
    Offline,
    /// No connector was ever connected.
    NeverConnected,
    /// The cloud itself was away, and the store had no time yet to come back.
    Unknown,
}

/// Why a link is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OfflineCause {
    /// It was closed cleanly.
    ServiceStopped,
    /// It fell silent.
    ConnectionLost,
    /// The HTTPS heartbeat goes on without the link.
    WebsocketBlocked,
    /// The POS server is too old.
    VersionUnsupported,
    /// Its identity was revoked.
    CredentialsRevoked,
    /// Many outlets fell silent within a minute.
    OutageNearby,
    /// Two connectors share one identity.
    DuplicateIdentity,
    /// Nothing is known.
    Unknown,
}

/// How sure a cause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Nothing else fits.
    Certain,
    /// Others are rare.
    Likely,
    /// One of several.
    Possible,
}

/// One observation that a cause rests on, for the desktop to put into words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Evidence {
    /// What was observed, such as `closed_cleanly` or `fell_silent`.
    pub code: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Figures that belong to it.
    #[serde(default)]
    pub params: Map<String, Value>,
}

/// The POS server program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pos {
    /// Whether it answers its connector.
    pub state: PosState,
    /// Its version, once known.
    pub version: Option<String>,
    /// When that version was installed.
    pub version_updated_at: Option<DateTime<Utc>>,
    /// The version below which it needs an update.
    pub required_version: Option<String>,
    /// Whether it needs one.
    pub update_required: bool,
}

/// Whether the POS server answers its connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PosState {
    /// It answers.
    Running,
    /// It gave no answer in 5 s.
    NotResponding,
    /// Its service is known to be stopped.
    Stopped,
    /// Nobody could ask it.
    Unknown,
}

/// The sync between POS server and cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Exchange {
    /// When one last succeeded.
    pub last_success_at: Option<DateTime<Utc>>,
    /// When one was last tried.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// Why the last one failed, if it did.
    pub error: Option<ExchangeError>,
    /// What the store has not taken yet.
    pub behind: Behind,
}

/// Changes of programs, guests and accounts that a POS server has not taken yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Behind {
    /// How many.
    pub changes: u64,
    /// When the oldest of them was made.
    pub oldest_at: Option<DateTime<Utc>>,
}

/// The POS server's database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Database {
    /// Which life of it this is; one more at each reset and restore. Null before the first report.
    pub generation: Option<i64>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// How large it is.
    pub size_bytes: Option<u64>,
    /// Transactions that were not sent to the cloud yet. Null when unknown.
    pub unsent_transactions: Option<u64>,
}

/// The colour of a row: red, yellow, plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Highlight {
    /// The last exchange failed.
    Error,
    /// It needs an update.
    UpdateRequired,
    /// Neither.
    None,
}

/// `GET /pos-servers`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusPage {
    /// What the page holds.
    pub items: Vec<Status>,
    /// Asks for the next page; null on the last one.
    pub next_cursor: Option<String>,
    /// The time that `reported_within` counts back from; the same on all pages.
    pub as_of: DateTime<Utc>,
    /// The revision at which the page was read: where `GET /events` goes on.
    pub revision: i64,
}
