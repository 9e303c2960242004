//! `tillwatch-connector`: enrolls a store, runs its agent, and tells what is wrong.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use tillwatch_connector::agent::{self, AgentOptions};
use tillwatch_connector::cloud_client::{CloudClient, Transport};
use tillwatch_connector::config::{self, Config};
use tillwatch_connector::pos::Pos;
use tillwatch_connector::{diagnose, identity};
use tillwatch_service::{Action, AsService, Definition, Lifecycle};
use tokio_util::sync::CancellationToken;

/// What is logged unless `RUST_LOG` says otherwise. What the verifier logs, our own errors tell in full.
const LOGGED: &str = "info,rustls_platform_verifier=off";
/// The name of the service that is installed unless another is given.
const SERVICE: &str = "tillwatch-connector";
/// An agent that gives no sign of life for so long hangs. Its loop waits for the disk at times.
const WATCHDOG: Duration = Duration::from_secs(90);
/// Held by the one connector that runs on a data dir.
const LOCK_FILE: &str = "connector.lock";

/// Keeps a store's link to the Tillwatch cloud and carries out its jobs.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes this store known to a cloud, by the one-time code that the cloud handed out.
    Enroll {
        /// Address of the cloud, such as `https://cloud.example:8443`.
        #[arg(long, env = "TILLWATCH_CONNECTOR_CLOUD")]
        cloud: String,
        /// The enrollment code.
        #[arg(long, env = "TILLWATCH_CONNECTOR_CODE", hide_env_values = true)]
        code: String,
        #[command(flatten)]
        store: Store,
        /// PEM file with the certificates to trust besides the system's.
        #[arg(long, env = "TILLWATCH_CONNECTOR_CA")]
        ca: Option<PathBuf>,
    },
    /// Keeps the link and carries out jobs, until it is told to stop.
    Run {
        #[command(flatten)]
        store: Store,
        /// The settings, instead of the data dir's connector.toml.
        #[arg(long, env = "TILLWATCH_CONNECTOR_CONFIG")]
        config: Option<PathBuf>,
        #[command(flatten)]
        as_service: AsService,
    },
    /// Makes this store's connector a service of the operating system, or starts, stops and removes it.
    Service {
        /// What to do.
        action: Action,
        /// What the system calls the service; one for each connector of the machine.
        #[arg(long, default_value = SERVICE)]
        name: String,
        #[command(flatten)]
        store: Store,
    },
    /// Checks, one after the other, what a store needs. Does not disturb a connector that runs.
    Diagnose {
        #[command(flatten)]
        store: Store,
        /// The settings, instead of the data dir's connector.toml.
        #[arg(long, env = "TILLWATCH_CONNECTOR_CONFIG")]
        config: Option<PathBuf>,
        /// Prints one JSON document.
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
struct Store {
    /// Where the store's files lie.
    #[arg(long, env = "TILLWATCH_CONNECTOR_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    // Err means that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system lets a program wait for events");
    match command {
        Command::Enroll { cloud, code, store, ca } => {
            tillwatch_service::run_once(LOGGED, runtime, enroll(&cloud, &code, store, ca.as_deref()))
        }
        Command::Run { store, config, as_service } => {
            tillwatch_service::run(&as_service, LOGGED, runtime, |lifecycle, shutdown| {
                run(store, config, lifecycle, shutdown)
            })
        }
        Command::Service { action, name, store } => tillwatch_service::run_once(
            LOGGED,
            runtime,
            tillwatch_service::carry_out(action, &name, || define(&name, store)),
        ),
        Command::Diagnose { store, config, json } => {
            tillwatch_service::run_once(LOGGED, runtime, checks(store, config.as_deref(), json))
        }
    }
}

async fn enroll(cloud: &str, code: &str, store: Store, ca: Option<&Path>) -> anyhow::Result<ExitCode> {
    let data_dir = data_dir(store)?;
    let config = config::load(&data_dir, None)?;
    let identity = identity::enroll(cloud, code, ca, config.proxy.as_ref(), &data_dir).await?;
    writeln!(std::io::stdout(), "enrolled as a POS server of {}", identity.outlet)?;
    let running = lock(&data_dir).is_err();
    #[cfg(unix)]
    tillwatch_service::leave_to_owner(&data_dir).await?;
    if running {
        tracing::warn!("a connector runs on this data dir; restart it, so that it takes the new identity");
    }
    if config.cloud.as_ref().is_some_and(|configured| *configured != identity.cloud) {
        tracing::warn!("connector.toml names another cloud; it stands over the one of this enrollment");
    }
    Ok(ExitCode::SUCCESS)
}

async fn run(
    store: Store,
    file: Option<PathBuf>,
    lifecycle: Lifecycle,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let data_dir = data_dir(store)?;
    let _lock = lock(&data_dir)?;
    let config = config::load(&data_dir, file.as_deref())?;
    let identity = identity::load(&data_dir)?;
    tracing::info!(outlet = identity.outlet, cloud = %identity.cloud, version = env!("CARGO_PKG_VERSION"), "starting");
    let pos = Pos::from_config(&config, &data_dir);
    agent::run(AgentOptions { data_dir, config, identity, pos, transport: None, lifecycle, shutdown })
        .await?;
    Ok(())
}

/// The connector as a service, with what its settings say that it needs.
fn define(name: &str, store: Store) -> anyhow::Result<Definition> {
    let data_dir = absolute(store)?;
    let config = config::load(&data_dir, None)?;
    Ok(Definition {
        name: name.to_owned(),
        description: format!("Tillwatch connector of the store in {}", data_dir.display()),
        program: std::env::current_exe().context("could not find this program's own file")?,
        arguments: vec!["run".into(), "--data-dir".into(), data_dir.clone().into()],
        writes: config.database_folders_elsewhere(&data_dir),
        data_dir,
        controls: config.pos.service,
        watchdog: Some(WATCHDOG),
        runs_foreign_program: config.pos.command.is_some(),
    })
}

async fn checks(store: Store, file: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let data_dir = data_dir(store)?;
    let config = config::load(&data_dir, file)?;
    let client = client(&config, &data_dir)?;
    let source = Pos::from_config(&config, &data_dir).source;
    let report = diagnose::ask_pos(source, &client, &data_dir).await;
    let subject = diagnose::Subject { client: &client, report, data_dir: &data_dir };
    let checks = diagnose::run(&subject, |_| {}).await;
    let ok = checks.iter().all(|check| check.ok);
    let mut stdout = std::io::stdout();
    if json {
        writeln!(stdout, "{}", serde_json::json!({ "checks": checks }))?;
    } else {
        for check in &checks {
            let result = if check.ok { "ok" } else { "FAILED" };
            // What a POS server says may hold line breaks.
            let detail = check.detail.replace(char::is_control, " ");
            writeln!(stdout, "{:<10}  {result:<6}  {:>6} ms  {detail}", check.name, check.millis)?;
        }
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn client(config: &Config, data_dir: &Path) -> anyhow::Result<CloudClient> {
    let mut identity = identity::load(data_dir)?;
    if let Some(cloud) = &config.cloud {
        identity.cloud = cloud.clone();
    }
    let ca = config.ca.as_ref().map(|ca| data_dir.join(ca)).or_else(|| identity::ca_file(data_dir));
    Ok(CloudClient::new(&identity, Transport::new(ca.as_deref(), config.proxy.as_ref())?)?)
}

/// The data dir, which is made if need be.
fn data_dir(store: Store) -> anyhow::Result<PathBuf> {
    let dir = absolute(store)?;
    std::fs::create_dir_all(&dir)
        .with_context(|| format!("could not make the data dir {}", dir.display()))?;
    Ok(dir)
}

/// The data dir as an absolute path: children and services get it, whatever their working folder is.
fn absolute(store: Store) -> anyhow::Result<PathBuf> {
    let dir = store.data_dir.unwrap_or_else(default_data_dir);
    std::path::absolute(&dir).with_context(|| format!("could not find the data dir {}", dir.display()))
}

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

/// Two connectors on one data dir would do each job twice.
fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join(LOCK_FILE);
    let file = File::create(&path).with_context(|| format!("could not open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another connector runs on {}", data_dir.display()),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("could not lock {}", path.display()))
        }
    }
}
