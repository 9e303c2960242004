//! What `npm run bench -- excel` measures, and what the judges of `tests/outside/excel.test.mjs` read: writes statuses
//! to a spreadsheet by the function that the app calls.
//!
//! - `measure_excel generated ROWS FILE` writes so many stores, always the same, and prints its figures as JSON.
//! - `measure_excel given JSON FILE` writes the statuses of a file `{statuses, query, request, session, connection,
//!   written_at}`; a failure is printed as JSON, and the exit code is 1.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use serde_json::{Value, json};
use tillwatch::export::{self, Sheet};
use tillwatch::ipc::{Connection, ConnectionState, ExportColumn, ExportRequest, GridQuery, Session};
use tillwatch_protocol::rest::pos_server::Status;
use uuid::Uuid;

/// The same stores each time.
const SEED: u64 = 7;

/// The grid's columns that make 17 of the sheet.
const COLUMNS: [&str; 15] = [
    "link",
    "organization",
    "chain",
    "crm_id",
    "address",
    "name",
    "pos_version",
    "required_version",
    "connector_version",
    "version_updated_at",
    "last_report_at",
    "last_success_at",
    "error",
    "behind",
    "offline",
];

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["generated", rows, file] => generated(rows.parse()?, Path::new(file)),
        ["given", from, file] => given(Path::new(from), Path::new(file)),
        _ => anyhow::bail!("measure_excel generated ROWS FILE | given JSON FILE"),
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn generated(rows: u32, file: &Path) -> anyhow::Result<ExitCode> {
    let now: DateTime<Utc> = "2026-11-21T12:00:00Z".parse()?;
    let mut random = StdRng::seed_from_u64(SEED);
    let statuses = (0..rows).map(|row| {
        serde_json::from_value::<Status>(status(row, now, &mut random))
            .expect("a status as the cloud gives it")
    });
    let request = ExportRequest {
        dialog_title: String::new(),
        file_name: String::new(),
        columns: COLUMNS.map(|key| ExportColumn { key: key.into(), title: key.replace('_', " ") }).into(),
        words: [
            ("link.online", "Online"),
            ("link.offline", "Offline"),
            ("cause.connection_lost", "Internet"),
        ]
        .map(|(key, word)| (key.to_owned(), word.to_owned()))
        .into(),
        locale: "en".into(),
        time_zone: "Europe/Riga".into(),
    };
    let connection = Connection { state: ConnectionState::Live, since: Some(now) };
    let sheet =
        Sheet::of_statuses(statuses, &GridQuery::default(), request, Session::signed_out(), connection, now)?;
    // What came before the writing is not its peak.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let before = memory("VmRSS:");
    let started = Instant::now();
    export::write(&sheet, file).with_context(|| format!("{} could not be written", file.display()))?;
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({
            "seconds": seconds,
            "rows": sheet.rows(),
            "before_bytes": before,
            "peak_bytes": memory("VmHWM:"),
            "file_bytes": fs::metadata(file)?.len(),
        })
    );
    Ok(ExitCode::SUCCESS)
}

/// A store: of a hundred, three fail, nine need an update, four are offline.
fn status(row: u32, now: DateTime<Utc>, random: &mut StdRng) -> Value {
    let ago = |random: &mut StdRng, most: i64| now - TimeDelta::seconds(random.random_range(1..most));
    let (fails, old, offline) =
        (random.random_ratio(3, 100), random.random_ratio(9, 100), random.random_ratio(4, 100));
    let street = ["Brīvības iela", "Vabaduse puiestee", "Gedimino prospektas", "Невский проспект"]
        [random.random_range(0..4)];
    let error = fails.then(|| {
        json!({
            "code": "database_inconsistent",
            "message": format!("The checksum of guest_accounts differs: {:08x} & {:08x}",
                random.random::<u32>(), random.random::<u32>()),
            "since": ago(random, 90_000),
            "consecutive_failures": random.random_range(1..500),
        })
    });
    let behind = if random.random_ratio(1, 10) { random.random_range(1..20_000) } else { 0 };
    json!({
        "id": Uuid::from_u128(u128::from(row)),
        "name": "Main POS",
        "revision": row,
        "chain": {"id": Uuid::from_u128(u128::from(row % 40)), "name": format!("Chain {}", row % 40)},
        "outlet": {
            "id": Uuid::from_u128(u128::from(row)),
            "name": format!("Outlet {row:06}"),
            "crm_id": format!("{:06}", random.random_range(0..1_000_000)),
            "address": format!("{street} {}, {row:06}", random.random_range(1..200)),
            "time_zone": "Europe/Riga",
        },
        "link": {
            "state": if offline { "offline" } else { "online" },
            "since": ago(random, 900_000),
            "last_seen_at": now,
            "connector_version": format!("1.4.{}", random.random_range(0..9)),
            "cause": offline.then_some("connection_lost"),
            "confidence": offline.then_some("likely"),
            "evidence": [],
        },
        "pos": {
            "state": "running",
            "version": if old { "34.5.2" } else { "34.6.0" },
            "version_updated_at": ago(random, 20_000_000),
            "required_version": "34.6.0",
            "update_required": old,
        },
        "exchange": {
            "last_success_at": ago(random, 40_000),
            "last_attempt_at": now,
            "error": error,
            "behind": {"changes": behind, "oldest_at": (behind > 0).then(|| ago(random, 90_000))},
        },
        "database": {"generation": 1, "created_at": now, "size_bytes": 1 << 20, "unsent_transactions": 0},
        "last_report_at": ago(random, 60),
        "highlight": if fails { "error" } else if old { "update_required" } else { "none" },
        "active_jobs": [],
    })
}

/// A figure of the process's memory, in bytes; null where the system does not tell it.
fn memory(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

/// Everything that goes into a file.
#[derive(Deserialize)]
struct Given {
    statuses: Vec<Status>,
    query: GridQuery,
    request: ExportRequest,
    session: Session,
    connection: Connection,
    written_at: DateTime<Utc>,
}

#[expect(clippy::print_stdout, reason = "the outcome is what this program is for")]
fn given(from: &Path, file: &Path) -> anyhow::Result<ExitCode> {
    let Given { statuses, query, request, session, connection, written_at } =
        serde_json::from_slice(&fs::read(from)?)?;
    let written = Sheet::of_statuses(statuses, &query, request, session, connection, written_at)
        .and_then(|sheet| export::write(&sheet, file));
    match written {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            println!("{}", serde_json::to_string(&error)?);
            Ok(ExitCode::FAILURE)
        }
    }
}
