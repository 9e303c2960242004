//! Where each line lies, when it was written, and how grave it is.

use std::io;
use std::ops::Range;

use chrono::{DateTime, Utc};

use super::text::{Text, TextWriter};
use crate::ipc::{Level, LevelCounts, LogFile};

/// The time of lines that have none: they come after all others.
pub(super) const UNTIMED: i64 = i64::MAX;

const LEVEL_BITS: u32 = 3;
const START_BIT: u64 = 1 << LEVEL_BITS;

/// All lines of all files.
pub struct Log {
    text: Text,
    lines: Lines,
    /// Lines in the order of time; those of one moment in that of their files.
    order: Vec<u32>,
    files: Vec<LogFile>,
    /// With which line each file, or piece of one, starts.
    pieces: Vec<(u32, u32)>,
    counts: LevelCounts,
    entries: u32,
    pub(super) about: About,
}

/// What the manifests say of the whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// The outlet's name.
    pub(crate) outlet: String,
    /// The zone of lines that state none.
    pub(crate) time_zone: String,
    /// Whether older entries were left out to keep to the size.
    pub(crate) truncated: bool,
}

/// Lines in the order in which they were read.
#[derive(Default)]
struct Lines {
    /// Microseconds since 1970, or [`UNTIMED`].
    times: Vec<i64>,
    /// Offset in the text, whether an entry starts, and its level.
    places: Vec<u64>,
}

/// Takes lines from front to back.
pub(super) struct LogWriter {
    text: TextWriter,
    lines: Lines,
    files: Vec<LogFile>,
    pieces: Vec<(u32, u32)>,
}

impl LogWriter {
    pub(super) fn new(text: TextWriter) -> Self {
        Self { text, lines: Lines::default(), files: Vec::new(), pieces: Vec::new() }
    }

    /// What comes is of the file with this name, which may have been there before.
    pub(super) fn begin(&mut self, name: String) {
        let known = self.files.iter().position(|file| file.name == name);
        let file = known.unwrap_or_else(|| {
            self.files.push(LogFile { name, lines: 0 });
            self.files.len() - 1
        });
        self.pieces.push((self.len() as u32, file as u32));
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.lines.times.len()
    }

    /// Adds a line of the entry of `time`.
    pub(super) fn push(&mut self, line: &str, time: i64, level: Level, starts: bool) -> io::Result<()> {
        let offset = self.text.push(line)?;
        self.lines.times.push(time);
        let start = if starts { START_BIT } else { 0 };
        self.lines.places.push(offset << (LEVEL_BITS + 1) | start | u64::from(code(level)));
        if let Some((_, file)) = self.pieces.last() {
            self.files[*file as usize].lines += 1;
        }
        Ok(())
    }

    /// The lines from `from` on, which came before the first time of their file, are of this time.
    pub(super) fn date(&mut self, from: usize, time: i64) {
        self.lines.times[from..].fill(time);
    }

    /// No more comes.
    pub(super) fn finish(self, about: About) -> io::Result<Log> {
        let lines = self.lines;
        let mut order: Vec<u32> = (0..lines.times.len() as u32).collect();
        // Files are in order for the most part, which this sort makes use of.
        order.sort_by_key(|line| lines.times[*line as usize]);
        let mut log = Log {
            text: self.text.finish()?,
            lines,
            order,
            files: self.files,
            pieces: self.pieces,
            counts: LevelCounts::default(),
            entries: 0,
            about,
        };
        for line in 0..log.len() as u32 {
            if log.starts(line) {
                log.entries += 1;
                *log.counts.of(log.level(line)) += 1;
            }
        }
        Ok(log)
    }
}

impl Log {
    /// How many lines there are.
    pub(crate) fn len(&self) -> usize {
        self.lines.times.len()
    }

    /// How many entries, which may have several lines.
    pub(crate) fn entries(&self) -> u32 {
        self.entries
    }

    /// How many entries there are of each level.
    pub(crate) fn counts(&self) -> LevelCounts {
        self.counts
    }

    /// The files by name, in the order in which they were read.
    pub(crate) fn files(&self) -> &[LogFile] {
        &self.files
    }

    /// What the manifests say.
    pub(crate) fn about(&self) -> &About {
        &self.about
    }

    /// The first and the last moment at which something was logged.
    pub(crate) fn period(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let timed = self.order.partition_point(|line| self.lines.times[*line as usize] != UNTIMED);
        let first = self.time(*self.order.first()?)?;
        Some((first, self.time(self.order[timed.checked_sub(1)?])?))
    }

    /// All lines in order.
    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    pub(super) fn text(&self) -> &Text {
        &self.text
    }

    pub(super) fn time(&self, line: u32) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.lines.times[line as usize])
    }

    pub(super) fn micros(&self, line: u32) -> i64 {
        self.lines.times[line as usize]
    }

    pub(super) fn level(&self, line: u32) -> Level {
        level_of(self.lines.places[line as usize] & (START_BIT - 1))
    }

    /// Whether an entry starts with this line.
    pub(super) fn starts(&self, line: u32) -> bool {
        self.lines.places[line as usize] & START_BIT != 0
    }

    /// Of which file it is.
    pub(super) fn file(&self, line: u32) -> u32 {
        let after = self.pieces.partition_point(|(start, _)| *start <= line);
        self.pieces[after - 1].1
    }

    /// The lines of the entry that this line belongs to.
    pub(super) fn entry(&self, line: u32) -> Range<u32> {
        let piece = self.pieces.partition_point(|(start, _)| *start <= line);
        let first = self.pieces[piece - 1].0;
        let end = self.pieces.get(piece).map_or(self.len() as u32, |(start, _)| *start);
        let start = (first..=line).rev().find(|line| self.starts(*line)).unwrap_or(first);
        let next = (line + 1..end).find(|line| self.starts(*line)).unwrap_or(end);
        start..next
    }

    /// The line that holds this place of the text.
    pub(super) fn line_at(&self, offset: u64) -> u32 {
        let after = self.lines.places.partition_point(|place| place >> (LEVEL_BITS + 1) <= offset);
        after.saturating_sub(1) as u32
    }

    /// Where a line starts and where it ends, its line feed not included.
    pub(super) fn span(&self, line: u32) -> (u64, u64) {
        let offset = |line: usize| self.lines.places.get(line).map(|place| place >> (LEVEL_BITS + 1));
        let start = offset(line as usize).unwrap_or_default();
        let end = offset(line as usize + 1).unwrap_or(self.text.length());
        (start, end.saturating_sub(1).max(start))
    }
}

fn code(level: Level) -> u8 {
    match level {
        Level::Error => 0,
        Level::Warn => 1,
        Level::Info => 2,
        Level::Debug => 3,
        Level::Trace => 4,
        Level::None => 5,
    }
}

fn level_of(code: u64) -> Level {
    match code {
        0 => Level::Error,
        1 => Level::Warn,
        2 => Level::Info,
        3 => Level::Debug,
        4 => Level::Trace,
        _ => Level::None,
    }
}
