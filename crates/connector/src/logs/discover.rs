//! Finding the files that the globs name, and nothing else.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{CollectError, Watch};
use crate::glob::{Glob, is_pattern};

/// Files are opened as they are found, so that one that is rotated meanwhile is still the same. Beyond this
/// many they are opened when it is their turn: some systems allow a process 256 open files.
const HELD_OPEN: usize = 100;
/// Deeper folders are not looked into.
const DEEPEST: usize = 64;
/// More files are not logs.
const MOST_FILES: usize = 100_000;

/// What the globs name.
pub(super) struct Discovered {
    /// The files, sorted by path.
    pub(super) files: Vec<Found>,
    /// What was named but can't be had, with the reason.
    pub(super) left_out: Vec<(PathBuf, String)>,
}

/// A regular file.
pub(super) struct Found {
    /// Its path.
    pub(super) path: PathBuf,
    /// The path relative to the base dir, if it is in there.
    pub(super) relative: Option<PathBuf>,
    metadata: Metadata,
    file: Option<File>,
}

impl Found {
    /// Its size when it was found.
    pub(super) fn size(&self) -> u64 {
        self.metadata.len()
    }

    /// When it was written last, in microseconds since 1970.
    pub(super) fn modified(&self) -> i64 {
        self.metadata.modified().map_or(0, micros)
    }

    /// When it was made, if the file system knows, in microseconds since 1970.
    pub(super) fn created(&self) -> Option<i64> {
        self.metadata.created().ok().map(micros)
    }

    /// The open file.
    pub(super) fn open(&self) -> io::Result<File> {
        match &self.file {
            Some(file) => file.try_clone(),
            None => open_same(&self.path),
        }
    }
}

fn micros(time: std::time::SystemTime) -> i64 {
    chrono::DateTime::<chrono::Utc>::from(time).timestamp_micros()
}

/// Finds and opens the files. Symbolic links are not followed, each file comes once.
pub(super) fn discover(
    base: &Path,
    globs: &[String],
    watch: &mut Watch<'_>,
) -> Result<Discovered, CollectError> {
    let base = std::path::absolute(base).unwrap_or_else(|_| base.to_path_buf());
    let mut walk = Walk { seen: BTreeMap::new(), refused: BTreeMap::new(), watch };
    for glob in globs {
        let pattern = Pattern::new(&base, glob)?;
        pattern.walk(&base, &mut walk)?;
    }
    let Walk { seen, mut refused, .. } = walk;
    let found = |(path, metadata): (PathBuf, Metadata)| {
        let relative = path.strip_prefix(&base).ok().map(Path::to_path_buf);
        Found { path, relative, metadata, file: None }
    };
    let mut files: Vec<Found> = seen.into_iter().map(found).collect();
    // Those that were written last are the ones that may be rotated next.
    let mut newest: Vec<usize> = (0..files.len()).collect();
    newest.sort_by_key(|index| std::cmp::Reverse(files[*index].modified()));
    let mut gone = Vec::new();
    for index in newest.into_iter().take(HELD_OPEN) {
        let file = &mut files[index];
        match open_same(&file.path).and_then(|open| Ok((open.metadata()?, open))) {
            // Windows lists a file that is being written as it was when it was closed last.
            Ok((metadata, open)) => (file.metadata, file.file) = (metadata, Some(open)),
            Err(error) => gone.push((index, reason(&error))),
        }
    }
    gone.sort_unstable();
    for (index, reason) in gone.into_iter().rev() {
        refused.insert(files.remove(index).path, reason);
    }
    Ok(Discovered { files, left_out: refused.into_iter().collect() })
}

/// What the manifest says of a file that can't be read.
pub(super) fn reason(error: &io::Error) -> String {
    if is_lock(error) {
        return "locked".into();
    }
    match error.kind() {
        io::ErrorKind::NotFound => "removed".into(),
        io::ErrorKind::PermissionDenied => "permission_denied".into(),
        kind => format!("unreadable: {kind}"),
    }
}

/// Whether another program keeps the file to itself, wholly or in part, as programs can on Windows.
fn is_lock(error: &io::Error) -> bool {
    const SHARING_VIOLATION: i32 = 32;
    const LOCK_VIOLATION: i32 = 33;
    cfg!(windows) && matches!(error.raw_os_error(), Some(SHARING_VIOLATION | LOCK_VIOLATION))
}

/// Opens a regular file, and not what a link points to that takes its place at this very moment.
fn open_same(path: &Path) -> io::Result<File> {
    let link = fs::symlink_metadata(path)?;
    if !link.is_file() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "replaced"));
    }
    let file = File::open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let opened = file.metadata()?;
        let same = |one: &Metadata, other: &Metadata| one.dev() == other.dev() && one.ino() == other.ino();
        if !opened.is_file() || !same(&opened, &link) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "replaced"));
        }
    }
    Ok(file)
}

struct Walk<'a, 'b> {
    seen: BTreeMap<PathBuf, Metadata>,
    refused: BTreeMap<PathBuf, String>,
    watch: &'a mut Watch<'b>,
}

/// A glob: the folder that it starts in, and what paths below must match.
struct Pattern {
    root: PathBuf,
    /// Nothing if the glob is a plain path.
    glob: Option<Glob>,
    depth: usize,
}

impl Pattern {
    fn new(base: &Path, glob: &str) -> Result<Self, CollectError> {
        let invalid = |reason: String| CollectError::GlobInvalid { glob: glob.into(), reason };
        if glob.trim().is_empty() {
            return Err(invalid("it is empty".into()));
        }
        let parts: Vec<&str> = glob.split(['/', '\\']).collect();
        let plain = parts.iter().take_while(|part| !is_pattern(part)).count();
        let mut root: String = parts[..plain].join(std::path::MAIN_SEPARATOR_STR);
        if plain > 0 && plain < parts.len() {
            root.push(std::path::MAIN_SEPARATOR);
        }
        let root = normalized(&base.join(root));
        if plain == parts.len() {
            return Ok(Self { root, glob: None, depth: 0 });
        }
        let rest = &parts[plain..];
        if rest.contains(&"..") {
            return Err(invalid("`..` can't follow a wildcard".into()));
        }
        let depth = if rest.contains(&"**") { DEEPEST } else { rest.len() };
        let glob = Glob::new(&rest.join("/")).map_err(invalid)?;
        Ok(Self { root, glob: Some(glob), depth })
    }

    fn walk(&self, base: &Path, walk: &mut Walk<'_, '_>) -> Result<(), CollectError> {
        // A link below the base dir may have been put there by anybody; what leads to the base is the system's.
        if let Ok(below) = self.root.strip_prefix(base) {
            let mut path = base.to_path_buf();
            for part in below.components() {
                path.push(part);
                if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink()) {
                    walk.refused.insert(path, "symbolic_link".into());
                    return Ok(());
                }
            }
        }
        if self.glob.is_some() {
            return self.enter(&self.root, 1, walk);
        }
        match fs::symlink_metadata(&self.root) {
            Ok(metadata) => walk.meet(self.root.clone(), metadata)?,
            // A name that is not there yet is as usual as a glob that matches nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                walk.refused.insert(self.root.clone(), reason(&error));
            }
        }
        Ok(())
    }

    fn enter(&self, folder: &Path, depth: usize, walk: &mut Walk<'_, '_>) -> Result<(), CollectError> {
        walk.watch.check()?;
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                let kind = error.kind();
                if !matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                    walk.refused.insert(folder.to_path_buf(), reason(&error));
                }
                return Ok(());
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            // Does not follow links.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                if depth < self.depth {
                    self.enter(&path, depth + 1, walk)?;
                }
                continue;
            }
            let below = path.strip_prefix(&self.root).unwrap_or(&path);
            if self.glob.as_ref().is_some_and(|glob| glob.matches(below)) {
                walk.meet(path, metadata)?;
            }
        }
        Ok(())
    }
}

impl Walk<'_, '_> {
    fn meet(&mut self, path: PathBuf, metadata: Metadata) -> Result<(), CollectError> {
        if metadata.is_symlink() {
            self.refused.insert(path, "symbolic_link".into());
        } else if self.seen.len() >= MOST_FILES {
            self.refused.insert(PathBuf::from("…"), format!("more than {MOST_FILES} files"));
        } else if metadata.is_file() && self.seen.insert(path, metadata).is_none() {
            self.watch.advance(1)?;
        }
        Ok(())
    }
}

/// Takes `.` and `..` out of a path without asking the file system.
fn normalized(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// The names that files get in the zip: relative, with `/`, each allowed on Windows and macOS, no two alike
/// even where case does not count.
pub(super) fn archive_names(files: &[Found]) -> Vec<String> {
    let mut taken = HashSet::new();
    let name = |file: &Found| {
        let wanted = safe_name(file.relative.as_deref().unwrap_or(&file.path));
        // What is read through comes out unpacked.
        let wanted = wanted
            .strip_suffix(".gz")
            .filter(|rest| !rest.ends_with('/') && !rest.is_empty())
            .unwrap_or(&wanted);
        let mut name = wanted.to_owned();
        let mut number = 2;
        while !taken.insert(name.to_lowercase()) {
            name = match wanted.rsplit_once('/') {
                Some((folder, last)) => format!("{folder}/{number}~{last}"),
                None => format!("{number}~{wanted}"),
            };
            number += 1;
        }
        name
    };
    files.iter().map(name).collect()
}

/// A relative path with nothing in it that a name may not have on any system.
fn safe_name(path: &Path) -> String {
    let parts: Vec<String> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(part) => Some(safe_part(&part.to_string_lossy())),
            _ => None,
        })
        .collect();
    if parts.is_empty() { "_".into() } else { parts.join("/") }
}

fn safe_part(part: &str) -> String {
    /// Windows has devices of these names, with any extension.
    const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
    const LONGEST: usize = 120;
    let unsafe_character = |c: char| {
        c.is_control()
            || matches!(c, '\\' | '/' | ':' | '*' | '?' | '"' | '<' | '>' | '|' | char::REPLACEMENT_CHARACTER)
            // Direction marks make a name look like another.
            || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    let mut name: String = part.chars().map(|c| if unsafe_character(c) { '_' } else { c }).collect();
    if name.len() > LONGEST {
        // The end of a name tells rotated files apart.
        let tail = name.len() - 40..;
        let tail =
            (tail.start..name.len()).find(|at| name.is_char_boundary(*at)).map_or("", |at| &name[at..]);
        let head =
            (0..=LONGEST - 44).rev().find(|at| name.is_char_boundary(*at)).map_or("", |at| &name[..at]);
        name = format!("{head}…{tail}");
    }
    if name.ends_with(['.', ' ']) {
        name.pop();
        name.push('_');
    }
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    let numbered = (stem.starts_with("com") || stem.starts_with("lpt")) && stem.chars().count() == 4;
    if DEVICES.contains(&stem.as_str()) || numbered || name.starts_with(' ') {
        name.insert(0, '_');
    }
    super::redact::redacted(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_safe() {
        for (path, name) in [
            ("logs/app.log", "logs/app.log"),
            ("/var/log/dpkg.log", "var/log/dpkg.log"),
            ("../../etc/passwd", "etc/passwd"),
            ("a/./b.log", "a/b.log"),
            ("a/C:evil.log", "a/C_evil.log"),
            // Where it separates folders, these are folders.
            ("a/..\\..\\x.log", if cfg!(windows) { "a/x.log" } else { "a/.._.._x.log" }),
            ("a/con.log", "a/_con.log"),
            ("a/COM1", "a/_COM1"),
            ("a/trailing. ", "a/trailing._"),
            ("a/\u{202e}gol.exe", "a/_gol.exe"),
            ("журнал/касса.log", "журнал/касса.log"),
            ("a/4111111111111111.log", "a/************1111.log"),
        ] {
            assert_eq!(safe_name(Path::new(path)), name, "{path}");
        }
        let long = safe_name(Path::new(&format!("{}.log.1", "ж".repeat(120))));
        assert!(long.len() <= 125 && long.ends_with(".log.1"), "{long}");
    }
}
