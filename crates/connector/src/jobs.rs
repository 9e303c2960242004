//! The six kinds of work. A job is a task of its own; it reports how far it is, goes on from its journal
//! entry after a crash, and ends in exactly one outcome.

mod database;
mod diagnose;
mod exchange_now;
mod reset_database;
mod restart_pos;
mod restore_database;
mod retrieve_logs;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tillwatch_protocol::device::Identity;
use tillwatch_protocol::ids::JobId;
use tillwatch_protocol::link::frame::{JobFinished, JobOrder, StoreReport};
use tillwatch_protocol::rest::job::{JobError, JobKind, JobProgress, JobSpec, JobState};
use tillwatch_protocol::rest::pos_server::PosState;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backups::Backups;
use crate::cloud_client::CloudClient;
use crate::config::Config;
use crate::generation::Generation;
use crate::journal::{Entry, Journal, State, Step};
use crate::pos::{Observation, PosHandle};
use crate::{diagnose as checks, files};

/// What is kept of an error's message, so that a frame holds it.
const MAX_MESSAGE_CHARS: usize = 2000;

/// What jobs work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) client: CloudClient,
    pub(crate) pos: PosHandle,
    pub(crate) journal: Journal,
    pub(crate) generation: Generation,
    pub(crate) config: Arc<Config>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) data_dir: Arc<Path>,
}

impl Tools {
    /// A POS server's report with what the connector knows of it. What a vendor's POS server does not tell
    /// of its database, its files do.
    pub(crate) fn store_report(&self, seen: Observation) -> StoreReport {
        let Observation { state, mut report } = seen;
        let database = &mut report.database;
        if state == PosState::Running && (database.created_at.is_none() || database.size_bytes.is_none()) {
            let files = self.database_files();
            let sizes = files.iter().filter_map(|path| Some(path.metadata().ok()?.len()));
            let size = || (!files.is_empty()).then(|| sizes.sum());
            database.size_bytes = database.size_bytes.or_else(size);
            // An empty file is no database yet: there was no room to make it. Taken for one, the real one would be a stranger.
            let birth = || files.first()?.metadata().ok().filter(|file| file.len() > 0)?.created().ok();
            database.created_at = database.created_at.or_else(|| birth().map(DateTime::from));
        }
        report.database.generation = Some(self.generation.current());
        report.database.backups = Some(Backups::new(&self.data_dir).restorable());
        StoreReport { pos_state: state, report }
    }

    /// The files that make up the POS database.
    pub(crate) fn database_files(&self) -> Vec<PathBuf> {
        let mut found: Vec<_> = self
            .config
            .pos
            .database
            .iter()
            .flat_map(|glob| files::find(&self.data_dir, glob))
            .filter(|path| path.extension().is_none_or(|extension| extension != "restoring"))
            .collect();
        found.sort();
        found.dedup();
        found
    }
}

/// A job at work.
pub(crate) struct Job {
    order: JobOrder,
    accepted_at: DateTime<Utc>,
    tools: Tools,
    time_zone: jiff::tz::TimeZone,
    cancel: CancellationToken,
    until: Instant,
    step: Mutex<Step>,
    progress: watch::Sender<Option<JobProgress>>,
}

/// How a job ends without success.
#[derive(Debug)]
enum Ended {
    Failed { code: &'static str, message: String },
    Rejected { code: &'static str, message: String },
    TimedOut { message: String },
    Canceled,
}

impl Ended {
    fn failed(code: &'static str, message: impl Into<String>) -> Self {
        Self::Failed { code, message: message.into() }
    }

    fn rejected(code: &'static str, message: impl Into<String>) -> Self {
        Self::Rejected { code, message: message.into() }
    }

    fn timed_out() -> Self {
        Self::TimedOut { message: "the job's time was up".into() }
    }
}

impl Job {
    /// A job that the journal holds as running. What is left of its time is told by the cloud's time, `now`.
    pub(crate) fn new(
        entry: &Entry,
        now: DateTime<Utc>,
        tools: Tools,
        time_zone: jiff::tz::TimeZone,
        cancel: CancellationToken,
        progress: watch::Sender<Option<JobProgress>>,
    ) -> Self {
        let left = (entry.order.deadline - now).to_std().unwrap_or_default();
        Self {
            order: entry.order.clone(),
            accepted_at: entry.accepted_at,
            tools,
            time_zone,
            cancel,
            until: Instant::now() + left,
            step: Mutex::new(entry.step().cloned().unwrap_or_default()),
            progress,
        }
    }

    /// Does the job, and writes its end down.
    pub(crate) async fn run(self) -> JobFinished {
        let id = self.order.id;
        tracing::info!(%id, kind = self.order.spec.kind().as_str(), "the job begins");
        let result = Box::pin(self.work()).await;
        let outbox = retrieve_logs::outbox(&self.tools.data_dir, id);
        if let Err(error) = files::remove_dir(&outbox) {
            tracing::warn!(%id, %error, "could not remove what the job left behind");
        }
        let outcome = outcome(id, result);
        tracing::info!(%id, state = outcome.state.as_str(), code = outcome.error.as_ref().map(|e| &*e.code), "the job has ended");
        finish(&self.tools.journal, self.order, self.accepted_at, outcome).await
    }

    async fn work(&self) -> Result<Value, Ended> {
        match &self.order.spec {
            &JobSpec::RetrieveLogs { from, to, max_bytes } => {
                Box::pin(retrieve_logs::run(self, from, to, max_bytes)).await
            }
            &JobSpec::ResetDatabase { expected_generation, collect_logs, discard_unsent, .. } => {
                let wanted = reset_database::Wanted { expected_generation, collect_logs, discard_unsent };
                Box::pin(reset_database::run(self, &wanted)).await
            }
            &JobSpec::RestoreDatabase { backup_id, .. } => restore_database::run(self, backup_id).await,
            JobSpec::RestartPos {} => restart_pos::run(self).await,
            JobSpec::ExchangeNow {} => self.interruptible(exchange_now::run(self)).await,
            JobSpec::Diagnose {} => Box::pin(self.interruptible(diagnose::run(self))).await,
        }
    }

    /// Gives up `work` when the job is canceled or its time is up.
    async fn interruptible<T>(&self, work: impl Future<Output = Result<T, Ended>>) -> Result<T, Ended> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Ended::Canceled),
            result = work => result,
            () = tokio::time::sleep_until(self.until) => Err(Ended::timed_out()),
        }
    }

    /// An error when the job is canceled or its time is up.
    fn check_interrupted(&self) -> Result<(), Ended> {
        if self.cancel.is_cancelled() { Err(Ended::Canceled) } else { self.check_time() }
    }

    /// An error when the job's time is up.
    fn check_time(&self) -> Result<(), Ended> {
        if Instant::now() >= self.until { Err(Ended::timed_out()) } else { Ok(()) }
    }

    /// The end of a job that waited in vain for something.
    fn late_or_failed(&self, code: &'static str, message: String) -> Ended {
        match self.check_time() {
            Ok(()) => Ended::Failed { code, message },
            Err(_) => Ended::TimedOut { message },
        }
    }

    fn progress(&self, phase: &str, done: u64, total: Option<u64>, unit: &str) {
        let progress = JobProgress { phase: phase.into(), done, total, unit: unit.into() };
        self.progress.send_if_modified(|last| {
            let changed = last.as_ref() != Some(&progress);
            *last = Some(progress);
            changed
        });
    }

    fn step(&self) -> Step {
        self.lock_step().clone()
    }

    /// Writes down what was reached. Nothing may be done that rests on it before this returns.
    async fn save(&self, change: impl FnOnce(&mut Step)) -> Result<(), Ended> {
        self.tools.journal.put(self.changed(change)).await.map_err(unwritable)
    }

    /// [`Self::save`] from code that can't wait.
    fn save_now(&self, change: impl FnOnce(&mut Step)) -> Result<(), Ended> {
        self.tools.journal.put_now(self.changed(change)).map_err(unwritable)
    }

    fn changed(&self, change: impl FnOnce(&mut Step)) -> Entry {
        let mut step = self.lock_step();
        change(&mut step);
        Entry {
            order: self.order.clone(),
            accepted_at: self.accepted_at,
            state: State::Running { step: step.clone() },
        }
    }

    fn lock_step(&self) -> MutexGuard<'_, Step> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes what jobs left behind that a crash ended for good.
pub(crate) fn clean(data_dir: &Path, running: &[JobId]) {
    retrieve_logs::clean(data_dir, running);
}

/// Writes the end of a job down. One that can't be written is remembered until the process ends.
pub(crate) async fn finish(
    journal: &Journal,
    order: JobOrder,
    accepted_at: DateTime<Utc>,
    outcome: JobFinished,
) -> JobFinished {
    let state = State::Finished { outcome: outcome.clone(), at: Utc::now(), acknowledged_at: None };
    let entry = Entry { order, accepted_at, state };
    if let Err(error) = journal.put(entry.clone()).await {
        tracing::error!(id = %outcome.id, %error, "could not write down how the job ended");
        journal.remember(entry);
    }
    outcome
}

/// The end of a job that is refused.
pub(crate) fn rejected(id: JobId, code: &'static str, message: &str) -> JobFinished {
    outcome(id, Err(Ended::rejected(code, message)))
}

/// The end of a job that was canceled.
pub(crate) fn canceled(id: JobId) -> JobFinished {
    outcome(id, Err(Ended::Canceled))
}

/// The end of a job that came too late.
pub(crate) fn too_late(id: JobId) -> JobFinished {
    outcome(id, Err(Ended::TimedOut { message: "the order came after its time".into() }))
}

/// Whether two jobs must not run at once.
pub(crate) fn exclude_each_other(one: JobKind, other: JobKind) -> bool {
    let handles_pos =
        |kind| matches!(kind, JobKind::ResetDatabase | JobKind::RestoreDatabase | JobKind::RestartPos);
    one == other || (handles_pos(one) && handles_pos(other))
}

/// Whether a job only looks, or does what is done every minute anyway: nothing is lost when it is done twice.
pub(crate) fn may_be_repeated(kind: JobKind) -> bool {
    matches!(kind, JobKind::Diagnose | JobKind::ExchangeNow)
}

fn outcome(id: JobId, result: Result<Value, Ended>) -> JobFinished {
    let (state, result, error) = match result {
        Ok(value) => (JobState::Succeeded, Some(value), None),
        Err(Ended::Failed { code, message }) => (JobState::Failed, None, Some((code, message))),
        Err(Ended::Rejected { code, message }) => (JobState::Rejected, None, Some((code, message))),
        Err(Ended::TimedOut { message }) => (JobState::TimedOut, None, Some(("timed_out", message))),
        Err(Ended::Canceled) => (JobState::Canceled, None, None),
    };
    let error = error.map(|(code, message)| JobError {
        code: code.into(),
        message: message.chars().take(MAX_MESSAGE_CHARS).collect(),
    });
    JobFinished { id, state, result, error }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
fn unwritable(error: std::io::Error) -> Ended {
    Ended::failed(io_code(&error, "journal_unwritable"), format!("could not write to the journal: {error}"))
}

/// `disk_full` for what it says, else `other`.
pub(crate) fn io_code(error: &std::io::Error, other: &'static str) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => "disk_full",
        _ => other,
    }
}

/// Runs what blocks on files off the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

fn is_running(seen: &Observation) -> bool {
    seen.state == PosState::Running
}

fn json(value: impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("results are plain JSON")
}
