//! What the window sees of an archive that it looks into.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use specta::Type;

use crate::error::AppError;

/// How grave a log entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Errors and worse.
    Error,
    /// Warnings.
    Warn,
    /// What goes on.
    Info,
    /// For those who look for faults.
    Debug,
    /// More of it.
    Trace,
    /// The entry does not say.
    None,
}

impl Level {
    /// Each, the gravest first.
    pub(crate) const ALL: [Self; 6] =
        [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace, Self::None];
}

/// How many entries there are of each level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct LevelCounts {
    /// Of [`Level::Error`].
    pub error: u32,
    /// Of [`Level::Warn`].
    pub warn: u32,
    /// Of [`Level::Info`].
    pub info: u32,
    /// Of [`Level::Debug`].
    pub debug: u32,
    /// Of [`Level::Trace`].
    pub trace: u32,
    /// Of [`Level::None`].
    pub none: u32,
}

impl LevelCounts {
    /// The count of a level.
    pub(crate) fn of(&mut self, level: Level) -> &mut u32 {
        match level {
            Level::Error => &mut self.error,
            Level::Warn => &mut self.warn,
            Level::Info => &mut self.info,
            Level::Debug => &mut self.debug,
            Level::Trace => &mut self.trace,
            Level::None => &mut self.none,
        }
    }
}

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct LogFile {
    /// Its name; text from a store.
    pub name: String,
    /// How many lines it has.
    pub lines: u32,
}

/// An archive that is looked into, and how far that is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub struct Viewer {
    /// By which the other commands name it.
    pub id: u32,
    /// What goes on.
    pub phase: ViewerPhase,
    /// Bytes that were fetched or read.
    #[specta(type = u32)]
    pub done: u64,
    /// Bytes in all, as far as is known.
    #[specta(type = u32)]
    pub total: u64,
    /// What it holds, once it is ready.
    pub log: Option<LogSummary>,
    /// Why it failed.
    pub error: Option<AppError>,
}

/// What goes on with an archive that is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum ViewerPhase {
    /// Its parts are fetched and checked.
    Fetching,
    /// Its entries are read.
    Reading,
    /// It can be looked at.
    Ready,
    /// It can't; `error` says why.
    Failed,
}

/// What an archive holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct LogSummary {
    /// The outlet's name; text from a store.
    pub outlet: String,
    /// IANA name of the store's zone.
    pub time_zone: String,
    /// How many lines there are.
    pub lines: u32,
    /// How many entries, which may have several lines.
    pub entries: u32,
    /// How many entries of each level.
    pub levels: LevelCounts,
    /// Its files, by whose place lines name them.
    pub files: Vec<LogFile>,
    /// The first moment at which something was logged.
    pub from: Option<DateTime<Utc>>,
    /// The last one.
    pub to: Option<DateTime<Utc>>,
    /// Whether older entries were left out to keep to the size that was asked for.
    pub truncated: bool,
}

/// Which lines are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct LogFilter {
    /// Those of entries of these levels.
    pub levels: Vec<Level>,
    /// Those of this file; of all files when null.
    pub file: Option<u32>,
}

/// What a filter shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct LogShown {
    /// How many lines.
    pub total: u32,
    /// Where the line that was looked at is now, or the next one.
    pub place: u32,
    /// How many of them match the search.
    pub matches: u32,
}

/// Some lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct LogWindow {
    /// The place of the first one.
    pub offset: u32,
    /// How many lines are shown in all.
    pub total: u32,
    /// The lines.
    pub lines: Vec<LogLine>,
}

/// A line of a log, or a piece of a very long one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct LogLine {
    /// When its entry was written; null if its file has no times.
    pub at: Option<DateTime<Utc>>,
    /// How grave its entry is.
    pub level: Level,
    /// The file's place among [`LogSummary::files`].
    pub file: u32,
    /// Whether an entry starts with it.
    pub starts: bool,
    /// Whether it matches the search.
    pub matches: bool,
    /// Text from a store.
    pub text: String,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct LogFound {
    /// How many of the shown lines match.
    pub count: u32,
    /// The first from where the search was asked for.
    pub first: Option<LogPlace>,
}

/// A place among the shown lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct LogPlace {
    /// The place, from 0 on.
    pub place: u32,
    /// Which match it is, from 1 on; 0 for what is none.
    pub number: u32,
}

/// Where to jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Jump {
    /// The next line that matches the search.
    NextMatch,
    /// The one before.
    PreviousMatch,
    /// The next entry that is an error.
    NextError,
    /// The one before.
    PreviousError,
}

/// A whole entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct LogEntry {
    /// Its lines; text from a store.
    pub text: String,
    /// Whether it is longer than what is shown.
    pub truncated: bool,
}
