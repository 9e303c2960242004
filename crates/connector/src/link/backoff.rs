//! When to try again: full jitter over a doubling wait, so that ten thousand stores that lost the same cloud
//! do not come back in step.

use std::time::Duration;

/// The first wait is at most this.
const FIRST: Duration = Duration::from_secs(1);
/// Every wait is at most this.
const LONGEST: Duration = Duration::from_mins(1);
/// A link that lived this long was a good one; the next failure starts anew.
const SETTLED: Duration = Duration::from_mins(1);

/// How long at least to leave the field to another connector with the same identity, the first time.
const REPLACED_FIRST: Duration = Duration::from_secs(30);
/// And in the end. Two that will not stop meet no more than a few times an hour.
const REPLACED_LONGEST: Duration = Duration::from_mins(16);
/// A link that nobody took over for so long shows that the other one is gone.
const UNDISTURBED: Duration = Duration::from_hours(1);

/// The waits between tries.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
    replaced: u32,
}

impl Backoff {
    /// The wait before the next try.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let ceiling = FIRST.saturating_mul(2_u32.saturating_pow(self.tries)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        ceiling.mul_f64(rand::random())
    }

    /// The wait after another connector with the same identity has taken over: longer each time, so that a
    /// cloned disk does not have both of them fight for the link. Up to twice the least, that they part.
    pub(crate) fn replaced_wait(&mut self) -> Duration {
        let least = REPLACED_FIRST.saturating_mul(2_u32.saturating_pow(self.replaced)).min(REPLACED_LONGEST);
        self.replaced = self.replaced.saturating_add(1);
        least + jitter(least)
    }

    /// A link has ended after this life.
    pub(crate) fn lived(&mut self, life: Duration) {
        if life >= SETTLED {
            self.tries = 0;
        }
        if life >= UNDISTURBED {
            self.replaced = 0;
        }
    }
}

/// A random wait up to `longest`.
pub(crate) fn jitter(longest: Duration) -> Duration {
    longest.mul_f64(rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_and_not_further() {
        let mut backoff = Backoff::default();
        for ceiling in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert!(backoff.next_wait() <= Duration::from_secs(ceiling));
        }
        backoff.tries = u32::MAX;
        assert!(backoff.next_wait() <= LONGEST);
    }

    #[test]
    fn waits_are_spread_over_the_whole_span() {
        let mut waits: Vec<_> =
            (0..400).map(|_| Backoff { tries: 9, ..Backoff::default() }.next_wait()).collect();
        waits.sort();
        assert!(waits[20] < Duration::from_secs(10) && waits[380] > Duration::from_secs(50));
    }

    #[test]
    fn a_clone_leaves_the_field_for_longer_each_time() {
        let mut backoff = Backoff::default();
        for least in [30, 60, 120, 240, 480, 960, 960] {
            // Links between two quarrels are short.
            backoff.lived(Duration::from_mins(5));
            let wait = backoff.replaced_wait();
            assert!((least..=2 * least).contains(&wait.as_secs()), "{wait:?}");
        }
        backoff.lived(UNDISTURBED);
        assert!(backoff.replaced_wait() <= Duration::from_mins(1));
    }

    #[test]
    fn only_a_link_that_lived_starts_anew() {
        let mut backoff = Backoff { tries: 5, ..Backoff::default() };
        backoff.lived(Duration::from_secs(5));
        assert_eq!(backoff.tries, 5);
        backoff.lived(Duration::from_secs(61));
        assert_eq!(backoff.tries, 0);
    }
}
