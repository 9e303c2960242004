//! Refused requests in the log: enough to see what somebody tries, never so many that the log is theirs.

use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tillwatch_protocol::error::ErrorCode;

/// So many lines in a second, and at once after a quiet time.
const LINES: Quota =
    Quota::per_second(NonZeroU32::new(10).unwrap()).allow_burst(NonZeroU32::new(200).unwrap());

static REFUSALS: LazyLock<Refusals> = LazyLock::new(|| Refusals::new(LINES));

/// Writes down that a request was refused as what nobody should send, or may, or so often.
pub(crate) fn log(code: ErrorCode) {
    if !matches!(code.status(), 400 | 401 | 403 | 413 | 415 | 422 | 429) {
        return;
    }
    let Some(left_out) = REFUSALS.admit() else { return };
    if left_out > 0 {
        tracing::warn!(left_out, "more requests were refused than the log has room for");
    }
    tracing::info!(code = code.as_str(), "a request was refused");
}

struct Refusals {
    lines: DefaultDirectRateLimiter,
    left_out: AtomicU64,
}

impl Refusals {
    fn new(lines: Quota) -> Self {
        Self { lines: RateLimiter::direct(lines), left_out: AtomicU64::new(0) }
    }

    /// Whether there is room for one more, and how many were left out since the last.
    fn admit(&self) -> Option<u64> {
        if self.lines.check().is_ok() {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_the_log_has_no_room_for_is_counted() {
        let hourly = Quota::with_period(Duration::from_hours(1)).unwrap();
        let refusals = Refusals::new(hourly.allow_burst(NonZeroU32::new(2).unwrap()));
        let admitted: Vec<_> = (0..5).map(|_| refusals.admit()).collect();
        assert_eq!(admitted, [Some(0), Some(0), None, None, None]);

        let refusals = Refusals { lines: RateLimiter::direct(hourly), ..refusals };
        assert_eq!(refusals.admit(), Some(3), "the next line tells of them");
        assert_eq!(refusals.admit(), None);
    }
}
