//! What the cloud knows of one store beyond its status: what happened to it, and what a restore can go back to.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::PosServerId;
use tillwatch_protocol::rest::pos_server::Evidence as WireEvidence;
use tillwatch_protocol::rest::timeline as wire;

use super::Core;
use super::jobs::parse_id;
use crate::error::AppError;
use crate::ipc::{Backups, DatabaseBackup, Timeline, TimelineItem};
use crate::rows::to_evidence;

/// The longest period that a timeline is asked for.
const LONGEST: TimeDelta = TimeDelta::days(93);
/// How many entries are read. The cloud keeps 50 of a kind and day, so that a month of flapping has about this many.
const MOST_ITEMS: usize = 10_000;

impl Core {
    /// What happened to a POS server in `from ≤ t < to`, newest first.
    pub(crate) async fn timeline(
        &self,
        id: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Timeline, AppError> {
        if from >= to || to - from > LONGEST {
            return Err(ErrorCode::PeriodInvalid.into());
        }
        let id: PosServerId = parse_id(id)?;
        let cloud = self.current_cloud()?;
        let mut items: Vec<TimelineItem> = Vec::new();
        let mut page = cloud.timeline(id, from, to, None).await?;
        loop {
            items.extend(page.items.into_iter().map(to_item));
            let Some(cursor) = page.next_cursor else { break };
            if items.len() >= MOST_ITEMS {
                return Ok(Timeline { items, truncated: true });
            }
            page = cloud.timeline(id, from, to, Some(&cursor)).await?;
        }
        Ok(Timeline { items, truncated: false })
    }

    /// The databases that a restore of this POS server can go back to, newest first.
    pub(crate) async fn backups(&self, id: &str) -> Result<Backups, AppError> {
        let backups = self.current_cloud()?.backups(parse_id(id)?).await?;
        let items = backups.items.into_iter().map(|backup| DatabaseBackup {
            id: backup.id.to_string(),
            generation: backup.generation,
            created_at: backup.created_at,
            size_bytes: backup.size_bytes,
        });
        Ok(Backups { items: items.collect(), as_of: backups.as_of })
    }
}

fn to_item(wire: wire::TimelineItem) -> TimelineItem {
    let mut params = wire.params;
    let evidence: Vec<WireEvidence> = params
        .remove("evidence")
        .and_then(|evidence| serde_json::from_value(evidence).ok())
        .unwrap_or_default();
    let as_text = |(name, value)| match value {
        Value::Null => None,
        Value::String(text) => Some((name, text)),
        other => Some((name, other.to_string())),
    };
    TimelineItem {
        at: wire.at,
        until: wire.until,
        kind: wire.kind.into(),
        code: wire.code,
        params: params.into_iter().filter_map(as_text).collect(),
        evidence: evidence.into_iter().map(to_evidence).collect(),
    }
}
