//! The POS log: what people read when something went wrong in a store.
//!
//! One line an event, `2026-11-21 10:03:11,123 INFO Exchange done …`. Times are the outlet's local times,
//! as a connector takes lines that name no zone; before the store has an identity they are UTC. `pos.log`
//! is written; `pos.log.1.gz` and so on are older. Nothing of a guest is logged but ids.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// When a log file is put aside, and how many are kept.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// How large `pos.log` may become.
    pub max_bytes: u64,
    /// How many older files are kept.
    pub keep: u32,
}

impl Default for Rotation {
    /// About two months of a quiet store.
    fn default() -> Self {
        Self { max_bytes: 4 << 20, keep: 9 }
    }
}

/// Writes the POS log. Clones write the same file.
#[derive(Clone)]
pub struct PosLog(Arc<Mutex<LogFile>>);

impl PosLog {
    /// A log in this folder. The file is opened by the first line; a folder that can't be written loses
    /// lines, but stops nothing.
    pub fn new(dir: PathBuf, rotation: Rotation) -> Self {
        Self(Arc::new(Mutex::new(LogFile { dir, rotation, zone: TimeZone::UTC, open: None, failing: false })))
    }

    /// Writes times of this IANA zone from now on; an unknown one changes nothing.
    pub fn use_zone(&self, name: &str) {
        if let Ok(zone) = TimeZone::get(name) {
            self.file().zone = zone;
        }
    }

    /// Something that is as it should be.
    pub fn info(&self, text: impl Display) {
        tracing::info!("{text}");
        self.line("INFO", &text);
    }

    /// Something that may become trouble.
    pub fn warn(&self, text: impl Display) {
        tracing::warn!("{text}");
        self.line("WARN", &text);
    }

    /// Something that is trouble.
    pub fn error(&self, text: impl Display) {
        tracing::error!("{text}");
        self.line("ERROR", &text);
    }

    fn line(&self, level: &str, text: &dyn Display) {
        let mut file = self.file();
        let now = Utc::now();
        match file.write(level, text, now) {
            Ok(()) => file.failing = false,
            Err(error) => {
                file.open = None;
                if !std::mem::replace(&mut file.failing, true) {
                    tracing::warn!(%error, "the POS log can't be written");
                }
            }
        }
    }

    fn file(&self) -> std::sync::MutexGuard<'_, LogFile> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct LogFile {
    dir: PathBuf,
    rotation: Rotation,
    zone: TimeZone,
    open: Option<(File, u64)>,
    failing: bool,
}

impl LogFile {
    fn local(&self, now: DateTime<Utc>) -> NaiveDateTime {
        let offset =
            Timestamp::from_second(now.timestamp()).map_or(0, |now| self.zone.to_offset(now).seconds());
        now.naive_utc() + TimeDelta::seconds(offset.into())
    }

    fn write(&mut self, level: &str, text: &dyn Display, now: DateTime<Utc>) -> io::Result<()> {
        let time = self.local(now).format("%Y-%m-%d %H:%M:%S,%3f");
        // Text may come from the network: it must not look like lines of its own.
        let text = text.to_string().replace(char::is_control, " ");
        let line = format!("{time} {level} {text}\n");
        if self.open.as_ref().is_some_and(|(_, size)| size + line.len() as u64 > self.rotation.max_bytes) {
            self.open = None;
            rotate(&self.dir, self.rotation.keep)?;
        }
        if self.open.is_none() {
            std::fs::create_dir_all(&self.dir)?;
            let file = OpenOptions::new().create(true).append(true).open(self.dir.join("pos.log"))?;
            let size = file.metadata()?.len();
            self.open = Some((file, size));
        }
        if let Some((file, size)) = &mut self.open {
            file.write_all(line.as_bytes())?;
            *size += line.len() as u64;
        }
        Ok(())
    }
}

/// Makes room for a new `pos.log`. Stopped midway by a crash it leaves every line in some file.
fn rotate(dir: &Path, keep: u32) -> io::Result<()> {
    let older = |number: u32, end: &str| dir.join(format!("pos.log.{number}{end}"));
    for end in ["", ".gz"] {
        remove_if_there(&older(keep, end))?;
        for number in (1..keep).rev() {
            if older(number, end).exists() {
                std::fs::rename(older(number, end), older(number + 1, end))?;
            }
        }
    }
    let plain = older(1, "");
    std::fs::rename(dir.join("pos.log"), &plain)?;
    let compressed = compress(&plain, dir)?;
    compressed.persist(older(1, ".gz"))?;
    std::fs::remove_file(&plain)
}

fn compress(plain: &Path, dir: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut source = File::open(plain)?;
    let mut encoder = GzEncoder::new(tempfile::NamedTempFile::new_in(dir)?, Compression::default());
    io::copy(&mut source, &mut encoder)?;
    let file = encoder.finish()?;
    // The time of its last line, not of the compression.
    file.as_file().set_modified(source.metadata()?.modified()?)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use chrono::TimeZone;
    use flate2::read::GzDecoder;

    use super::*;

    fn log_in(dir: &Path, max_bytes: u64, keep: u32) -> PosLog {
        PosLog::new(dir.join("logs"), Rotation { max_bytes, keep })
    }

    #[test]
    fn lines_carry_the_outlets_time() {
        let dir = tempfile::tempdir().unwrap();
        let log = log_in(dir.path(), 1 << 20, 3);
        log.use_zone("Europe/Riga");
        log.use_zone("Nowhere/Land");
        let at = Utc.with_ymd_and_hms(2026, 11, 21, 10, 3, 11).unwrap();
        log.file().write("INFO", &"Exchange done\nforged line", at).unwrap();
        let text = std::fs::read_to_string(dir.path().join("logs/pos.log")).unwrap();
        assert_eq!(text, "2026-11-21 12:03:11,000 INFO Exchange done forged line\n");
    }

    #[test]
    fn old_lines_are_compressed_and_the_oldest_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let log = log_in(dir.path(), 300, 2);
        for number in 0..40 {
            log.info(format_args!("line {number:02}"));
        }
        let logs = dir.path().join("logs");
        let mut names: Vec<_> = std::fs::read_dir(&logs)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["pos.log", "pos.log.1.gz", "pos.log.2.gz"]);
        let mut text = String::new();
        for name in ["pos.log.2.gz", "pos.log.1.gz"] {
            GzDecoder::new(File::open(logs.join(name)).unwrap()).read_to_string(&mut text).unwrap();
        }
        text += &std::fs::read_to_string(logs.join("pos.log")).unwrap();
        // What is left is the end, whole and in order.
        let left: Vec<_> = text.lines().map(|line| line.rsplit_once(' ').unwrap().1.to_owned()).collect();
        assert!(left.len() > 15, "{left:?}");
        let expected: Vec<_> = (40 - left.len()..40).map(|number| format!("{number:02}")).collect();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_rotation_that_was_cut_short_is_taken_up() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("logs");
        std::fs::create_dir_all(&logs).unwrap();
        std::fs::write(logs.join("pos.log.1"), "left behind\n").unwrap();
        let log = log_in(dir.path(), 60, 3);
        for _ in 0..3 {
            log.info("a line of some length");
        }
        assert_eq!(std::fs::read_to_string(logs.join("pos.log.3")).unwrap(), "left behind\n");
        assert!(logs.join("pos.log.1.gz").exists());
    }
}
