//! One POS server as the core holds it: small, and with what searching and sorting need made in advance.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tillwatch_protocol::link::version::PosVersion;
use tillwatch_protocol::rest::pos_server::Status;
use uuid::Uuid;

use crate::ipc::{
    ActiveJob, Confidence, Evidence, ExchangeError, Highlight, JobKind, JobState, LinkState, OfflineCause,
    PosState, Row,
};

/// What is known of a POS server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    pub(crate) id: Uuid,
    pub(crate) name: Arc<str>,
    pub(crate) revision: i64,
    pub(crate) chain_id: Uuid,
    pub(crate) chain: Arc<str>,
    pub(crate) outlet_id: Uuid,
    pub(crate) organization: Box<str>,
    pub(crate) crm_id: Box<str>,
    pub(crate) address: Box<str>,
    pub(crate) time_zone: Arc<str>,
    pub(crate) link_state: LinkState,
    pub(crate) link_since: Option<DateTime<Utc>>,
    pub(crate) last_seen_at: Option<DateTime<Utc>>,
    pub(crate) connector_version: Option<Arc<str>>,
    pub(crate) cause: Option<OfflineCause>,
    pub(crate) confidence: Option<Confidence>,
    pub(crate) evidence: Box<[Evidence]>,
    pub(crate) pos_state: PosState,
    pub(crate) pos_version: Option<Arc<str>>,
    pub(crate) version_updated_at: Option<DateTime<Utc>>,
    pub(crate) required_version: Option<Arc<str>>,
    pub(crate) update_required: bool,
    pub(crate) last_success_at: Option<DateTime<Utc>>,
    pub(crate) last_attempt_at: Option<DateTime<Utc>>,
    pub(crate) error: Option<Box<ExchangeError>>,
    pub(crate) behind_changes: u64,
    pub(crate) behind_oldest_at: Option<DateTime<Utc>>,
    pub(crate) generation: Option<i64>,
    pub(crate) db_created_at: Option<DateTime<Utc>>,
    pub(crate) db_size_bytes: Option<u64>,
    pub(crate) unsent_transactions: Option<u64>,
    pub(crate) last_report_at: Option<DateTime<Utc>>,
    pub(crate) highlight: Highlight,
    pub(crate) active_jobs: Box<[ActiveJob]>,
}

/// The facts, and what is computed from them once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    facts: Facts,
    /// All text columns folded, one a line; the first [`SORTED_TEXTS`] are those that can be sorted by.
    folded: Box<str>,
    /// Where each of those ends.
    ends: [u32; SORTED_TEXTS],
    pos_version_key: Option<VersionKey>,
    required_version_key: Option<VersionKey>,
    connector_version_key: Option<VersionKey>,
}

/// A text column that can be sorted by, as the number of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Organization,
    Chain,
    CrmId,
    Address,
    Name,
    Error,
}

const SORTED_TEXTS: usize = 6;

impl std::ops::Deref for Entry {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.facts
    }
}

impl From<Facts> for Entry {
    fn from(facts: Facts) -> Self {
        let mut folded = String::with_capacity(160);
        let mut ends = [0; SORTED_TEXTS];
        let error = facts.error.as_deref().map_or("", |error| error.message.as_str());
        let sorted =
            [&*facts.organization, &*facts.chain, &*facts.crm_id, &*facts.address, &*facts.name, error];
        for (text, end) in sorted.into_iter().zip(&mut ends) {
            push_folded(&mut folded, text);
            *end = folded.len() as u32;
            folded.push('\n');
        }
        let code = facts.error.as_deref().map(|error| error.code.as_str());
        let others = [
            facts.pos_version.as_deref(),
            facts.required_version.as_deref(),
            facts.connector_version.as_deref(),
            code,
        ];
        for text in others.into_iter().flatten() {
            push_folded(&mut folded, text);
            folded.push('\n');
        }
        Self {
            pos_version_key: facts.pos_version.as_deref().and_then(VersionKey::new),
            required_version_key: facts.required_version.as_deref().and_then(VersionKey::new),
            connector_version_key: facts.connector_version.as_deref().and_then(VersionKey::new),
            folded: folded.into_boxed_str(),
            ends,
            facts,
        }
    }
}

impl Entry {
    /// The facts as a status tells them.
    pub(crate) fn from_status(status: Status, texts: &mut Texts) -> Self {
        let Status { id, name, revision, chain, outlet, link, pos, exchange, database, .. } = status;
        Self::from(Facts {
            id: id.0,
            name: texts.share(&name),
            revision,
            chain_id: chain.id.0,
            chain: texts.share(&chain.name),
            outlet_id: outlet.id.0,
            organization: outlet.name.into(),
            crm_id: outlet.crm_id.into(),
            address: outlet.address.into(),
            time_zone: texts.share(&outlet.time_zone),
            link_state: link.state.into(),
            link_since: link.since,
            last_seen_at: link.last_seen_at,
            connector_version: link.connector_version.map(|version| texts.share(&version)),
            cause: link.cause.map(Into::into),
            confidence: link.confidence.map(Into::into),
            evidence: link.evidence.into_iter().map(to_evidence).collect(),
            pos_state: pos.state.into(),
            pos_version: pos.version.map(|version| texts.share(&version)),
            version_updated_at: pos.version_updated_at,
            required_version: pos.required_version.map(|version| texts.share(&version)),
            update_required: pos.update_required,
            last_success_at: exchange.last_success_at,
            last_attempt_at: exchange.last_attempt_at,
            error: exchange.error.map(|error| {
                Box::new(ExchangeError {
                    code: error.code,
                    message: error.message,
                    since: error.since,
                    consecutive_failures: error.consecutive_failures,
                })
            }),
            behind_changes: exchange.behind.changes,
            behind_oldest_at: exchange.behind.oldest_at,
            generation: database.generation,
            db_created_at: database.created_at,
            db_size_bytes: database.size_bytes,
            unsent_transactions: database.unsent_transactions,
            last_report_at: status.last_report_at,
            highlight: status.highlight.into(),
            active_jobs: status
                .active_jobs
                .into_iter()
                .map(|job| ActiveJob {
                    id: job.id.to_string(),
                    kind: JobKind::from(job.kind),
                    state: JobState::from(job.state),
                })
                .collect(),
        })
    }

    /// The row of the window; what depends on the user is filled in by the caller.
    pub(crate) fn to_row(&self, selected: bool, may_retrieve_logs: bool, may_reset_database: bool) -> Row {
        let owned = |text: &Option<Arc<str>>| text.as_deref().map(ToOwned::to_owned);
        Row {
            id: self.id.to_string(),
            name: self.name.as_ref().into(),
            revision: self.revision,
            chain_id: self.chain_id.to_string(),
            chain: self.chain.as_ref().into(),
            outlet_id: self.outlet_id.to_string(),
            organization: self.organization.as_ref().into(),
            crm_id: self.crm_id.as_ref().into(),
            address: self.address.as_ref().into(),
            time_zone: self.time_zone.as_ref().into(),
            link_state: self.link_state,
            link_since: self.link_since,
            last_seen_at: self.last_seen_at,
            connector_version: owned(&self.connector_version),
            cause: self.cause,
            confidence: self.confidence,
            evidence: self.evidence.to_vec(),
            pos_state: self.pos_state,
            pos_version: owned(&self.pos_version),
            version_updated_at: self.version_updated_at,
            required_version: owned(&self.required_version),
            update_required: self.update_required,
            last_success_at: self.last_success_at,
            last_attempt_at: self.last_attempt_at,
            error: self.error.as_deref().cloned(),
            behind_changes: self.behind_changes,
            behind_oldest_at: self.behind_oldest_at,
            generation: self.generation,
            db_created_at: self.db_created_at,
            db_size_bytes: self.db_size_bytes,
            unsent_transactions: self.unsent_transactions,
            last_report_at: self.last_report_at,
            highlight: self.highlight,
            active_jobs: self.active_jobs.to_vec(),
            selected,
            may_retrieve_logs,
            may_reset_database,
        }
    }

    /// Every text column, folded, one a line.
    pub(super) fn folded(&self) -> &str {
        &self.folded
    }

    /// One text column, folded; none where there is no text to compare.
    pub(super) fn text(&self, text: Text) -> Option<&str> {
        if text == Text::Error && self.error.is_none() {
            return None;
        }
        let line = text as usize;
        let start = if line == 0 { 0 } else { self.ends[line - 1] as usize + 1 };
        Some(&self.folded[start..self.ends[line] as usize])
    }

    pub(super) fn pos_version_key(&self) -> Option<&VersionKey> {
        self.pos_version_key.as_ref()
    }

    pub(super) fn required_version_key(&self) -> Option<&VersionKey> {
        self.required_version_key.as_ref()
    }

    pub(super) fn connector_version_key(&self) -> Option<&VersionKey> {
        self.connector_version_key.as_ref()
    }
}

/// Text that many rows share is kept once.
#[derive(Debug, Default)]
pub(crate) struct Texts(HashSet<Arc<str>>);

impl Texts {
    /// The text, as it is kept already if it is.
    pub(crate) fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(kept) = self.0.get(text) {
            return Arc::clone(kept);
        }
        let kept: Arc<str> = text.into();
        self.0.insert(Arc::clone(&kept));
        kept
    }
}

/// Folds text the way the cloud does, so that both find and order the same.
pub(super) fn fold(text: &str) -> String {
    text.to_lowercase()
}

fn push_folded(folded: &mut String, text: &str) {
    // Lines are what keeps one column from another.
    folded.push_str(&fold(text).replace('\n', " "));
}

/// A version as a number that orders as versions do: four parts of 29 bits. What does not fit is told by the
/// lowest bit, and then the whole versions decide.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct VersionKey {
    packed: u128,
    whole: Option<Box<PosVersion>>,
}

const VERSION_PARTS: usize = 4;
const PART_BITS: usize = 29;

impl VersionKey {
    fn new(text: &str) -> Option<Self> {
        let version: PosVersion = text.parse().ok()?;
        let numbers = text.trim().split(['-', '+', ' ']).next().unwrap_or_default();
        let most = (1_u64 << PART_BITS) - 1;
        let mut packed = 0;
        let mut inexact = false;
        let mut parts = numbers.split('.').map(|part| part.parse::<u64>().unwrap_or(0));
        for _ in 0..VERSION_PARTS {
            let part = parts.next().unwrap_or(0);
            // Once a part does not fit, those after it must not count.
            packed = (packed << PART_BITS) | u128::from(if inexact { most } else { part.min(most) });
            inexact |= part > most;
        }
        inexact |= parts.any(|part| part > 0);
        Some(Self { packed: (packed << 1) | u128::from(inexact), whole: inexact.then(|| Box::new(version)) })
    }

    pub(super) fn packed(&self) -> u128 {
        self.packed
    }

    /// What orders as the versions do, whatever their size.
    pub(super) fn order(&self) -> (u128, Option<&PosVersion>) {
        (self.packed, self.whole.as_deref())
    }
}

pub(crate) fn to_evidence(wire: tillwatch_protocol::rest::pos_server::Evidence) -> Evidence {
    let as_text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Evidence {
        code: wire.code,
        at: wire.at,
        params: wire.params.into_iter().map(|(name, value)| (name, as_text(value))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_any_size_order_by_number() {
        let rising = [
            "9.9",
            "34",
            "34.5.2",
            "34.10",
            "34.10.0.0.1",
            "34.10.0.1",
            "34.600000000",
            "34.700000000.1",
            "100.0.1",
        ];
        for pair in rising.windows(2) {
            let [a, b] = [pair[0], pair[1]].map(|text| VersionKey::new(text).unwrap());
            let order = a.packed.cmp(&b.packed).then_with(|| a.whole.cmp(&b.whole));
            assert!(order.is_lt(), "{pair:?}");
        }
        assert_eq!(VersionKey::new("34.5").unwrap().packed, VersionKey::new("34.5.0.0.0").unwrap().packed);
        assert!(VersionKey::new("next").is_none());
    }
}
