//! The time as the cloud has it, and the moments at which this computer lost count of it.
//!
//! Everything that is shown or compared was timed by the cloud. The clock here may be minutes or years off, so that what
//! it says is corrected by what the cloud said last.

use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};

/// By how much the clocks may differ and still be taken for equal: answers travel, and name whole seconds.
const TOLERANCE: TimeDelta = TimeDelta::seconds(30);
/// How often it is looked whether this computer slept.
const LOOKS_APART: Duration = Duration::from_secs(2);
/// How late a look may come while nothing but work keeps this computer busy.
const LATE: Duration = Duration::from_secs(8);

/// The cloud's clock.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    ahead_seconds: AtomicI32,
}

impl Clock {
    /// The time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::seconds(self.ahead_seconds().into())
    }

    /// By how many seconds the cloud's clock is ahead of this computer's, behind if negative; zero when they agree.
    pub(crate) fn ahead_seconds(&self) -> i32 {
        self.ahead_seconds.load(Ordering::Relaxed)
    }

    /// Takes the time that the cloud just told. Whether that changed anything.
    pub(crate) fn set(&self, told: DateTime<Utc>) -> bool {
        let ahead = told - Utc::now();
        let ahead = if ahead.abs() < TOLERANCE { 0 } else { ahead.num_seconds() };
        let ahead = ahead.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        // Not for the second or two by which an answer is slower than the one before.
        let before = self.ahead_seconds();
        let is_same = (before == 0) == (ahead == 0)
            && TimeDelta::seconds(i64::from(ahead) - i64::from(before)).abs() < TOLERANCE;
        if !is_same {
            self.ahead_seconds.store(ahead, Ordering::Relaxed);
        }
        !is_same
    }
}

/// Waits until this computer's clock jumps: it slept, or was set. No timer tells, as some stand still during sleep.
pub(crate) async fn jumped() {
    let mut before = SystemTime::now();
    loop {
        tokio::time::sleep(LOOKS_APART).await;
        let now = SystemTime::now();
        if has_jumped(before, now) {
            return;
        }
        before = now;
    }
}

/// Whether the times of two looks are further apart than looks are, or the wrong way round.
fn has_jumped(before: SystemTime, now: SystemTime) -> bool {
    now.duration_since(before).map_or(true, |passed| passed > LOOKS_APART + LATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clouds_time_counts_once_the_clocks_differ() {
        let clock = Clock::default();
        assert!(!clock.set(Utc::now() - TimeDelta::seconds(5)), "on its way an answer grows old");
        assert_eq!(clock.ahead_seconds(), 0);
        for off in
            [TimeDelta::minutes(10), TimeDelta::minutes(-10), TimeDelta::days(365), TimeDelta::days(-365)]
        {
            assert!(clock.set(Utc::now() + off), "{off}");
            assert!((clock.now() - Utc::now() - off).abs() < TimeDelta::seconds(5), "{off}");
            assert!(!clock.set(Utc::now() + off - TimeDelta::seconds(3)), "the same, a little later");
        }
        assert!(clock.set(Utc::now()), "this computer's clock was set right");
        assert_eq!(clock.ahead_seconds(), 0);
        assert!(clock.set(DateTime::<Utc>::MAX_UTC), "nonsense does no harm");
        assert_eq!(clock.ahead_seconds(), i32::MAX);
    }

    #[test]
    fn sleep_and_a_set_clock_are_jumps_but_work_is_none() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(!has_jumped(at(1000), at(1002)));
        assert!(!has_jumped(at(1000), at(1008)), "a busy machine");
        assert!(has_jumped(at(1000), at(1030)), "a nap");
        assert!(has_jumped(at(1000), at(1000 + 8 * 3600)), "a night");
        assert!(has_jumped(at(1000), at(400)), "set back");
    }
}
