//! `tillwatch-pos-server`: the command line of the POS server.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tillwatch_pos_server::{DEFAULT_POS_VERSION, Options, RunError};
use tillwatch_protocol::device::is_safe_cloud;
use tillwatch_protocol::link::version::PosVersion;
use tillwatch_service::{Action, AsService, Definition, Lifecycle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

/// What is logged unless `RUST_LOG` says otherwise.
const LOGGED: &str = "info";
/// The name of the service that is installed unless another is given.
const SERVICE: &str = "tillwatch-pos-server";
/// Where a POS server reports when it is a connector's child, which reads the address that is printed.
const ANY_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Where one reports that is a service: connector.toml has to name it.
const SERVICE_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9434);

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
        #[command(flatten)]
        pos: PosServer,
        #[command(flatten)]
        as_service: AsService,
    },
    /// Makes the POS server a service of the operating system, or starts, stops and removes it. Only where it is
    /// not its connector's child.
    Service {
        /// What to do.
        action: Action,
        /// What the system calls the service.
        #[arg(long, default_value = SERVICE)]
        name: String,
        #[command(flatten)]
        pos: PosServer,
    },
}

#[derive(clap::Args)]
struct PosServer {
    /// The store's data dir, shared with its connector.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The cloud to exchange with; the identity's by default.
    #[arg(long, value_parser = cloud)]
    cloud: Option<Url>,
    /// The loopback address to report on; 127.0.0.1:0, and that of a service 127.0.0.1:9434, by default.
    #[arg(long)]
    report: Option<SocketAddr>,
    /// The version that is installed.
    #[arg(long, default_value = DEFAULT_POS_VERSION, value_parser = pos_version)]
    pos_version: String,
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    // An error means that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().expect("the system gives a program its threads");
    match command {
        Command::Run { pos, as_service } => {
            tillwatch_service::run(&as_service, LOGGED, runtime, |lifecycle, shutdown| {
                run(pos, lifecycle, shutdown)
            })
        }
        Command::Service { action, name, pos } => tillwatch_service::run_once(
            LOGGED,
            runtime,
            tillwatch_service::carry_out(action, &name, || define(&name, pos)),
        ),
    }
}

async fn run(pos: PosServer, lifecycle: Lifecycle, shutdown: CancellationToken) -> anyhow::Result<()> {
    let report = loopback(pos.report.unwrap_or(ANY_ADDRESS))?;
    let listener = TcpListener::bind(report)
        .await
        .with_context(|| format!("listening on {report} for the connector"))?;
    let address = listener.local_addr().context("reading the address that was listened on")?;
    // Not println!, which panics when nobody reads any more.
    let _ = writeln!(std::io::stdout(), "reporting on http://{address}");
    lifecycle.ready();
    let data_dir = pos.data_dir.unwrap_or_else(default_data_dir);
    let options = Options { data_dir, cloud: pos.cloud, pos_version: pos.pos_version };
    tillwatch_pos_server::run(options, listener, shutdown).await?;
    Ok(())
}

/// The POS server as a service.
fn define(name: &str, pos: PosServer) -> anyhow::Result<Definition> {
    let dir = pos.data_dir.unwrap_or_else(default_data_dir);
    let data_dir = std::path::absolute(&dir)
        .with_context(|| format!("could not find the data dir {}", dir.display()))?;
    let report = loopback(pos.report.unwrap_or(SERVICE_ADDRESS))?.to_string();
    let mut arguments = vec!["run".into(), "--data-dir".into(), data_dir.clone().into()];
    arguments.extend(["--report", &report, "--pos-version", &pos.pos_version].map(Into::into));
    if let Some(cloud) = &pos.cloud {
        arguments.extend(["--cloud", cloud.as_str()].map(Into::into));
    }
    Ok(Definition {
        name: name.to_owned(),
        description: format!("Tillwatch POS server of the store in {}", data_dir.display()),
        program: std::env::current_exe().context("could not find this program's own file")?,
        arguments,
        data_dir,
        writes: Vec::new(),
        controls: None,
        // Its connector sees when it does not answer.
        watchdog: None,
        runs_foreign_program: false,
    })
}

fn loopback(report: SocketAddr) -> Result<SocketAddr, RunError> {
    if report.ip().is_loopback() { Ok(report) } else { Err(RunError::NotLoopback(report)) }
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
    if is_safe_cloud(&url) {
        Ok(url)
    } else {
        Err("it must begin with https://, such as https://cloud.example:8443".to_owned())
    }
}

fn pos_version(text: &str) -> Result<String, String> {
    text.parse::<PosVersion>().map(|_| text.trim().to_owned()).map_err(|error| error.to_string())
}
