//! Getting the entries of a period out of one file.
//!
//! Nothing in the period may be missed, and a large file must not be read for a small period. The rule:
//!
//! - Files up to [`SCANNED`] bytes and packed ones are read through, whatever the order of their times.
//! - Larger files are searched by offset: a binary search for either end of the period, then the range between
//!   is read. The search looks at a line at each of [`SAMPLES`] more places all over the file and at [`MARGIN`]
//!   bytes on the outer side of both ends, and every line that it or the reading of the range looks at is checked
//!   for being in order. One that is not, anywhere among them, and the file is read through instead.
//!
//! So the result is exact for small files and for large ones in order. In a large file, disorder is missed
//! only if it lies outside of the range and its margins and is shorter than the distance between two samples
//! (a 192nd of the file). The search reads less than a megabyte besides the range.

mod fold;
mod search;

use std::io::{self, Read};

use fold::Folds;
use jiff::tz::TimeZone;
use tillwatch_log_times::{Stamp, Survey, Times};

use super::archive::Collector;
use super::discover::{Found, reason};
use super::source::{Line, Lines, Source};
use super::{CollectError, Watch};

/// Files up to this size are read through: it takes a fraction of a second.
const SCANNED: u64 = 32 << 20;
/// How many places of a searched file are looked at for disorder.
const SAMPLES: u64 = 192;
/// How far outside of the range a searched file is looked at for stray lines.
const MARGIN: u64 = 64 << 10;
/// A searched range is read in steps of this size, the newest first, as older ones may not be wanted.
const STEP: u64 = 32 << 20;
/// How much of a file's start and end is looked at to learn how it writes times.
const SURVEYED: u64 = 32 << 10;
/// Lines before the first time that are kept for the entry that they introduce.
const PREAMBLE: usize = 128 << 10;

/// The period, in microseconds since 1970, and the zone of lines that state none.
#[derive(Clone, Debug)]
pub(super) struct Period {
    /// Start.
    pub(super) from: i64,
    /// End, exclusive.
    pub(super) to: i64,
    /// The zone.
    pub(super) zone: TimeZone,
}

/// How a file was read, for the manifest.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// `searched`, `read_through` or `whole`; nothing if it was not read.
    pub(super) how: Option<&'static str>,
    /// How it writes times.
    pub(super) time_format: Option<&'static str>,
    /// What it is encoded in.
    pub(super) encoding: Option<&'static str>,
    /// Bytes read of it.
    pub(super) read_bytes: u64,
    /// Why there is nothing of it, or not all.
    pub(super) trouble: Option<String>,
}

/// Why reading a file ended early.
enum Stop {
    /// The file can't be read on.
    File(io::Error),
    /// The whole job has to end.
    Job(CollectError),
    /// Its times are not in order.
    Disorder,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<CollectError> for Stop {
    fn from(error: CollectError) -> Self {
        Self::Job(error)
    }
}

/// Gives the file's entries of the period to the collector. Trouble with the file is part of the outcome.
pub(super) fn extract(
    file: &Found,
    period: &Period,
    collector: &mut Collector<'_>,
    watch: &mut Watch<'_>,
) -> Result<Outcome, CollectError> {
    let mut outcome = Outcome::default();
    let source = match file.open().and_then(Source::new) {
        Ok(source) => source,
        Err(error) => {
            outcome.trouble = Some(reason(&error));
            return Ok(outcome);
        }
    };
    let mut reading = Reading { source: &source, file, period, collector, watch, reported: 0 };
    match reading.run(&mut outcome) {
        Ok(()) | Err(Stop::Disorder) => {}
        Err(Stop::File(error)) => outcome.trouble = Some(reason(&error)),
        Err(Stop::Job(error)) => return Err(error),
    }
    outcome.read_bytes = source.read_bytes();
    Ok(outcome)
}

struct Reading<'a, 'b, 'c> {
    source: &'a Source,
    file: &'a Found,
    period: &'a Period,
    collector: &'a mut Collector<'b>,
    watch: &'a mut Watch<'c>,
    reported: u64,
}

impl Reading<'_, '_, '_> {
    fn run(&mut self, outcome: &mut Outcome) -> Result<(), Stop> {
        let Some(mut times) = self.survey(outcome)? else {
            if (self.period.from..self.period.to).contains(&self.file.modified()) {
                outcome.how = Some("whole");
                return self.take_whole();
            }
            outcome.trouble = Some("no_times_and_not_modified_in_period".into());
            return Ok(());
        };
        outcome.time_format = Some(times.describe());
        if self.source.is_seekable() && self.source.len() > SCANNED {
            outcome.how = Some("searched");
            match self.take_range(&mut times) {
                Err(Stop::Disorder) => self.collector.forget(),
                result => return result,
            }
        }
        outcome.how = Some("read_through");
        self.take_through(&mut times)
    }

    /// Learns how the file writes its times.
    fn survey(&mut self, outcome: &mut Outcome) -> Result<Option<Times>, Stop> {
        let modified = self.file.modified();
        let mut survey = Survey::default();
        let len = self.source.len();
        if self.source.is_seekable() {
            let mut start = vec![0; SURVEYED as usize];
            let read = self.source.read_at(0, &mut start)?;
            outcome.encoding = Some(self.source.encoding(&start[..read]));
            observe(&mut survey, &self.source.text(&start[..read]), true);
            for (place, size) in search::survey_places(len, SURVEYED) {
                let place = place.next_multiple_of(self.source.unit() as u64);
                let read = self.source.read_at(place, &mut start[..size as usize])?;
                observe(&mut survey, &self.source.text(&start[..read]), false);
            }
        } else {
            let mut lines = Lines::new(self.source.stream());
            let mut seen = 0;
            while let Some(line) = lines.next()? {
                if seen == 0 {
                    outcome.encoding = Some(self.source.encoding(line.text));
                }
                if line.is_start {
                    survey.observe(line.text);
                }
                seen += line.text.len() as u64;
                // Which number is the day may be told by the last line only.
                if seen > SURVEYED && !survey.is_open() {
                    break;
                }
                self.watch.check()?;
            }
        }
        if let Some(times) = survey.conclude(&self.period.zone, modified) {
            return Ok(Some(times));
        }
        if self.source.is_seekable() && (len > SCANNED || len <= SURVEYED) {
            return Ok(None);
        }
        // The sample may have missed the lines with times.
        let mut survey = Survey::default();
        let mut lines = Lines::new(self.source.stream());
        while let Some(line) = lines.next()? {
            if line.is_start {
                survey.observe(line.text);
            }
            self.watch.check()?;
        }
        Ok(survey.conclude(&self.period.zone, modified))
    }

    /// All of a file without times. For the order among other entries, its lines are taken to be spread
    /// evenly over the time from when the file was made to when it was written last.
    fn take_whole(&mut self) -> Result<(), Stop> {
        let modified = self.file.modified();
        let created = self.file.created().unwrap_or(self.period.from).clamp(self.period.from, modified);
        let already_read = self.source.read_bytes();
        let len = self.source.len().max(1);
        let mut lines = Lines::new(self.source.stream());
        while let Some(line) = lines.next()? {
            let read = (self.source.read_bytes() - already_read).min(len);
            let share = i128::from(modified - created) * i128::from(read) / i128::from(len);
            self.collector.entry(line.offset, created + share as i64, line.text, line.is_start)?;
            self.report(already_read)?;
        }
        Ok(())
    }

    /// Reads the whole file and takes what lies in the period, wherever it stands.
    fn take_through(&mut self, times: &mut Times) -> Result<(), Stop> {
        if times.is_yearless() {
            times.start_counting_years();
            let mut lines = Lines::new(self.source.stream());
            loop {
                // What comes before the damage in a packed file is taken all the same.
                match lines.next() {
                    Ok(Some(line)) if line.is_start => {
                        let _ = times.read(line.text);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => break,
                }
                self.watch.check()?;
            }
            times.finish_counting_years();
        }
        let folds = self.folds(times, [(0, self.source.stream())])?;
        let already_read = self.source.read_bytes();
        self.reported = 0;
        let mut lines = Lines::new(self.source.stream());
        let mut entry = Entry::Preamble { lines: Vec::new() };
        while let Some(line) = lines.next()? {
            let stamp = if line.is_start { times.read(line.text) } else { None };
            let stamp = stamp.map(|stamp| folds.settle(line.offset, stamp));
            entry.take(&line, 0, stamp, self.period, self.collector)?;
            self.report(already_read)?;
        }
        Ok(())
    }

    /// Finds the period by offset and reads only that, in steps from the newest to the oldest.
    fn take_range(&mut self, times: &mut Times) -> Result<(), Stop> {
        let mut search = search::Search::new(self.source, times);
        let Some(range) = search.range(self.period.from, self.period.to)? else { return Ok(()) };
        let mut cuts = vec![range.start];
        let mut at = range.start + STEP;
        while at < range.end {
            let cut = search.entry_from(at)?.map_or(range.end, |entry| entry.0.min(range.end));
            cuts.push(cut);
            at = cut + STEP;
        }
        cuts.push(range.end);
        let steps = cuts.windows(2);
        let folds =
            self.folds(times, steps.map(|step| (self.place(step[0]), self.source.range(step[0], step[1]))))?;
        let already_read = self.source.read_bytes();
        self.reported = 0;
        let mut later: Option<i64> = None;
        for step in cuts.windows(2).rev().filter(|step| step[0] < step[1]) {
            let (first, last) = self.take_step(times, &folds, step[0], step[1])?;
            if later.is_some_and(|later| last > later) {
                return Err(Stop::Disorder);
            }
            later = Some(first);
            self.collector.flush()?;
            if self.collector.is_unwanted(first) {
                break;
            }
            self.report(already_read)?;
        }
        Ok(())
    }

    /// Gives the latest instant of the step's first entry and the earliest of its last.
    fn take_step(
        &mut self,
        times: &mut Times,
        folds: &Folds,
        start: u64,
        end: u64,
    ) -> Result<(i64, i64), Stop> {
        let mut lines = Lines::new(self.source.range(start, end));
        let mut entry = Entry::Preamble { lines: Vec::new() };
        let (mut first, mut last) = (None, i64::MIN);
        while let Some(line) = lines.next()? {
            let stamp = if line.is_start { times.read(line.text) } else { None };
            let stamp = stamp.map(|stamp| folds.settle(self.place(start) + line.offset, stamp));
            if let Some(stamp) = stamp {
                if stamp.latest < last {
                    return Err(Stop::Disorder);
                }
                last = last.max(stamp.earliest);
                first.get_or_insert(stamp.latest);
            }
            entry.take(&line, self.place(start), stamp, self.period, self.collector)?;
            self.watch.check()?;
        }
        Ok((first.unwrap_or(i64::MAX), last))
    }

    /// Reads steps that will be read again, each with the place of its first line, if the period begins or ends
    /// near a night in which clocks are put back.
    fn folds<R: Read>(
        &self,
        times: &Times,
        steps: impl IntoIterator<Item = (u64, R)>,
    ) -> Result<Folds, Stop> {
        let mut folds = Folds::default();
        // Reading moves the count of years on.
        let mut times = times.clone();
        if [self.period.from, self.period.to].into_iter().all(|edge| times.jump_near(edge) == 0) {
            return Ok(folds);
        }
        for (place, text) in steps {
            let mut lines = Lines::new(text);
            // What comes before the damage in a packed file is taken all the same.
            while let Ok(Some(line)) = lines.next() {
                if let Some(stamp) = line.is_start.then(|| times.read(line.text)).flatten() {
                    folds.observe(place + line.offset, stamp);
                }
                self.watch.check()?;
            }
        }
        Ok(folds)
    }

    /// The place of a line in the order of a searched file, which those after it in a step are counted on from in
    /// UTF-8: that takes up to half more than UTF-16 does.
    fn place(&self, offset: u64) -> u64 {
        offset * self.source.unit() as u64
    }

    /// Tells the progress in steps that are worth it.
    fn report(&mut self, already_read: u64) -> Result<(), Stop> {
        self.watch.check()?;
        let read = self.source.read_bytes() - already_read;
        if read >= self.reported + (256 << 10) {
            self.watch.advance(read - self.reported)?;
            self.reported = read;
        }
        Ok(())
    }
}

/// Shows the whole lines of a piece of a file to a survey.
fn observe(survey: &mut Survey, piece: &[u8], from_line_start: bool) {
    let skipped =
        if from_line_start { 0 } else { memchr::memchr(b'\n', piece).map_or(piece.len(), |at| at + 1) };
    piece[skipped..].split_inclusive(|byte| *byte == b'\n').for_each(|line| survey.observe(line));
}

/// The entry that lines belong to while a file is read in order.
enum Entry {
    /// None has started: these lines go with the first one.
    Preamble {
        /// What came before, with the offset of each line.
        lines: Vec<(u64, Vec<u8>)>,
    },
    /// One of the period, with its time.
    Wanted(i64),
    /// One outside of it.
    Unwanted,
}

impl Entry {
    fn take(
        &mut self,
        line: &Line<'_>,
        base: u64,
        stamp: Option<Stamp>,
        period: &Period,
        collector: &mut Collector<'_>,
    ) -> Result<(), CollectError> {
        let offset = base + line.offset;
        let starts = stamp.is_some();
        let mut preamble = Vec::new();
        if let Some(stamp) = stamp {
            let next = stamp.within(period.from, period.to).map_or(Self::Unwanted, Self::Wanted);
            if let Self::Preamble { lines } = std::mem::replace(self, next) {
                preamble = lines;
            }
        }
        match self {
            Self::Wanted(time) => {
                let starts_here = starts && preamble.is_empty();
                for (index, (offset, text)) in preamble.iter().enumerate() {
                    collector.entry(*offset, *time, text, index == 0)?;
                }
                collector.entry(offset, *time, line.text, starts_here)
            }
            Self::Unwanted => Ok(()),
            Self::Preamble { lines } => {
                let held: usize = lines.iter().map(|(_, text)| text.len()).sum();
                if held + line.text.len() <= PREAMBLE {
                    lines.push((offset, line.text.to_vec()));
                }
                Ok(())
            }
        }
    }
}
