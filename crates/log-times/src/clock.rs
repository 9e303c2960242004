//! From the local time of a line to the instants that it can mean.

use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::Stamp;
use super::layout::SECOND;

/// Offsets change at whole quarters of an hour, so one answer holds for a whole quarter.
const QUARTER: i64 = 900;

/// A time zone with the last answer kept, as the lines of a log are close together.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    zone: TimeZone,
    quarter: i64,
    /// Seconds east of UTC: the larger, which gives the earlier instant, and the smaller.
    offsets: (i32, i32),
}

impl Clock {
    pub(super) fn new(zone: TimeZone) -> Self {
        let mut clock = Self { zone, quarter: 0, offsets: (0, 0) };
        clock.offsets = clock.look_up(0);
        clock
    }

    /// The instants that a local time can mean: two in the hour that an autumn night has twice. A time that a
    /// spring night leaves out is read as if the clock had not been put forward yet.
    pub(super) fn stamp(&mut self, local: i64) -> Stamp {
        let quarter = local.div_euclid(QUARTER * SECOND);
        if quarter != self.quarter {
            self.offsets = self.look_up(quarter);
            self.quarter = quarter;
        }
        Stamp {
            earliest: local - i64::from(self.offsets.0) * SECOND,
            latest: local - i64::from(self.offsets.1) * SECOND,
        }
    }

    /// The local time of an instant, in microseconds since 1970 as if it were UTC.
    pub(super) fn local(&self, instant: i64) -> i64 {
        instant + i64::from(self.offset_at(instant)) * SECOND
    }

    /// By how much the local time jumps within a day of an instant, in microseconds: how far lines in order
    /// may seem out of order there.
    pub(super) fn jump_near(&self, instant: i64) -> i64 {
        let day = 26 * 3600 * SECOND;
        let change = self.offset_at(instant - day) - self.offset_at(instant + day);
        i64::from(change.abs()) * SECOND
    }

    fn offset_at(&self, instant: i64) -> i32 {
        Timestamp::from_microsecond(instant).map_or(0, |instant| self.zone.to_offset(instant).seconds())
    }

    fn look_up(&self, quarter: i64) -> (i32, i32) {
        let Ok(local) = Timestamp::from_second(quarter * QUARTER) else { return (0, 0) };
        let local = Offset::UTC.to_datetime(local);
        let (one, other) = match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => (offset, offset),
            AmbiguousOffset::Gap { before, .. } => (before, before),
            AmbiguousOffset::Fold { before, after } => (before, after),
        };
        (one.max(other).seconds(), one.min(other).seconds())
    }
}
