//! Files that are never torn: written beside, synced, renamed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use crate::glob::{Glob, is_pattern, slashed};

/// How the names of files begin that are still being written.
const UNFINISHED: &str = ".writing-";
/// How deep `**` looks.
const MAX_DEPTH: usize = 32;

/// Who may read what is written. Windows keeps to the folder's own rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its owner only.
    Private,
    /// Whoever may read the folder.
    Public,
}

/// Makes a folder and those above it. A private one is closed to others even if it was there.
pub(crate) fn create_dir(path: &Path, access: Access) -> io::Result<()> {
    fs::create_dir_all(path)?;
    #[cfg(unix)]
    if access == Access::Private {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    #[cfg(not(unix))]
    let _ = access;
    Ok(())
}

/// Writes a file so that whoever opens it sees the old content or the new, even after a power cut.
pub(crate) fn write_atomic(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    write(path, content, access, true)
}

/// [`write_atomic`] for what means nothing after a power cut: it costs no wait for the disk.
pub(crate) fn write_fast(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    write(path, content, access, false)
}

fn write(path: &Path, content: &[u8], access: Access, sync: bool) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = if access == Access::Private { 0o600 } else { 0o644 };
        builder.permissions(fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = access;
    let mut file = builder.prefix(UNFINISHED).tempfile_in(dir)?;
    file.write_all(content)?;
    if sync {
        file.as_file().sync_all()?;
    }
    let mut waiting = Some(file);
    patiently(|| {
        let file = waiting.take().expect("what was not renamed is put back");
        file.persist(path).map(drop).map_err(|failed| {
            waiting = Some(failed.file);
            failed.error
        })
    })?;
    if sync { sync_dir(dir) } else { Ok(()) }
}

/// Tries what a scanner or a backup can be in the way of: on Windows they hold a file for a moment, which can then be
/// neither replaced, moved nor removed. Blocks.
fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    #[cfg(windows)]
    {
        /// "Access denied", "sharing violation" and "lock violation".
        const HELD: [i32; 3] = [5, 32, 33];
        let until = std::time::Instant::now() + std::time::Duration::from_secs(2);
        loop {
            match attempt() {
                Err(error)
                    if error.raw_os_error().is_some_and(|code| HELD.contains(&code))
                        && std::time::Instant::now() < until =>
                {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                other => return other,
            }
        }
    }
    #[cfg(not(windows))]
    attempt()
}

/// Removes what [`write_atomic`] left in a folder when it was cut off. Nobody else may be writing there.
pub(crate) fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Makes renames and removals in a folder outlast a power cut, where the system knows such a thing.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}

/// Removes a file; none is as good.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match patiently(|| fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a folder with all in it; none is as good.
pub(crate) fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Copies a file and makes sure that it stays.
pub(crate) fn copy_synced(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    File::options().write(true).open(to)?.sync_all()
}

/// Moves a file, over the border of a volume too. Either the old place or the new one holds it whole at any
/// time; to repeat it after it was cut off does what is left to do.
pub(crate) fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    match patiently(|| fs::rename(from, to)) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let part = to.with_extension("moving");
            copy_synced(from, &part)?;
            patiently(|| fs::rename(&part, to))?;
            patiently(|| fs::remove_file(from))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => Ok(()),
        other => other,
    }
}

/// The files that a glob matches, sorted. A relative glob counts from `base`; links to folders are not
/// followed. Folders that can't be read are as if empty.
pub(crate) fn find(base: &Path, pattern: &str) -> Vec<PathBuf> {
    let Ok(glob) = Glob::below(base, pattern) else { return Vec::new() };
    let (root, depth) = literal_root(base, pattern);
    let mut found = Vec::new();
    walk(&root, depth, &glob, &mut found);
    found.sort();
    found
}

/// The deepest folder that every match lies in, and how many levels below it may matter.
pub(crate) fn literal_root(base: &Path, pattern: &str) -> (PathBuf, usize) {
    let mut root = base.to_owned();
    let pattern = slashed(pattern);
    let parts: Vec<_> = Path::new(&pattern).components().collect();
    let is_glob = |part: &Component<'_>| is_pattern(&part.as_os_str().to_string_lossy());
    let folders = parts.len().saturating_sub(1);
    let literal = parts.iter().position(is_glob).unwrap_or(folders).min(folders);
    root.extend(&parts[..literal]);
    (root, if pattern.contains("**") { MAX_DEPTH } else { parts.len() - literal })
}

fn walk(dir: &Path, depth: usize, glob: &Glob, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if kind.is_dir() && depth > 1 {
            walk(&path, depth - 1, glob, found);
        } else if kind.is_file() && glob.matches(&path) {
            found.push(path);
        }
    }
}

/// Bytes that are free on the volume of a folder; `None` where the system does not say.
#[cfg(unix)]
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let volume = rustix::fs::statvfs(path).ok()?;
    Some(volume.f_bavail * volume.f_frsize)
}

/// Bytes that are free on the volume of a folder; `None` where the system does not say.
#[cfg(not(unix))]
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let path = path.canonicalize().ok()?;
    let disks =
        sysinfo::Disks::new_with_refreshed_list_specifics(sysinfo::DiskRefreshKind::nothing().with_storage());
    disks
        .list()
        .iter()
        .filter(|disk| path.starts_with(disk.mount_point()))
        .max_by_key(|disk| disk.mount_point().as_os_str().len())
        .map(sysinfo::Disk::available_space)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    #[cfg(windows)]
    #[test]
    fn a_file_that_somebody_holds_for_a_moment_is_replaced_and_removed_all_the_same() {
        use std::os::windows::fs::OpenOptionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.json");
        let hold = || {
            let held = File::options().read(true).share_mode(1).open(&path).unwrap();
            std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(200));
                drop(held);
            });
        };
        fs::write(&path, "old").unwrap();
        hold();
        write_atomic(&path, b"new", Access::Private).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        hold();
        remove(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn globs_find_what_they_name_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        for name in
            ["pos/pos.sqlite3", "pos/pos.sqlite3-wal", "pos/other.db", "pos/logs/a.log", "pos/logs/x/b.log.1"]
        {
            touch(&base.join(name));
        }
        let names = |pattern: &str| -> Vec<String> {
            find(base, pattern)
                .iter()
                .map(|path| path.strip_prefix(base).unwrap().to_string_lossy().replace('\\', "/"))
                .collect()
        };
        assert_eq!(names("pos/pos.sqlite3*"), ["pos/pos.sqlite3", "pos/pos.sqlite3-wal"]);
        assert_eq!(names("pos/logs/**/*.log*"), ["pos/logs/a.log", "pos/logs/x/b.log.1"]);
        assert_eq!(names("pos/other.db"), ["pos/other.db"]);
        assert_eq!(names("pos/*"), ["pos/other.db", "pos/pos.sqlite3", "pos/pos.sqlite3-wal"]);
        assert_eq!(names("gone/*"), Vec::<String>::new());
        let absolute = base.join("pos/*.db");
        assert_eq!(find(Path::new("/"), absolute.to_str().unwrap()), [base.join("pos/other.db")]);
    }

    #[test]
    fn a_folder_whose_name_looks_like_a_glob_is_only_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("store [1]");
        touch(&base.join("pos.db"));
        assert_eq!(find(&base, "*.db"), [base.join("pos.db")]);
    }

    #[test]
    fn a_file_is_replaced_whole_and_private_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.json");
        write_atomic(&path, b"one", Access::Private).unwrap();
        write_atomic(&path, b"two", Access::Private).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn moving_a_file_twice_does_it_once() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&from, "data").unwrap();
        move_file(&from, &to).unwrap();
        move_file(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"data");
        assert!(move_file(&from, &dir.path().join("c")).is_err());
    }

    #[test]
    fn free_space_is_known_here() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).is_none_or(|bytes| bytes > 0));
    }
}
