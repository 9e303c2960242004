//! Services of macOS.
//!
//! launchd lets only root stop another service: a connector that stops and starts one runs as root, any other
//! as `daemon`, the user that macOS keeps for programs without rights.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::command::Status;
use crate::definition::{Definition, ServiceError, prepare_folders};
use crate::property_list::{self, STOP_SECONDS};
use crate::tool::{ask, give, need_root, order};

/// How often launchd is asked whether a service is gone.
const ASK_EVERY: Duration = Duration::from_millis(200);

pub(crate) async fn install(definition: &Definition) -> Result<(), ServiceError> {
    let name = definition.name.as_str();
    need_root()?;
    let path = file(name);
    if path.exists() || is_loaded(name).await? {
        return Err(ServiceError::Taken(name.to_owned()));
    }
    prepare_folders(definition)?;
    let user = if definition.controls.is_some() { "root" } else { "daemon" };
    give(&definition.data_dir, &format!("{user}:daemon")).await?;
    let text = property_list::text(definition, user);
    let written = fs::File::create_new(&path).and_then(|mut file| {
        file.write_all(&text)?;
        // launchd takes no file that others can write, and whoever is curious may read it.
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.sync_all()
    });
    written.map_err(ServiceError::file("write", &path))
}

pub(crate) async fn start(name: &str) -> Result<(), ServiceError> {
    let path = need(name)?;
    if is_loaded(name).await? {
        return order("launchctl", &["kickstart", &target(name)]).await;
    }
    order("launchctl", &["bootstrap", "system", &path.to_string_lossy()]).await
}

/// Stopped is not loaded: launchd starts again what it holds.
pub(crate) async fn stop(name: &str) -> Result<(), ServiceError> {
    need(name)?;
    if !is_loaded(name).await? {
        return Ok(());
    }
    // It may answer that it is still at it.
    let answer = order("launchctl", &["bootout", &target(name)]).await;
    let until = Instant::now() + Duration::from_secs(STOP_SECONDS.into());
    while is_loaded(name).await? {
        if Instant::now() >= until {
            return answer.and(Err(ServiceError::System {
                doing: format!("stop {name}"),
                reason: "it took too long".into(),
            }));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    Ok(())
}

pub(crate) async fn status(name: &str) -> Result<Status, ServiceError> {
    if !file(name).exists() {
        return Ok(Status::NotInstalled);
    }
    let output = ask("launchctl", &["print", &target(name)]).await?;
    let runs = output.status.success()
        && String::from_utf8_lossy(&output.stdout).lines().any(|line| line.trim() == "state = running");
    Ok(if runs { Status::Running } else { Status::Stopped })
}

pub(crate) async fn uninstall(name: &str, _: Option<&Definition>) -> Result<(), ServiceError> {
    let path = need(name)?;
    let text = fs::read_to_string(&path).map_err(ServiceError::file("read", &path))?;
    if !property_list::is_ours(&text) {
        return Err(ServiceError::NotOurs(name.to_owned()));
    }
    stop(name).await?;
    fs::remove_file(&path).map_err(ServiceError::file("remove", &path))
}

fn file(name: &str) -> PathBuf {
    Path::new("/Library/LaunchDaemons").join(format!("{name}.plist"))
}

fn target(name: &str) -> String {
    format!("system/{name}")
}

fn need(name: &str) -> Result<PathBuf, ServiceError> {
    need_root()?;
    let path = file(name);
    if path.exists() { Ok(path) } else { Err(ServiceError::NotInstalled(name.to_owned())) }
}

async fn is_loaded(name: &str) -> Result<bool, ServiceError> {
    Ok(ask("launchctl", &["print", &target(name)]).await?.status.success())
}
