//! The POS database: programs, guests and guest accounts from the cloud, and transactions on their way there.
//!
//! It is opened for each piece of work and closed after it, in rollback-journal mode: between two pieces of
//! work it is one plain file that a reset may move away. Whether it was found to be inconsistent is written
//! in the database itself, so that only a new one is free of it.

use std::error::Error;
use std::fmt::Write;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};
use tillwatch_protocol::exchange::{
    Amount, Change, Checksum, MAX_TRANSACTIONS, RowChange, Table, Transaction,
};
use tillwatch_protocol::report::{DatabaseReport, SyncError};
use uuid::Uuid;

pub mod guests;

mod rows;

/// The schema that this program makes and reads.
const SCHEMA_VERSION: i64 = 1;
/// How long another user of the file is waited for.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How many ids of applied changes are remembered: many times what the cloud sends again after a lost answer.
const REMEMBERED_CHANGES: i64 = 20_000;

const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE programs (id TEXT PRIMARY KEY, name TEXT NOT NULL, bonus_basis_points INTEGER NOT NULL,
    active INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE guests (id TEXT PRIMARY KEY, name TEXT NOT NULL, phone TEXT, card TEXT) STRICT, WITHOUT ROWID;
CREATE TABLE guest_accounts (id TEXT PRIMARY KEY, guest_id TEXT NOT NULL, program_id TEXT NOT NULL,
    balance INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, guest_account_id TEXT NOT NULL,
    amount INTEGER NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL) STRICT;
CREATE TABLE applied_changes (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE) STRICT;
PRAGMA user_version = 1;
";

/// Where the database is.
#[derive(Clone, Debug)]
pub struct Database {
    path: PathBuf,
    turn: Arc<Mutex<()>>,
}

/// An open database that nobody else in this process writes to meanwhile.
pub struct InTurn<'a> {
    open: OpenDatabase,
    _turn: MutexGuard<'a, ()>,
}

impl Deref for InTurn<'_> {
    type Target = OpenDatabase;

    fn deref(&self) -> &OpenDatabase {
        &self.open
    }
}

impl DerefMut for InTurn<'_> {
    fn deref_mut(&mut self) -> &mut OpenDatabase {
        &mut self.open
    }
}

/// Why a piece of work on the database failed.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file is damaged, no database, or can't be opened.
    #[error("reading the database file")]
    Unreadable(#[source] Box<dyn Error + Send + Sync>),
    /// There is no room on the disk.
    #[error("writing the database file")]
    DiskFull(#[source] rusqlite::Error),
    /// Another database lies there since the work began.
    #[error("the database was replaced during the exchange")]
    Replaced,
}

impl DatabaseError {
    /// As which sync error it is reported.
    pub fn sync_error(&self) -> SyncError {
        match self {
            Self::DiskFull(_) => SyncError::DiskFull,
            Self::Unreadable(_) | Self::Replaced => SyncError::DatabaseCorrupt,
        }
    }

    /// The error with its cause, for people. What SQLite says is whole by itself: its own causes repeat it.
    pub fn chain(&self) -> String {
        match self.source() {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull(error),
            _ => Self::Unreadable(error.into()),
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

impl Database {
    /// The database at this path, which need not exist.
    pub fn at(path: PathBuf) -> Self {
        Self { path, turn: Arc::default() }
    }

    /// Opens the database when nobody else in this process writes to it. SQLite itself lets waiting users try
    /// again and again, so that an exchange and the tills would starve each other.
    pub fn open_in_turn(&self) -> Result<InTurn<'_>, DatabaseError> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(InTurn { open: self.open()?, _turn: turn })
    }

    /// Opens the database, and makes it when there is none.
    pub fn open(&self) -> Result<OpenDatabase, DatabaseError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_WAIT)?;
        let mut is_new = false;
        if schema_version(&connection)? == 0 {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Two openings may both have found nothing.
            if schema_version(&transaction)? == 0 {
                let tables: i64 =
                    transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
                if tables > 0 {
                    return Err(DatabaseError::Unreadable("it was made by another program".into()));
                }
                transaction.execute_batch(SCHEMA)?;
                set_meta(&transaction, "id", &Uuid::new_v4().to_string())?;
                set_meta(&transaction, "created_at", &Utc::now().to_rfc3339())?;
                set_meta(&transaction, "cursor", "0")?;
                transaction.commit()?;
                is_new = true;
            }
        }
        let version = schema_version(&connection)?;
        if version != SCHEMA_VERSION {
            return Err(DatabaseError::Unreadable(format!("its schema {version} is not known").into()));
        }
        Ok(OpenDatabase { connection, is_new })
    }

    /// What a report tells of the database. What can't be read is left out.
    pub fn facts(&self) -> DatabaseReport {
        let size_bytes = std::fs::metadata(&self.path).ok().map(|file| file.len());
        let (created_at, unsent_transactions) = if size_bytes.is_some() {
            self.open().and_then(|open| Ok((open.created_at()?, open.unsent()?))).ok().unzip()
        } else {
            (None, None)
        };
        DatabaseReport { created_at, size_bytes, unsent_transactions, generation: None, backups: None }
    }
}

/// Where the database stands at the start of an exchange.
#[derive(Debug)]
pub struct Position {
    /// Which database it is.
    pub database_id: String,
    /// Up to where changes are applied.
    pub cursor: i64,
    /// What was found when it was found to be inconsistent.
    pub inconsistent: Option<String>,
    /// The oldest transactions that were not sent yet, as many as a request takes.
    pub pending: Vec<Transaction>,
}

/// What an exchange changes.
#[derive(Debug)]
pub struct Applied<'a> {
    /// Which database the exchange was made for.
    pub database_id: &'a str,
    /// From which cursor on.
    pub from_cursor: i64,
    /// To which one. A lower one comes from a cloud that was put back to an earlier time and starts anew.
    pub to_cursor: i64,
    /// In their order.
    pub changes: &'a [Change],
    /// Transactions that the cloud has written down.
    pub sent: &'a [Transaction],
}

/// An open database.
pub struct OpenDatabase {
    connection: Connection,
    is_new: bool,
}

impl OpenDatabase {
    /// Whether opening it has made it.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// When it was made.
    pub fn created_at(&self) -> Result<DateTime<Utc>, DatabaseError> {
        let text = required_meta(&self.connection, "created_at")?;
        DateTime::parse_from_rfc3339(&text)
            .map(Into::into)
            .map_err(|error| DatabaseError::Unreadable(error.into()))
    }

    /// How many transactions wait to be sent.
    pub fn unsent(&self) -> Result<u64, DatabaseError> {
        let count: i64 = self.connection.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// Where it stands, of one moment.
    pub fn position(&mut self) -> Result<Position, DatabaseError> {
        let moment = self.connection.transaction()?;
        Ok(Position {
            database_id: required_meta(&moment, "id")?,
            cursor: cursor(&moment)?,
            inconsistent: meta(&moment, "inconsistent")?,
            pending: pending(&moment)?,
        })
    }

    /// Applies what an exchange gave, whole or not at all.
    pub fn apply(&mut self, applied: &Applied<'_>) -> Result<(), DatabaseError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if required_meta(&transaction, "id")? != applied.database_id
            || cursor(&transaction)? != applied.from_cursor
        {
            return Err(DatabaseError::Replaced);
        }
        if applied.to_cursor < applied.from_cursor {
            // What changed since is to be undone by changes that may have been applied before.
            transaction.execute("DELETE FROM applied_changes", [])?;
        }
        for change in applied.changes {
            let first = transaction
                .prepare_cached("INSERT INTO applied_changes (id) VALUES (?1) ON CONFLICT DO NOTHING")?
                .execute([change.id.to_string()])?;
            if first == 0 {
                continue;
            }
            match &change.row {
                RowChange::Upsert { row } => rows::put(&transaction, row)?,
                RowChange::Delete { table, row_id } => rows::remove(&transaction, *table, *row_id)?,
            }
        }
        transaction.execute(
            "DELETE FROM applied_changes WHERE seq <= (SELECT max(seq) FROM applied_changes) - ?1",
            [REMEMBERED_CHANGES],
        )?;
        for sent in applied.sent {
            transaction.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([sent.id.to_string()])?;
        }
        set_meta(&transaction, "cursor", &applied.to_cursor.to_string())?;
        transaction.commit()?;
        Ok(())
    }

    /// The checksum of its real rows.
    pub fn checksum(&self) -> Result<String, DatabaseError> {
        checksum(&self.connection)
    }

    /// Writes down that this database can't be trusted any more.
    pub fn mark_inconsistent(&self, found: &str) -> Result<(), DatabaseError> {
        set_meta(&self.connection, "inconsistent", found)
    }

    /// Whether there is such a guest account.
    pub fn has_guest_account(&self, id: Uuid) -> Result<bool, DatabaseError> {
        let found = self
            .connection
            .query_row("SELECT 1 FROM guest_accounts WHERE id = ?1", [id.to_string()], |_| Ok(()))
            .optional()?;
        Ok(found.is_some())
    }

    /// Keeps a transaction until an exchange has handed it in.
    pub fn keep(&self, transaction: &Transaction) -> Result<(), DatabaseError> {
        self.connection.execute(
            "INSERT INTO outbox (id, guest_account_id, amount, reason, at) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                transaction.id.to_string(),
                transaction.guest_account_id.to_string(),
                transaction.amount.0,
                transaction.reason,
                transaction.at.to_rfc3339(),
            ],
        )?;
        Ok(())
    }
}

fn schema_version(connection: &Connection) -> Result<i64, DatabaseError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

fn meta(connection: &Connection, key: &str) -> Result<Option<String>, DatabaseError> {
    Ok(connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()?)
}

fn required_meta(connection: &Connection, key: &str) -> Result<String, DatabaseError> {
    meta(connection, key)?.ok_or_else(|| DatabaseError::Unreadable(format!("its `{key}` is missing").into()))
}

fn set_meta(connection: &Connection, key: &str, value: &str) -> Result<(), DatabaseError> {
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [key, value],
    )?;
    Ok(())
}

fn cursor(connection: &Connection) -> Result<i64, DatabaseError> {
    required_meta(connection, "cursor")?.parse().map_err(|error| DatabaseError::Unreadable(Box::new(error)))
}

fn checksum(connection: &Connection) -> Result<String, DatabaseError> {
    let mut sum = Checksum::default();
    for &table in Table::ALL {
        rows::each(connection, table, |row| sum.add(row))?;
    }
    Ok(sum.finish())
}

fn pending(connection: &Connection) -> Result<Vec<Transaction>, DatabaseError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, guest_account_id, amount, reason, at FROM outbox ORDER BY seq LIMIT ?1",
    )?;
    let rows = statement.query_map([MAX_TRANSACTIONS as i64], |row| {
        Ok(Transaction {
            id: rows::id(row, 0)?,
            guest_account_id: rows::id(row, 1)?,
            amount: Amount(row.get(2)?),
            reason: row.get(3)?,
            at: rows::parsed(row, 4, DateTime::parse_from_rfc3339)?.into(),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests;
