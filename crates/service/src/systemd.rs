//! Services of systemd.
//!
//! All of a machine's stores run as one user, `tillwatch`: a connector and a POS server that is a service of
//! its own share a data dir. What keeps them off each other's and everybody else's files is the unit's sandbox.

mod unit;

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::command::Status;
use crate::definition::{Definition, ServiceError, prepare_folders};
use crate::tool::{ask, give, need_root, order};

/// The user, and the file that tells systemd-sysusers of it.
const USER: &str = "tillwatch";
const USERS_FILE: &str = "/etc/sysusers.d/tillwatch.conf";
const USERS: &str = "u tillwatch - \"Tillwatch's programs of a store\"\n";

pub(crate) async fn install(definition: &Definition) -> Result<(), ServiceError> {
    let name = definition.name.as_str();
    need_root()?;
    if !is_free(name).await? {
        return Err(ServiceError::Taken(name.to_owned()));
    }
    prepare_folders(definition)?;
    make_user().await?;
    give(&definition.data_dir, &format!("{USER}:{USER}")).await?;
    let files = files(definition);
    let mut made = Vec::new();
    let installed = async {
        for (path, text) in &files {
            write_new(path, text)?;
            made.push(path);
        }
        order("systemctl", &["daemon-reload"]).await?;
        order("systemctl", &["enable", "--quiet", &unit_name(name)]).await
    };
    let installed = installed.await;
    if installed.is_err() {
        for path in made {
            // Half a service is none.
            let _ = fs::remove_file(path);
        }
        let _ = order("systemctl", &["daemon-reload"]).await;
    }
    installed
}

pub(crate) async fn start(name: &str) -> Result<(), ServiceError> {
    need(name).await?;
    // What systemd says to a service that ends at once names the log to look at.
    order("systemctl", &["start", &unit_name(name)]).await
}

pub(crate) async fn stop(name: &str) -> Result<(), ServiceError> {
    need(name).await?;
    order("systemctl", &["stop", &unit_name(name)]).await
}

pub(crate) async fn status(name: &str) -> Result<Status, ServiceError> {
    let [load, active, sub] = states(name).await?;
    Ok(match (load.as_str(), active.as_str(), sub.as_str()) {
        ("not-found", ..) => Status::NotInstalled,
        // One that keeps ending does not run, whatever systemd is about to try.
        (_, "inactive" | "failed", _) | (.., "auto-restart") => Status::Stopped,
        _ => Status::Running,
    })
}

pub(crate) async fn uninstall(name: &str, _: Option<&Definition>) -> Result<(), ServiceError> {
    need(name).await?;
    if !fs::read_to_string(unit_file(name)).is_ok_and(|text| text.starts_with(unit::FIRST_LINE)) {
        return Err(ServiceError::NotOurs(name.to_owned()));
    }
    order("systemctl", &["disable", "--quiet", "--now", &unit_name(name)]).await?;
    for path in [unit_file(name), rule_file(name)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ServiceError::file("remove", &path)(error));
            }
            _ => {}
        }
    }
    order("systemctl", &["daemon-reload"]).await?;
    // A unit that had failed would still be listed. One that had not can't be reset, which is as good.
    let _ = order("systemctl", &["reset-failed", &unit_name(name)]).await;
    Ok(())
}

/// What a service consists of, in the order in which it is written.
fn files(definition: &Definition) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    if let Some(pos) = &definition.controls {
        files.push((rule_file(&definition.name), unit::polkit_rule(pos, USER)));
    }
    files.push((unit_file(&definition.name), unit::text(definition, USER)));
    files
}

fn unit_name(name: &str) -> String {
    format!("{name}.service")
}

fn unit_file(name: &str) -> PathBuf {
    Path::new("/etc/systemd/system").join(unit_name(name))
}

fn rule_file(name: &str) -> PathBuf {
    PathBuf::from(format!("/etc/polkit-1/rules.d/60-{name}.rules"))
}

async fn make_user() -> Result<(), ServiceError> {
    let path = Path::new(USERS_FILE);
    fs::create_dir_all("/etc/sysusers.d")
        .map_err(ServiceError::file("make", Path::new("/etc/sysusers.d")))?;
    fs::write(path, USERS).map_err(ServiceError::file("write", path))?;
    order("systemd-sysusers", &[USERS_FILE]).await
}

fn write_new(path: &Path, text: &str) -> Result<(), ServiceError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(ServiceError::file("make", folder))?;
    let written = fs::File::create_new(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        // Not only root reads it: polkit has a user of its own.
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.sync_all()
    });
    written.map_err(ServiceError::file("write", path))
}

async fn need(name: &str) -> Result<(), ServiceError> {
    need_root()?;
    if is_free(name).await? { Err(ServiceError::NotInstalled(name.to_owned())) } else { Ok(()) }
}

async fn is_free(name: &str) -> Result<bool, ServiceError> {
    Ok(states(name).await?[0] == "not-found")
}

/// Whether the unit is known, whether it runs, and that in more words.
async fn states(name: &str) -> Result<[String; 3], ServiceError> {
    let keys = ["LoadState", "ActiveState", "SubState"];
    let output = ask("systemctl", &["show", "--property", &keys.join(","), &unit_name(name)]).await?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        return Err(ServiceError::System { doing: format!("ask systemd about {name}"), reason });
    }
    // The order of the lines is systemd's to choose.
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = |key: &str| lines.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    Ok(keys.map(|key| value(key).unwrap_or_default().to_owned()))
}
