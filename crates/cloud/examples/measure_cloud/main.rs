//! What `npm run bench -- cloud` measures: links, handshakes, dispatch and lists of a running cloud and of its
//! peers, and reports written to a database in process.
//!
//! Each command prints its figures as one line of JSON. The servers' memory and CPU are read from outside.

mod client;
mod links;
mod lists;
mod reports;
mod round_trips;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use client::Place;

/// As the cloud has, or reports would be written by another one's memory.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
enum Command {
    /// Gives the first POS servers of a stopped cloud's database an identity each, written to a file.
    Identities { database: PathBuf, count: usize, file: PathBuf },
    /// Gives all POS servers of a stopped cloud's database a state such as a fleet in use has.
    Age { database: PathBuf },
    /// Opens links, prints that they are up, and holds them until standard input ends.
    Hold {
        #[command(flatten)]
        place: Place,
        count: usize,
        /// The links say nothing after their handshake but what the NATS protocol asks for.
        #[arg(long)]
        nats: bool,
    },
    /// Opens links one after the other, some at a time, and drops each at once.
    Handshakes {
        #[command(flatten)]
        place: Place,
        count: usize,
    },
    /// Cuts links all at once and lets them come back as connectors do, while the API is asked.
    Cut {
        #[command(flatten)]
        place: Place,
        count: usize,
        #[arg(long)]
        access_token: String,
    },
    /// Asks for statuses: every filter, many orders, first pages and the deepest ones.
    Lists {
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        access_token: String,
        #[arg(long)]
        rounds: usize,
    },
    /// Asks a store something through the cloud, again and again.
    Relay {
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        service_token: String,
        count: usize,
        #[arg(long)]
        every_millis: u64,
    },
    /// Starts jobs at a store that accepts and ends each at once.
    Jobs {
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        access_token: String,
        count: usize,
    },
    /// Asks a subscriber something through NATS.
    Nats {
        url: String,
        count: usize,
        #[arg(long)]
        every_millis: u64,
    },
    /// Writes reports into a new database as the gateway does, and the same rows with rusqlite.
    Reports { folder: PathBuf, count: usize },
    /// The same over Postgres, in an empty database, and the same rows by COPY.
    ReportsOnPostgres { folder: PathBuf, url: String, count: usize },
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
async fn main() -> anyhow::Result<()> {
    let figures = match Command::parse() {
        Command::Identities { database, count, file } => client::identities(&database, count, &file).await?,
        Command::Age { database } => client::age(&database).await?,
        Command::Hold { place, count, nats } => links::hold(&place, count, nats).await?,
        Command::Handshakes { place, count } => links::handshakes(&place, count).await?,
        Command::Cut { place, count, access_token } => links::cut(&place, count, &access_token).await?,
        Command::Lists { place, access_token, rounds } => lists::ask(&place, &access_token, rounds).await?,
        Command::Relay { place, service_token, count, every_millis } => {
            round_trips::relay(&place, &service_token, count, Duration::from_millis(every_millis)).await?
        }
        Command::Jobs { place, access_token, count } => {
            round_trips::jobs(&place, &access_token, count).await?
        }
        Command::Nats { url, count, every_millis } => {
            round_trips::nats(&url, count, Duration::from_millis(every_millis)).await?
        }
        Command::Reports { folder, count } => reports::on_sqlite(&folder, count).await?,
        Command::ReportsOnPostgres { folder, url, count } => {
            reports::on_postgres(&folder, &url, count).await?
        }
    };
    println!("{figures}");
    Ok(())
}
