//! How often a caller may ask, and a store be asked. Each process of a cluster counts for itself.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tillwatch_protocol::ids::{PosServerId, ServiceTokenId};

use super::caller::CallerId;
use crate::config::Limits;
use crate::store::Store;
use crate::store::service_token::{self, Entitled, USE_NOTED_EVERY};

/// After how many requests those who have not asked for a while are forgotten.
const TIDY_EVERY: u32 = 1 << 16;

/// The counts of this process.
#[derive(Debug)]
pub(crate) struct Rates {
    callers: DefaultKeyedRateLimiter<CallerId>,
    stores: DefaultKeyedRateLimiter<PosServerId>,
    checks: AtomicU32,
    /// When the use of a token was last written down, or is about to be.
    noted: Mutex<HashMap<ServiceTokenId, DateTime<Utc>>>,
}

impl Rates {
    /// Nobody has asked yet.
    pub(crate) fn new(limits: &Limits) -> Self {
        let quota = |per_second: NonZeroU32| Quota::per_second(per_second);
        Self {
            callers: RateLimiter::keyed(quota(limits.relays_by_caller)),
            stores: RateLimiter::keyed(quota(limits.relays_to_store)),
            checks: AtomicU32::new(0),
            noted: Mutex::default(),
        }
    }

    /// Counts a request; the error is how long to wait before the next.
    pub(super) fn check(&self, caller: CallerId, store: PosServerId) -> Result<(), Duration> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            self.callers.retain_recent();
            self.stores.retain_recent();
        }
        let by_caller = self.callers.check_key(&caller);
        by_caller.map_err(|until| until.wait_time_from(self.callers.clock().now()))?;
        let of_store = self.stores.check_key(&store);
        of_store.map_err(|until| until.wait_time_from(self.stores.clock().now()))
    }

    /// Has the use of a token written down, at most once a minute; nobody waits for it.
    pub(super) fn note_use(&self, store: &Store, token: Entitled, now: DateTime<Utc>) {
        let recent = |at: DateTime<Utc>| now - at < USE_NOTED_EVERY;
        if token.last_used_at.is_some_and(recent) {
            return;
        }
        {
            // Each step on the map is complete in itself, so a panic elsewhere leaves it sound.
            let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
            if noted.get(&token.id).copied().is_some_and(recent) {
                return;
            }
            noted.insert(token.id, now);
        }
        let store = store.clone();
        tokio::spawn(async move {
            if let Err(error) = service_token::note_use(&store, token.id, now).await {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(token = %token.id, error, "the use of a service token was not written down");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_and_stores_are_counted_apart() {
        let limits = Limits {
            relays_by_caller: NonZeroU32::new(2).unwrap(),
            relays_to_store: NonZeroU32::new(3).unwrap(),
            ..Limits::default()
        };
        let rates = Rates::new(&limits);
        let [one, other] = [CallerId::Token(ServiceTokenId::new()), CallerId::Token(ServiceTokenId::new())];
        let [riga, liepaja] = [PosServerId::new(), PosServerId::new()];
        assert!(rates.check(one, riga).is_ok() && rates.check(one, riga).is_ok());
        let wait = rates.check(one, liepaja).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        assert!(rates.check(other, riga).is_ok());
        assert!(rates.check(other, riga).is_err(), "the store was asked three times");
    }
}
