//! The one way to a store's session, whichever node holds it.

use tillwatch_protocol::ids::PosServerId;
use tillwatch_protocol::link::frame::{CloudFrame, RelayOrder};
use tillwatch_protocol::rest::relay::RelayAnswer;
use uuid::Uuid;

use super::registry::Registry;
use super::relay::Unanswered;
use crate::bus::nats::{Hint, Nats};

/// The sessions of this node, and the way to those of others where there is one. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    node: Uuid,
    registry: Registry,
    others: Option<Nats>,
}

impl Links {
    /// The links as seen from a node.
    pub(crate) fn new(node: Uuid, registry: Registry, others: Option<Nats>) -> Self {
        Self { node, registry, others }
    }

    /// Sends a frame to a POS server's connector. `held_by` is the node that holds its session, as read in
    /// the transaction that made the frame necessary. A frame may be lost: what it says is in the database,
    /// and who holds the session looks there again.
    pub(crate) fn send(&self, id: PosServerId, held_by: Option<Uuid>, frame: CloudFrame) {
        match (held_by, &self.others) {
            (Some(node), Some(nats)) if node != self.node => {
                nats.tell(node, Hint::Frame { pos_server_id: id, frame });
            }
            _ => {
                self.registry.send(id, frame);
            }
        }
    }

    /// Asks a store whose session another node holds. There is no link for who is alone, or holds it itself.
    pub(crate) async fn ask_elsewhere(
        &self,
        held_by: Option<Uuid>,
        to: PosServerId,
        order: RelayOrder,
    ) -> Result<RelayAnswer, Unanswered> {
        let (Some(node), Some(nats)) = (held_by.filter(|node| *node != self.node), &self.others) else {
            return Err(Unanswered::NoLink);
        };
        nats.ask(node, to, order).await
    }

    /// Tells the node that held a POS server's session before that one goes on here, under this epoch.
    pub(super) fn replaced(&self, id: PosServerId, before_on: Option<Uuid>, epoch: i64) {
        if let (Some(node), Some(nats)) = (before_on.filter(|node| *node != self.node), &self.others) {
            nats.tell(node, Hint::Replaced { pos_server_id: id, epoch });
        }
    }
}
