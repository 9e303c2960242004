//! The user's jobs: asking for them, and what is known of them.

use std::collections::HashMap;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::{BackupId, JobId, PosServerId};
use tillwatch_protocol::rest::archive::Archive as WireArchive;
use tillwatch_protocol::rest::job as wire;

use super::{Core, lock};
use crate::cloud::{Cloud, to_text};
use crate::error::AppError;
use crate::ipc::{AppEvent, Archive, Job, JobFailure, JobProgress, RequestedLogs, RunnableJob, WhenOffline};

/// How many stores are asked at a time.
const ASKED_AT_ONCE: usize = 8;

/// The longest that the cloud waits for a store.
const LONGEST_WAIT: TimeDelta = TimeDelta::days(30);

/// The user's jobs by id.
pub(super) type Jobs = HashMap<JobId, wire::Job>;

/// Which logs to fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogRequest {
    /// Start of the period.
    pub(crate) from: DateTime<Utc>,
    /// End of the period, exclusive.
    pub(crate) to: DateTime<Utc>,
    /// Total size of a store's archives.
    pub(crate) max_bytes: u64,
    /// What to do with stores that are offline.
    pub(crate) when_offline: WhenOffline,
    /// Until when to wait for them, at most 30 days from now; as long as the cloud does by itself when none.
    pub(crate) wait_until: Option<DateTime<Utc>>,
}

impl Core {
    /// Asks stores for their logs. What is wrong with the request itself fails all of it, before any store is asked.
    pub(crate) async fn request_logs(
        &self,
        ids: &[String],
        request: LogRequest,
    ) -> Result<Vec<RequestedLogs>, AppError> {
        if request.from >= request.to {
            return Err(ErrorCode::PeriodInvalid.into());
        }
        if !(wire::MIN_LOG_BYTES..=wire::MAX_LOG_BYTES).contains(&request.max_bytes) {
            return Err(AppError::from(ErrorCode::SizeOutOfRange)
                .param("min", wire::MIN_LOG_BYTES)
                .param("max", wire::MAX_LOG_BYTES));
        }
        let queue_for = match (request.when_offline, request.wait_until) {
            (WhenOffline::Queue, Some(until)) => Some(wait(until, self.now())?),
            _ => None,
        };
        let cloud = self.current_cloud()?;
        let spec =
            wire::JobSpec::RetrieveLogs { from: request.from, to: request.to, max_bytes: request.max_bytes };
        let ask = |id: String| {
            let (cloud, spec, queue_for) = (&cloud, spec.clone(), queue_for.clone());
            async move {
                let when_offline = match request.when_offline {
                    WhenOffline::Queue => wire::WhenOffline::Queue,
                    WhenOffline::Fail | WhenOffline::Skip => wire::WhenOffline::Fail,
                };
                let asked =
                    self.start_job(cloud, &id, wire::JobRequest { when_offline, queue_for, spec }).await;
                let (job, error) = match asked {
                    Ok(job) => (Some(job), None),
                    Err(error)
                        if request.when_offline == WhenOffline::Skip
                            && error.is_wire(ErrorCode::VenueOffline) =>
                    {
                        (None, None)
                    }
                    Err(error) => (None, Some(error)),
                };
                RequestedLogs { pos_server_id: id, job, error }
            }
        };
        Ok(stream::iter(ids.to_vec()).map(ask).buffered(ASKED_AT_ONCE).collect().await)
    }

    /// Resets a POS database.
    pub(crate) async fn reset_database(
        &self,
        id: &str,
        confirm: String,
        expected_generation: i64,
        collect_logs: bool,
        discard_unsent: bool,
    ) -> Result<Job, AppError> {
        let spec =
            wire::JobSpec::ResetDatabase { confirm, expected_generation, collect_logs, discard_unsent };
        self.start_now(id, spec).await
    }

    /// Puts a database back that was moved away.
    pub(crate) async fn restore_database(
        &self,
        id: &str,
        confirm: String,
        backup_id: &str,
    ) -> Result<Job, AppError> {
        let spec = wire::JobSpec::RestoreDatabase { confirm, backup_id: parse_id::<BackupId>(backup_id)? };
        self.start_now(id, spec).await
    }

    /// Starts a job that needs no more than this.
    pub(crate) async fn run_job(&self, id: &str, kind: RunnableJob) -> Result<Job, AppError> {
        let spec = match kind {
            RunnableJob::RestartPos => wire::JobSpec::RestartPos {},
            RunnableJob::ExchangeNow => wire::JobSpec::ExchangeNow {},
            RunnableJob::Diagnose => wire::JobSpec::Diagnose {},
        };
        self.start_now(id, spec).await
    }

    /// Asks for a job to be canceled.
    pub(crate) async fn cancel_job(&self, id: &str) -> Result<Job, AppError> {
        let job = self.current_cloud()?.cancel_job(parse_id(id)?).await?;
        Ok(self.take_job(job))
    }

    /// The user's jobs, the newest first.
    pub(crate) fn jobs(&self) -> Vec<Job> {
        let mut jobs: Vec<wire::Job> = lock(&self.jobs).values().cloned().collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.id));
        jobs.into_iter().map(|job| self.to_window(job)).collect()
    }

    /// Takes what the cloud tells of a job; those of other users are theirs.
    pub(crate) fn job_changed(&self, job: wire::Job) {
        if self.user_id() == Some(job.requested_by) {
            self.take_job(job);
        }
    }

    /// Learns what became of the user's jobs while the app did not listen.
    pub(crate) async fn reload_jobs(&self, cloud: &Cloud) -> Result<(), AppError> {
        let newest = cloud.jobs().await?;
        let unfinished: Vec<JobId> =
            lock(&self.jobs).values().filter(|job| !job.state.is_terminal()).map(|job| job.id).collect();
        let missing = unfinished.into_iter().filter(|id| newest.iter().all(|job| job.id != *id));
        for id in missing.collect::<Vec<_>>() {
            match cloud.job(id).await {
                Ok(job) => self.job_changed(job),
                Err(error) if error.is_wire(ErrorCode::NotFound) => drop(lock(&self.jobs).remove(&id)),
                Err(error) => return Err(error),
            }
        }
        for job in newest {
            self.job_changed(job);
        }
        Ok(())
    }

    async fn start_now(&self, id: &str, spec: wire::JobSpec) -> Result<Job, AppError> {
        let request = wire::JobRequest { when_offline: wire::WhenOffline::Fail, queue_for: None, spec };
        let cloud = self.current_cloud()?;
        self.start_job(&cloud, id, request).await
    }

    async fn start_job(&self, cloud: &Cloud, id: &str, request: wire::JobRequest) -> Result<Job, AppError> {
        let job = cloud.start_job(parse_id::<PosServerId>(id)?, &request).await?;
        Ok(self.take_job(job))
    }

    /// Keeps what is newest of a job and tells the window if that changed. A job that has ended stays ended,
    /// whatever comes late.
    fn take_job(&self, job: wire::Job) -> Job {
        let (newest, is_new) = {
            let mut jobs = lock(&self.jobs);
            match jobs.get(&job.id) {
                Some(known) if *known == job || known.state.is_terminal() && !job.state.is_terminal() => {
                    (known.clone(), false)
                }
                _ => {
                    jobs.insert(job.id, job.clone());
                    (job, true)
                }
            }
        };
        let job = self.to_window(newest);
        if is_new {
            self.emit(AppEvent::Job { job: job.clone() });
        }
        job
    }

    fn to_window(&self, job: wire::Job) -> Job {
        let entry = self.fleet().entry(job.pos_server_id.0).cloned();
        let archives: Vec<WireArchive> = job
            .result
            .as_ref()
            .and_then(|result| result.get("archives"))
            .and_then(|archives| serde_json::from_value(archives.clone()).ok())
            .unwrap_or_default();
        let truncated =
            job.result.as_ref().and_then(|result| result.get("truncated")).and_then(Value::as_bool);
        Job {
            id: job.id.to_string(),
            kind: job.kind.into(),
            pos_server_id: job.pos_server_id.to_string(),
            organization: entry.map(|entry| entry.organization.as_ref().to_owned()).unwrap_or_default(),
            state: job.state.into(),
            requested_at: job.requested_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            progress: job.progress.map(|progress| JobProgress {
                phase: progress.phase,
                done: progress.done,
                total: progress.total,
                unit: progress.unit,
            }),
            archives: archives.into_iter().map(to_archive).collect(),
            truncated: truncated.unwrap_or(false),
            result: job.result.as_ref().and_then(to_text),
            error: job.error.map(|error| JobFailure { code: error.code, message: error.message }),
        }
    }
}

fn to_archive(archive: WireArchive) -> Archive {
    Archive {
        id: archive.id.to_string(),
        file_name: archive.file_name,
        size_bytes: archive.size_bytes,
        sha256: archive.sha256,
        from: archive.from,
        to: archive.to,
        expires_at: archive.expires_at,
    }
}

/// How long it is until then, as the cloud takes it.
fn wait(until: DateTime<Utc>, now: DateTime<Utc>) -> Result<String, AppError> {
    let seconds = (until - now).num_seconds();
    if !(1..=LONGEST_WAIT.num_seconds()).contains(&seconds) {
        return Err(AppError::from(ErrorCode::InvalidRequest).param("field", "wait_until"));
    }
    Ok(format!("PT{seconds}S"))
}

pub(super) fn parse_id<T: FromStr<Err = uuid::Error>>(id: &str) -> Result<T, AppError> {
    id.parse().map_err(|error| AppError::from(ErrorCode::InvalidRequest).detail(error).param("field", "id"))
}
