//! What is installed, and why it can't be.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A program as a service.
#[derive(Clone, Debug)]
pub struct Definition {
    /// What the operating system calls it.
    pub name: String,
    /// One line for whoever reads the list of services.
    pub description: String,
    /// The program, as an absolute path.
    pub program: PathBuf,
    /// Its arguments, `run` first.
    pub arguments: Vec<OsString>,
    /// The store's data dir, as an absolute path. It is made if it is not there.
    pub data_dir: PathBuf,
    /// Folders outside of the data dir that it changes files in.
    pub writes: Vec<PathBuf>,
    /// The service of the operating system that it stops and starts.
    pub controls: Option<String>,
    /// How long it may give no sign of life before it is ended and started again; it must then call
    /// [`Lifecycle::alive`](crate::Lifecycle::alive). Only systemd watches.
    pub watchdog: Option<Duration>,
    /// Whether it starts a program of somebody else, which may make its code while it runs.
    pub runs_foreign_program: bool,
}

/// Why the operating system does not have a service as it was wanted.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The name can't be one everywhere.
    #[error(
        "`{0}` can't be the name of a service: up to 80 letters, digits, `-`, `_` and `.`, a letter or digit first"
    )]
    Name(String),
    /// Who asks may not.
    #[error("this needs the rights of an administrator: {HOW_TO_GET_RIGHTS}")]
    NoRights,
    /// There is such a service already.
    #[error("there is a service {0} already; uninstall it first, or choose another with --name")]
    Taken(String),
    /// There is no such service.
    #[error("there is no service {0}; `service install` makes it")]
    NotInstalled(String),
    /// A name that was mistyped must not remove what others have installed.
    #[error("{0} is a service, but none that `service install` has made")]
    NotOurs(String),
    /// The folder belongs to something else, whose rights must not be changed.
    #[error("{} has files in it, and is not the data dir of a store", .0.display())]
    NotAStore(PathBuf),
    /// A file or folder can't be used.
    #[error("could not {doing} {}", path.display())]
    File {
        /// What was done to it.
        doing: &'static str,
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The operating system refused.
    #[error("could not {doing}: {reason}")]
    System {
        /// What was asked.
        doing: String,
        /// What the system says.
        reason: String,
    },
}

const HOW_TO_GET_RIGHTS: &str =
    if cfg!(windows) { "use a command prompt that was opened as administrator" } else { "use sudo" };

/// What lies in a store's data dir once it is enrolled or has run.
const MARKS_OF_A_STORE: &[&str] = &["identity", "connector.toml", "connector.lock", "pos", "journal"];

impl ServiceError {
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }
}

/// Whether a name can be that of a unit, a launchd label, a Windows service and a file.
pub(crate) fn check_name(name: &str) -> Result<(), ServiceError> {
    let fine = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if name.len() <= 80
        && name.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && name.chars().all(fine)
    {
        Ok(())
    } else {
        Err(ServiceError::Name(name.to_owned()))
    }
}

/// Sees to the folders that a service is given.
pub(crate) fn prepare_folders(definition: &Definition) -> Result<(), ServiceError> {
    for folder in &definition.writes {
        std::fs::read_dir(folder).map_err(ServiceError::file("read", folder))?;
    }
    prepare_data_dir(&definition.data_dir)
}

/// Makes the data dir if need be. One that holds something else is refused: its owner and rights are about
/// to be changed.
fn prepare_data_dir(dir: &Path) -> Result<(), ServiceError> {
    std::fs::create_dir_all(dir).map_err(ServiceError::file("make", dir))?;
    let mut entries = std::fs::read_dir(dir).map_err(ServiceError::file("read", dir))?;
    if entries.next().is_none() || MARKS_OF_A_STORE.iter().any(|name| dir.join(name).exists()) {
        Ok(())
    } else {
        Err(ServiceError::NotAStore(dir.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_on_every_system() {
        for good in ["tillwatch-connector", "POS_2", "com.example.pos", "7"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-x", ".x", "a b", "a/b", "a\\b", "a@b", "a\"b", "käse", &"x".repeat(81)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_stores_folder_changes_hands() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("stores/one");
        prepare_data_dir(&new).unwrap();
        std::fs::write(new.join("letter.txt"), "dear").unwrap();
        assert!(matches!(prepare_data_dir(&new), Err(ServiceError::NotAStore(_))));
        std::fs::create_dir(new.join("identity")).unwrap();
        prepare_data_dir(&new).unwrap();
    }
}
