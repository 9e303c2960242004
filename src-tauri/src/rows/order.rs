//! Sorting by several columns: rows without a value last whichever the direction, equal rows by id.
//!
//! Each row's value of a column becomes a `u128` that orders as the values do, and whole texts are compared
//! only where those say the same. One fetch a row, then the sort runs over what lies side by side in memory.

use std::cmp::Ordering;
use std::sync::Arc;

use super::entry::{Entry, Text, VersionKey};
use crate::ipc::{JobKind, LinkState, Sort};

/// A column that rows can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Link,
    Text(Text),
    PosVersion,
    RequiredVersion,
    ConnectorVersion,
    VersionUpdatedAt,
    LastReportAt,
    LastSuccessAt,
    LastAttemptAt,
    Behind,
    Offline,
    Database,
    DatabaseSize,
    Generation,
    UnsentTransactions,
    ActiveJob,
}

impl Column {
    fn from_key(key: &str) -> Option<Self> {
        Some(match key {
            "link" => Self::Link,
            "organization" => Self::Text(Text::Organization),
            "chain" => Self::Text(Text::Chain),
            "crm_id" => Self::Text(Text::CrmId),
            "address" => Self::Text(Text::Address),
            "name" => Self::Text(Text::Name),
            "error" => Self::Text(Text::Error),
            "pos_version" => Self::PosVersion,
            "required_version" => Self::RequiredVersion,
            "connector_version" => Self::ConnectorVersion,
            "version_updated_at" => Self::VersionUpdatedAt,
            "last_report_at" => Self::LastReportAt,
            "last_success_at" => Self::LastSuccessAt,
            "last_attempt_at" => Self::LastAttemptAt,
            "behind" => Self::Behind,
            "offline" => Self::Offline,
            "database" => Self::Database,
            "db_size_bytes" => Self::DatabaseSize,
            "generation" => Self::Generation,
            "unsent_transactions" => Self::UnsentTransactions,
            "active_job" => Self::ActiveJob,
            _ => return None,
        })
    }
}

/// The order that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Order(Vec<(Column, bool)>);

impl Order {
    /// Unknown columns are passed over, as settings may come from another version of the app.
    pub(super) fn new(sort: &[Sort]) -> Self {
        Self(sort.iter().filter_map(|by| Some((Column::from_key(&by.column)?, by.descending))).collect())
    }

    /// Sorts places in `entries` by what is there.
    pub(super) fn sort(&self, places: &mut Vec<u32>, entry: impl Fn(u32) -> Arc<Entry>) {
        let entries: Vec<Arc<Entry>> = places.iter().map(|&place| entry(place)).collect();
        let mut keyed: Vec<(u128, u128, u32)> = Vec::with_capacity(places.len());
        let skip = |index: usize| match self.0.get(index) {
            Some((Column::Text(text), _)) => common_prefix(&entries, *text),
            _ => 0,
        };
        let skips = [skip(0), skip(1)];
        for (index, entry) in entries.iter().enumerate() {
            let key = |nth: usize| match self.0.get(nth) {
                Some(&(column, descending)) => key(entry, column, descending, skips[nth]),
                None if nth == 0 || self.0.len() == 1 => entry.id.as_u128(),
                None => 0,
            };
            keyed.push((key(0), key(1), index as u32));
        }
        keyed.sort_unstable_by(|a, b| {
            self.by_keys(a, b).unwrap_or_else(|| self.compare(&entries[a.2 as usize], &entries[b.2 as usize]))
        });
        *places = keyed.into_iter().map(|(_, _, index)| places[index as usize]).collect();
    }

    /// The order by the keys alone, none where they can't tell.
    fn by_keys(&self, a: &(u128, u128, u32), b: &(u128, u128, u32)) -> Option<Ordering> {
        let first = a.0.cmp(&b.0);
        if first.is_ne() || self.0.is_empty() {
            return Some(first);
        }
        let (_, descending) = self.0[0];
        if is_inexact(a.0, descending) {
            return None;
        }
        Some(a.1.cmp(&b.1)).filter(|second| second.is_ne())
    }

    /// The order of two rows.
    pub(super) fn compare(&self, a: &Entry, b: &Entry) -> Ordering {
        self.0
            .iter()
            .map(|&(column, descending)| compare_by(a, b, column, descending))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.id.cmp(&b.id))
    }
}

/// The highest bit tells that there is no value, the lowest that the value goes on beyond the key. The bits
/// between are turned around when the largest comes first.
const MISSING: u128 = 1 << 127;

fn key(entry: &Entry, column: Column, descending: bool, skip: usize) -> u128 {
    let Some(value) = payload(entry, column, skip) else { return MISSING };
    if descending { !value & !MISSING } else { value }
}

fn is_inexact(key: u128, descending: bool) -> bool {
    key & MISSING == 0 && (key & 1 == 1) != descending
}

fn payload(entry: &Entry, column: Column, skip: usize) -> Option<u128> {
    if let Column::Text(text) = column {
        return entry.text(text).map(|text| text_key(text.as_bytes(), skip));
    }
    if let Some(version) = version(column) {
        return version(entry).map(VersionKey::packed);
    }
    number(entry, column).map(|number| ((i128::from(number) - i128::from(i64::MIN)) as u128) << 1)
}

/// Fifteen bytes after what all texts begin with, and whether there are more.
fn text_key(text: &[u8], skip: usize) -> u128 {
    const BYTES: usize = 15;
    let rest = text.get(skip..).unwrap_or_default();
    let mut bytes = [0_u8; 16];
    let taken = rest.len().min(BYTES);
    bytes[..taken].copy_from_slice(&rest[..taken]);
    // The last byte is free: one bit goes to `MISSING`, another says whether text was left out. A zero byte in
    // the text looks like its end, so that there is more then too.
    let more = rest.len() > BYTES || rest[..taken].contains(&0);
    ((u128::from_be_bytes(bytes) >> 1) & !1) | u128::from(more)
}

/// How many bytes all texts of a column begin with: names such as `Restaurant 0042` differ late.
fn common_prefix(entries: &[Arc<Entry>], text: Text) -> usize {
    let mut texts = entries.iter().filter_map(|entry| entry.text(text));
    let Some(first) = texts.next() else { return 0 };
    let first = first.as_bytes();
    let mut length = first.len();
    for other in texts {
        let other = other.as_bytes();
        if other.get(..length) != Some(&first[..length]) {
            length = first.iter().zip(other).take_while(|(a, b)| a == b).count().min(length);
        }
        if length == 0 {
            break;
        }
    }
    length
}

fn compare_by(a: &Entry, b: &Entry, column: Column, descending: bool) -> Ordering {
    fn nulls_last<T: Ord>(a: Option<T>, b: Option<T>, descending: bool) -> Ordering {
        match (a, b) {
            (Some(a), Some(b)) if descending => b.cmp(&a),
            (Some(a), Some(b)) => a.cmp(&b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        }
    }
    if let Column::Text(text) = column {
        return nulls_last(a.text(text), b.text(text), descending);
    }
    if let Some(version) = version(column) {
        return nulls_last(version(a).map(VersionKey::order), version(b).map(VersionKey::order), descending);
    }
    nulls_last(number(a, column), number(b, column), descending)
}

/// How to find the version that a column shows; none if it shows something else.
fn version(column: Column) -> Option<fn(&Entry) -> Option<&VersionKey>> {
    match column {
        Column::PosVersion => Some(Entry::pos_version_key),
        Column::RequiredVersion => Some(Entry::required_version_key),
        Column::ConnectorVersion => Some(Entry::connector_version_key),
        _ => None,
    }
}

fn number(entry: &Entry, column: Column) -> Option<i64> {
    let counted = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    match column {
        // Descending brings what is wrong to the top.
        Column::Link => Some(match entry.link_state {
            LinkState::Online => 0,
            LinkState::Unknown => 1,
            LinkState::NeverConnected => 2,
            LinkState::Offline => 3,
        }),
        Column::VersionUpdatedAt => entry.version_updated_at.map(|at| at.timestamp_micros()),
        Column::LastReportAt => entry.last_report_at.map(|at| at.timestamp_micros()),
        Column::LastSuccessAt => entry.last_success_at.map(|at| at.timestamp_micros()),
        Column::LastAttemptAt => entry.last_attempt_at.map(|at| at.timestamp_micros()),
        Column::Behind => Some(counted(entry.behind_changes)),
        Column::Offline if entry.link_state == LinkState::Offline => {
            entry.link_since.map(|at| at.timestamp_micros())
        }
        Column::Database => entry.db_created_at.map(|at| at.timestamp_micros()),
        Column::DatabaseSize => entry.db_size_bytes.map(counted),
        Column::Generation => entry.generation,
        Column::UnsentTransactions => entry.unsent_transactions.map(counted),
        Column::ActiveJob => entry.active_jobs.first().map(|job| match job.kind {
            JobKind::RetrieveLogs => 0,
            JobKind::ResetDatabase => 1,
            JobKind::RestoreDatabase => 2,
            JobKind::RestartPos => 3,
            JobKind::ExchangeNow => 4,
            JobKind::Diagnose => 5,
        }),
        _ => None,
    }
}
