//! Requests of third parties on a link: out with a frame, back with another, matched by their id. Everything
//! is in memory and belongs to one session; what waits when that ends has lost its answer.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tillwatch_protocol::ids::{PosServerId, RelayId};
use tillwatch_protocol::link::frame::{RelayFailure, RelayOutcome, Relayed};
use tillwatch_protocol::rest::relay::RelayAnswer;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::registry::{Registry, Unsent};

/// How many requests wait for one store's answers at the same time.
const AT_ONCE: usize = 32;

/// A request for a session to send.
#[derive(Debug)]
pub(super) struct Question {
    id: RelayId,
    /// The frame.
    text: String,
    reply: oneshot::Sender<RelayOutcome>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unanswered {
    /// There is no link here; nothing was sent.
    NoLink,
    /// Another node holds the link, and there is no way to it now; nothing was sent.
    Unreachable,
    /// The session has too much to send; nothing was sent.
    Busy,
    /// The link ended meanwhile. The store may have carried the request out.
    Lost,
    /// Nothing came in time. The store may have carried the request out.
    Silent,
    /// The store says why.
    Failed(RelayFailure),
}

/// Sends a request to a store and waits for the answer. Dropping the future forgets the request.
pub(crate) async fn ask(
    registry: &Registry,
    to: PosServerId,
    id: RelayId,
    text: String,
    patience: Duration,
) -> Result<RelayAnswer, Unanswered> {
    let (reply, answered) = oneshot::channel();
    registry.ask(to, Question { id, text, reply }).map_err(|unsent| match unsent {
        Unsent::NoLink => Unanswered::NoLink,
        Unsent::Busy => Unanswered::Busy,
    })?;
    match timeout(patience, answered).await {
        Ok(Ok(RelayOutcome::Answered(answer))) => Ok(answer),
        Ok(Ok(RelayOutcome::Failed { error })) => Err(Unanswered::Failed(error)),
        Ok(Err(_)) => Err(Unanswered::Lost),
        Err(_) => Err(Unanswered::Silent),
    }
}

/// The requests that a session has sent and that somebody still waits for.
#[derive(Debug, Default)]
pub(super) struct Waiting(HashMap<RelayId, oneshot::Sender<RelayOutcome>>);

impl Waiting {
    /// Notes a request and gives its frame; nothing when it is refused, or nobody waits for it any more.
    pub(super) fn take(&mut self, question: Question) -> Option<String> {
        let Question { id, text, reply } = question;
        self.forget();
        if reply.is_closed() {
            return None;
        }
        if self.0.len() >= AT_ONCE {
            // Who stopped waiting just now needs no answer.
            let _ = reply.send(RelayOutcome::Failed { error: RelayFailure::Busy });
            return None;
        }
        self.0.insert(id, reply);
        Some(text)
    }

    /// Hands an answer to who waits for it. One that is late, or was never asked for, is dropped.
    pub(super) fn answer(&mut self, relayed: Relayed) {
        let id = relayed.id;
        let taken = self.0.remove(&id).is_some_and(|reply| reply.send(relayed.outcome).is_ok());
        if !taken {
            tracing::debug!(%id, "nobody waits for this answer of a store");
        }
    }

    /// Forgets those whose caller has gone or waited long enough.
    pub(super) fn forget(&mut self) {
        self.0.retain(|_, reply| !reply.is_closed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> (RelayId, Question, oneshot::Receiver<RelayOutcome>) {
        let (reply, answered) = oneshot::channel();
        let id = RelayId::new();
        (id, Question { id, text: id.to_string(), reply }, answered)
    }

    fn answer(id: RelayId) -> Relayed {
        Relayed { id, outcome: RelayOutcome::Answered(RelayAnswer { status: 200, body: None }) }
    }

    #[test]
    fn an_answer_finds_who_asked() {
        let mut waiting = Waiting::default();
        let (first, asked, mut for_first) = question();
        assert_eq!(waiting.take(asked), Some(first.to_string()));
        let (second, asked, mut for_second) = question();
        waiting.take(asked).unwrap();
        waiting.answer(answer(RelayId::new()));
        waiting.answer(answer(second));
        assert!(for_second.try_recv().is_ok());
        assert!(for_first.try_recv().is_err());
        waiting.answer(answer(second));
        assert_eq!(waiting.0.len(), 1);
    }

    #[test]
    fn who_does_not_wait_any_more_takes_no_place() {
        let mut waiting = Waiting::default();
        let (late, asked, gone) = question();
        waiting.take(asked).unwrap();
        drop(gone);
        waiting.answer(answer(late));
        let (_, asked, gone) = question();
        drop(gone);
        assert_eq!(waiting.take(asked), None, "nobody waits for it, so it is not sent");

        let mut held: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let (_, asked, answered) = question();
                waiting.take(asked).unwrap();
                answered
            })
            .collect();
        let (_, asked, mut refused) = question();
        assert_eq!(waiting.take(asked), None);
        assert_eq!(refused.try_recv(), Ok(RelayOutcome::Failed { error: RelayFailure::Busy }));
        held.truncate(AT_ONCE - 1);
        let (_, asked, _answered) = question();
        assert!(waiting.take(asked).is_some(), "a place was given up");
        held.clear();
        waiting.forget();
        assert_eq!(waiting.0.len(), 1);
    }
}
