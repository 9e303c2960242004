//! Requests of third parties: each is asked of the POS server in a task of its own, and its outcome comes
//! back to the agent.

use tillwatch_protocol::ids::RelayId;
use tillwatch_protocol::link::frame::{ConnectorFrame, RelayFailure, RelayOrder, RelayOutcome, Relayed};
use tillwatch_protocol::relay::Target;

use super::{Agent, Event};

/// How many requests the POS server gets at once from third parties. It has tills to serve.
const AT_ONCE: usize = 16;

impl Agent {
    pub(super) fn on_relay(&mut self, order: RelayOrder) {
        let rules = &self.tools.config.relay.allow;
        let target = Target::parse(&order.path)
            .ok()
            .filter(|target| rules.iter().any(|rule| rule.allows(order.method, target)));
        let Some(target) = target else {
            tracing::debug!(id = %order.id, "a request that the store does not allow is refused");
            self.refuse(order.id, RelayFailure::RelayRefused);
            return;
        };
        if self.relaying >= AT_ONCE {
            self.refuse(order.id, RelayFailure::Busy);
            return;
        }
        self.relaying += 1;
        let (pos, tell, session) = (self.tools.pos.clone(), self.tell.clone(), self.sessions);
        self.tasks.workers.spawn(async move {
            let id = order.id;
            let outcome = pos.relay(order, &target).await;
            // Fails only when the agent has ended.
            let _ = tell.send(Event::Relayed(session, Relayed { id, outcome })).await;
        });
    }

    /// An answer goes back on the session that brought the request; nobody waits for it on another.
    pub(super) fn on_relayed(&mut self, session: u64, relayed: Relayed) {
        self.relaying -= 1;
        if session == self.sessions {
            self.send(ConnectorFrame::Relayed(relayed));
        }
    }

    fn refuse(&mut self, id: RelayId, error: RelayFailure) {
        self.send(ConnectorFrame::Relayed(Relayed { id, outcome: RelayOutcome::Failed { error } }));
    }
}
