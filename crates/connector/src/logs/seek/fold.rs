//! The night when clocks are put back: which of two instants a local time means, told by the order of the lines.

use tillwatch_log_times::Stamp;

/// Lines of several threads go back by less than this; where clocks are put back it is by half an hour or more,
/// less what passed between two lines.
const JITTER: i64 = 10 * 60 * 1_000_000;
/// Local times so near to each other are of one night.
const ONE_NIGHT: i64 = 12 * 3600 * 1_000_000;

/// The nights of one file, in which each hour that comes twice turns back once.
///
/// A night is settled only if its lines go back at exactly one place: those before it are of the first pass, the
/// others of the second. Otherwise both readings stand, so that nothing is missed.
#[derive(Default)]
pub(super) struct Folds {
    nights: Vec<Night>,
}

struct Night {
    /// The reading of the line before, as of the first pass.
    last: i64,
    /// Offset of the first line after the clock went back.
    turn: u64,
    turns: u32,
}

impl Folds {
    /// Looks at a line; they come in the order of the file.
    pub(super) fn observe(&mut self, offset: u64, stamp: Stamp) {
        if stamp.earliest == stamp.latest {
            return;
        }
        let Some(night) = self.nights.iter_mut().find(|night| night.holds(stamp)) else {
            self.nights.push(Night { last: stamp.earliest, turn: 0, turns: 0 });
            return;
        };
        if night.last - stamp.earliest > JITTER {
            night.turns += 1;
            night.turn = offset;
            night.last = stamp.earliest;
        }
        night.last = night.last.max(stamp.earliest);
    }

    /// The same line again, with the one instant that it means if that is known now.
    pub(super) fn settle(&self, offset: u64, stamp: Stamp) -> Stamp {
        let night = self.nights.iter().find(|night| night.turns == 1 && night.holds(stamp));
        match night {
            Some(night) if offset < night.turn => Stamp { latest: stamp.earliest, ..stamp },
            Some(_) => Stamp { earliest: stamp.latest, ..stamp },
            None => stamp,
        }
    }
}

impl Night {
    fn holds(&self, stamp: Stamp) -> bool {
        (stamp.earliest - self.last).abs() < ONE_NIGHT
    }
}
