//! Which downloads are under way, so that they go on when the app was closed meanwhile: `downloads.json`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::{Target, remove};
use crate::core::lock;
use crate::ipc::Archive;

const FILE: &str = "downloads.json";

/// A download that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The cloud's address.
    pub(crate) url: String,
    /// The user's e-mail there.
    pub(crate) email: String,
    /// What is downloaded.
    pub(crate) archive: Archive,
    /// As which file.
    pub(crate) path: PathBuf,
}

impl Pending {
    fn is_of(&self, url: &str, email: &str) -> bool {
        self.url == url && self.email == email
    }
}

/// The downloads under way, in memory and on the disk.
#[derive(Debug)]
pub(super) struct Journal {
    file: PathBuf,
    pending: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    all: Vec<Pending>,
    /// Those that an earlier run of the app, or the end of a session, left and nobody has taken up yet.
    left: Vec<Pending>,
}

impl Journal {
    /// Reads what an earlier run of the app left in `home`. A file that can't be read is as good as none: what it
    /// named is asked for again by whoever misses it.
    pub(super) fn open(home: &Path) -> Self {
        let file = home.join(FILE);
        let left: Vec<Pending> = match std::fs::read(&file) {
            Ok(json) => serde_json::from_slice(&json).unwrap_or_else(|error| {
                tracing::warn!(%error, "the list of downloads could not be read");
                Vec::new()
            }),
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    tracing::warn!(%error, "the list of downloads could not be read");
                }
                Vec::new()
            }
        };
        Self { file, pending: Mutex::new(State { all: left.clone(), left }) }
    }

    /// Writes down that a download begins.
    pub(super) fn begin(&self, pending: Pending) {
        let mut state = lock(&self.pending);
        state.all.retain(|other| other.path != pending.path);
        state.all.push(pending);
        self.write(&state);
    }

    /// Writes down that it ended, in whatever way.
    pub(super) fn end(&self, path: &Path) {
        let mut state = lock(&self.pending);
        state.all.retain(|other| other.path != path);
        self.write(&state);
    }

    /// Leaves a download that has begun for when its user goes on.
    pub(super) fn leave(&self, pending: Pending) {
        lock(&self.pending).left.push(pending);
    }

    /// Those of a user that were left; each is given once.
    pub(super) fn take_left(&self, url: &str, email: &str) -> Vec<Pending> {
        let mut state = lock(&self.pending);
        let (taken, left) =
            std::mem::take(&mut state.left).into_iter().partition(|one| one.is_of(url, email));
        state.left = left;
        taken
    }

    /// Forgets what was left of a user, and removes what arrived of it.
    pub(super) async fn forget_left(&self, url: &str, email: &str) {
        let left = self.take_left(url, email);
        {
            let mut state = lock(&self.pending);
            state.all.retain(|pending| !left.contains(pending));
            self.write(&state);
        }
        for pending in left {
            remove(&Target::new(pending.path).part).await;
        }
    }

    /// A journal that can't be written stops no download: it only does not go on after a restart.
    fn write(&self, state: &State) {
        if state.all.is_empty() {
            match std::fs::remove_file(&self.file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(%error, "the list of downloads could not be removed");
                }
                _ => {}
            }
            return;
        }
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let written = serde_json::to_vec(&state.all).map_err(std::io::Error::other).and_then(|json| {
            let mut file = NamedTempFile::new_in(folder)?;
            file.write_all(&json)?;
            file.as_file().sync_all()?;
            file.persist(&self.file).map_err(|error| error.error)
        });
        if let Err(error) = written {
            tracing::warn!(%error, "the list of downloads could not be written");
        }
    }
}
