//! Reports into the store: as the gateway writes them, one commit a row, and in a bare loop that prepares once.

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::ensure;
use chrono::Utc;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tillwatch_cloud::store::Store;
use tillwatch_cloud::{admin, write_reports};
use tillwatch_protocol::ids::PosServerId;
use tillwatch_protocol::link::frame::StoreReport;
use tillwatch_protocol::report::Report;
use tillwatch_protocol::rest::pos_server::PosState;

/// How many rows are written with a commit each.
const ALONE: usize = 300;
/// How many rows the bare loop writes in a transaction: as many as the gateway.
const GROUP: usize = 256;
/// The columns that a report changes.
const UPDATE: &str = "UPDATE pos_servers SET last_seen_at = ?1, last_report_at = ?1, pos_state = 'running',
    pos_version = ?2, pos_version_key = ?3, version_updated_at = ?1, exchange_success_at = ?1,
    exchange_attempt_at = ?1, error_code = NULL, error_message = NULL, error_since = NULL,
    error_failures = NULL, db_created_at = ?1, db_size_bytes = ?4, unsent_transactions = ?5,
    generation = ?6, revision = ?7 WHERE id = ?8 AND session_epoch = ?9 AND link_state = 'online'";

pub(crate) async fn write(folder: &Path, count: usize) -> anyhow::Result<Value> {
    let store = Store::open(folder, None).await?;
    let mut file = "chain,outlet,crm_id,address,time_zone,pos_server\n".to_owned();
    for number in 0..count {
        writeln!(file, "Pizza,Outlet {number},{number},Street {number},Europe/Riga,Main")?;
    }
    let stores: Vec<PosServerId> = admin::import_fleet(&store, file.as_bytes(), Utc::now())
        .await?
        .into_iter()
        .map(|row| row.pos_server_id)
        .collect();
    let database = folder.join("tillwatch.sqlite3");
    let bare = Connection::open(&database)?;
    bare.execute_batch("PRAGMA synchronous = FULL; UPDATE pos_servers SET link_state = 'online'")?;

    let reports = stores.iter().map(|id| (*id, report())).collect();
    let began = Instant::now();
    write_reports(&store, 0, reports).await?;
    let ours = count as f64 / began.elapsed().as_secs_f64();
    let written: i64 =
        bare.query_row("SELECT count(*) FROM pos_servers WHERE pos_version = '34.5.2'", [], |row| {
            row.get(0)
        })?;
    ensure!(usize::try_from(written)? == count, "{written} of {count} reports were written");
    store.close().await;

    let mut update = bare.prepare(UPDATE)?;
    let mut one = |id: &PosServerId, revision: i64| {
        let key = "00000000000000000034.00000000000000000005.00000000000000000002";
        let now = Utc::now().to_rfc3339();
        update.execute(params![now, "34.5.2", key, 1 << 20, 0, 3, revision, id.0.as_bytes(), 0])
    };
    let began = Instant::now();
    for (revision, id) in stores.iter().take(ALONE).enumerate() {
        ensure!(one(id, 1_000_000 + revision as i64)? == 1, "a row was not written");
    }
    let alone = ALONE.min(count) as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    for (revision, group) in stores.chunks(GROUP).enumerate() {
        bare.execute_batch("BEGIN IMMEDIATE")?;
        for id in group {
            ensure!(one(id, 2_000_000 + revision as i64)? == 1, "a row was not written");
        }
        bare.execute_batch("COMMIT")?;
    }
    let batched = count as f64 / began.elapsed().as_secs_f64();
    Ok(json!({ "ours_per_second": ours, "alone_per_second": alone, "batched_per_second": batched }))
}

fn report() -> StoreReport {
    let mut report = Report { pos_version: Some("34.5.2".into()), ..Report::default() };
    report.version_updated_at = Some(Utc::now());
    report.exchange.last_success_at = Some(Utc::now());
    report.exchange.last_attempt_at = Some(Utc::now());
    report.database.created_at = Some(Utc::now());
    report.database.size_bytes = Some(1 << 20);
    report.database.unsent_transactions = Some(0);
    report.database.generation = Some(3);
    StoreReport { pos_state: PosState::Running, report }
}
