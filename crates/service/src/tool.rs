//! The tools of Unix systems that manage services and users.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;

use crate::definition::ServiceError;

/// Gives what root made in a store's data dir to the dir's owner, the user that the service runs as. Does
/// nothing for anybody else, and where there is no such difference.
pub async fn leave_to_owner(data_dir: &Path) -> Result<(), ServiceError> {
    let dir = std::fs::metadata(data_dir).map_err(ServiceError::file("look at", data_dir))?;
    if need_root().is_ok() && dir.uid() != 0 {
        give(data_dir, &format!("{}:{}", dir.uid(), dir.gid())).await?;
    }
    Ok(())
}

/// Runs a tool, whatever its exit code is.
pub(crate) async fn ask(tool: &str, arguments: &[&str]) -> Result<Output, ServiceError> {
    let mut command = Command::new(tool);
    // What a tool says is shown to people, and what it prints is compared.
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    command
        .output()
        .await
        .map_err(|error| ServiceError::System { doing: format!("run {tool}"), reason: error.to_string() })
}

/// Runs a tool that must succeed.
pub(crate) async fn order(tool: &str, arguments: &[&str]) -> Result<(), ServiceError> {
    let output = ask(tool, arguments).await?;
    if output.status.success() {
        return Ok(());
    }
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    let said = String::from_utf8_lossy(said).trim().replace('\n', "; ");
    let reason = if said.is_empty() { output.status.to_string() } else { said };
    Err(ServiceError::System { doing: format!("{tool} {}", arguments.join(" ")), reason })
}

/// Gives a store's files to a user. Links are given, not what they point to.
pub(crate) async fn give(dir: &Path, owner: &str) -> Result<(), ServiceError> {
    order("chown", &["-R", "-h", owner, "--", &dir.to_string_lossy()]).await
}

/// Only root makes services of the system.
pub(crate) fn need_root() -> Result<(), ServiceError> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(ServiceError::NoRights) }
}
