//! When the entries of a log were written: finds out how a file writes its times, then reads them line by line.
//!
//! A [`Survey`] looks at some lines of a file and tallies what could be a time and where it stands. What it
//! concludes, [`Times`], recognises only that, so that a date within a message does not start an entry.

mod clock;
mod layout;
mod place;
mod survey;

use jiff::tz::TimeZone;
use memchr::memmem;

use clock::Clock;
use layout::{Layout, Order, SECOND, Written};
use place::Place;

pub use survey::Survey;

/// How far a line's time may lie after its file's modification and still be believed.
const AHEAD: i64 = 24 * 3600 * SECOND;
/// Two readings of one moment differ by their zones at most.
const ZONES_APART: i64 = 26 * 3600 * SECOND;
/// Where the kernel's audit lines have their epoch.
const AUDIT: &[u8] = b"audit(";

/// When an entry was written, in microseconds since 1970. The two differ where a local time can mean two
/// instants, as in the night when clocks are put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The earliest instant that the line can mean.
    pub earliest: i64,
    /// The latest one.
    pub latest: i64,
}

impl Stamp {
    fn at(instant: i64) -> Self {
        Self { earliest: instant, latest: instant }
    }

    /// The instant that lies in `from ≤ t < to`, if one does; the latest, if both do.
    pub fn within(self, from: i64, to: i64) -> Option<i64> {
        [self.latest, self.earliest].into_iter().find(|instant| (from..to).contains(instant))
    }
}

/// One place and way in which a file writes its times.
#[derive(Clone, Debug)]
struct Recogniser {
    place: Place,
    layout: Layout,
}

/// Reads the times of one file's lines.
#[derive(Clone, Debug)]
pub struct Times {
    /// Those that give an epoch come first, as an epoch beats a local time beside it.
    recognisers: Vec<Recogniser>,
    /// Whether entries may start with white space.
    indented: bool,
    order: Order,
    clock: Clock,
    modified: i64,
    years: Option<Years>,
    /// Month, day and clock of the line that was read last, and its year as counted.
    last_yearless: Option<(u32, u32, i64, i32)>,
    audit: Option<memmem::Finder<'static>>,
}

impl Times {
    fn new(
        recognisers: Vec<Recogniser>,
        indented: bool,
        order: Order,
        zone: &TimeZone,
        modified: i64,
    ) -> Self {
        let local = recognisers.iter().any(|known| known.layout != Layout::Epoch);
        Self {
            recognisers,
            indented,
            order,
            clock: Clock::new(zone.clone()),
            modified,
            years: None,
            last_yearless: None,
            audit: local.then(|| memmem::Finder::new(AUDIT)),
        }
    }

    /// The time of the entry that starts with this line; nothing if the line goes on with the entry before it.
    pub fn read(&mut self, line: &[u8]) -> Option<Stamp> {
        let line = visible(line);
        let first = *line.first()?;
        if !self.indented && first.is_ascii_whitespace() {
            return None;
        }
        let (written, end) = self.recognisers.iter().find_map(|known| {
            known.place.find(line, |text| known.layout.parse(text).filter(|read| self.fits(read.0)))
        })?;
        if !matches!(written, Written::Instant(_))
            && let Some(epoch) = self.epoch_beside(line, end, written)
        {
            return Some(Stamp::at(epoch));
        }
        self.settle(written)
    }

    /// Whether years must be counted from the start of the file, as its lines leave them out.
    pub fn is_yearless(&self) -> bool {
        self.recognisers.iter().any(|known| known.layout == Layout::MonthName)
    }

    /// From here on every line of the file is read once, in order, to count its New Years.
    pub fn start_counting_years(&mut self) {
        self.years = Some(Years { year: 0, last: None });
        self.last_yearless = None;
    }

    /// All lines were read: from here on they are read again from the first one, each with its own year.
    pub fn finish_counting_years(&mut self) {
        self.years = None;
        if let Some((month, day, clock, counted)) = self.last_yearless {
            let year = self.year_by_modification(month, day, clock);
            self.years = Some(Years { year: year - counted, last: None });
        }
    }

    /// How far lines in order may seem out of order near an instant, because clocks were changed.
    pub fn jump_near(&self, instant: i64) -> i64 {
        self.clock.jump_near(instant)
    }

    /// The way in which most of the file's times are written, for the manifest.
    pub fn describe(&self) -> &'static str {
        match self.recognisers.first().map(|known| known.layout) {
            Some(Layout::Epoch) => "epoch",
            Some(Layout::MonthName) => "month_name",
            Some(Layout::DayMonthName) => "day_month_name",
            Some(Layout::Open) => match self.order {
                Order::DayMonthYear => "day_month_year",
                Order::MonthDayYear => "month_day_year",
                Order::YearMonthDay => "year_month_day",
            },
            Some(Layout::YearFirst) | None => "year_first",
        }
    }

    fn fits(&self, written: Written) -> bool {
        match written {
            Written::Open { parts, long_year, clock, .. } => {
                self.order.local(parts, long_year, clock).is_some()
            }
            _ => true,
        }
    }

    /// The epoch that stands beside a local time: in `audit(…)`, or as the next word if it means the same moment.
    fn epoch_beside(&self, line: &[u8], end: usize, written: Written) -> Option<i64> {
        let start = &line[..line.len().min(512)];
        if let Some(at) = self.audit.as_ref().and_then(|audit| audit.find(start))
            && let Some((Written::Instant(epoch), _)) = Layout::Epoch.parse(&line[at + AUDIT.len()..])
        {
            return Some(epoch);
        }
        let rest = line.get(end..)?;
        let skipped = rest.iter().take(3).take_while(|byte| place::is_separator(**byte)).count();
        let (Written::Instant(epoch), _) = Layout::Epoch.parse(&rest[skipped..])? else { return None };
        let same = means_about(written, epoch);
        (skipped > 0 && same).then_some(epoch)
    }

    fn settle(&mut self, written: Written) -> Option<Stamp> {
        match written {
            Written::Instant(instant) => Some(Stamp::at(instant)),
            Written::Local(local) => Some(self.clock.stamp(local)),
            Written::Yearless { month, day, clock } => {
                let year = match &mut self.years {
                    Some(years) => years.year_of(month, day),
                    None => self.year_by_modification(month, day, clock),
                };
                self.last_yearless = Some((month, day, clock, year));
                // Counting starts at year 0, where the result does not matter yet.
                let year = if year < 1970 { 2024 } else { year };
                let start = layout::date(year, month, day).or_else(|| layout::date(year, month, day - 1))?;
                Some(self.clock.stamp(start + clock))
            }
            Written::Open { parts, long_year, clock, offset } => {
                let local = self.order.local(parts, long_year, clock)?;
                Some(match offset {
                    Some(offset) => Stamp::at(local - i64::from(offset) * SECOND),
                    None => self.clock.stamp(local),
                })
            }
        }
    }

    /// The latest year in which the time is not after the file's modification.
    fn year_by_modification(&mut self, month: u32, day: u32, clock: i64) -> i32 {
        let newest = year_of(self.clock.local(self.modified)) + 1;
        (newest - 9..=newest)
            .rev()
            .find(|year| {
                layout::date(*year, month, day)
                    .is_some_and(|start| self.clock.stamp(start + clock).earliest <= self.modified + AHEAD)
            })
            .unwrap_or(newest - 1)
    }
}

/// A line without a byte order mark and the colours of a terminal at its start.
fn visible(line: &[u8]) -> &[u8] {
    let mut line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    while let Some(colour) = line.strip_prefix(b"\x1b[") {
        let Some(end) = colour.iter().take(16).position(|byte| *byte == b'm') else { break };
        line = &colour[end + 1..];
    }
    line
}

/// Whether a local time can mean an instant, in some zone, year and order.
fn means_about(written: Written, epoch: i64) -> bool {
    let near = |local: i64| (epoch - local).abs() <= ZONES_APART;
    match written {
        Written::Instant(instant) => near(instant),
        Written::Local(local) => near(local),
        Written::Yearless { month, day, clock } => {
            let year = year_of(epoch);
            (year - 1..=year + 1)
                .filter_map(|year| layout::date(year, month, day))
                .any(|start| near(start + clock))
        }
        Written::Open { parts, long_year, clock, .. } => {
            Order::ALL.iter().filter_map(|order| order.local(parts, long_year, clock)).any(near)
        }
    }
}

/// The year of a local time.
fn year_of(local: i64) -> i32 {
    chrono::DateTime::from_timestamp_micros(local).map_or(1970, |time| chrono::Datelike::year(&time))
}

/// Counts New Years along the lines of a file: a day that is months back is in the next year.
#[derive(Clone, Debug)]
struct Years {
    year: i32,
    last: Option<i32>,
}

impl Years {
    fn year_of(&mut self, month: u32, day: u32) -> i32 {
        /// Lines are out of order by less than this, and pauses are shorter than the rest of a year.
        const TWO_MONTHS: i32 = 2 * 31;
        const ALMOST_A_YEAR: i32 = 350;
        let now = (month * 31 + day).cast_signed();
        let back = self.last.map_or(0, |last| last - now);
        // A late line of December among those of January.
        if back < -ALMOST_A_YEAR {
            return self.year - 1;
        }
        self.year += i32::from(back > TWO_MONTHS);
        self.last = Some(now);
        self.year
    }
}

#[cfg(test)]
mod tests;
