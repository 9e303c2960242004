//! This process among those that serve the same cloud: its lease, and what becomes of the stores of a node
//! whose lease ends. The rules are in `docs/adr/0006-nodes.md`.

mod life;

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

use crate::state::AppState;
use crate::store::entity::nodes;
use crate::store::{self, StoreError, WriteTx};
use life::Life;

/// How often in a row a node may be found not renewed before it is taken for dead.
const MISSED_RENEWALS: u32 = 4;

/// This node's lease, and what it has seen of the others.
pub(crate) struct Lease {
    state: AppState,
    name: String,
    started_at: DateTime<Utc>,
    started: Instant,
    others: Others,
    _life: Life,
}

impl Lease {
    /// Enters the node under a name for people. Nodes that lived in the same data directory and do no longer are
    /// gone. Stores that no living node holds are unknown from now on.
    pub(crate) async fn take(state: &AppState, name: String) -> anyhow::Result<Self> {
        let now = Utc::now();
        let data_dir = &state.config.data_dir;
        let in_use = || format!("the data directory {} can't be used", data_dir.display());
        let life = Life::begin(data_dir, state.node_id).with_context(in_use)?;
        let mut tx = state.store.write().await?;
        for earlier in life::ended(data_dir).with_context(in_use)? {
            store::node::leave(&*tx, earlier).await?;
        }
        store::node::enter(&*tx, state.node_id, &name, now, now).await?;
        forget_online(&mut tx, now).await?;
        tx.commit().await?;
        let (state, started) = (state.clone(), Instant::now());
        Ok(Self { state, name, started_at: now, started, others: Others::default(), _life: life })
    }

    /// Renews the lease and looks after the stores of nodes that do not, until it is dropped.
    pub(crate) async fn keep(mut self) {
        let mut ticks = interval(self.state.config.patience.renew_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let done = async {
                self.renew().await?;
                self.bury().await?;
                close_lost_sessions(&self.state).await?;
                self.give_up_unknown().await
            };
            if let Err(error) = done.await {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::error!(error, "the lease of this node could not be looked after");
            }
        }
    }

    async fn renew(&self) -> Result<(), StoreError> {
        let (now, id) = (Utc::now(), self.state.node_id);
        let tx = self.state.store.write().await?;
        let held = store::node::renew(&*tx, id, now).await?;
        if !held {
            store::node::enter(&*tx, id, &self.name, self.started_at, now).await?;
        }
        tx.commit().await?;
        if !held {
            // The others told everybody that its stores are unknown, and some are elsewhere by now.
            tracing::warn!("this node was silent for so long that others took it for dead");
        }
        Ok(())
    }

    /// Ends the leases of nodes that were silent for too long.
    async fn bury(&mut self) -> Result<(), StoreError> {
        let nodes = {
            let db = self.state.store.read().await?;
            store::node::all(&db).await?
        };
        for node in self.others.look(nodes, self.state.node_id) {
            let now = Utc::now();
            let mut tx = self.state.store.write().await?;
            if !store::node::give_up(&*tx, &node).await? {
                continue;
            }
            let stores = forget_online(&mut tx, now).await?;
            tx.commit().await?;
            tracing::warn!(
                node = node.name,
                stores,
                "a node is gone; its stores are unknown until they are back"
            );
        }
        Ok(())
    }

    /// Unknown stores had time to come back, also to a cloud that was away as a whole.
    async fn give_up_unknown(&self) -> Result<(), StoreError> {
        let (now, patience) = (Utc::now(), self.state.config.patience.return_after_start);
        let since = now - patience;
        if self.started.elapsed() < patience
            || !store::presence::has_unknown(&self.state.store.read().await?, since).await?
        {
            return Ok(());
        }
        let mut tx = self.state.store.write().await?;
        let revision = tx.next_revision().await?;
        let count = store::presence::give_up_unknown(&*tx, since, now, revision).await?;
        if count > 0 {
            tx.commit().await?;
            tracing::info!(count, "stores did not come back");
        }
        Ok(())
    }
}

/// Ends the lease of a node that stops; all of its links have ended.
pub(crate) async fn leave(state: &AppState) -> Result<(), StoreError> {
    let mut tx = state.store.write().await?;
    store::node::leave(&*tx, state.node_id).await?;
    forget_online(&mut tx, Utc::now()).await?;
    tx.commit().await
}

async fn forget_online(tx: &mut WriteTx, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let revision = tx.next_revision().await?;
    store::presence::forget_online(&**tx, now, revision).await
}

/// Closes sessions that go on here although the database knows better: of stores that are elsewhere, or that
/// were written off with this node. The hints about the former can be lost.
async fn close_lost_sessions(state: &AppState) -> Result<(), StoreError> {
    let here = state.registry.epochs();
    if here.is_empty() {
        return Ok(());
    }
    let held = {
        let db = state.store.read().await?;
        store::presence::held_by(&db, state.node_id).await?
    };
    for (id, epoch) in here.into_iter().filter(|(id, epoch)| held.get(id) != Some(epoch)) {
        let newest = {
            let db = state.store.read().await?;
            store::presence::newest_epoch(&db, id).await?
        };
        // One that was removed has no identity any more: it is told so by whoever looks for revocations.
        if let Some(newest) = newest {
            state.registry.close_lost(id, epoch, newest);
        }
    }
    Ok(())
}

/// What is known of other nodes: how each looked when it was last seen to have renewed its lease, and how
/// often this node renewed its own since. Nobody's clock is compared with another's, and no time counts in
/// which this node itself was paused or without its database: then the others may have been as well.
#[derive(Debug, Default)]
struct Others(HashMap<Uuid, (DateTime<Utc>, u32)>);

impl Others {
    /// Looks at all nodes, once for each renewal of one's own; gives those that are dead.
    fn look(&mut self, nodes: Vec<nodes::Model>, me: Uuid) -> Vec<nodes::Model> {
        let known = std::mem::take(&mut self.0);
        let mut dead = Vec::new();
        for node in nodes.into_iter().filter(|node| node.id != me) {
            let missed = match known.get(&node.id) {
                Some((seen_at, missed)) if *seen_at == node.seen_at => missed + 1,
                _ => 0,
            };
            self.0.insert(node.id, (node.seen_at, missed));
            if missed >= MISSED_RENEWALS {
                dead.push(node);
            }
        }
        dead
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn node(id: u128, seen_at: DateTime<Utc>) -> nodes::Model {
        nodes::Model { id: Uuid::from_u128(id), name: "n".into(), started_at: seen_at, seen_at }
    }

    #[test]
    fn a_node_is_dead_when_it_missed_its_renewals_whatever_its_clock_says() {
        let (me, start) = (Uuid::from_u128(0), Utc::now());
        let mut others = Others::default();
        // An hour slow, a minute fast, and one that stands still; each look follows a renewal of ours.
        let (slow, fast) = (start - Duration::from_hours(1), start + Duration::from_mins(1));
        for second in 0..MISSED_RENEWALS {
            let moved = Duration::from_secs(second.into());
            let nodes = vec![node(1, slow + moved), node(2, fast - moved), node(3, start), node(0, start)];
            assert_eq!(others.look(nodes, me), []);
        }
        let nodes = vec![node(1, slow), node(2, fast), node(3, start), node(0, start)];
        assert_eq!(others.look(nodes, me), [node(3, start)]);
        // One that renews again after all is alive, and starts from nothing.
        assert_eq!(others.look(vec![node(3, fast)], me), []);
        assert_eq!(others.look(vec![node(3, fast)], me), []);
    }
}
