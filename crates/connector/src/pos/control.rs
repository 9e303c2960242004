//! Stop and start of a POS server, by whatever means it has.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::child::{self, ChildState};
use super::{Control, HostedCommand};

/// How long the OS may take to stop or start a service.
const SERVICE_TIMEOUT: Duration = Duration::from_mins(2);
/// How often the OS is asked whether a silent service is stopped.
const SERVICE_CHECK_EVERY: Duration = Duration::from_secs(15);

/// Why a POS server could not be stopped or started.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The tool of the OS is missing or can't be run.
    #[error("could not run {tool}: {reason}")]
    Tool {
        /// Its name.
        tool: &'static str,
        /// Why.
        reason: String,
    },
    /// The OS refused.
    #[error("the service {service} could not be {wanted}: {reason}")]
    Service {
        /// Its name.
        service: String,
        /// What was wanted.
        wanted: &'static str,
        /// What the OS says.
        reason: String,
    },
    /// Who supervises the POS server is gone.
    #[error("the POS server is no longer supervised")]
    Gone,
}

/// Stops and starts one POS server.
pub(super) enum Controller {
    Service { name: String, checked: Mutex<Option<(Instant, bool)>> },
    Child { commands: mpsc::Sender<HostedCommand>, state: watch::Receiver<ChildState> },
    Hosted { commands: mpsc::Sender<HostedCommand>, stopped: watch::Sender<bool> },
}

impl Controller {
    /// The controller, and the address that a child prints.
    pub(super) fn spawn(
        control: Control,
        data_dir: &Path,
        held: bool,
        shutdown: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> (Self, watch::Receiver<Option<Url>>) {
        let (address, printed) = watch::channel(None);
        let controller = match control {
            Control::Service { name } => Self::Service { name, checked: Mutex::default() },
            Control::Hosted(commands) => Self::Hosted { commands, stopped: watch::Sender::new(held) },
            Control::Child { command, proxy } => {
                let (commands, orders) = mpsc::channel(4);
                // One that is about to be started is not known to be stopped.
                let (running, state) =
                    watch::channel(if held { ChildState::Stopped } else { ChildState::Running });
                let child = child::Supervisor {
                    command,
                    proxy,
                    data_dir: data_dir.to_owned(),
                    state: running,
                    address,
                    shutdown: shutdown.clone(),
                };
                tasks.spawn(child.run(orders, !held));
                Self::Child { commands, state }
            }
        };
        (controller, printed)
    }

    pub(super) async fn stop(&self) -> Result<(), ControlError> {
        match self {
            Self::Service { name, checked } => {
                service(name, Verb::Stop).await?;
                *checked.lock().await = None;
                Ok(())
            }
            Self::Child { commands, .. } => order(commands, HostedCommand::Stop).await,
            Self::Hosted { commands, stopped } => {
                order(commands, HostedCommand::Stop).await?;
                stopped.send_replace(true);
                Ok(())
            }
        }
    }

    pub(super) async fn start(&self) -> Result<(), ControlError> {
        match self {
            Self::Service { name, checked } => {
                service(name, Verb::Start).await?;
                *checked.lock().await = None;
                Ok(())
            }
            Self::Child { commands, .. } => order(commands, HostedCommand::Start).await,
            Self::Hosted { commands, stopped } => {
                order(commands, HostedCommand::Start).await?;
                stopped.send_replace(false);
                Ok(())
            }
        }
    }

    /// Whether the POS server is known to be stopped, rather than silent.
    pub(super) async fn is_stopped(&self) -> bool {
        match self {
            Self::Service { name, checked } => {
                let mut checked = checked.lock().await;
                if let Some((at, stopped)) = *checked
                    && at.elapsed() < SERVICE_CHECK_EVERY
                {
                    return stopped;
                }
                let stopped = service_is_stopped(name).await;
                *checked = Some((Instant::now(), stopped));
                stopped
            }
            Self::Child { state, .. } => *state.borrow() == ChildState::Stopped,
            Self::Hosted { stopped, .. } => *stopped.borrow(),
        }
    }
}

async fn order(
    commands: &mpsc::Sender<HostedCommand>,
    command: impl FnOnce(oneshot::Sender<()>) -> HostedCommand,
) -> Result<(), ControlError> {
    let (done, answer) = oneshot::channel();
    commands.send(command(done)).await.map_err(|_| ControlError::Gone)?;
    answer.await.map_err(|_| ControlError::Gone)
}

#[derive(Clone, Copy)]
enum Verb {
    Stop,
    Start,
}

impl Verb {
    fn done(self) -> &'static str {
        match self {
            Self::Stop => "stopped",
            Self::Start => "started",
        }
    }
}

/// The OS's own tool: it waits until the service has stopped or started, and asks for no input.
fn service_tool(name: &str, verb: Verb) -> (&'static str, Vec<String>) {
    let verb = match verb {
        Verb::Stop => "stop",
        Verb::Start => "start",
    };
    if cfg!(windows) {
        ("net", vec![verb.into(), name.into()])
    } else if cfg!(target_os = "macos") {
        ("launchctl", vec![verb.into(), name.into()])
    } else {
        ("systemctl", vec!["--no-ask-password".into(), verb.into(), name.into()])
    }
}

async fn service(name: &str, verb: Verb) -> Result<(), ControlError> {
    let (tool, arguments) = service_tool(name, verb);
    let output = run(tool, &arguments).await?;
    if output.status.success() || (cfg!(windows) && already(verb, name).await) {
        return Ok(());
    }
    let text = if output.stderr.is_empty() { output.stdout } else { output.stderr };
    Err(ControlError::Service {
        service: name.to_owned(),
        wanted: verb.done(),
        reason: String::from_utf8_lossy(&text).trim().chars().take(500).collect(),
    })
}

/// `net stop` fails on a service that is stopped, `net start` on one that runs.
async fn already(verb: Verb, name: &str) -> bool {
    let stopped = service_is_stopped(name).await;
    match verb {
        Verb::Stop => stopped,
        Verb::Start => !stopped,
    }
}

async fn service_is_stopped(name: &str) -> bool {
    let (tool, arguments): (_, Vec<String>) = if cfg!(windows) {
        ("sc", vec!["query".into(), name.into()])
    } else if cfg!(target_os = "macos") {
        ("launchctl", vec!["list".into(), name.into()])
    } else {
        ("systemctl", vec!["is-active".into(), name.into()])
    };
    let Ok(output) = run(tool, &arguments).await else { return false };
    let text = String::from_utf8_lossy(&output.stdout);
    if cfg!(windows) {
        text.contains("STOPPED")
    } else if cfg!(target_os = "macos") {
        !text.contains("\"PID\"")
    } else {
        matches!(text.trim(), "inactive" | "failed")
    }
}

async fn run(tool: &'static str, arguments: &[String]) -> Result<std::process::Output, ControlError> {
    let output = Command::new(tool).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    match tokio::time::timeout(SERVICE_TIMEOUT, output).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(ControlError::Tool { tool, reason: error.to_string() }),
        Err(_) => Err(ControlError::Tool { tool, reason: "it took too long".into() }),
    }
}
