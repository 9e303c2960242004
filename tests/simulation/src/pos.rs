//! A store's POS server, as far as its connector sees it: a database in a file, a status file, stop and start. It notes
//! what is done to it and for which job, so that what was done twice is seen.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};
use tillwatch_connector::pos::HostedCommand;
use tillwatch_protocol::ids::JobId;
use tokio::sync::mpsc;
use tokio::time::interval;

use crate::facts::Facts;

/// How often it exchanges.
const EXCHANGE_EVERY: Duration = Duration::from_secs(2);

/// Where the database lies in a store's data directory.
pub(crate) const DATABASE: &str = "pos/pos.sqlite3";
/// Where the status file lies.
pub(crate) const STATUS_FILE: &str = "pos-status.json";

/// Runs it until nobody has orders for it any more. Like a child of the connector's it is not started on a database that
/// a job has in its hands.
pub(crate) async fn run(
    store: usize,
    data_dir: PathBuf,
    mut orders: mpsc::Receiver<HostedCommand>,
    facts: Rc<Facts>,
) -> anyhow::Result<()> {
    let mut running = !works_on_database(&data_dir);
    if running {
        start(store, &data_dir, &facts)?;
    } else {
        stop(&data_dir)?;
    }
    let mut exchanges = interval(EXCHANGE_EVERY);
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(HostedCommand::Start(done)) => {
                    if !running {
                        start(store, &data_dir, &facts)?;
                    }
                    running = true;
                    let _ = done.send(());
                }
                Some(HostedCommand::Stop(done)) => {
                    facts.stopped(store, at_work(&data_dir).map(|(id, _)| id));
                    running = false;
                    stop(&data_dir)?;
                    let _ = done.send(());
                }
                None => return Ok(()),
            },
            _ = exchanges.tick() => if running {
                tell(&data_dir)?;
            },
        }
    }
}

/// The job that is being done to the POS server, by its connector's journal.
fn at_work(data_dir: &Path) -> Option<(JobId, Value)> {
    let entries = fs::read_dir(data_dir.join("journal")).ok()?;
    let entries = entries.flatten().filter_map(|entry| fs::read(entry.path()).ok());
    let mut entries = entries.filter_map(|text| serde_json::from_slice::<Value>(&text).ok());
    let entry = entries.find(|entry| {
        let kind = entry["order"]["kind"].as_str().unwrap_or_default();
        entry["state"]["state"] == "running"
            && matches!(kind, "restart_pos" | "reset_database" | "restore_database")
    })?;
    let id = serde_json::from_value(entry["order"]["id"].clone()).ok()?;
    Some((id, entry["state"]["step"]["database"].clone()))
}

fn works_on_database(data_dir: &Path) -> bool {
    at_work(data_dir).is_some_and(|(_, database)| !database.is_null())
}

/// Opens the database, and makes one where there is none.
fn start(store: usize, data_dir: &Path, facts: &Facts) -> anyhow::Result<()> {
    let path = data_dir.join(DATABASE);
    if !path.exists() {
        facts.database_made(store, at_work(data_dir).map(|(id, _)| id));
        fs::create_dir_all(data_dir.join("pos"))?;
        fs::write(&path, json!({ "created_at": Utc::now() }).to_string())?;
    }
    tell(data_dir)
}

fn stop(data_dir: &Path) -> anyhow::Result<()> {
    match fs::remove_file(data_dir.join(STATUS_FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes the status file.
fn tell(data_dir: &Path) -> anyhow::Result<()> {
    let database: Value = serde_json::from_slice(&fs::read(data_dir.join(DATABASE))?)?;
    let status = json!({
        "pos_version": "34.5.2",
        "exchange": {"last_success_at": Utc::now(), "last_attempt_at": Utc::now()},
        "database": {"created_at": database["created_at"], "unsent_transactions": 0, "size_bytes": 100},
    });
    let beside = data_dir.join("pos-status.writing");
    fs::write(&beside, status.to_string())?;
    Ok(fs::rename(beside, data_dir.join(STATUS_FILE))?)
}
