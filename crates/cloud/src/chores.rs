//! What time brings, without anybody asking: deadlines, revocations, archives whose time is over.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tillwatch_protocol::link::frame::CloudFrame;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::domain::archive::KEPT;
use crate::domain::hindsight::TWICE;
use crate::domain::job::Change;
use crate::domain::user::LOCK_OUT;
use crate::gateway::write_in_time;
use crate::http::exchange::touch_stale_chains;
use crate::nodes::{self, Lease};
use crate::state::AppState;
use crate::store::{self, StoreError};

/// How long the index of statuses may lag behind while nobody asks for a list.
const INDEX_PAUSE: Duration = Duration::from_millis(200);
/// After how many sweeps the statuses of chains are raised whose balances changed: as often as their stores
/// exchange. Each time it is a status of every store of the chain for every desktop.
const SWEEPS_BETWEEN_TOUCHES: u64 = 60;
/// After how many sweeps a job goes out again that its store did not accept, or the wish to cancel one that goes on.
const SWEEPS_BETWEEN_REPEATS: u64 = 10;

/// Chores under way.
pub(crate) struct Chores {
    /// They end when this is dropped.
    tasks: JoinSet<()>,
    /// Who writes what stores say. It ends when it is told to, with everything written.
    writer: JoinHandle<()>,
    stop_writing: CancellationToken,
}

impl Chores {
    /// Enters this node under its name, and begins.
    pub(crate) async fn begin(state: &AppState, name: String) -> anyhow::Result<Self> {
        let lease = Lease::take(state, name).await?;
        let patience = &state.config.patience;
        let stop_writing = CancellationToken::new();
        let (inbox, store) = (state.inbox.clone(), state.store.clone());
        let writer = tokio::spawn(write_in_time(inbox, store, patience.gather, stop_writing.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(lease.keep());
        tasks.spawn(keep_index(state.clone()));
        tasks.spawn(sweep(state.clone(), patience.sweep_every));
        tasks.spawn(expire(state.clone(), patience.expire_every));
        Ok(Self { tasks, writer, stop_writing })
    }

    /// Ends the chores and writes down what is left to write. All links have ended by then.
    pub(crate) async fn end(mut self, state: &AppState) -> Result<(), StoreError> {
        self.tasks.shutdown().await;
        self.stop_writing.cancel();
        if let Err(error) = self.writer.await {
            tracing::error!(%error, "the writer broke");
        }
        nodes::leave(state).await
    }
}

/// Keeps what lists are found by up with the database, so that nobody who asks has to wait for it.
async fn keep_index(state: AppState) {
    let mut news = state.store.bus().subscribe();
    loop {
        if let Err(error) = state.index.view(&state.store).await {
            failed("the index of statuses could not be brought up to date", error);
        }
        tokio::time::sleep(INDEX_PAUSE).await;
        if news.changed().await.is_err() {
            return;
        }
    }
}

async fn sweep(state: AppState, pause: Duration) {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for sweep in 0_u64.. {
        ticks.tick().await;
        if let Err(error) = end_overdue_jobs(&state).await {
            failed("deadlines of jobs could not be looked at", error);
        }
        if let Err(error) = close_revoked(&state).await {
            failed("revocations could not be looked at", error);
        }
        if sweep % SWEEPS_BETWEEN_TOUCHES == 0 {
            if let Err(error) = touch_stale_chains(&state).await {
                failed("statuses of chains could not be raised", error);
            }
            if let Err(error) = correct_causes(&state).await {
                failed("causes could not be put right", error);
            }
        }
        if sweep % SWEEPS_BETWEEN_REPEATS == 0
            && let Err(error) = repeat_unheard(&state, pause).await
        {
            failed("jobs could not be sent again", error);
        }
    }
}

/// Ends jobs whose time is over.
async fn end_overdue_jobs(state: &AppState) -> Result<(), StoreError> {
    let now = Utc::now();
    let give_up_before = now - state.config.patience.acceptance;
    let due = {
        let db = state.store.read().await?;
        store::job::overdue(&db, now, give_up_before).await?
    };
    for (id, change) in due {
        let mut tx = state.store.write().await?;
        let revision = tx.next_revision().await?;
        let Some(job) = store::job::change(&*tx, id, &change, now, revision).await? else { continue };
        let held_by = store::presence::node_of(&*tx, job.pos_server_id()).await?;
        tx.commit().await?;
        tracing::info!(job = %id, state = job.state.as_str(), "the time of a job was over");
        if change == Change::TimeOut {
            // The store may be at it still.
            state.links.send(job.pos_server_id(), held_by, CloudFrame::Cancel { id });
        }
    }
    Ok(())
}

/// Sends jobs, and wishes to cancel, again whose first sending seems to be lost, to the stores that are here. A
/// connector does none twice.
async fn repeat_unheard(state: &AppState, pause: Duration) -> Result<(), StoreError> {
    let before = Utc::now() - pause * SWEEPS_BETWEEN_REPEATS as u32;
    let (unaccepted, uncanceled) = {
        let db = state.store.read().await?;
        (store::job::unaccepted(&db, before).await?, store::job::uncanceled(&db, before).await?)
    };
    for (id, pos_server) in uncanceled {
        state.registry.send(pos_server, CloudFrame::Cancel { id });
    }
    for job in unaccepted {
        if let Some(order) = job.order() {
            state.registry.send(job.pos_server_id(), CloudFrame::Job(order));
        }
    }
    Ok(())
}

/// Closes the links that are here of identities that are good no more, whoever revoked them, and whatever that
/// one's clock says.
async fn close_revoked(state: &AppState) -> Result<(), StoreError> {
    let here = state.registry.devices();
    if here.is_empty() {
        return Ok(());
    }
    let revoked = {
        let db = state.store.read().await?;
        store::device::revoked_of(&db, &here).await?
    };
    if !revoked.is_empty() {
        state.registry.revoke(&revoked);
    }
    Ok(())
}

async fn expire(state: AppState, pause: Duration) {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = delete_expired(&state).await {
            tracing::error!(error = format!("{error:#}"), "archives whose time is over could not be deleted");
        }
        if let Err(error) = forget_attempts(&state).await {
            failed("wrong passwords could not be forgotten", error);
        }
        if let Err(error) = thin_timelines(&state).await {
            failed("timelines could not be thinned", error);
        }
    }
}

/// Forgets wrong passwords that count no more.
async fn forget_attempts(state: &AppState) -> Result<(), StoreError> {
    let before = Utc::now() - LOCK_OUT;
    if store::attempts::any_before(&state.store.read().await?, before).await? {
        let tx = state.store.write().await?;
        store::attempts::forget_before(&tx, before).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Sums up the days that timelines need not tell any more.
async fn thin_timelines(state: &AppState) -> Result<(), StoreError> {
    loop {
        let tx = state.store.write().await?;
        if !store::timeline::thin(&*tx, Utc::now()).await? {
            return Ok(());
        }
        tx.commit().await?;
    }
}

/// Puts right what statuses say of causes when only the passing of time shows it.
async fn correct_causes(state: &AppState) -> Result<(), StoreError> {
    let now = Utc::now();
    let outdated = {
        let db = state.store.read().await?;
        let heard_before = now - state.config.patience.https_silence;
        store::outage::outdated(&db, heard_before, now - TWICE, now).await?
    };
    if outdated.is_empty() {
        return Ok(());
    }
    let mut tx = state.store.write().await?;
    let revision = tx.next_revision().await?;
    outdated.write(&*tx, now, revision).await?;
    tx.commit().await
}

/// Deletes the bytes of archives whose time is over, and uploads that never became one.
async fn delete_expired(state: &AppState) -> anyhow::Result<()> {
    let now = Utc::now();
    // A minute for clocks that differ.
    state.store.forget_tokens(now - TimeDelta::minutes(1)).await?;
    let (expired, abandoned) = {
        let db = state.store.read().await?;
        (store::archive::expired(&db, now).await?, store::upload::abandoned(&db, now - KEPT).await?)
    };
    for (id, is_archive) in
        expired.into_iter().map(|id| (id, true)).chain(abandoned.into_iter().map(|id| (id, false)))
    {
        // First the bytes, then the rows that name them: a crash in between is made good next time.
        state.blobs.delete_upload(id).await?;
        let tx = state.store.write().await?;
        if is_archive {
            store::archive::deleted(&*tx, id, now).await?;
        } else {
            store::upload::discard(&*tx, id).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

fn failed(what: &str, error: StoreError) {
    tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "{what}");
}
