//! Where everything is kept: SQL lives here and nowhere else. One code path for SQLite and Postgres.
//!
//! Reads go through [`Store::read`], a snapshot of one moment. Writes go through [`Store::write`], one
//! after the other; whatever statuses, jobs and removals a write touches get their revision from it.

pub(crate) mod entity;
mod migrations;

pub(crate) mod chain;
pub(crate) mod fleet;
pub(crate) mod outlet;
pub(crate) mod pos_server;

pub(crate) mod device;
pub(crate) mod node;
pub(crate) mod outage;
pub(crate) mod presence;
pub(crate) mod timeline;
pub(crate) mod token;

pub(crate) mod backup;
pub(crate) mod job;

pub(crate) mod archive;
pub(crate) mod upload;

pub(crate) mod loyalty;

pub(crate) mod attempts;
pub(crate) mod grant;
pub(crate) mod service_token;
pub(crate) mod session;
pub(crate) mod sso;
pub(crate) mod user;

pub(crate) mod audit;
pub(crate) mod counts;

mod error;
mod open;
mod packed;

use std::path::Path;
use std::time::Instant;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, ExprTrait, Func, OnConflict, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, EntityTrait, Set,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tillwatch_protocol::ids::CloudId;

use crate::bus::Bus;
use crate::metrics;
use crate::tokens::hex;
use entity::{meta, revision};
pub use error::StoreError;
pub(crate) use error::Trouble;
pub use open::ShapePool;

/// The advisory lock that every write on Postgres takes: "tillwatc" in ASCII.
const WRITE_LOCK: i64 = 0x7469_6c6c_7761_7463;

/// Under which names the keys are kept that only nodes of this cloud know.
const HINT_KEY: &str = "hint_key";
const REFRESH_KEY: &str = "refresh_key";

/// The database. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    readers: DatabaseConnection,
    /// One connection, so that writes of this process wait here in turn rather than in the database.
    writer: DatabaseConnection,
    /// Writes what may be undone by a power failure.
    notes: DatabaseConnection,
    bus: Bus,
}

impl Store {
    /// Opens the database of a data dir, or at an address, and makes it when it is not there.
    pub async fn open(data_dir: &Path, url: Option<&str>) -> Result<Self, StoreError> {
        Self::over(open::open(data_dir, url).await?).await
    }

    /// Opens the SQLite of a data dir with pools that `shape` may change: a simulation has to know when the database is
    /// at work.
    #[doc(hidden)]
    pub async fn open_shaped(data_dir: &Path, shape: ShapePool) -> Result<Self, StoreError> {
        Self::over(open::sqlite(data_dir, None, shape).await?).await
    }

    async fn over(connections: open::Connections) -> Result<Self, StoreError> {
        let open::Connections { readers, writer, notes } = connections;
        let store = Self { readers, writer, notes, bus: Bus::new(0) };
        let tx = store.begin().await?;
        // Of several nodes that start at once one does it, and the others find it done.
        migrations::prepare(&tx).await?;
        let tx = store.locked(tx).await?;
        migrations::run(&tx.tx).await?;
        tx.commit().await?;
        store.bus.changed(store.revision().await?);
        Ok(store)
    }

    /// Hints about what this process commits, and what the poll finds that others did.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// For statements of which each may see a moment of its own: they spare the beginning and the end of a view.
    pub(crate) fn lone(&self) -> &DatabaseConnection {
        &self.readers
    }

    /// A view of one moment. It ends when it is dropped.
    pub(crate) async fn read(&self) -> Result<DatabaseTransaction, StoreError> {
        Ok(self.readers.begin().await?)
    }

    /// Begins a write. It waits for its turn, holds off every other write, of other nodes too, until it ends,
    /// and is undone when it is dropped without [`WriteTx::commit`].
    pub(crate) async fn write(&self) -> Result<WriteTx, StoreError> {
        let asked_at = Instant::now();
        let tx = self.begin().await?;
        let tx = self.locked(tx).await?;
        metrics::write_waited(asked_at.elapsed());
        Ok(tx)
    }

    async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(self.writer.begin_with_options(options).await?)
    }

    /// Postgres would let writes go on side by side; one lock keeps them in turn, as SQLite does by itself.
    async fn locked(&self, tx: DatabaseTransaction) -> Result<WriteTx, StoreError> {
        if tx.get_database_backend() == DbBackend::Postgres {
            let lock = Func::cust("pg_advisory_xact_lock").arg(Expr::val(WRITE_LOCK));
            tx.execute(&Query::select().expr(lock).take()).await?;
        }
        Ok(WriteTx { tx, bus: self.bus.clone(), revision: None, began_at: Instant::now() })
    }

    /// The revision that was committed last, by this process or another.
    pub(crate) async fn revision(&self) -> Result<i64, StoreError> {
        revision_of(&self.readers).await
    }

    /// Writes something that nobody reads, to see whether a write lasts.
    pub(crate) async fn probe(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let tx = self.write().await?;
        set_meta(&*tx, "probed_at", now.to_rfc3339()).await?;
        tx.commit().await
    }

    /// Which cloud this is; made up at the first start.
    pub(crate) async fn cloud_id(&self) -> Result<CloudId, StoreError> {
        let id = self.fact("cloud_id", || CloudId::new().to_string()).await?;
        id.parse().map_err(|_| StoreError::Damaged(id))
    }

    /// The key by which nodes know each other's hints; made up at the first start.
    pub(crate) async fn hint_key(&self) -> Result<String, StoreError> {
        self.fact(HINT_KEY, new_key).await
    }

    /// The key by which refresh tokens are marked; made up at the first start.
    pub(crate) async fn refresh_key(&self) -> Result<String, StoreError> {
        self.fact(REFRESH_KEY, new_key).await
    }

    /// A fact about this cloud; made up when nobody has asked for it before.
    async fn fact(&self, key: &str, make: impl FnOnce() -> String) -> Result<String, StoreError> {
        let tx = self.write().await?;
        if let Some(row) = meta::Entity::find_by_id(key).one(&*tx).await? {
            return Ok(row.value);
        }
        let value = make();
        let row = meta::ActiveModel { key: Set(key.to_owned()), value: Set(value.clone()) };
        meta::Entity::insert(row).exec_without_returning(&*tx).await?;
        tx.commit().await?;
        Ok(value)
    }

    /// Closes the database; what was committed to SQLite is then in one file.
    pub async fn close(self) {
        // There is nobody left to tell when closing fails, and nothing is lost by it.
        let _ = self.readers.close().await;
        let _ = self.notes.close().await;
        let _ = self.writer.close().await;
    }
}

/// Makes up new keys for hints and for refresh tokens. Each node takes them at its next start.
pub(crate) async fn renew_keys(tx: &WriteTx) -> Result<(), StoreError> {
    for key in [HINT_KEY, REFRESH_KEY] {
        set_meta(&**tx, key, new_key()).await?;
    }
    Ok(())
}

fn new_key() -> String {
    hex(&rand::random::<[u8; 32]>())
}

/// Writes a fact about this cloud, in the place of an older one.
pub(crate) async fn set_meta(
    db: &impl sea_orm::ConnectionTrait,
    key: &str,
    value: String,
) -> Result<(), StoreError> {
    let row = meta::ActiveModel { key: Set(key.to_owned()), value: Set(value) };
    let replace = OnConflict::column(meta::Column::Key).update_column(meta::Column::Value).to_owned();
    meta::Entity::insert(row).on_conflict(replace).exec_without_returning(db).await?;
    Ok(())
}

/// The revision as a connection or transaction sees it.
pub(crate) async fn revision_of(db: &impl ConnectionTrait) -> Result<i64, StoreError> {
    let row = revision::Entity::find_by_id(1).one(db).await?;
    row.map(|row| row.value).ok_or_else(|| StoreError::Damaged("revision".into()))
}

/// A write under way. Statements run on what it derefs to.
#[derive(Debug)]
pub(crate) struct WriteTx {
    tx: DatabaseTransaction,
    bus: Bus,
    revision: Option<i64>,
    began_at: Instant,
}

impl WriteTx {
    /// Takes the next revision, for a status, job or removal that this write changes.
    pub(crate) async fn next_revision(&mut self) -> Result<i64, StoreError> {
        let mut query = Query::update();
        query
            .table(revision::Entity)
            .value(revision::Column::Value, Expr::col(revision::Column::Value).add(1))
            .and_where(revision::Column::Id.eq(1))
            .returning_col(revision::Column::Value);
        let row = self.tx.query_one(&query).await?;
        let revision = row.ok_or_else(|| StoreError::Damaged("revision".into()))?.try_get("", "value")?;
        self.revision = Some(revision);
        Ok(revision)
    }

    /// Makes the write last, and wakes those who follow the changes.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await?;
        metrics::written(self.began_at.elapsed());
        if let Some(revision) = self.revision {
            self.bus.commit(revision);
        }
        Ok(())
    }
}

impl std::ops::Deref for WriteTx {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &Self::Target {
        &self.tx
    }
}

/// The folder holds password hashes and the certificate's key: nobody else has to look into it.
pub(crate) fn make_private_dir(dir: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)
}

/// A wire enum as its column holds it.
pub(crate) fn to_text(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        other => unreachable!("only enums without fields are stored as text, not {other:?}"),
    }
}

/// Reads what [`to_text`] wrote.
pub(crate) fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|_| StoreError::Damaged(text.to_owned()))
}
