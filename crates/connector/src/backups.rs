//! Databases that were moved away, so that they can be put back: `DIR/backups/<id>/`.

use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tillwatch_protocol::ids::{BackupId, JobId};
use tillwatch_protocol::rest::backup::DatabaseBackup;

use crate::files::{self, Access};

/// The folder's name within the data dir.
const DIR: &str = "backups";
/// Describes a backup, within its folder.
const MANIFEST_FILE: &str = "backup.json";
/// How many are kept.
const KEPT: usize = 3;

/// One backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Backup {
    /// Its id, and its folder's name.
    pub(crate) id: BackupId,
    /// Which generation it was.
    pub(crate) generation: i64,
    /// When it was moved away.
    pub(crate) made_at: DateTime<Utc>,
    /// By which job.
    pub(crate) job_id: JobId,
    /// Its files.
    pub(crate) files: Vec<BackupFile>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BackupFile {
    /// Where it lay.
    pub(crate) original: PathBuf,
    /// Its name within the backup's folder.
    pub(crate) name: String,
    /// Its size.
    pub(crate) size_bytes: u64,
}

/// The backups of one store.
#[derive(Clone, Debug)]
pub(crate) struct Backups {
    dir: PathBuf,
}

impl Backups {
    /// Those in a data dir.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { dir: data_dir.join(DIR) }
    }

    /// Moves `originals` into the backup `id`. To repeat it after it was cut off does what is left to do:
    /// the list of files is written before the first one moves.
    pub(crate) fn move_away(
        &self,
        id: BackupId,
        generation: i64,
        job_id: JobId,
        originals: &[PathBuf],
        now: DateTime<Utc>,
    ) -> io::Result<Backup> {
        let folder = self.folder(id);
        files::create_dir(&folder, Access::Private)?;
        let mut backup = match self.read(id) {
            Some(begun) => begun,
            None => Backup { id, generation, made_at: now, job_id, files: Vec::new() },
        };
        for original in originals {
            if !backup.files.iter().any(|file| &file.original == original) {
                let name = original.file_name().unwrap_or_default().to_string_lossy();
                backup.files.push(BackupFile {
                    name: format!("{}-{name}", backup.files.len()),
                    size_bytes: original.metadata()?.len(),
                    original: original.clone(),
                });
            }
        }
        let text = serde_json::to_vec_pretty(&backup).expect("a backup's description is plain JSON");
        files::write_atomic(&folder.join(MANIFEST_FILE), &text, Access::Private)?;
        for file in &backup.files {
            let kept = folder.join(&file.name);
            if kept.exists() && file.original.exists() {
                keep_second(&folder, file)?;
            } else {
                files::move_file(&file.original, &kept)?;
            }
            if let Some(parent) = file.original.parent() {
                files::sync_dir(parent)?;
            }
        }
        files::sync_dir(&folder)?;
        Ok(backup)
    }

    /// Moves the files back after a move that could not be finished. What lies there is not touched.
    pub(crate) fn undo(&self, id: BackupId) -> io::Result<()> {
        let Some(backup) = self.read(id) else { return Ok(()) };
        let folder = self.folder(id);
        for file in &backup.files {
            let kept = folder.join(&file.name);
            if kept.exists() && !file.original.exists() {
                files::move_file(&kept, &file.original)?;
            }
        }
        files::remove(&folder.join(MANIFEST_FILE))?;
        // A folder that still holds something holds what nobody may throw away.
        let _ = std::fs::remove_dir(&folder);
        Ok(())
    }

    /// Puts copies of a backup's files where they lay. The backup stays.
    pub(crate) fn put_back(&self, backup: &Backup) -> io::Result<()> {
        for file in &backup.files {
            let mut beside = file.original.clone().into_os_string();
            beside.push(".restoring");
            let beside = PathBuf::from(beside);
            files::copy_synced(&self.folder(backup.id).join(&file.name), &beside)?;
            std::fs::rename(&beside, &file.original)?;
            if let Some(parent) = file.original.parent() {
                files::sync_dir(parent)?;
            }
        }
        Ok(())
    }

    /// Removes what [`Self::put_back`] put before it failed. The backup stays.
    pub(crate) fn remove_copies(backup: &Backup) -> io::Result<()> {
        for file in &backup.files {
            let mut beside = file.original.clone().into_os_string();
            beside.push(".restoring");
            files::remove(Path::new(&beside))?;
            files::remove(&file.original)?;
        }
        Ok(())
    }

    /// A backup by its id, if it is whole.
    pub(crate) fn get(&self, id: BackupId) -> Option<Backup> {
        let backup = self.read(id)?;
        let folder = self.folder(id);
        backup.files.iter().all(|file| folder.join(&file.name).is_file()).then_some(backup)
    }

    /// Every backup, oldest first.
    pub(crate) fn list(&self) -> Vec<Backup> {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return Vec::new() };
        let mut backups: Vec<_> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(|id| self.read(id))
            .collect();
        // Clocks are set back, generations never.
        backups.sort_by_key(|backup| (backup.generation, backup.made_at, backup.id));
        backups
    }

    /// Those that a restore can go back to, newest first, as the cloud is told of them.
    pub(crate) fn restorable(&self) -> Vec<DatabaseBackup> {
        let mut backups = self.list();
        backups.reverse();
        backups.retain(|backup| self.get(backup.id).is_some());
        backups
            .into_iter()
            .map(|backup| DatabaseBackup {
                id: backup.id,
                generation: backup.generation,
                created_at: backup.made_at,
                size_bytes: backup.files.iter().map(|file| file.size_bytes).sum(),
                made_by: backup.job_id,
            })
            .collect()
    }

    /// Removes the oldest ones until few enough are left, and never `needed`.
    pub(crate) fn prune(&self, needed: &[BackupId]) {
        let backups = self.list();
        let surplus = backups.len().saturating_sub(KEPT);
        for backup in backups.iter().filter(|backup| !needed.contains(&backup.id)).take(surplus) {
            match files::remove_dir(&self.folder(backup.id)) {
                Ok(()) => tracing::info!(backup_id = %backup.id, "an old backup is removed"),
                Err(error) => {
                    tracing::warn!(backup_id = %backup.id, %error, "could not remove an old backup");
                }
            }
        }
    }

    fn read(&self, id: BackupId) -> Option<Backup> {
        serde_json::from_slice(&std::fs::read(self.folder(id).join(MANIFEST_FILE)).ok()?).ok()
    }

    fn folder(&self, id: BackupId) -> PathBuf {
        self.dir.join(id.to_string())
    }
}

/// A file lies in both places: a copy over a volume's border was cut off, or a POS server made a new one in
/// between. Neither is thrown away.
fn keep_second(folder: &Path, file: &BackupFile) -> io::Result<()> {
    let mut n = 1;
    let mut free = folder.join(format!("{}.second-{n}", file.name));
    while free.exists() {
        n += 1;
        free = folder.join(format!("{}.second-{n}", file.name));
    }
    files::move_file(&file.original, &free)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Store {
        dir: tempfile::TempDir,
        backups: Backups,
    }

    impl Store {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Self { backups: Backups::new(dir.path()), dir };
            store.write("pos.sqlite3", "data");
            store.write("pos.sqlite3-wal", "log");
            store
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.dir.path().join(name), text).unwrap();
        }

        fn read(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.dir.path().join(name)).ok()
        }

        fn move_away(&self, id: BackupId) -> Backup {
            let originals = files::find(self.dir.path(), "pos.sqlite3*");
            self.backups.move_away(id, 1, JobId::new(), &originals, Utc::now()).unwrap()
        }
    }

    #[test]
    fn the_very_bytes_come_back_as_often_as_wanted() {
        let store = Store::new();
        let backup = store.move_away(BackupId::new());
        assert_eq!(store.read("pos.sqlite3"), None);
        assert_eq!(backup.files.len(), 2);
        for _ in 0..2 {
            store.backups.put_back(&store.backups.get(backup.id).unwrap()).unwrap();
            assert_eq!(store.read("pos.sqlite3").unwrap(), "data");
            assert_eq!(store.read("pos.sqlite3-wal").unwrap(), "log");
            store.write("pos.sqlite3", "changed");
        }
    }

    #[test]
    fn a_move_that_was_cut_off_goes_on_and_overwrites_nothing() {
        let store = Store::new();
        let id = BackupId::new();
        let folder = store.backups.folder(id);
        store.move_away(id);
        // As if the connector had been killed after the first file, and a POS server had made it anew.
        fs::rename(folder.join("1-pos.sqlite3-wal"), store.dir.path().join("pos.sqlite3-wal")).unwrap();
        store.write("pos.sqlite3", "newer");
        store.move_away(id);
        assert_eq!(fs::read_to_string(folder.join("0-pos.sqlite3")).unwrap(), "data");
        assert_eq!(fs::read_to_string(folder.join("0-pos.sqlite3.second-1")).unwrap(), "newer");
        assert_eq!(fs::read_to_string(folder.join("1-pos.sqlite3-wal")).unwrap(), "log");
    }

    #[test]
    fn an_undone_move_leaves_no_trace() {
        let store = Store::new();
        let backup = store.move_away(BackupId::new());
        store.backups.undo(backup.id).unwrap();
        assert_eq!(store.read("pos.sqlite3").unwrap(), "data");
        assert_eq!(store.backups.list(), []);
    }

    #[test]
    fn one_that_is_not_whole_is_not_offered() {
        let store = Store::new();
        let (half, whole) = (store.move_away(BackupId::new()).id, BackupId::new());
        store.write("pos.sqlite3", "newer");
        store.move_away(whole);
        fs::remove_file(store.backups.folder(half).join("1-pos.sqlite3-wal")).unwrap();
        let told = store.backups.restorable();
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].id, told[0].generation, told[0].size_bytes), (whole, 1, 5));
    }

    #[test]
    fn three_are_kept() {
        let store = Store::new();
        let ids: Vec<_> = (0..5)
            .map(|n| {
                store.write("pos.sqlite3", &n.to_string());
                store.move_away(BackupId::new()).id
            })
            .collect();
        store.backups.prune(&[ids[0]]);
        let left: Vec<_> = store.backups.list().iter().map(|backup| backup.id).collect();
        assert_eq!(left, [ids[0], ids[3], ids[4]]);
        let told: Vec<_> = store.backups.restorable().iter().map(|backup| backup.id).collect();
        assert_eq!(told, [ids[4], ids[3], ids[0]]);
    }
}
