//! What the window sees of a log: the lines that pass its filter, in order, and which of them match its search.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use regex::bytes::RegexBuilder;
use tillwatch_protocol::error::ErrorCode;

use super::lines::Log;
use crate::core::lock;
use crate::error::{AppError, LocalCode};
use crate::ipc::{Jump, Level, LogEntry, LogFilter, LogFound, LogLine, LogPlace, LogShown, LogWindow};

/// The most lines of a window.
const MOST_LINES: u32 = 500;
/// The longest text that is searched for, in characters.
const LONGEST_SEARCH: usize = 500;
/// The most text of one entry.
const MOST_ENTRY: usize = 256 << 10;

/// A log as one window sees it.
pub struct View {
    log: Arc<Log>,
    shown: Mutex<Shown>,
    /// Which search is the newest; older ones give up.
    search: AtomicU64,
}

struct Shown {
    lines: Vec<u32>,
    /// A bit for each line of the log, shown or not.
    hits: Option<Vec<u64>>,
    /// The places that match, in order.
    matches: Vec<u32>,
}

impl View {
    /// All lines, and no search.
    pub fn new(log: Arc<Log>) -> Self {
        let lines = log.order().to_vec();
        Self {
            log,
            shown: Mutex::new(Shown { lines, hits: None, matches: Vec::new() }),
            search: AtomicU64::new(0),
        }
    }

    /// The log.
    #[cfg(test)]
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// The lines at these places, at most 500.
    pub fn window(&self, offset: u32, limit: u32) -> Result<LogWindow, AppError> {
        let (lines, total, hits) = {
            let shown = lock(&self.shown);
            let start = (offset as usize).min(shown.lines.len());
            let end = (start + limit.min(MOST_LINES) as usize).min(shown.lines.len());
            let lines = shown.lines[start..end].to_vec();
            let hits: Vec<bool> = lines.iter().map(|line| is_hit(shown.hits.as_deref(), *line)).collect();
            (lines, shown.lines.len() as u32, hits)
        };
        let mut rows = Vec::with_capacity(lines.len());
        for (line, matches) in lines.into_iter().zip(hits) {
            rows.push(LogLine {
                at: self.log.time(line),
                level: self.log.level(line),
                file: self.log.file(line),
                starts: self.log.starts(line),
                matches,
                text: self.text(line)?,
            });
        }
        Ok(LogWindow { offset, total, lines: rows })
    }

    /// Shows the lines of these levels and this file. `near` is the place that was looked at; the answer says where
    /// the line that was there is now, or the next one.
    pub fn filter(&self, filter: &LogFilter, near: u32) -> LogShown {
        let log = &self.log;
        let passes = |line: u32| {
            filter.levels.contains(&log.level(line)) && filter.file.is_none_or(|file| log.file(line) == file)
        };
        let is_all = filter.file.is_none() && Level::ALL.iter().all(|level| filter.levels.contains(level));
        let lines: Vec<u32> = if is_all {
            log.order().to_vec()
        } else {
            log.order().iter().copied().filter(|line| passes(*line)).collect()
        };
        let mut shown = lock(&self.shown);
        let looked_at = shown.lines.get(near as usize).copied();
        let key = |line: u32| (log.micros(line), line);
        let place = looked_at.map_or(0, |line| lines.partition_point(|other| key(*other) < key(line)));
        shown.matches = places(&lines, shown.hits.as_deref());
        shown.lines = lines;
        LogShown {
            total: shown.lines.len() as u32,
            place: place.min(shown.lines.len().saturating_sub(1)) as u32,
            matches: shown.matches.len() as u32,
        }
    }

    /// Searches for a text, in whatever case, and gives the first match from `near` on. None if another search was
    /// started meanwhile. An empty text ends the search.
    pub fn find(&self, text: &str, near: u32) -> Result<Option<LogFound>, AppError> {
        let turn = self.search.fetch_add(1, Ordering::Relaxed) + 1;
        if text.chars().count() > LONGEST_SEARCH {
            return Err(AppError::from(ErrorCode::InvalidRequest).param("field", "text"));
        }
        let hits = if text.is_empty() { None } else { self.search(text, turn)? };
        let mut shown = lock(&self.shown);
        if self.search.load(Ordering::Relaxed) != turn || (hits.is_none() && !text.is_empty()) {
            return Ok(None);
        }
        shown.matches = places(&shown.lines, hits.as_deref());
        shown.hits = hits;
        let after = shown.matches.partition_point(|place| *place < near);
        let number = if after < shown.matches.len() { after } else { 0 };
        let first =
            shown.matches.get(number).map(|place| LogPlace { place: *place, number: number as u32 + 1 });
        Ok(Some(LogFound { count: shown.matches.len() as u32, first }))
    }

    /// The next or previous match or error from a place, which is not itself one of them; from the other end when
    /// there is none.
    pub fn jump(&self, from: u32, to: Jump) -> Option<LogPlace> {
        let shown = lock(&self.shown);
        match to {
            Jump::NextMatch | Jump::PreviousMatch => {
                let count = shown.matches.len();
                if count == 0 {
                    return None;
                }
                let number = if to == Jump::NextMatch {
                    shown.matches.partition_point(|place| *place <= from) % count
                } else {
                    (shown.matches.partition_point(|place| *place < from) + count - 1) % count
                };
                Some(LogPlace { place: shown.matches[number], number: number as u32 + 1 })
            }
            Jump::NextError | Jump::PreviousError => {
                let is_error = |place: &usize| {
                    let line = shown.lines[*place];
                    self.log.level(line) == Level::Error && self.log.starts(line)
                };
                let (from, end) = (from as usize, shown.lines.len());
                let place = if to == Jump::NextError {
                    (from.saturating_add(1)..end).chain(0..end.min(from + 1)).find(is_error)
                } else {
                    (0..from.min(end)).rev().chain((from.min(end)..end).rev()).find(is_error)
                };
                place.map(|place| LogPlace { place: place as u32, number: 0 })
            }
        }
    }

    /// The whole entry that the line at this place belongs to.
    pub fn entry(&self, place: u32) -> Result<Option<LogEntry>, AppError> {
        let Some(line) = lock(&self.shown).lines.get(place as usize).copied() else { return Ok(None) };
        let mut text = String::new();
        let mut truncated = false;
        for (number, line) in self.log.entry(line).enumerate() {
            if text.len() > MOST_ENTRY {
                truncated = true;
                break;
            }
            if number > 0 {
                text.push('\n');
            }
            text.push_str(&self.text(line)?);
        }
        Ok(Some(LogEntry { text, truncated }))
    }

    fn text(&self, line: u32) -> Result<String, AppError> {
        let (start, end) = self.log.span(line);
        self.log.text().read(start, end).map_err(|error| unkept(&error))
    }

    /// A bit for each line that holds the text. None if another search was started meanwhile.
    fn search(&self, text: &str, turn: u64) -> Result<Option<Vec<u64>>, AppError> {
        let pattern =
            RegexBuilder::new(&regex::escape(text)).case_insensitive(true).build().map_err(|error| {
                AppError::from(ErrorCode::InvalidRequest).detail(error).param("field", "text")
            })?;
        let mut hits = vec![0_u64; self.log.len().div_ceil(64)];
        for number in 0..self.log.text().blocks() {
            if self.search.load(Ordering::Relaxed) != turn {
                return Ok(None);
            }
            let (start, block) = self.log.text().block(number).map_err(|error| unkept(&error))?;
            let mut at = 0;
            while let Some(found) = pattern.find_at(&block, at) {
                let line = self.log.line_at(start + found.start() as u64);
                hits[line as usize / 64] |= 1 << (line % 64);
                // The rest of the line says nothing new.
                at = (self.log.span(line).1 - start) as usize + 1;
                if at >= block.len() {
                    break;
                }
            }
        }
        Ok(Some(hits))
    }
}

fn is_hit(hits: Option<&[u64]>, line: u32) -> bool {
    hits.is_some_and(|hits| hits[line as usize / 64] >> (line % 64) & 1 == 1)
}

fn places(lines: &[u32], hits: Option<&[u64]>) -> Vec<u32> {
    if hits.is_none() {
        return Vec::new();
    }
    (0..).zip(lines).filter(|(_, line)| is_hit(hits, **line)).map(|(place, _)| place).collect()
}

/// What was kept of the text can't be read any more.
fn unkept(error: &std::io::Error) -> AppError {
    AppError::from(LocalCode::ArchiveUnreadable).detail(error)
}
