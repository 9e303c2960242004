//! Keeps the rows true: one full load, then the cloud's events for as long as the session lasts.

mod sse;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use serde::Deserialize;
use tillwatch_protocol::ids::PosServerId;
use tillwatch_protocol::rest::job::Job;
use tillwatch_protocol::rest::pos_server::Status;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::jumped;
use crate::cloud::{Cloud, answered_at, is_passing};
use crate::core::Core;
use crate::error::{AppError, LocalCode};
use crate::ipc::ConnectionState;
use crate::rows::Replaced;
use sse::{Event, Parser};

/// A wish for a full load; answered when it is done.
pub(crate) type Reload = oneshot::Sender<Result<(), AppError>>;

/// The first wait before a new try; it doubles up to [`LONGEST_WAIT`], each time a random part of it.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often the cache is told that the rows are still true.
const STILL_TRUE: Duration = Duration::from_secs(30);

/// Follows `cloud` until `stop`, or until the session ends.
pub(crate) async fn run(
    core: Arc<Core>,
    cloud: Arc<Cloud>,
    reloads: mpsc::Receiver<Reload>,
    stop: CancellationToken,
) {
    let mut follower = Follower { core, cloud, reloads, after: None, failures: 0, told: None };
    tokio::select! {
        () = stop.cancelled() => {}
        () = follower.follow() => {}
    }
}

struct Follower {
    core: Arc<Core>,
    cloud: Arc<Cloud>,
    reloads: mpsc::Receiver<Reload>,
    /// The revision that the rows are true at; none when they have to be loaded.
    after: Option<i64>,
    /// How many tries failed in a row.
    failures: u32,
    /// The failure that the window was told of.
    told: Option<String>,
}

/// Why the stream of events ended without a failure.
enum Ended {
    /// The cloud closed it.
    Closed,
    /// The cloud says that what came before does not add up to the present.
    Resync,
    /// This computer slept, or its clock was set: what is open may be dead, and the time has to be asked for.
    Jumped,
}

impl Follower {
    async fn follow(&mut self) {
        loop {
            let mut heard_at = None;
            let ended = self.connect(&mut heard_at).await;
            if matches!(ended, Ok(Ended::Jumped) | Err(_)) {
                self.cloud.forget_connections();
            }
            let Err(error) = self.settle(ended, heard_at) else {
                tokio::time::sleep(rand::random_range(FIRST_WAIT / 8..FIRST_WAIT / 2)).await;
                continue;
            };
            if error.is(LocalCode::SessionEnded) {
                self.refuse_reloads(&error);
                self.core.session_ended(&self.cloud).await;
                return;
            }
            self.tell(&error);
            self.wait().await;
        }
    }

    /// Loads what is needed and reads events until they end. `heard_at` is when the stream last said something.
    async fn connect(&mut self, heard_at: &mut Option<DateTime<Utc>>) -> Result<Ended, AppError> {
        let after = match self.after {
            Some(after) => after,
            None => self.load().await?,
        };
        let response = self.cloud.events(after).await?;
        if let Some(told) = answered_at(&response) {
            self.core.set_clock(told);
        }
        // After the stream is open, so that nothing falls between the two.
        self.core.reload_jobs(&self.cloud).await?;
        let mut bytes = response.bytes_stream();
        let mut parser = Parser::default();
        self.failures = 0;
        self.told = None;
        *heard_at = Some(self.core.now());
        self.core.set_live(true, self.core.now());
        self.core.set_connection(ConnectionState::Live);
        self.core.resume_downloads();
        let mut still_true = tokio::time::interval(STILL_TRUE);
        let mut jumped = pin!(jumped());
        loop {
            tokio::select! {
                () = &mut jumped => return Ok(Ended::Jumped),
                chunk = bytes.next() => {
                    let Some(chunk) = chunk else { return Ok(Ended::Closed) };
                    let chunk = chunk.map_err(|error| AppError::from(LocalCode::CloudUnreachable).detail(error))?;
                    *heard_at = Some(self.core.now());
                    for event in parser.feed(&chunk) {
                        if event.name == "resync" {
                            return Ok(Ended::Resync);
                        }
                        self.take(&event);
                    }
                }
                Some(done) = self.reloads.recv() => {
                    let loaded = self.load().await;
                    let failed = loaded.as_ref().err().cloned();
                    let _ = done.send(loaded.map(drop));
                    if let Some(error) = failed {
                        return Err(error);
                    }
                }
                _ = still_true.tick() => {
                    self.core.persist(Replaced::default());
                    // Rows grow too old for a filter by the last report without any event.
                    self.core.rows_changed();
                }
            }
        }
    }

    /// Reads all statuses. The events after the first page's revision tell what changed while reading.
    async fn load(&mut self) -> Result<i64, AppError> {
        let me = self.cloud.me().await?;
        self.core.set_me(&me);
        let mut statuses = Vec::new();
        let mut page = self.cloud.statuses(None).await?;
        let (revision, as_of) = (page.revision, page.as_of);
        loop {
            statuses.append(&mut page.items);
            let Some(cursor) = page.next_cursor else { break };
            page = self.cloud.statuses(Some(&cursor)).await?;
        }
        let replaced = self.core.fleet().replace(statuses, as_of);
        self.core.persist(replaced);
        self.core.rows_changed();
        // While events are read they are ahead of the load.
        self.after = Some(self.after.map_or(revision, |after| after.max(revision)));
        Ok(revision)
    }

    fn take(&mut self, event: &Event) {
        match event.name.as_str() {
            "status" => {
                if let Some(status) = read::<Status>(event)
                    && let Some(entry) = self.core.fleet().apply(status)
                {
                    self.core.persist(Replaced { changed: vec![entry], removed: Vec::new() });
                    self.core.rows_changed();
                }
            }
            "job" => {
                if let Some(job) = read::<Job>(event) {
                    self.core.job_changed(job);
                }
            }
            "pos_server_removed" => {
                #[derive(Deserialize)]
                struct Removed {
                    id: PosServerId,
                }
                if let Some(Removed { id }) = read(event)
                    && self.core.fleet().remove(id.0)
                {
                    self.core.persist(Replaced { changed: Vec::new(), removed: vec![id.0] });
                    self.core.rows_changed();
                }
            }
            // A newer cloud may tell more.
            _ => {}
        }
        if let Some(id) = event.id.as_ref().and_then(|id| id.parse::<i64>().ok()) {
            self.after = Some(self.after.map_or(id, |after| after.max(id)));
        }
    }

    /// What the end of a stream means: a failure to wait after, or nothing.
    fn settle(
        &mut self,
        ended: Result<Ended, AppError>,
        heard_at: Option<DateTime<Utc>>,
    ) -> Result<(), AppError> {
        if let Some(heard_at) = heard_at {
            self.core.fleet().set_live(false, heard_at);
            self.core.persist(Replaced::default());
        }
        match ended {
            Ok(Ended::Resync) => {
                self.after = None;
                Ok(())
            }
            // A stream that broke may well come back at once; only a failure to do so is worth telling.
            Ok(Ended::Closed | Ended::Jumped) => Ok(()),
            Err(error) if heard_at.is_some() && is_passing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn tell(&mut self, error: &AppError) {
        self.core.rows_changed();
        self.core.set_connection(if error.is(LocalCode::NoNetwork) {
            ConnectionState::NoNetwork
        } else {
            ConnectionState::CloudUnreachable
        });
        if self.told.as_ref() != Some(&error.code) {
            self.told = Some(error.code.clone());
            tracing::warn!(%error, detail = error.detail, "the cloud can't be followed");
            if !is_passing(error) {
                self.core.notice(error.clone());
            }
        }
    }

    /// Waits for the next try, which a wish for a reload brings on, or the end of this computer's sleep.
    async fn wait(&mut self) {
        let most = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        let wait = rand::random_range(most / 4..=most);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = jumped() => self.cloud.forget_connections(),
            Some(done) = self.reloads.recv() => {
                let loaded = self.load().await;
                let _ = done.send(loaded.map(drop));
            }
        }
    }

    fn refuse_reloads(&mut self, error: &AppError) {
        self.reloads.close();
        while let Ok(done) = self.reloads.try_recv() {
            let _ = done.send(Err(error.clone()));
        }
    }
}

/// Reads what an event carries. One that can't be read is passed over: the next full load makes up for it.
fn read<T: for<'a> Deserialize<'a>>(event: &Event) -> Option<T> {
    serde_json::from_str(&event.data)
        .inspect_err(|error| tracing::warn!(%error, event = event.name, "an event could not be read"))
        .ok()
}
