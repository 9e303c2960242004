//! Reports, signs of life and ends of sessions, gathered and written together: many stores speak within
//! the time that one commit takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tillwatch_protocol::ids::PosServerId;
use tillwatch_protocol::link::frame::StoreReport;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::domain::presence::Presence;
use crate::store::{Store, StoreError, presence};

/// How long a failed write waits for the next try.
const RETRY: Duration = Duration::from_secs(1);

/// What waits to be written. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox {
    waiting: Arc<Mutex<Waiting>>,
    urgent: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Waiting {
    reports: HashMap<PosServerId, (i64, StoreReport, DateTime<Utc>)>,
    ends: HashMap<PosServerId, Ended>,
    alive: HashMap<PosServerId, bool>,
}

/// How a session ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Which session.
    pub epoch: i64,
    /// What the link is since.
    pub presence: Presence,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// When the connector was last heard.
    pub heard_at: DateTime<Utc>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.reports.is_empty() && self.ends.is_empty() && self.alive.is_empty()
    }
}

impl Inbox {
    /// A store's state changed.
    pub(super) fn report(&self, id: PosServerId, epoch: i64, report: StoreReport, now: DateTime<Utc>) {
        let mut waiting = self.lock();
        waiting.alive.remove(&id);
        if waiting.reports.get(&id).is_none_or(|(older, ..)| *older <= epoch) {
            waiting.reports.insert(id, (epoch, report, now));
        }
        drop(waiting);
        self.urgent.notify_one();
    }

    /// A store lives; this may wait until there is more to write.
    pub(super) fn alive(&self, id: PosServerId, pos_answers: bool) {
        self.lock().alive.insert(id, pos_answers);
    }

    /// A session ended.
    pub(super) fn end(&self, id: PosServerId, ended: Ended) {
        let mut waiting = self.lock();
        waiting.alive.remove(&id);
        if waiting.ends.get(&id).is_none_or(|older| older.epoch <= ended.epoch) {
            waiting.ends.insert(id, ended);
        }
        drop(waiting);
        self.urgent.notify_one();
    }

    /// Writes what waits, in one transaction with one revision.
    pub(crate) async fn write(&self, store: &Store) -> Result<(), StoreError> {
        let batch = std::mem::take(&mut *self.lock());
        if batch.is_empty() {
            return Ok(());
        }
        let written = write_batch(store, &batch).await;
        if written.is_err() {
            self.put_back(batch);
        }
        written
    }

    /// Puts back what could not be written, unless something newer came meanwhile.
    fn put_back(&self, batch: Waiting) {
        let mut waiting = self.lock();
        for (id, report) in batch.reports {
            waiting.reports.entry(id).or_insert(report);
        }
        for (id, end) in batch.ends {
            waiting.ends.entry(id).or_insert(end);
        }
        for (id, pos_answers) in batch.alive {
            waiting.alive.entry(id).or_insert(pos_answers);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Each step on the maps is complete in itself, so a panic elsewhere leaves them sound.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write_batch(store: &Store, batch: &Waiting) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    let revision = tx.next_revision().await?;
    let (answering, silent): (Vec<_>, Vec<_>) =
        batch.alive.iter().partition(|(_, pos_answers)| **pos_answers);
    for (group, pos_answers) in [(answering, true), (silent, false)] {
        let ids: Vec<PosServerId> = group.into_iter().map(|(id, _)| *id).collect();
        presence::alive(&*tx, &ids, pos_answers, Utc::now(), revision).await?;
    }
    for (id, (epoch, report, at)) in &batch.reports {
        presence::report(&*tx, *id, *epoch, report, *at, revision).await?;
    }
    for (id, Ended { epoch, presence, at, heard_at }) in &batch.ends {
        presence::end(&*tx, *id, *epoch, presence, *at, *heard_at, revision).await?;
    }
    tx.commit().await
}

/// Writes reports and ends as they come and signs of life every `pause`, until the stop.
pub(crate) async fn write_in_time(inbox: Inbox, store: Store, pause: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = inbox.urgent.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        if let Err(error) = inbox.write(&store).await {
            tracing::error!(
                error = format!("{:#}", anyhow::Error::from(error)),
                "what stores told could not be written"
            );
            tokio::time::sleep(RETRY).await;
            inbox.urgent.notify_one();
        }
    }
}
