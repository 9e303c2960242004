//! `service install|start|stop|status|uninstall`: what can be asked, and what is said.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use crate::definition::{Definition, ServiceError, check_name};

#[cfg(target_os = "macos")]
use crate::launchd as manager;
#[cfg(target_os = "linux")]
use crate::systemd as manager;
#[cfg(windows)]
use crate::windows as manager;

/// What `service` can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Action {
    /// Makes the service, which then starts with the machine; does not start it now
    Install,
    /// Starts it now
    Start,
    /// Stops it until it is started or the machine starts
    Stop,
    /// Prints `running`, `stopped` or `not installed`, and exits with 0, 3 or 4
    Status,
    /// Stops and removes it; the data dir stays as it is
    Uninstall,
}

/// What a service does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It runs, or is about to, or is not yet done with stopping.
    Running,
    Stopped,
    NotInstalled,
}

impl Status {
    /// As an init script of the Linux Standard Base answers to `status`.
    fn exit_code(self) -> u8 {
        match self {
            Self::Running => 0,
            Self::Stopped => 3,
            Self::NotInstalled => 4,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::NotInstalled => "not installed",
        }
    }
}

/// Does what was asked with the service of this name, and says so on standard output. `define` is called only
/// where it matters what the service is.
pub async fn carry_out(
    action: Action,
    name: &str,
    define: impl FnOnce() -> anyhow::Result<Definition>,
) -> anyhow::Result<ExitCode> {
    check_name(name)?;
    match action {
        Action::Install => {
            let definition = define()?;
            manager::install(&definition).await?;
            say(format_args!(
                "{name} is installed and starts with the machine; `service start` starts it now"
            ));
        }
        Action::Start => {
            manager::start(name).await?;
            say(format_args!("{name} is running"));
        }
        Action::Stop => {
            manager::stop(name).await?;
            say(format_args!("{name} is stopped"));
        }
        Action::Status => {
            let status = manager::status(name).await?;
            say(status.words());
            return Ok(ExitCode::from(status.exit_code()));
        }
        Action::Uninstall => {
            // Settings that can't be read any more keep nobody from being rid of the service.
            let definition = define().ok();
            match manager::uninstall(name, definition.as_ref()).await {
                Ok(()) => say(format_args!("{name} is uninstalled; its data dir is left as it is")),
                Err(ServiceError::NotInstalled(_)) => say(format_args!("{name} is not installed")),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn say(what: impl Display) {
    // Nobody may be reading any more.
    let _ = writeln!(std::io::stdout(), "{what}");
}
