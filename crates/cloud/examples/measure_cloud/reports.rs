//! Reports into the store: as the gateway writes them; on SQLite one commit a row, and in a bare loop that prepares
//! once; on Postgres by COPY. Each store has reported before, as on any day but its first: then rows stay where they are
//! and timelines as they were, for all sides alike.

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::ensure;
use chrono::Utc;
use rusqlite::{Connection, params};
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{Connection as _, Executor, Row};
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

/// The same on Postgres, of rows that were copied into a table of the connection's own.
const FROM_COPY: &str = "UPDATE pos_servers SET last_seen_at = told.at, last_report_at = told.at,
    pos_state = 'running', pos_version = told.version, pos_version_key = told.version_key,
    version_updated_at = told.at, exchange_success_at = told.at, exchange_attempt_at = told.at,
    error_code = NULL, error_message = NULL, error_since = NULL, error_failures = NULL, db_created_at = told.at,
    db_size_bytes = told.size, unsent_transactions = told.unsent, generation = told.generation,
    revision = told.revision FROM told
    WHERE pos_servers.id = told.id AND session_epoch = 0 AND link_state = 'online'";
const KEY: &str = "00000000000000000034.00000000000000000005.00000000000000000002";
const WRITTEN: &str = "SELECT count(*) FROM pos_servers WHERE pos_version = '34.5.2'";

/// `folder` is an empty data dir.
pub(crate) async fn on_sqlite(folder: &Path, count: usize) -> anyhow::Result<Value> {
    let store = Store::open(folder, None).await?;
    let stores = fleet(&store, count).await?;
    let bare = Connection::open(folder.join("tillwatch.sqlite3"))?;
    bare.execute_batch("PRAGMA synchronous = FULL; UPDATE pos_servers SET link_state = 'online'")?;
    let ours = as_the_gateway(&store, &stores).await?;
    let written = bare.query_row(WRITTEN, [], |row| row.get(0))?;
    check(written, count)?;
    store.close().await;

    let mut update = bare.prepare(UPDATE)?;
    let mut one = |id: &PosServerId, revision: i64| {
        let now = Utc::now().to_rfc3339();
        update.execute(params![now, "34.5.2", KEY, 1 << 20, 0, 3, revision, id.0.as_bytes(), 0])
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

/// `url` is that of an empty database, and `folder` an empty data dir.
pub(crate) async fn on_postgres(folder: &Path, url: &str, count: usize) -> anyhow::Result<Value> {
    let store = Store::open(folder, Some(url)).await?;
    let stores = fleet(&store, count).await?;
    let mut bare = PgConnection::connect(url).await?;
    bare.execute("UPDATE pos_servers SET link_state = 'online'").await?;
    let ours = as_the_gateway(&store, &stores).await?;
    let written: i64 = bare.fetch_one(WRITTEN).await?.try_get(0)?;
    check(written, count)?;
    store.close().await;

    bare.execute(
        "CREATE TEMPORARY TABLE told (id uuid, at timestamptz, version text, version_key text, size bigint,
            unsent bigint, generation bigint, revision bigint)",
    )
    .await?;
    let began = Instant::now();
    for (revision, group) in stores.chunks(GROUP).enumerate() {
        bare.execute("BEGIN").await?;
        let mut rows = String::new();
        let now = Utc::now().to_rfc3339();
        for id in group {
            writeln!(rows, "{}\t{now}\t34.5.2\t{KEY}\t{}\t0\t3\t{}", id.0, 1 << 20, 2_000_000 + revision)?;
        }
        let mut copy = bare.copy_in_raw("COPY told FROM STDIN").await?;
        copy.send(rows.as_bytes()).await?;
        copy.finish().await?;
        let updated = bare.execute(FROM_COPY).await?.rows_affected();
        ensure!(usize::try_from(updated)? == group.len(), "{updated} of {} rows were written", group.len());
        bare.execute("TRUNCATE told").await?;
        bare.execute("COMMIT").await?;
    }
    let copied = count as f64 / began.elapsed().as_secs_f64();
    Ok(json!({ "ours_per_second": ours, "copied_per_second": copied }))
}

/// Makes POS servers in a new database.
async fn fleet(store: &Store, count: usize) -> anyhow::Result<Vec<PosServerId>> {
    let mut file = "chain,outlet,crm_id,address,time_zone,pos_server\n".to_owned();
    for number in 0..count {
        writeln!(file, "Pizza,Outlet {number},{number},Street {number},Europe/Riga,Main")?;
    }
    let made = admin::import_fleet(store, file.as_bytes(), Utc::now()).await?;
    Ok(made.into_iter().map(|row| row.pos_server_id).collect())
}

/// How many reports the gateway's own writer writes in a second.
async fn as_the_gateway(store: &Store, stores: &[PosServerId]) -> anyhow::Result<f64> {
    let reports = || stores.iter().map(|id| (*id, report())).collect();
    write_reports(store, 0, reports()).await?;
    let reports = reports();
    let began = Instant::now();
    write_reports(store, 0, reports).await?;
    Ok(stores.len() as f64 / began.elapsed().as_secs_f64())
}

fn check(written: i64, count: usize) -> anyhow::Result<()> {
    ensure!(usize::try_from(written)? == count, "{written} of {count} reports were written");
    Ok(())
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
