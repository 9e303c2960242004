//! `tillwatch-pos-server`: the command line of the POS server.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tillwatch_pos_server::{DEFAULT_POS_VERSION, Options, RunError};
use tillwatch_protocol::link::version::PosVersion;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

/// The POS server of a store.
#[derive(Parser)]
#[command(name = "tillwatch-pos-server", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the POS server until it is stopped.
    Run {
        /// The store's data dir, shared with its connector.
        #[arg(long)]
        data_dir: Option<PathBuf>,
        /// The cloud to exchange with; the identity's by default.
        #[arg(long, value_parser = cloud)]
        cloud: Option<Url>,
        /// The loopback address to report on.
        #[arg(long, default_value = "127.0.0.1:0")]
        report: SocketAddr,
        /// The version that is installed.
        #[arg(long, default_value = DEFAULT_POS_VERSION, value_parser = pos_version)]
        pos_version: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Cli::parse().command;
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        // Whoever read our standard error may be gone; that must not matter.
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
    let Command::Run { data_dir, cloud, report, pos_version } = command;
    if !report.ip().is_loopback() {
        return Err(RunError::NotLoopback(report).into());
    }
    let listener = TcpListener::bind(report)
        .await
        .with_context(|| format!("listening on {report} for the connector"))?;
    let address = listener.local_addr().context("reading the address that was listened on")?;
    let shutdown = CancellationToken::new();
    tokio::spawn(stop_when_told(shutdown.clone()));
    // Not println!, which panics when nobody reads any more.
    let _ = writeln!(std::io::stdout(), "reporting on http://{address}");
    let data_dir = data_dir.unwrap_or_else(default_data_dir);
    let options = Options { data_dir, cloud, pos_version };
    tillwatch_pos_server::run(options, listener, shutdown).await?;
    Ok(())
}

/// Where a connector keeps a store's files when it is not told otherwise.
fn default_data_dir() -> PathBuf {
    if cfg!(windows) {
        let base = std::env::var_os("ProgramData").unwrap_or_else(|| r"C:\ProgramData".into());
        PathBuf::from(base).join("Tillwatch")
    } else if cfg!(target_os = "macos") {
        "/Library/Application Support/Tillwatch".into()
    } else {
        "/var/lib/tillwatch".into()
    }
}

fn cloud(text: &str) -> Result<Url, String> {
    let url: Url =
        text.parse().map_err(|error| format!("{error}; it looks like https://cloud.example:8443"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err("it must begin with https://, such as https://cloud.example:8443".to_owned()),
    }
}

fn pos_version(text: &str) -> Result<String, String> {
    text.parse::<PosVersion>().map(|_| text.trim().to_owned()).map_err(|error| error.to_string())
}

/// Waits for Ctrl-C, or for what the system sends to stop a service.
async fn stop_when_told(shutdown: CancellationToken) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            },
            Err(error) => {
                tracing::warn!(%error, "SIGTERM can't be listened for");
                let _ = tokio::signal::ctrl_c().await;
            }
        }
    }
    #[cfg(not(unix))]
    {
        let _ = tokio::signal::ctrl_c().await;
    }
    shutdown.cancel();
}
