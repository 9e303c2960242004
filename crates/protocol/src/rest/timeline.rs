//! What happened to a POS server: `GET /pos-servers/{id}/timeline`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How many days back the timeline tells everything. What is older is summed up by day.
pub const KEPT_DAYS: i64 = 90;

/// Something that happened, for the desktop to put into words. Its times are the cloud's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TimelineItem {
    /// When.
    pub at: DateTime<Utc>,
    /// When it ended: of the kinds `link`, `pos`, `exchange` and `day`. Null for what goes on, and for what
    /// has no length.
    pub until: Option<DateTime<Utc>>,
    /// What it is about.
    pub kind: TimelineKind,
    /// What happened; which codes there are depends on the kind.
    pub code: String,
    /// What belongs to it. `skipped` counts earlier changes of the kind on that day that are not listed,
    /// as there were too many.
    #[serde(default)]
    pub params: Map<String, Value>,
}

/// What an item of a timeline is about, each with its codes and params.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TimelineKind {
    /// The link: `online`; `offline` with `cause`, `confidence` and `evidence`, and `first_cause` when the
    /// cause was corrected later; `unknown` while the cloud itself was away.
    Link,
    /// The POS server as its connector saw it: `running`, `not_responding`, `stopped`. Ends with the link.
    Pos,
    /// Exchanges: `failed` with the sync `error`, `message` and the store's `since`; `succeeded` after that.
    Exchange,
    /// `pos_version` or `connector_version`, with `from` and `to`.
    Version,
    /// `generation`, with `from` and `to`: another database.
    Database,
    /// `requested`, then the state in which it ended; with `job_id` and `job`, its kind, and `error` where
    /// there was one.
    Job,
    /// `enrolled` or `revoked`, with `device_id`.
    Identity,
    /// `sums` of a day that is told no longer: `offline_seconds`, `unknown_seconds`, `outages`, `changes`.
    Day,
}
