//! How often a user may call: a program that has gone wild with somebody's session leaves room for the others.

use std::num::NonZeroU32;

use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::UserId;

use crate::config::Limits;
use crate::error::{ApiError, ApiResult};

/// How many users are remembered with their calls before those are forgotten whose calls are long ago.
const MAX_USERS: usize = 10_000;
/// Calls at once, as a multiple of those in a second: an administrator's lists come in many pages.
const BURST: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// The calls of users to this process. Each process of a cluster counts for itself.
#[derive(Debug)]
pub(crate) struct CallRate {
    by_user: DefaultKeyedRateLimiter<UserId>,
}

impl CallRate {
    /// Nobody has called yet.
    pub(crate) fn new(limits: &Limits) -> Self {
        let burst = limits.calls_by_user.saturating_mul(BURST);
        Self { by_user: RateLimiter::keyed(Quota::per_second(limits.calls_by_user).allow_burst(burst)) }
    }

    /// Counts a call of this user; refuses it when there were too many.
    pub(crate) fn admit(&self, user: UserId) -> ApiResult<()> {
        if self.by_user.len() > MAX_USERS {
            self.by_user.retain_recent();
        }
        self.by_user.check_key(&user).map_err(|until| {
            let detail = "Too many calls in your name. Wait before the next.";
            let wait = until.wait_time_from(self.by_user.clock().now());
            ApiError::new(ErrorCode::RateLimited, detail).retry_after(wait)
        })
    }
}
