//! `tillwatch-fleet`: the command line of the simulated stores.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tillwatch_fleet::scenario::Troubles;
use tillwatch_fleet::{Options, enrollments};
use tokio_util::sync::CancellationToken;

/// A fleet up to this size is looked at by people, who want logs to read.
const SMALL_FLEET: usize = 50;

/// Many simulated stores in one process, for the demo and for load.
#[derive(Parser)]
#[command(name = "tillwatch-fleet", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Enrolls the stores and runs them until it is stopped.
    Run {
        /// The cloud's address.
        #[arg(long)]
        cloud: String,
        /// What `tillwatch-cloud fleet import` printed.
        #[arg(long)]
        enrollments: PathBuf,
        /// PEM file of certificates to trust besides the system's.
        #[arg(long)]
        ca: Option<PathBuf>,
        /// Where the stores live; kept, and not enrolled again. A folder that is removed at the end by default.
        #[arg(long)]
        data_dir: Option<PathBuf>,
        /// Which troubles the stores show.
        #[arg(long, value_enum, default_value = "demo")]
        troubles: Troubles,
        /// Of how many days the logs tell at the start; 3 by default, 0 with more than 50 stores.
        #[arg(long, value_parser = clap::value_parser!(u32).range(0..=60))]
        log_days: Option<u32>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Cli::parse().command;
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(
            // Connectors tell what they do; of thousands that is too much.
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .log_internal_errors(false)
        .init();
    // An error means that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match carry_out(command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(command: Command) -> anyhow::Result<()> {
    let Command::Run { cloud, enrollments, ca, data_dir, troubles, log_days } = command;
    let enrollments = enrollments::read(&enrollments)?;
    let log_days = log_days.unwrap_or(if enrollments.len() > SMALL_FLEET { 0 } else { 3 });
    let shutdown = CancellationToken::new();
    let stop = tillwatch_service::stop_signal();
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            stop.await;
            shutdown.cancel();
        }
    });
    let options = Options { cloud, enrollments, ca, data_dir, troubles, log_days };
    let running = |stores: usize| {
        // Not println!, which panics when nobody reads any more.
        let _ = writeln!(std::io::stdout(), "fleet of {stores} stores is running");
    };
    Ok(tillwatch_fleet::run(options, running, shutdown).await?)
}
