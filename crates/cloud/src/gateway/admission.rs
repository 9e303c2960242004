//! How many may come in at a time. Ten thousand stores that lose the cloud in one second come back in the next,
//! and people who use the API meanwhile should not feel it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tillwatch_protocol::error::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::PollSemaphore;

use crate::config::Limits;
use crate::error::ApiError;
use crate::metrics;
use crate::state::AppState;

/// How long one waits for a place. Shorter than the 20 s that a connector has for its upgrade.
const WAIT: Duration = Duration::from_secs(10);
/// Who is refused comes back within so many seconds, each after a time of its own.
const COME_BACK_WITHIN_SECONDS: u64 = 10;

/// What keeps a crowd at the door. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    handshakes: Arc<Semaphore>,
    arrivals: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

/// The place of a link that is on its way in: from its request to its welcome.
pub(crate) struct Arrival {
    _place: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            handshakes: Arc::new(Semaphore::new(limits.handshakes)),
            arrivals: Arc::new(Semaphore::new(limits.arrivals)),
            queue: Arc::new(Semaphore::new(limits.queue)),
        }
    }

    /// Does a handshake in turn with others: of all that could go on, only so many compute at a time. One
    /// that waits for its peer takes nobody's turn, so that peers who say nothing hold up nobody.
    pub(crate) async fn in_turns<T>(&self, handshake: impl Future<Output = T>) -> T {
        let mut turns = PollSemaphore::new(self.handshakes.clone());
        let mut handshake = pin!(handshake);
        poll_fn(|context| match ready!(turns.poll_acquire(context)) {
            Some(_turn) => handshake.as_mut().poll(context),
            // Nobody closes the semaphore.
            None => Poll::Pending,
        })
        .await
    }
}

impl FromRequestParts<AppState> for Arrival {
    type Rejection = ApiError;

    /// Waits for a place in the order of coming, before anything is looked up or verified. Who waits costs a
    /// connection, who is sent away comes back with another handshake.
    async fn from_request_parts(_: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let admission = &state.admission;
        let refused = || {
            metrics::link_refused("admission");
            let wait = rand::random_range(1..=COME_BACK_WITHIN_SECONDS);
            ApiError::new(ErrorCode::Unavailable, "Too many stores are coming back at this moment.")
                .retry_after(Duration::from_secs(wait))
        };
        if let Ok(place) = admission.arrivals.clone().try_acquire_owned() {
            return Ok(Self { _place: place });
        }
        let _waiting = admission.queue.try_acquire().map_err(|_| refused())?;
        match timeout(WAIT, admission.arrivals.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(Self { _place: place }),
            // Nobody closes the semaphore.
            Ok(Err(_)) | Err(_) => Err(refused()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn a_handshake_waits_for_its_turn_and_takes_none_while_its_peer_is_silent() {
        let admission = Admission::new(&Limits { handshakes: 1, ..Limits::default() });
        let mut silent = pin!(admission.in_turns(pending::<()>()));
        assert!(poll!(&mut silent).is_pending());
        assert_eq!(admission.in_turns(ready("done")).await, "done");

        let turn = admission.handshakes.clone().acquire_owned().await.unwrap();
        let mut waiting = pin!(admission.in_turns(ready("done")));
        assert!(poll!(&mut waiting).is_pending());
        drop(turn);
        assert_eq!(waiting.await, "done");
    }
}
