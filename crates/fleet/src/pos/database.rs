//! The database file of a simulated POS server: one JSON document, so that thousands of stores stay cheap.
//!
//! It is a real file: a reset moves it away, and what is changed in it behind the program's back is found out
//! by the checksum.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tillwatch_protocol::exchange::{Change, Guest, Row, RowChange, Table, checksum};
use uuid::Uuid;

/// The file's name within the store's data dir.
pub const DATABASE_FILE: &str = "pos/pos.db";
/// Tells that the store had a database before: only the first one has the trouble of the scenario.
const BORN_FILE: &str = "pos/born";

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// When the database was made.
    pub created_at: DateTime<Utc>,
    /// Up to where changes are applied.
    pub cursor: i64,
    /// What was found when the checksum did not match; only a new database is free of it.
    pub inconsistent: Option<String>,
    /// In the order of the checksum.
    pub rows: Vec<Row>,
}

impl Content {
    /// Applies changes in their order.
    pub fn apply(&mut self, changes: Vec<Change>, cursor: i64) {
        let mut rows: BTreeMap<(Table, Uuid), Row> =
            self.rows.drain(..).map(|row| ((row.table(), row.id()), row)).collect();
        for change in changes {
            match change.row {
                RowChange::Upsert { row } => rows.insert((row.table(), row.id()), row),
                RowChange::Delete { table, row_id } => rows.remove(&(table, row_id)),
            };
        }
        self.rows = rows.into_values().collect();
        self.cursor = cursor;
    }

    /// Over the rows as they are.
    pub fn checksum(&self) -> String {
        checksum(&self.rows)
    }
}

/// The file of one store.
pub struct Database {
    path: PathBuf,
    born: PathBuf,
}

impl Database {
    /// The file in a store's data dir.
    pub fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join(DATABASE_FILE), born: data_dir.join(BORN_FILE) }
    }

    /// Makes the database when there is none. The store's first one was made long ago, and may be damaged.
    pub fn ensure(
        &self,
        first_made_at: DateTime<Utc>,
        first_is_damaged: bool,
        now: DateTime<Utc>,
    ) -> io::Result<()> {
        if self.path.exists() {
            return Ok(());
        }
        let is_first = !self.born.exists();
        let rows = if is_first && first_is_damaged { vec![stray_row()] } else { Vec::new() };
        let created_at = if is_first { first_made_at } else { now };
        self.write(&Content { created_at, cursor: 0, inconsistent: None, rows })?;
        std::fs::write(&self.born, "")
    }

    /// Reads the file.
    pub fn read(&self) -> io::Result<Content> {
        serde_json::from_slice(&std::fs::read(&self.path)?)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    /// Replaces the file.
    pub fn write(&self, content: &Content) -> io::Result<()> {
        if let Some(dir) = self.path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let new = self.path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(content)?)?;
        std::fs::rename(&new, &self.path)
    }

    /// How large the file is.
    pub fn size_bytes(&self) -> Option<u64> {
        std::fs::metadata(&self.path).ok().map(|file| file.len())
    }
}

/// A guest whom no cloud knows.
fn stray_row() -> Row {
    Row::Guests(Guest { id: Uuid::from_u128(0x5712_a7d1), name: "Stray row".into(), phone: None, card: None })
}
