//! Binary search for the ends of a period in a large file, by byte offset.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{MARGIN, SAMPLES, Stop};
use crate::logs::source::Source;
use tillwatch_log_times::{Stamp, Times};

/// How much is read at a place to find a line with a time.
const LOOK: usize = 4 << 10;
/// How much is read at a sample.
const SAMPLE: usize = 2 << 10;
/// If there is no time in this much text, the file is not one to search in.
const FARTHEST: usize = 1 << 20;
/// A line's time stands within this many characters of its start.
const TIME_WITHIN: usize = 512;

/// Where else than at the start to look at a file to learn how it writes times, and how much: some places
/// within, then the end.
pub(super) fn survey_places(len: u64, surveyed: u64) -> impl Iterator<Item = (u64, u64)> {
    const WITHIN: u64 = 12;
    let rest = len.saturating_sub(surveyed);
    let within = (1..=WITHIN).map(move |index| (surveyed + rest / (WITHIN + 1) * index, LOOK as u64));
    let end = (len.saturating_sub(surveyed).max(surveyed), surveyed);
    within.filter(move |_| rest > 4 * surveyed).chain((rest > 0).then_some(end))
}

/// Which of the lines at a place are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// As far as the first with a time.
    First,
    /// All of them.
    All,
}

/// A search in one file. Remembers every time that it sees, to tell whether they are in order.
pub(super) struct Search<'a> {
    source: &'a Source,
    times: &'a mut Times,
    seen: BTreeMap<u64, Stamp>,
    buffer: Vec<u8>,
}

impl<'a> Search<'a> {
    pub(super) fn new(source: &'a Source, times: &'a mut Times) -> Self {
        Self { source, times, seen: BTreeMap::new(), buffer: Vec::new() }
    }

    /// Which bytes hold the entries with `from ≤ t < to`; nothing if there are none.
    pub(super) fn range(&mut self, from: i64, to: i64) -> Result<Option<Range<u64>>, Stop> {
        let len = self.source.len();
        // Where clocks were changed, lines in order may seem to go back by as much as that.
        let start_at = from - self.times.jump_near(from);
        let end_at = to + self.times.jump_near(to);
        let mut start = self.first_not(0, |stamp| stamp.latest < start_at)?;
        let end = self.first_not(start, |stamp| stamp.earliest < end_at)?;
        for index in 0..SAMPLES {
            self.look(len / SAMPLES * index, SAMPLE, Look::First)?;
        }
        self.look(start.saturating_sub(MARGIN), MARGIN as usize, Look::All)?;
        self.look(end, MARGIN as usize, Look::All)?;
        self.check_order()?;
        // What precedes the first entry goes with it.
        if start < FARTHEST as u64 && self.seen.range(..start).next().is_none() {
            start = 0;
        }
        Ok((start < end).then_some(start..end))
    }

    /// The first entry that starts at or after an offset.
    pub(super) fn entry_from(&mut self, at: u64) -> Result<Option<(u64, Stamp)>, Stop> {
        let mut size = LOOK;
        loop {
            let (first, ended) = self.look(at, size, Look::First)?;
            match first {
                Some(entry) => return Ok(Some(entry)),
                None if ended => return Ok(None),
                // Not a file in which entries can be found: read through it.
                None if size >= FARTHEST => return Err(Stop::Disorder),
                None => size *= 4,
            }
        }
    }

    /// The offset of the first entry for which `before` does not hold; the file's end if it holds for all.
    fn first_not(&mut self, start: u64, before: impl Fn(Stamp) -> bool) -> Result<u64, Stop> {
        let len = self.source.len();
        // `before` holds for every entry that starts before `low`, and not for the one at `found`; none starts
        // from `high` to `found`.
        let (mut low, mut high, mut found) = (start, len, len);
        while high - low > LOOK as u64 {
            let middle = low + (high - low) / 2;
            match self.entry_from(middle)? {
                Some((at, stamp)) if at < high => {
                    if before(stamp) {
                        low = at + 1;
                    } else {
                        (high, found) = (middle, at);
                    }
                }
                _ => high = middle,
            }
        }
        // The little that is left is seen by one look.
        self.look(low, 2 * LOOK, Look::All)?;
        let here = self.seen.range(low..high.max(low)).find(|(_, stamp)| !before(**stamp));
        Ok(here.map_or(found, |(at, _)| *at))
    }

    /// Reads at an offset and remembers the times of the lines that start there, or of the first one that has
    /// one. Gives that, and whether the file ends here.
    fn look(&mut self, at: u64, size: usize, look: Look) -> Result<(Option<(u64, Stamp)>, bool), Stop> {
        // With the character before, a line that starts right here is told from the rest of one.
        let unit = self.source.unit();
        let at = at.next_multiple_of(unit as u64);
        let from = at.saturating_sub(unit as u64);
        self.buffer.resize(size, 0);
        let read = self.source.read_at(from, &mut self.buffer)?;
        let ended = from + read as u64 >= self.source.len() || read < size;
        let text = &self.buffer[..read];
        let mut start = if at == 0 { 0 } else { self.source.line_end(text, 0).unwrap_or(read) };
        let mut first = None;
        while start < read {
            let line_end = self.source.line_end(text, start);
            // A line that is cut off before its time could stand is left to another look.
            if line_end.is_none() && !ended && read - start < TIME_WITHIN * unit {
                break;
            }
            let end = line_end.unwrap_or(read);
            if let Some(stamp) = self.times.read(&self.source.text(&text[start..end])) {
                let offset = from + start as u64;
                self.seen.insert(offset, stamp);
                first = first.or(Some((offset, stamp)));
                if look == Look::First {
                    break;
                }
            }
            start = end;
        }
        Ok((first, ended))
    }

    fn check_order(&self) -> Result<(), Stop> {
        let mut newest = i64::MIN;
        for stamp in self.seen.values() {
            if stamp.latest < newest {
                return Err(Stop::Disorder);
            }
            newest = newest.max(stamp.earliest);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use tillwatch_log_times::Survey;

    const START: i64 = 1_795_000_000;

    /// A file of entries so many seconds apart, each with text of so many bytes after it.
    fn file(entries: &[(u32, usize)], stray: Option<(usize, i64)>) -> (Source, Vec<(u64, i64)>) {
        let (mut text, mut places, mut second) = (Vec::new(), Vec::new(), START);
        let mut add = |second: i64, length: usize| {
            places.push((text.len() as u64, second * 1_000_000));
            let time = DateTime::from_timestamp(second, 0).unwrap();
            text.extend(format!("{} x\n", time.format("%Y-%m-%dT%H:%M:%SZ")).bytes());
            text.extend((0..length).map(|at| if at + 1 == length || at % 700 == 699 { b'\n' } else { b'y' }));
        };
        for (number, (step, length)) in entries.iter().enumerate() {
            second += i64::from(*step);
            add(second, *length);
            if let Some((_, stray)) = stray.filter(|(after, _)| *after == number) {
                add(stray, 10);
            }
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&text).unwrap();
        (Source::new(file).unwrap(), places)
    }

    fn times() -> Times {
        let mut survey = Survey::default();
        survey.observe(b"2026-11-18T10:00:00Z x");
        survey.conclude(&jiff::tz::TimeZone::UTC, START * 1_000_000).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn the_range_holds_the_period_and_no_other_entry(
            entries in prop::collection::vec((prop_oneof![Just(0_u32), 0_u32..100], prop_oneof![9 => 0_usize..200, 1 => 0_usize..9000]), 1..800),
            from in -500_i64..40_000,
            length in 1_i64..3_000,
        ) {
            let (source, places) = file(&entries, None);
            let mut times = times();
            let (from, to) = ((START + from) * 1_000_000, (START + from + length) * 1_000_000);
            let Ok(range) = Search::new(&source, &mut times).range(from, to) else { panic!("it is in order") };
            let expected: Vec<u64> =
                places.iter().filter(|(_, time)| (from..to).contains(time)).map(|(at, _)| *at).collect();
            let range = range.unwrap_or(0..0);
            let found: Vec<u64> = places.iter().map(|(at, _)| *at).filter(|at| range.contains(at)).collect();
            prop_assert_eq!(&found, &expected);
            if let Some(last) = found.last() {
                // The text that follows the last entry belongs to it.
                let next = places.iter().map(|(at, _)| *at).find(|at| at > last).unwrap_or(source.len());
                prop_assert_eq!(range.end, next);
            }
        }

        #[test]
        fn a_line_out_of_order_is_seen_where_it_matters(
            entries in prop::collection::vec((1_u32..100, 0_usize..200), 50..800),
            after in 0_usize..50,
            back in 1_i64..1000,
        ) {
            // In files of this size every line is near a sample.
            let total: i64 = entries.iter().map(|(step, _)| i64::from(*step)).sum();
            let at: i64 = entries[..=after].iter().map(|(step, _)| i64::from(*step)).sum();
            let (source, _) = file(&entries, Some((after, START + at - back)));
            let mut times = times();
            let range = Search::new(&source, &mut times).range((START + total / 2) * 1_000_000, (START + total) * 1_000_000);
            prop_assert!(matches!(range, Err(Stop::Disorder)));
        }
    }
}
