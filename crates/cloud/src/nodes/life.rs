//! Which nodes lived in a data directory and do no longer.
//!
//! Each process holds a lock on a file of its own there for as long as it lives; the system lets go of it however the
//! process ends. So one that starts knows at once which of the nodes are earlier lives, under whatever address they
//! served, and needs no lease to run out. Of nodes on other machines it shows nothing.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use uuid::Uuid;

const FOLDER: &str = "nodes";

/// That this process lives. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Life {
    _lock: File,
}

impl Life {
    /// Begins the life of a node.
    pub(crate) fn begin(data_dir: &Path, node: Uuid) -> io::Result<Self> {
        let folder = data_dir.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let lock = File::create_new(folder.join(node.to_string()))?;
        lock.lock()?;
        Ok(Self { _lock: lock })
    }
}

/// Nodes that lived here and do no longer. Each is told once: nothing is left of it then.
pub(crate) fn ended(data_dir: &Path) -> io::Result<Vec<Uuid>> {
    let mut ended = Vec::new();
    for entry in fs::read_dir(data_dir.join(FOLDER))? {
        let entry = entry?;
        let Some(node) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let lock = match File::open(entry.path()) {
            Ok(lock) => lock,
            // Another that starts has seen to it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        match lock.try_lock() {
            Ok(()) => {
                fs::remove_file(entry.path())?;
                ended.push(node);
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_life_is_over_when_its_lock_is_free() {
        let dir = TempDir::new().unwrap();
        let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
        let life = Life::begin(dir.path(), first).unwrap();
        drop(Life::begin(dir.path(), second).unwrap());

        assert_eq!(ended(dir.path()).unwrap(), [second]);
        assert!(ended(dir.path()).unwrap().is_empty());
        drop(life);
        assert_eq!(ended(dir.path()).unwrap(), [first]);
        assert_eq!(fs::read_dir(dir.path().join(FOLDER)).unwrap().count(), 0);
    }
}
