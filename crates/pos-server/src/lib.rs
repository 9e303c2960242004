//! A POS server: keeps a store's programs, guests and guest accounts in a database of its own, exchanges
//! them with the cloud and tells its connector how that goes.
//!
//! It runs without a connector and without an identity. The database may be taken away while it is stopped:
//! a new one is made and filled by the next exchange. A damaged one is reported and never deleted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Utc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

pub mod report;

pub mod database;
pub mod exchange;

pub mod identity;
pub mod log;
pub mod state;

use crate::database::Database;
use crate::exchange::Exchanger;
use crate::log::PosLog;
use crate::report::Reporter;
use crate::state::StateFile;

/// The version that a POS server says it has when it is not told another.
pub const DEFAULT_POS_VERSION: &str = "34.6.0";

/// Name of the folder, within a store's data dir, that is the POS server's own.
const POS_DIR: &str = "pos";
/// Name of the database within [`POS_DIR`].
const DATABASE_FILE: &str = "pos.sqlite3";
/// Name of the file within [`POS_DIR`] that outlives the database.
const STATE_FILE: &str = "state.json";
/// Name of the folder within [`POS_DIR`] for logs.
const LOG_DIR: &str = "logs";

/// What a caller decides.
#[derive(Clone, Debug)]
pub struct Options {
    /// The store's data dir, shared with its connector.
    pub data_dir: PathBuf,
    /// The cloud to exchange with instead of the identity's.
    pub cloud: Option<Url>,
    /// The installed version, such as `34.6.0`.
    pub pos_version: String,
}

/// Why a POS server can't run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its folder can't be used.
    #[error("using the folder {path}", path = .0.display())]
    Folder(PathBuf, #[source] std::io::Error),
    /// It would answer to the whole network.
    #[error("the report address must be a loopback address, not {0}")]
    NotLoopback(std::net::SocketAddr),
    /// The report can't be served.
    #[error("serving the report")]
    Serve(#[source] std::io::Error),
}

/// Runs a POS server that reports on `listener` until `shutdown` is cancelled.
pub async fn run(
    options: Options,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let address = listener.local_addr().map_err(RunError::Serve)?;
    if !address.ip().is_loopback() {
        return Err(RunError::NotLoopback(address));
    }
    let pos_dir = options.data_dir.join(POS_DIR);
    let log_dir = pos_dir.join(LOG_DIR);
    for dir in [&options.data_dir, &pos_dir, &log_dir] {
        create_dir(dir).map_err(|error| RunError::Folder(dir.clone(), error))?;
    }

    let log = PosLog::new(log_dir, log::Rotation::default());
    let store_identity = identity::read(&options.data_dir);
    if let Ok(Some(store)) = &store_identity {
        log.use_zone(&store.identity.time_zone);
    }
    log.info(format_args!("POS server {} starting, reporting on {address}", options.pos_version));
    let state = Arc::new(StateFile::open(pos_dir.join(STATE_FILE), &options.pos_version, Utc::now(), &log));
    let database = Database::at(pos_dir.join(DATABASE_FILE));
    match database.open() {
        Ok(open) if open.is_new() => log.info("A new database was made"),
        Ok(_) => {}
        Err(error) => log.error(format_args!("The database can't be used: {}", error.chain())),
    }

    let (ask, asked) = mpsc::channel(32);
    let exchanger =
        Exchanger::new(options.data_dir, options.cloud, database.clone(), Arc::clone(&state), log.clone());
    let reporter = Reporter { database, state, ask, log: log.clone() };
    let exchanging = exchanger.run(asked, shutdown.child_token());
    let serving = report::serve(listener, reporter, shutdown.clone());
    let (served, ()) = tokio::join!(
        async {
            let served = serving.await;
            // Without a report the connector would take this POS server for dead: stop altogether.
            shutdown.cancel();
            served
        },
        exchanging
    );
    log.info("POS server stopped");
    served.map_err(RunError::Serve)
}

/// Makes a folder that others on the machine can't look into: guests' data will be in it.
fn create_dir(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o750);
    builder.create(path)
}
