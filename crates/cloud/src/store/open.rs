//! Opening the database: a file of SQLite's, or Postgres. Each gives a pool that reads and one connection that
//! writes, set up so that the rest of the store need not know which it is.

use std::path::Path;
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sea_orm::sqlx::{ConnectOptions as _, Connection, Error as SqlxError, Row, raw_sql};
use sea_orm::{ConnectOptions, Database, DatabaseConnection};

use super::error::reason;
use super::{StoreError, Trouble};

/// How long a write waits for the one before it, of this process or another.
const WRITE_PATIENCE: Duration = Duration::from_secs(15);
/// How often SQLite is asked again while another process makes the database.
const SQLITE_RETRY_EVERY: Duration = Duration::from_millis(50);
/// Connections to SQLite that read at the same time.
const SQLITE_READERS: u32 = 8;
/// Connections to Postgres that read at the same time: five nodes stay below its default limit of 100.
const POSTGRES_READERS: u32 = 16;
/// Connections of Postgres that write what may be lost.
const POSTGRES_NOTES: u32 = 2;
/// How long a read waits for a connection to Postgres; a restart that takes less is not noticed.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// How long the first connection to Postgres may take.
const FIRST_CONNECTION: Duration = Duration::from_secs(10);
/// What Postgres gives up after. A write that stalls must not hold the lock of the whole cluster, and ends
/// before those that wait for it do.
const POSTGRES_LIMITS: [(&str, &str); 3] =
    [("idle_in_transaction_session_timeout", "10s"), ("lock_timeout", "15s"), ("statement_timeout", "30s")];

/// Those that read, and the one that writes: one, so that writes of this process wait here in turn.
pub(super) struct Connections {
    pub(super) readers: DatabaseConnection,
    pub(super) writer: DatabaseConnection,
    /// Does not wait for the disk.
    pub(super) notes: DatabaseConnection,
}

/// How many rows are read before somebody takes the first.
const ROWS_AHEAD: usize = 1024;

/// Changes how a pool of SQLite's is made.
pub type ShapePool = fn(SqlitePoolOptions) -> SqlitePoolOptions;

/// Opens the database of a data dir, or at an address. SQLite's is made when it is not there.
pub(super) async fn open(data_dir: &Path, url: Option<&str>) -> Result<Connections, StoreError> {
    match url {
        Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            postgres(url).await
        }
        Some(url) if !url.starts_with("sqlite:") => Err(StoreError::UnknownAddress),
        url => sqlite(data_dir, url, |pool| pool).await,
    }
}

pub(super) async fn sqlite(
    data_dir: &Path,
    url: Option<&str>,
    shape: ShapePool,
) -> Result<Connections, StoreError> {
    // In an address `%` and `?` would mean something: the path goes in besides.
    let (url, file) = match url {
        None => ("sqlite://data-dir", Some(data_dir.join("tillwatch.sqlite3"))),
        Some(url) if url.contains(":memory:") || url.contains("mode=memory") => {
            return Err(StoreError::InMemory);
        }
        Some(url) => (url, None),
    };
    if file.is_some() {
        super::make_private_dir(data_dir).map_err(StoreError::Folder)?;
    }
    let connect = async |connections: u32, synchronous: SqliteSynchronous, checked: ShapePool| {
        let mut options = ConnectOptions::new(url);
        let file = file.clone();
        options
            .max_connections(connections)
            .acquire_timeout(WRITE_PATIENCE * 2)
            .sqlx_logging(false)
            // A file does not hang up: to ask whether it is there costs each use as much as a small query.
            .test_before_acquire(false)
            // In this order: a shape may want to be told of the same.
            .map_sqlx_sqlite_pool_opts(move |pool| shape(checked(pool)))
            .map_sqlx_sqlite_opts(move |options| {
                let options = match &file {
                    Some(file) => options.filename(file),
                    None => options,
                };
                options
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(synchronous)
                    .busy_timeout(WRITE_PATIENCE)
                    // A whole page: otherwise the thread that reads stops and waits twice a page.
                    .row_buffer_size(ROWS_AHEAD)
            });
        Database::connect(options).await.map_err(StoreError::from)
    };
    // The first connection to a new file turns it into one with a write-ahead log. Of two processes that do so at
    // once SQLite refuses one without waiting, whatever the busy timeout.
    let patience = WRITE_PATIENCE.div_duration_f64(SQLITE_RETRY_EVERY) as usize;
    let retries = ConstantBuilder::default().with_delay(SQLITE_RETRY_EVERY).with_max_times(patience);
    // Jobs and audit entries must outlive a power failure: FULL, on the only connection that writes.
    let writer = (|| connect(1, SqliteSynchronous::Full, only_between_transactions))
        .retry(retries)
        .when(|error| error.trouble() == Some(Trouble::Busy))
        .await?;
    let readers = connect(SQLITE_READERS, SqliteSynchronous::Normal, |pool| pool).await?;
    let notes = connect(1, SqliteSynchronous::Normal, |pool| pool).await?;
    Ok(Connections { readers, writer, notes })
}

/// Takes another connection in the place of one that did not get out of its transaction. A commit that finds no room on
/// the disk is undone by SQLite itself; the driver, which then undoes it once more in vain, takes what follows for a part
/// of that transaction, and after another such commit nothing is ever committed, though everything succeeds.
fn only_between_transactions(pool: SqlitePoolOptions) -> SqlitePoolOptions {
    // What was dropped has been undone by now: the pool waits for it when it takes a connection back.
    pool.before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
}

async fn postgres(url: &str) -> Result<Connections, StoreError> {
    let options: PgConnectOptions =
        url.parse().map_err(|error: SqlxError| StoreError::BadAddress(error.to_string()))?;
    let options =
        options.application_name("tillwatch-cloud").options(POSTGRES_LIMITS).disable_statement_logging();
    // A pool would only say that it waited in vain; a connection says why.
    let closed = |reason: String| StoreError::Closed { address: address(&options), reason };
    let first = tokio::time::timeout(FIRST_CONNECTION, PgConnection::connect_with(&options)).await;
    let first = first.map_err(|_| closed("no answer".into()))?.map_err(|error| closed(reason(&error)))?;
    // Goodbye is a courtesy.
    let _ = first.close().await;
    let pool = |connections: u32, patience: Duration, options: PgConnectOptions| -> PgPool {
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(patience)
            // Postgres may have restarted since a connection was used last. One more round trip tells.
            .test_before_acquire(true)
            .after_release(|connection, _| Box::pin(has_nothing_begun(connection)))
            .connect_lazy_with(options)
    };
    // A read is a view of one moment and can't be more. A write begins by waiting for its turn, and its
    // statements must see what was committed meanwhile.
    let reads =
        [("default_transaction_isolation", "repeatable read"), ("default_transaction_read_only", "on")];
    let writes =
        [("default_transaction_isolation", "read committed"), ("default_transaction_read_only", "off")];
    let readers = pool(POSTGRES_READERS, READ_PATIENCE, options.clone().options(reads));
    let writer = pool(1, WRITE_PATIENCE, options.clone().options(writes));
    let options = options.options(writes).options([("synchronous_commit", "off")]);
    let notes = pool(POSTGRES_NOTES, WRITE_PATIENCE, options);
    Ok(Connections { readers: readers.into(), writer: writer.into(), notes: notes.into() })
}

/// Whether a connection is between transactions. When a request is given up while it waits for the answer to its BEGIN,
/// the driver takes it for not begun: whoever got that connection next would see what there was then, a revoked session
/// as valid. Such a connection is closed.
async fn has_nothing_begun(connection: &mut PgConnection) -> Result<bool, SqlxError> {
    // Of a transaction that was begun before, the moments differ. As one message: one that binds and one that executes
    // have each a moment of their own.
    let row = raw_sql("SELECT transaction_timestamp() = statement_timestamp()").fetch_one(connection).await?;
    row.try_get(0)
}

/// An address that can be shown: without the password.
fn address(options: &PgConnectOptions) -> String {
    let user = options.get_username();
    let database = options.get_database().unwrap_or(user);
    match options.get_socket() {
        Some(socket) => format!("postgres://{user}@{}/{database}", socket.display()),
        None => format!("postgres://{user}@{}:{}/{database}", options.get_host(), options.get_port()),
    }
}
