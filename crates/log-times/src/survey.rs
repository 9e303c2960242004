//! Finding out how a file writes its times by looking at its lines.

use jiff::tz::TimeZone;

use super::clock::Clock;
use super::layout::{Layout, Order, SECOND, Written};
use super::place::{Place, key_before, names_the_time, starts};
use super::{AHEAD, Recogniser, Times, means_about, visible};

/// Numbers at the start of a line that mean a moment longer before the file's modification are no epochs.
const BELIEVED: i64 = 15 * 366 * 24 * 3600 * SECOND;
/// Files of fewer lines are believed to have times if one line has one; longer ones need two.
const FEW_LINES: u64 = 50;

/// What was seen so far. Lines are shown in the order of the file, the last ones too, as the file's
/// modification belongs to them.
#[derive(Debug, Default)]
pub struct Survey {
    lines: u64,
    tallies: Vec<Tally>,
}

#[derive(Debug)]
struct Tally {
    place: Place,
    layout: Layout,
    lines: u64,
    indented: u64,
    newest_epoch: i64,
    orders: [Sequence; 3],
}

/// How the times of a file look if their numbers are read in one order.
#[derive(Clone, Copy, Debug, Default)]
struct Sequence {
    impossible: bool,
    last: i64,
    newest: i64,
    steps_back: u64,
}

impl Survey {
    /// Looks at one line.
    pub fn observe(&mut self, line: &[u8]) {
        let line = visible(line);
        if line.trim_ascii().is_empty() {
            return;
        }
        self.lines += 1;
        let indented = u64::from(line[0].is_ascii_whitespace());
        let found = hits(line);
        for hit in &found {
            let tally = self.tally(&hit.place, hit.layout);
            tally.lines += 1;
            tally.indented += indented;
            tally.observe(hit.written);
        }
    }

    /// What the lines have in common; nothing if they have no readable times. `modified` is when the file was
    /// written last, in microseconds since 1970.
    pub fn conclude(&self, zone: &TimeZone, modified: i64) -> Option<Times> {
        let believed = |tally: &&Tally| {
            let range = modified - BELIEVED..=modified + 2 * AHEAD;
            tally.layout != Layout::Epoch || tally.is_named() || range.contains(&tally.newest_epoch)
        };
        let mut tallies: Vec<&Tally> = self.tallies.iter().filter(believed).collect();
        let words = tallies.iter().filter(|tally| matches!(tally.place, Place::Word(_)));
        let in_words = words.map(|tally| tally.lines).max().unwrap_or(0);
        let keyed = tallies.iter().filter(|tally| matches!(tally.place, Place::After(_)));
        let after_keys = keyed.map(|tally| tally.lines).max().unwrap_or(0);
        // The number of a word is the plainer rule, unless the key is what stays and its place moves.
        let by_word = in_words >= after_keys;
        tallies.retain(|tally| match tally.place {
            Place::Word(_) => by_word,
            Place::After(_) => !by_word || (tally.layout == Layout::Epoch && tally.is_named()),
        });
        let best = tallies.iter().map(|tally| tally.lines).max()?;
        if best < 2 && self.lines >= FEW_LINES {
            return None;
        }
        // Where entries start with their time, a date further on is part of what they say.
        let at_start = tallies.iter().any(|tally| tally.place == Place::Word(0) && tally.lines * 2 > best);
        tallies.retain(|tally| {
            tally.lines * 20 >= best
                && (!at_start || tally.layout == Layout::Epoch || tally.place == Place::Word(0))
        });
        tallies.sort_by_key(|tally| (tally.layout != Layout::Epoch, std::cmp::Reverse(tally.lines)));
        let most = tallies.iter().max_by_key(|tally| tally.lines)?;
        let open = tallies.iter().find(|tally| tally.layout == Layout::Open);
        let order = open.map_or(Order::DayMonthYear, |tally| tally.order(zone, modified));
        let indented = most.indented * 2 > most.lines;
        let recognisers = tallies
            .iter()
            .map(|tally| Recogniser { place: tally.place.clone(), layout: tally.layout })
            .collect();
        Some(Times::new(recognisers, indented, order, zone, modified))
    }

    /// Whether the answer hangs on lines that a sample may lack: the order of the date's numbers is open.
    pub fn is_open(&self) -> bool {
        self.tallies.iter().any(|tally| tally.layout == Layout::Open)
    }

    fn tally(&mut self, place: &Place, layout: Layout) -> &mut Tally {
        // A hostile file may have any number of keys; those that come late are rare in it.
        let known = self.tallies.iter().position(|tally| tally.layout == layout && tally.place == *place);
        let index = known.unwrap_or(self.tallies.len().min(63));
        if index == self.tallies.len() || known.is_none() {
            self.tallies.truncate(63);
            self.tallies.push(Tally {
                place: place.clone(),
                layout,
                lines: 0,
                indented: 0,
                newest_epoch: 0,
                orders: [Sequence::default(); 3],
            });
            return self.tallies.last_mut().expect("one was pushed");
        }
        &mut self.tallies[index]
    }
}

impl Tally {
    fn is_named(&self) -> bool {
        matches!(&self.place, Place::After(key) if names_the_time(key))
    }

    fn observe(&mut self, written: Written) {
        match written {
            Written::Instant(instant) => self.newest_epoch = self.newest_epoch.max(instant),
            Written::Open { parts, long_year, clock, .. } => {
                for (sequence, order) in self.orders.iter_mut().zip(Order::ALL) {
                    let Some(local) = order.local(parts, long_year, clock) else {
                        sequence.impossible = true;
                        continue;
                    };
                    sequence.steps_back += u64::from(local < sequence.last);
                    sequence.last = local;
                    sequence.newest = sequence.newest.max(local);
                }
            }
            Written::Local(_) | Written::Yearless { .. } => {}
        }
    }

    /// The order that all dates allow; among several the one whose last line is nearest to the modification.
    fn order(&self, zone: &TimeZone, modified: i64) -> Order {
        let mut clock = Clock::new(zone.clone());
        let mut score = |sequence: &Sequence| {
            let days_off = (clock.stamp(sequence.last).earliest - modified).abs() / AHEAD;
            let ahead = clock.stamp(sequence.newest).earliest > modified + AHEAD;
            (sequence.impossible, ahead, days_off, sequence.steps_back)
        };
        let scored = self.orders.iter().map(&mut score).zip(Order::ALL);
        scored.min_by_key(|(score, _)| *score).map_or(Order::DayMonthYear, |(_, order)| order)
    }
}

struct Hit {
    place: Place,
    layout: Layout,
    written: Written,
}

/// Whether a time may start with this byte: a digit, or the first letter of a month.
fn starts_a_time(byte: u8) -> bool {
    matches!(byte | 32, b'0'..=b'9' | b'a' | b'd' | b'f' | b'j' | b'm' | b'n' | b'o' | b's')
}

/// What may be the time of a line: one time, by the number of its word and by its key, if it has one.
fn hits(line: &[u8]) -> Vec<Hit> {
    let mut local: Option<(usize, usize, Layout, Written)> = None;
    let mut epoch: Option<(usize, usize, Layout, Written)> = None;
    let mut named: Option<(usize, usize, Layout, Written)> = None;
    for (word, start) in starts(line) {
        let Some(text) = line.get(start..) else { break };
        if !text.first().copied().is_some_and(starts_a_time) {
            continue;
        }
        let Some((layout, written)) =
            Layout::ALL.iter().find_map(|layout| layout.parse(text).map(|(written, _)| (*layout, written)))
        else {
            continue;
        };
        let hit = Some((word, start, layout, written));
        let is_named = key_before(line, start).is_some_and(names_the_time);
        match layout {
            Layout::Epoch if is_named || word == 0 => epoch = epoch.or(hit),
            Layout::Epoch => {}
            _ if is_named => named = named.or(hit),
            _ => local = local.or(hit),
        }
    }
    let local = named.or(local);
    // A number without a name is an epoch if it means about the same moment as the local time of the line.
    let epoch = epoch.filter(|(_, start, _, written)| {
        let is_named = key_before(line, *start).is_some_and(names_the_time);
        let same = match (written, local) {
            (Written::Instant(epoch), Some((.., local))) => means_about(local, *epoch),
            _ => true,
        };
        is_named || same
    });
    let Some((word, start, layout, written)) = epoch.or(local) else { return Vec::new() };
    let mut found = vec![Hit { place: Place::Word(word), layout, written }];
    if let Some(key) = key_before(line, start) {
        let hit = Hit { place: Place::After(key.to_vec()), layout, written };
        if layout == Layout::Epoch && word > 0 {
            // The number of a word says too little about a number.
            found.clear();
        }
        found.push(hit);
    }
    found
}
