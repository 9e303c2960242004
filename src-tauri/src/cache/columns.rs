//! The columns of the cache, each with how it is written and read. Times are microseconds since 1970, what is
//! rarely there is JSON.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::ipc::{Confidence, ExchangeError, Highlight, LinkState, OfflineCause, PosState};
use crate::rows::{Entry, Facts, Texts};

const COLUMNS: [&str; 34] = [
    "id",
    "name",
    "revision",
    "chain_id",
    "chain",
    "outlet_id",
    "organization",
    "crm_id",
    "address",
    "time_zone",
    "link_state",
    "link_since",
    "last_seen_at",
    "connector_version",
    "cause",
    "confidence",
    "evidence",
    "pos_state",
    "pos_version",
    "version_updated_at",
    "required_version",
    "update_required",
    "last_success_at",
    "last_attempt_at",
    "error",
    "behind_changes",
    "behind_oldest_at",
    "generation",
    "db_created_at",
    "db_size_bytes",
    "unsent_transactions",
    "last_report_at",
    "highlight",
    "active_jobs",
];

/// Makes the tables.
pub(super) fn schema() -> String {
    let others = COLUMNS[1..].join(", ");
    format!(
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
         CREATE TABLE statuses (id BLOB PRIMARY KEY, {others}) WITHOUT ROWID;"
    )
}

/// Writes one row, new or not.
pub(super) fn upsert() -> String {
    let places: Vec<String> = (1..=COLUMNS.len()).map(|n| format!("?{n}")).collect();
    format!("INSERT OR REPLACE INTO statuses ({}) VALUES ({})", COLUMNS.join(", "), places.join(", "))
}

/// Reads all rows.
pub(super) fn select() -> String {
    format!("SELECT {} FROM statuses ORDER BY id", COLUMNS.join(", "))
}

/// Binds a row to [`upsert`] and runs it.
pub(super) fn write(statement: &mut Statement<'_>, entry: &Entry) -> rusqlite::Result<()> {
    let micros = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_micros());
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    statement
        .execute(rusqlite::params![
            entry.id.as_bytes().as_slice(),
            &*entry.name,
            entry.revision,
            entry.chain_id.as_bytes().as_slice(),
            &*entry.chain,
            entry.outlet_id.as_bytes().as_slice(),
            &*entry.organization,
            &*entry.crm_id,
            &*entry.address,
            &*entry.time_zone,
            entry.link_state.as_str(),
            micros(entry.link_since),
            micros(entry.last_seen_at),
            entry.connector_version.as_deref(),
            entry.cause.map(OfflineCause::as_str),
            entry.confidence.map(Confidence::as_str),
            json_unless(&entry.evidence, entry.evidence.is_empty()),
            entry.pos_state.as_str(),
            entry.pos_version.as_deref(),
            micros(entry.version_updated_at),
            entry.required_version.as_deref(),
            entry.update_required,
            micros(entry.last_success_at),
            micros(entry.last_attempt_at),
            json_unless(&entry.error, entry.error.is_none()),
            count(entry.behind_changes),
            micros(entry.behind_oldest_at),
            entry.generation,
            micros(entry.db_created_at),
            entry.db_size_bytes.map(count),
            entry.unsent_transactions.map(count),
            micros(entry.last_report_at),
            entry.highlight.as_str(),
            json_unless(&entry.active_jobs, entry.active_jobs.is_empty()),
        ])
        .map(drop)
}

/// Reads a row of [`select`]. A value that is none of ours means that the file can't be trusted.
pub(super) fn read(row: &Row<'_>, texts: &mut Texts) -> rusqlite::Result<Entry> {
    let mut cells = Cells { row, next: 0 };
    Ok(Entry::from(Facts {
        id: cells.id()?,
        name: texts.share(cells.text()?),
        revision: cells.integer()?.unwrap_or_default(),
        chain_id: cells.id()?,
        chain: texts.share(cells.text()?),
        outlet_id: cells.id()?,
        organization: cells.text()?.into(),
        crm_id: cells.text()?.into(),
        address: cells.text()?.into(),
        time_zone: texts.share(cells.text()?),
        link_state: cells.word(LinkState::from_word)?,
        link_since: cells.time()?,
        last_seen_at: cells.time()?,
        connector_version: cells.shared(texts)?,
        cause: cells.word_or_none(OfflineCause::from_word)?,
        confidence: cells.word_or_none(Confidence::from_word)?,
        evidence: cells.json::<Vec<_>>()?.into(),
        pos_state: cells.word(PosState::from_word)?,
        pos_version: cells.shared(texts)?,
        version_updated_at: cells.time()?,
        required_version: cells.shared(texts)?,
        update_required: cells.integer()? == Some(1),
        last_success_at: cells.time()?,
        last_attempt_at: cells.time()?,
        error: cells.json::<Option<ExchangeError>>()?.map(Box::new),
        behind_changes: cells.integer()?.unwrap_or_default().unsigned_abs(),
        behind_oldest_at: cells.time()?,
        generation: cells.integer()?,
        db_created_at: cells.time()?,
        db_size_bytes: cells.integer()?.map(i64::unsigned_abs),
        unsent_transactions: cells.integer()?.map(i64::unsigned_abs),
        last_report_at: cells.time()?,
        highlight: cells.word(Highlight::from_word)?,
        active_jobs: cells.json::<Vec<_>>()?.into(),
    }))
}

fn json_unless(value: &impl Serialize, is_empty: bool) -> Option<String> {
    if is_empty { None } else { serde_json::to_string(value).ok() }
}

/// The cells of a row, one after another.
struct Cells<'a> {
    row: &'a Row<'a>,
    next: usize,
}

impl<'a> Cells<'a> {
    fn value(&mut self) -> rusqlite::Result<ValueRef<'a>> {
        self.next += 1;
        self.row.get_ref(self.next - 1)
    }

    fn damaged(&self) -> rusqlite::Error {
        rusqlite::Error::InvalidColumnName(COLUMNS[self.next - 1].into())
    }

    fn id(&mut self) -> rusqlite::Result<Uuid> {
        let id = self.value()?.as_blob().ok().and_then(|bytes| Uuid::from_slice(bytes).ok());
        id.ok_or_else(|| self.damaged())
    }

    fn text_or_none(&mut self) -> rusqlite::Result<Option<&'a str>> {
        match self.value()?.as_str_or_null() {
            Ok(text) => Ok(text),
            Err(_) => Err(self.damaged()),
        }
    }

    fn text(&mut self) -> rusqlite::Result<&'a str> {
        self.text_or_none()?.ok_or_else(|| self.damaged())
    }

    fn shared(&mut self, texts: &mut Texts) -> rusqlite::Result<Option<Arc<str>>> {
        Ok(self.text_or_none()?.map(|text| texts.share(text)))
    }

    fn integer(&mut self) -> rusqlite::Result<Option<i64>> {
        match self.value()?.as_i64_or_null() {
            Ok(number) => Ok(number),
            Err(_) => Err(self.damaged()),
        }
    }

    fn time(&mut self) -> rusqlite::Result<Option<DateTime<Utc>>> {
        let Some(micros) = self.integer()? else { return Ok(None) };
        DateTime::from_timestamp_micros(micros).map(Some).ok_or_else(|| self.damaged())
    }

    fn word_or_none<T>(&mut self, read: fn(&str) -> Option<T>) -> rusqlite::Result<Option<T>> {
        match self.text_or_none()? {
            Some(word) => read(word).map(Some).ok_or_else(|| self.damaged()),
            None => Ok(None),
        }
    }

    fn word<T>(&mut self, read: fn(&str) -> Option<T>) -> rusqlite::Result<T> {
        self.word_or_none(read)?.ok_or_else(|| self.damaged())
    }

    fn json<T: DeserializeOwned + Default>(&mut self) -> rusqlite::Result<T> {
        match self.text_or_none()? {
            Some(text) => serde_json::from_str(text).map_err(|_| self.damaged()),
            None => Ok(T::default()),
        }
    }
}
