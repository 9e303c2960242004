//! What stands between somebody who guesses passwords and those who have them.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tillwatch_protocol::error::ErrorCode;
use tokio::sync::{Mutex, Semaphore};

use crate::domain::audit::{Actor, Entry};
use crate::domain::user::{self, Attempts};
use crate::error::{ApiError, ApiResult};
use crate::http::address::ClientAddress;
use crate::metrics;
use crate::store::{WriteTx, attempts, audit};
use crate::tokens::new_password;

/// How often one may try to sign in from one network: so often at once, and so often in a minute after that.
const TRIES: Quota =
    Quota::per_minute(NonZeroU32::new(30).unwrap()).allow_burst(NonZeroU32::new(100).unwrap());
/// How many networks are remembered with their tries before those are forgotten whose tries are long ago.
const MAX_NETWORKS: usize = 10_000;

/// What slows down guessing passwords, and hides which e-mails there are.
pub(crate) struct SignInGuard {
    /// Hashing takes a core and 19 MiB each.
    hashing: Semaphore,
    /// One password for an e-mail is checked at a time, so that the eleventh try can't overtake the tenth.
    turns: [Mutex<()>; 64],
    hasher: RandomState,
    /// A hash of a password that nobody has, to spend the same time on a user that is not there.
    pub(crate) nobody: String,
    /// Tries by network: who guesses at many users at once waits as well.
    by_network: DefaultKeyedRateLimiter<IpAddr>,
}

impl SignInGuard {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            hashing: Semaphore::new(cores),
            turns: std::array::from_fn(|_| Mutex::new(())),
            hasher: RandomState::new(),
            nobody: user::hash_password(&new_password()),
            by_network: RateLimiter::keyed(TRIES),
        }
    }

    /// Counts a try of this address; refuses it when there were too many.
    pub(crate) fn admit(&self, address: ClientAddress) -> ApiResult<()> {
        if self.by_network.len() > MAX_NETWORKS {
            self.by_network.retain_recent();
        }
        self.by_network.check_key(&address.network()).map_err(|until| {
            let detail = "Too many tries to sign in from your address. Wait before the next.";
            let wait = until.wait_time_from(DefaultClock::default().now());
            ApiError::new(ErrorCode::RateLimited, detail).retry_after(wait)
        })
    }

    /// To be held from a look at an e-mail's tries until one more is counted.
    pub(crate) fn turn(&self, email: &str) -> &Mutex<()> {
        &self.turns[(self.hasher.hash_one(email) % self.turns.len() as u64) as usize]
    }

    /// Whether a password is the hashed one.
    pub(crate) async fn verify(&self, password: String, password_hash: String) -> ApiResult<bool> {
        self.hashing(move || user::verify_password(&password, &password_hash)).await
    }

    /// Does what hashes a password, when it is its turn.
    pub(crate) async fn hashing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> ApiResult<T> {
        let _permit = self.hashing.acquire().await.map_err(ApiError::internal)?;
        tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)
    }
}

/// Refuses a try after too many wrong passwords.
pub(crate) fn admit_after(attempts: Attempts, now: DateTime<Utc>) -> ApiResult<()> {
    let Some(wait) = attempts.wait(now) else { return Ok(()) };
    metrics::signed_in("password", "locked_out");
    let detail = "Too many wrong passwords. Wait before the next try.";
    Err(ApiError::new(ErrorCode::RateLimited, detail).retry_after(wait.to_std().unwrap_or_default()))
}

/// Counts a wrong password and writes down that it was refused, and that nobody signs in for a while if it was one
/// too many. `target` is whom it was about.
pub(crate) async fn note_wrong(
    tx: &WriteTx,
    email: &str,
    refusal: Entry,
    target: String,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let tries = attempts::of(&**tx, email).await?.failed_at(now);
    attempts::note(tx, email, tries.failed, now).await?;
    audit::append(tx, refusal).await?;
    if tries.locked_until().is_some() {
        let entry = Entry::new(now, Actor::System, "user.locked_out", target);
        audit::append(tx, entry.with("failed_attempts", tries.failed)).await?;
    }
    Ok(())
}
