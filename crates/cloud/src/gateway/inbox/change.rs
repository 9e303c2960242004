//! What is written together, and how each change is.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use tillwatch_protocol::exchange::Transaction;
use tillwatch_protocol::ids::{ChainId, JobId, PosServerId};
use tillwatch_protocol::link::frame::Hello;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Ended, Reported};
use crate::domain::job;
use crate::domain::presence::Presence;
use crate::http::device::Device;
use crate::store::job::StoredJob;
use crate::store::outage::{self, Correction, Ending};
use crate::store::presence::{self, Arrival, Begun, Told};
use crate::store::timeline::Following;
use crate::store::token::Token;
use crate::store::{self, Store, StoreError, loyalty};

/// Everything that is written together.
#[derive(Debug)]
pub(crate) enum Change {
    /// These stores live.
    Alive { ids: Vec<PosServerId>, pos_answers: bool, at: DateTime<Utc> },
    /// A store reported its state.
    Report(PosServerId, Reported),
    /// A session ended.
    End(PosServerId, Ended),
    /// A session wants to begin.
    Begin(Box<Beginning>),
    /// A store moves one of its jobs; nothing when that has no effect.
    Job(Box<Ask<JobChange, Option<StoredJob>>>),
    /// A store was heard over HTTPS.
    Heartbeat(Box<Ask<Heartbeat, ()>>),
    /// A POS server brought transactions and told its cursor; whether a balance changed.
    Took(Box<Ask<Took, bool>>),
}

/// A session that wants to begin.
#[derive(Debug)]
pub(crate) struct Begin {
    /// On which node.
    pub node: Uuid,
    /// Whose.
    pub device: Device,
    /// Used up by it.
    pub token: Token,
    /// What it said.
    pub hello: Hello,
    /// What the link is from now on.
    pub presence: Presence,
    /// When it came.
    pub at: DateTime<Utc>,
}

/// A session that wants to begin, and what comes of it.
pub(crate) type Beginning = Ask<Begin, Result<Begun, NotBegun>>;

/// Why a session does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotBegun {
    /// Its identity was revoked.
    Revoked,
    /// Another session has begun with its token.
    TokenUsed,
}

/// What a store makes of a job.
#[derive(Debug)]
pub(crate) struct JobChange {
    /// Whose jobs are spoken of: those of others do not exist for it.
    pub of: PosServerId,
    /// Which job.
    pub id: JobId,
    /// What happens to it.
    pub change: job::Change,
    /// When.
    pub at: DateTime<Utc>,
}

/// A sign of life over HTTPS.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    /// Whose.
    pub id: PosServerId,
    /// Its connector's version.
    pub connector_version: String,
    /// Whether its POS server answers.
    pub pos_answers: bool,
    /// When it came.
    pub at: DateTime<Utc>,
}

/// What a POS server brought to its exchange.
#[derive(Debug)]
pub(crate) struct Took {
    /// Which.
    pub id: PosServerId,
    /// Of which chain.
    pub chain: ChainId,
    /// How far it is.
    pub cursor: i64,
    /// What happened there.
    pub transactions: Vec<Transaction>,
    /// When it came.
    pub at: DateTime<Utc>,
}

/// A change whose outcome somebody waits for. Dropped without one, it tells that nothing was written.
#[derive(Debug)]
pub(crate) struct Ask<C, A> {
    what: C,
    outcome: Option<A>,
    answer: oneshot::Sender<A>,
}

impl<C, A> Ask<C, A> {
    pub(super) fn new(what: C, answer: oneshot::Sender<A>) -> Self {
        Self { what, outcome: None, answer }
    }

    fn answer(self) {
        if let Some(outcome) = self.outcome {
            // Who asked may have gone meanwhile.
            let _ = self.answer.send(outcome);
        }
    }
}

impl Change {
    /// Writes it, and keeps the outcome for [`Change::answer`]. Those that [`Change::goes_with`] speaks of are written
    /// by [`together`].
    async fn apply(&mut self, tx: &DatabaseTransaction, revision: i64) -> Result<(), StoreError> {
        match self {
            Self::Alive { ids, pos_answers, at } => {
                presence::alive(tx, ids, *pos_answers, *at, revision).await?;
            }
            Self::Report(..) | Self::End(..) | Self::Begin(_) => {
                together(tx, std::slice::from_mut(self), revision).await?;
            }
            Self::Job(ask) => {
                let JobChange { of, id, change, at } = &ask.what;
                let job = store::job::find(tx, *id).await?;
                ask.outcome = Some(if job.is_some_and(|job| job.pos_server_id() == *of) {
                    store::job::change(tx, *id, change, *at, revision).await?
                } else {
                    None
                });
            }
            Self::Heartbeat(ask) => {
                let Heartbeat { id, connector_version, pos_answers, at } = &ask.what;
                presence::heartbeat(tx, *id, connector_version, *pos_answers, *at, revision).await?;
                ask.outcome = Some(());
            }
            Self::Took(ask) => {
                let Took { id, chain, cursor, transactions, at } = &ask.what;
                loyalty::set_cursor(tx, *id, *cursor, revision).await?;
                let changed = loyalty::take_transactions(tx, *chain, *id, transactions, *at).await?;
                ask.outcome = Some(changed);
            }
        }
        Ok(())
    }

    /// Whether both are written in one statement when they follow each other. Reports and ends are of different stores.
    fn goes_with(&self, next: &Self) -> bool {
        matches!(
            (self, next),
            (Self::Report(..), Self::Report(..))
                | (Self::End(..), Self::End(..))
                | (Self::Begin(_), Self::Begin(_))
        )
    }

    fn told(&self) -> Option<Told<'_>> {
        let Self::Report(id, Reported { epoch, report, at }) = self else { return None };
        Some(Told { id: *id, epoch: *epoch, report, at: *at })
    }

    fn ending(&self) -> Option<presence::Ending<'_>> {
        let Self::End(id, Ended { epoch, presence, at, heard_at }) = self else { return None };
        Some(presence::Ending { id: *id, epoch: *epoch, presence, at: *at, heard_at: *heard_at })
    }

    fn beginning(&mut self) -> Option<&mut Beginning> {
        match self {
            Self::Begin(ask) => Some(ask),
            _ => None,
        }
    }

    /// Whose change this is, where it is that of one store.
    fn whose(&self) -> Option<PosServerId> {
        match self {
            Self::Alive { .. } => None,
            Self::Report(id, _) | Self::End(id, _) => Some(*id),
            Self::Begin(ask) => Some(ask.what.device.pos_server_id),
            Self::Job(ask) => Some(ask.what.of),
            Self::Heartbeat(ask) => Some(ask.what.id),
            Self::Took(ask) => Some(ask.what.id),
        }
    }

    /// Tells who asked what came of it, after the commit.
    pub(super) fn answer(self) {
        match self {
            Self::Alive { .. } | Self::Report(..) | Self::End(..) => {}
            Self::Begin(ask) => ask.answer(),
            Self::Job(ask) => ask.answer(),
            Self::Heartbeat(ask) => ask.answer(),
            Self::Took(ask) => ask.answer(),
        }
    }
}

/// Writes changes in one transaction under one revision. When one of them fails, the others are written
/// without it. An error means that none is written, as far as one can know.
pub(super) async fn write_together(store: &Store, changes: &mut Vec<Change>) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    let revision = tx.next_revision().await?;
    let following = follow(&tx, changes).await?;
    if let Err(error) = apply_all(&tx, changes, revision).await {
        drop(tx);
        // Where the database is away or full, none of them is to blame.
        return if is_to_blame(&error) { write_the_good(store, changes).await } else { Err(error) };
    }
    following.end(&*tx, Utc::now()).await?;
    tx.commit().await
}

/// Writes changes in their order.
async fn apply_all(
    tx: &DatabaseTransaction,
    changes: &mut [Change],
    revision: i64,
) -> Result<(), StoreError> {
    for alike in changes.chunk_by_mut(Change::goes_with) {
        match alike {
            [change] => change.apply(tx, revision).await?,
            alike => together(tx, alike, revision).await?,
        }
    }
    Ok(())
}

/// Writes changes that go with each other, and keeps their outcomes for [`Change::answer`].
async fn together(tx: &DatabaseTransaction, alike: &mut [Change], revision: i64) -> Result<(), StoreError> {
    let reports: Vec<_> = alike.iter().filter_map(Change::told).collect();
    if !reports.is_empty() {
        return presence::reports(tx, &reports, revision).await;
    }
    let endings: Vec<_> = alike.iter().filter_map(Change::ending).collect();
    if !endings.is_empty() {
        return presence::end(tx, &endings, revision).await;
    }
    let mut rest: Vec<_> = alike.iter_mut().filter_map(Change::beginning).collect();
    while !rest.is_empty() {
        // A store that comes twice begins its second session after its first.
        let mut stores = HashSet::new();
        let count = rest.iter().take_while(|ask| stores.insert(ask.what.device.pos_server_id)).count();
        let later = rest.split_off(count);
        begin(tx, &mut rest, revision).await?;
        rest = later;
    }
    Ok(())
}

/// Begins sessions of different stores.
async fn begin(
    tx: &DatabaseTransaction,
    asked: &mut [&mut Beginning],
    revision: i64,
) -> Result<(), StoreError> {
    let unused = store::token::spend(tx, asked.iter().map(|ask| ask.what.token)).await?;
    let may: Vec<_> = asked.iter().map(|ask| unused.contains(&ask.what.token.id)).collect();
    let arrivals: Vec<_> = asked
        .iter()
        .zip(&may)
        .filter(|(_, may)| **may)
        .map(|(ask, _)| {
            let Begin { node, device: Device { id: device, pos_server_id: id }, hello, presence, at, .. } =
                &ask.what;
            Arrival { node: *node, device: *device, id: *id, hello, presence, at: *at }
        })
        .collect();
    let mut begun = presence::begin(tx, &arrivals, revision).await?.into_iter();
    for (ask, may) in asked.iter_mut().zip(may) {
        let outcome =
            if may { begun.next().flatten().ok_or(NotBegun::Revoked) } else { Err(NotBegun::TokenUsed) };
        ask.outcome = Some(outcome);
    }
    Ok(())
}

/// Puts right what ends of sessions are put down to, before they are written, and what was written of others
/// that went in the same minute.
pub(super) async fn judge(store: &Store, changes: &mut [Change]) -> Result<(), StoreError> {
    let endings: Vec<_> = changes
        .iter_mut()
        .filter_map(|change| match change {
            Change::End(id, Ended { presence, at, .. }) => Some(Ending { id: *id, at: *at, presence }),
            _ => None,
        })
        .collect();
    if endings.is_empty() {
        return Ok(());
    }
    let now = Utc::now();
    let corrections = {
        let db = store.read().await?;
        outage::judge(&db, endings, now).await?
    };
    put_right(store, &corrections, now).await
}

/// Looks again at what was lost in the last minute, now that this node's part of it is written: of nodes that each
/// see too few losses to tell, the one that looks last sees those of all.
pub(super) async fn review(store: &Store) -> Result<(), StoreError> {
    let now = Utc::now();
    let corrections = {
        let db = store.read().await?;
        outage::review(&db, now).await?
    };
    put_right(store, &corrections, now).await
}

async fn put_right(store: &Store, corrections: &[Correction], now: DateTime<Utc>) -> Result<(), StoreError> {
    if corrections.is_empty() {
        return Ok(());
    }
    let mut tx = store.write().await?;
    let revision = tx.next_revision().await?;
    let ids = corrections.iter().map(|correction| correction.id).collect();
    let following = Following::begin(&*tx, ids).await?;
    outage::correct(&*tx, corrections, revision).await?;
    following.end(&*tx, now).await?;
    tx.commit().await
}

/// Follows what the timelines of the stores will tell.
async fn follow(tx: &DatabaseTransaction, changes: &[Change]) -> Result<Following, StoreError> {
    let mut ids = Vec::new();
    for change in changes {
        match change {
            Change::Alive { ids: alive, pos_answers, .. } => {
                ids.extend(presence::changed_by_alive(tx, alive, *pos_answers).await?);
            }
            // They bring nothing that a timeline tells.
            Change::Took(_) => {}
            Change::Job(ask) if !matches!(ask.what.change, job::Change::Finish { .. }) => {}
            _ => ids.extend(change.whose()),
        }
    }
    Following::begin(tx, ids).await
}

/// Whether the change that met an error is the reason for it.
fn is_to_blame(error: &StoreError) -> bool {
    matches!(error.trouble(), None | Some(store::Trouble::Nul))
}

/// Writes changes in one transaction, each within a savepoint of its own, and drops those that fail.
async fn write_the_good(store: &Store, changes: &mut Vec<Change>) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    let revision = tx.next_revision().await?;
    let following = follow(&tx, changes).await?;
    let mut bad = Vec::new();
    for (index, change) in changes.iter_mut().enumerate() {
        let savepoint = tx.begin().await?;
        match change.apply(&savepoint, revision).await {
            Ok(()) => savepoint.commit().await?,
            Err(error) if !is_to_blame(&error) => return Err(error),
            Err(error) => {
                savepoint.rollback().await?;
                let error = format!("{:#}", anyhow::Error::from(error));
                let pos_server = change.whose().map(tracing::field::display);
                tracing::error!(error, pos_server, "what a store said can't be written");
                bad.push(index);
            }
        }
    }
    following.end(&*tx, Utc::now()).await?;
    tx.commit().await?;
    for index in bad.into_iter().rev() {
        changes.remove(index);
    }
    Ok(())
}
