//! `retrieve_logs`: collects a period's entries into zips and uploads them. What is collected stays in the
//! outbox until it is uploaded, so that neither a crash nor a cut line starts it anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use thread_priority::{ThreadPriority, set_current_thread_priority};
use tillwatch_protocol::ids::{ArchiveId, JobId};
use tillwatch_protocol::rest::job::JobProgress;
use tokio::sync::{oneshot, watch};

use super::{Ended, Job};
use crate::cloud_client::causes;
use crate::files::{self, Access};
use crate::journal::{CollectedPart, Collection};
use crate::logs::{self, ArchiveAbout, CollectError, Collected, LogRequest};
use crate::upload::{self, PartUpload, UploadError};

/// The folder's name within the data dir.
const OUTBOX_DIR: &str = "outbox";

/// Where a job keeps what it has collected.
pub(super) fn outbox(data_dir: &Path, id: JobId) -> PathBuf {
    data_dir.join(OUTBOX_DIR).join(id.to_string())
}

/// Removes what jobs left behind that no longer run.
pub(super) fn clean(data_dir: &Path, running: &[JobId]) {
    let Ok(entries) = std::fs::read_dir(data_dir.join(OUTBOX_DIR)) else { return };
    for entry in entries.flatten() {
        let is_needed = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            .is_some_and(|id: JobId| running.contains(&id));
        if !is_needed && let Err(error) = files::remove_dir(&entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "could not remove an old collection of logs");
        }
    }
}

pub(super) async fn run(
    job: &Job,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    max_bytes: u64,
) -> Result<Value, Ended> {
    let collection = collect_and_upload(job, from, to, max_bytes).await?;
    Ok(json!({
        "archive_ids": archive_ids(Some(&collection)),
        "truncated": collection.truncated,
        "files": collection.files,
        "redactions": collection.redactions,
    }))
}

/// The archives that a collection became.
pub(super) fn archive_ids(collection: Option<&Collection>) -> Vec<ArchiveId> {
    let parts = collection.map_or(&[][..], |collection| &collection.parts);
    parts.iter().filter_map(|part| part.archive_id).collect()
}

/// Collects and uploads, from where the journal says that it stopped.
pub(super) async fn collect_and_upload(
    job: &Job,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    max_bytes: u64,
) -> Result<Collection, Ended> {
    job.check_interrupted()?;
    let collection = match job.step().logs {
        Some(collection) if is_whole(&collection) => collection,
        // Nothing was sent of what is gone, so that collecting again sends nothing twice.
        Some(collection) if collection.parts.iter().all(|part| part.location.is_none()) => {
            collect(job, from, to, max_bytes).await?
        }
        Some(_) => return Err(Ended::failed("outbox_lost", "the collected logs are gone from the outbox")),
        None => collect(job, from, to, max_bytes).await?,
    };
    upload_all(job, &collection).await
}

fn is_whole(collection: &Collection) -> bool {
    collection.parts.iter().all(|part| part.archive_id.is_some() || part.path.is_file())
}

async fn collect(
    job: &Job,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    max_bytes: u64,
) -> Result<Collection, Ended> {
    let out_dir = outbox(&job.tools.data_dir, job.order.id);
    files::remove_dir(&out_dir)
        .and_then(|()| files::create_dir(&out_dir, Access::Private))
        .map_err(|error| Ended::failed(super::io_code(&error, "outbox_unwritable"), error.to_string()))?;
    let request = LogRequest {
        base_dir: job.tools.data_dir.to_path_buf(),
        globs: job.tools.config.pos.logs.clone(),
        from,
        to,
        max_bytes,
        time_zone: job.time_zone.clone(),
        out_dir,
        about: ArchiveAbout {
            outlet: job.tools.identity.outlet.clone(),
            pos_server_id: job.tools.identity.pos_server_id,
            job_id: job.order.id,
        },
    };
    // Dropped with the job, so that the thread does not go on for nobody.
    let stop = StopOnDrop(Arc::default());
    let (stopped, progress) = (stop.0.clone(), job.progress.clone());
    let mut work = at_low_priority(move || {
        logs::collect(&request, &mut |phase, done, total| tell(&progress, phase, done, total), &stopped)
    })
    .map_err(|error| Ended::failed("internal", format!("no thread to collect the logs in: {error}")))?;
    let collected = job.interruptible(async {
        match (&mut work).await {
            Ok(Ok(collected)) => Ok(collected),
            Ok(Err(error)) => Err(collect_failed(&error)),
            // The panic itself was logged where it happened.
            Err(_) => {
                Err(Ended::failed("internal", "collecting the logs broke; the connector's log says more"))
            }
        }
    });
    let collected = collected.await;
    if collected.is_err() && !work.is_terminated() {
        // Until the thread has noticed, it writes into the outbox that the end of the job removes.
        drop(stop);
        let _ = work.await;
    }
    let collection = to_collection(collected?, from, to);
    job.save(|step| step.logs = Some(collection.clone())).await?;
    Ok(collection)
}

/// Runs `work` in a thread that gives way to whatever else wants the processor: a till must not feel that its
/// logs are being packed. The thread is its own, as many systems let nobody raise a priority again.
///
/// Windows has a mode for work in the background as well; it takes so much memory away that the work thrashes.
fn at_low_priority<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<oneshot::Receiver<T>> {
    let (done, result) = oneshot::channel();
    std::thread::Builder::new().name("logs".into()).spawn(move || {
        if let Err(error) = set_current_thread_priority(ThreadPriority::Min) {
            tracing::warn!(?error, "logs are collected at the usual priority");
        }
        let _ = done.send(work());
    })?;
    Ok(result)
}

async fn upload_all(job: &Job, collection: &Collection) -> Result<Collection, Ended> {
    let total: u64 = collection.parts.iter().map(|part| part.size_bytes).sum();
    let mut done_before = 0;
    for (index, part) in collection.parts.iter().enumerate() {
        if part.archive_id.is_none() {
            job.progress("uploading", done_before, Some(total), "bytes");
            let archive_id = upload_one(job, collection, index, part, done_before, total).await?;
            job.save(|step| set_part(step.logs.as_mut(), index, |part| part.archive_id = Some(archive_id)))
                .await?;
        }
        done_before += part.size_bytes;
    }
    Ok(job.step().logs.unwrap_or_default())
}

async fn upload_one(
    job: &Job,
    collection: &Collection,
    index: usize,
    part: &CollectedPart,
    done_before: u64,
    total: u64,
) -> Result<ArchiveId, Ended> {
    let upload = PartUpload {
        job_id: job.order.id,
        part: index as u32 + 1,
        parts: collection.parts.len() as u32,
        from: collection.from,
        to: collection.to,
        file: &part.path,
        sha256: &part.sha256,
    };
    let on_location = |location: &str| {
        let saved = job.save_now(|step| {
            set_part(step.logs.as_mut(), index, |part| part.location = Some(location.to_owned()));
        });
        if let Err(error) = saved {
            tracing::warn!(?error, "a crash would now start this upload anew");
        }
    };
    let on_progress = |sent: u64| job.progress("uploading", done_before + sent, Some(total), "bytes");
    let cancel = job.cancel.child_token();
    let sending =
        upload::upload(&job.tools.client, upload, part.location.clone(), on_location, on_progress, cancel);
    job.interruptible(async { sending.await.map_err(|error| upload_failed(&error)) }).await
}

fn set_part(collection: Option<&mut Collection>, index: usize, change: impl FnOnce(&mut CollectedPart)) {
    if let Some(part) = collection.and_then(|collection| collection.parts.get_mut(index)) {
        change(part);
    }
}

fn to_collection(collected: Collected, from: DateTime<Utc>, to: DateTime<Utc>) -> Collection {
    let parts = collected
        .parts
        .into_iter()
        .map(|part| CollectedPart {
            path: part.path,
            size_bytes: part.size_bytes,
            sha256: part.sha256,
            location: None,
            archive_id: None,
        })
        .collect();
    Collection {
        parts,
        from,
        to,
        truncated: collected.truncated,
        files: collected.files,
        redactions: collected.redactions,
    }
}

fn tell(progress: &watch::Sender<Option<JobProgress>>, phase: logs::Phase, done: u64, total: Option<u64>) {
    progress.send_replace(Some(JobProgress {
        phase: phase.as_str().into(),
        done,
        total,
        unit: phase.unit().into(),
    }));
}

fn collect_failed(error: &CollectError) -> Ended {
    let code = match error {
        CollectError::DiskFull => "disk_full",
        CollectError::PeriodInvalid => "period_invalid",
        CollectError::Canceled | CollectError::GlobInvalid { .. } | CollectError::Write(_) => {
            "logs_not_collected"
        }
    };
    Ended::failed(code, causes(error))
}

fn upload_failed(error: &UploadError) -> Ended {
    Ended::failed("upload_failed", causes(error))
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nice value of a thread as Linux tells it, field 19 of `stat`.
    #[cfg(target_os = "linux")]
    fn nice() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, after_name) = stat.rsplit_once(')').unwrap();
        after_name.split_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[cfg(windows)]
    fn nice() -> i32 {
        let lowest = ThreadPriority::Os(thread_priority::WinAPIThreadPriority::Lowest.into());
        i32::from(thread_priority::get_current_thread_priority().unwrap() == lowest) * 19
    }

    #[cfg(any(target_os = "linux", windows))]
    #[tokio::test]
    async fn tills_come_before_the_thread_that_packs_logs() {
        let before = nice();
        assert_eq!(at_low_priority(nice).unwrap().await, Ok(19));
        assert_eq!(nice(), before, "no other thread of the connector is slowed down");
    }
}
