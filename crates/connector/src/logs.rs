//! Collecting a period of a store's log files into zip archives.
//!
//! [`collect`] is the whole of it. `discover` opens the files that the globs name; `source` reads one whatever
//! its encoding; `tillwatch_log_times` finds out how it writes times; `seek` gets the entries of the period out of it;
//! `redact` masks card numbers; `archive` compresses, keeps the newest within the limit, and writes the parts.
//! Memory does not grow with the size of the logs: what is compressed waits in a temporary file.

mod discover;
mod source;

mod seek;

mod archive;
pub mod redact;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use jiff::tz::TimeZone;
use tillwatch_protocol::ids::{JobId, PosServerId};

use archive::Collector;

/// What to collect.
#[derive(Clone, Debug)]
pub struct LogRequest {
    /// What relative globs are relative to.
    pub base_dir: PathBuf,
    /// Which files: globs with `*`, `**`, `?`, `[…]` and `{…}`.
    pub globs: Vec<String>,
    /// Start of the period.
    pub from: DateTime<Utc>,
    /// End of the period, exclusive.
    pub to: DateTime<Utc>,
    /// The most that all parts may have together.
    pub max_bytes: u64,
    /// The zone of log lines that state none.
    pub time_zone: TimeZone,
    /// Where the parts are written; must be there.
    pub out_dir: PathBuf,
    /// Told in the manifest.
    pub about: ArchiveAbout,
}

/// Whose logs they are and which job collects them.
#[derive(Clone, Debug)]
pub struct ArchiveAbout {
    /// The outlet's name.
    pub outlet: String,
    /// The POS server.
    pub pos_server_id: PosServerId,
    /// The job.
    pub job_id: JobId,
}

/// What was collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// The zips; at least one.
    pub parts: Vec<Part>,
    /// Whether older entries were left out to keep to `max_bytes`.
    pub truncated: bool,
    /// How many log files the parts hold something of.
    pub files: u64,
    /// How many card numbers were masked in what the parts hold.
    pub redactions: u64,
}

/// One zip, complete in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub size_bytes: u64,
    /// Its SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// What [`collect`] is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Finding files; progress counts them.
    Finding,
    /// Reading, masking and compressing; progress counts bytes read of the logs.
    Compressing,
}

impl Phase {
    /// The phase as job progress names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finding => "finding",
            Self::Compressing => "compressing",
        }
    }

    /// What its progress counts.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Finding => "files",
            Self::Compressing => "bytes",
        }
    }
}

/// Why there is no archive. Files that can't be read are no reason: the manifest tells of them.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The caller wanted it so.
    #[error("collecting the logs was canceled")]
    Canceled,
    /// `from` is not before `to`.
    #[error("the period must start before it ends")]
    PeriodInvalid,
    /// A glob that can't be understood.
    #[error("`{glob}` is not a glob: {reason}")]
    GlobInvalid {
        /// The glob as configured.
        glob: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no room for the archive.
    #[error("the disk is full")]
    DiskFull,
    /// The archive could not be written.
    #[error("the archive could not be written")]
    Write(#[source] std::io::Error),
}

impl From<std::io::Error> for CollectError {
    /// For errors of the archive's own files.
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Write(error),
        }
    }
}

/// Collects what the log files say about a period. Blocks; `progress` is called now and then with what is done
/// and, where it is known, the total. Ends within a second after `cancel` becomes true.
///
/// On an error nothing is left in `out_dir`.
pub fn collect(
    request: &LogRequest,
    progress: &mut dyn FnMut(Phase, u64, Option<u64>),
    cancel: &AtomicBool,
) -> Result<Collected, CollectError> {
    let (from, to) = (request.from.timestamp_micros(), request.to.timestamp_micros());
    if from >= to {
        return Err(CollectError::PeriodInvalid);
    }
    let mut watch = Watch { progress, cancel, phase: Phase::Finding, done: 0, total: None };
    let found = discover::discover(&request.base_dir, &request.globs, &mut watch)?;
    watch.enter(Phase::Compressing, found.files.iter().map(discover::Found::size).sum());
    let mut collector = Collector::new(request, &found, cancel)?;
    // The newest first, so that what must make room for it is not compressed in vain.
    let mut order: Vec<usize> = (0..found.files.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(found.files[*index].modified()));
    for index in order {
        let file = &found.files[index];
        collector.begin(index as u32);
        let before = watch.done;
        let outcome = seek::extract(
            file,
            &seek::Period { from, to, zone: request.time_zone.clone() },
            &mut collector,
            &mut watch,
        )?;
        collector.end(outcome)?;
        watch.settle(before + file.size())?;
    }
    let collected = collector.finish(&mut watch)?;
    tracing::info!(
        job = %request.about.job_id,
        files = collected.files,
        parts = collected.parts.len(),
        truncated = collected.truncated,
        redactions = collected.redactions,
        "logs collected"
    );
    Ok(collected)
}

/// Reports progress and notices a wish to stop.
struct Watch<'a> {
    progress: &'a mut dyn FnMut(Phase, u64, Option<u64>),
    cancel: &'a AtomicBool,
    phase: Phase,
    done: u64,
    total: Option<u64>,
}

impl Watch<'_> {
    fn enter(&mut self, phase: Phase, total: u64) {
        (self.phase, self.done, self.total) = (phase, 0, Some(total));
        (self.progress)(phase, 0, self.total);
    }

    fn check(&self) -> Result<(), CollectError> {
        if self.cancel.load(Ordering::Relaxed) { Err(CollectError::Canceled) } else { Ok(()) }
    }

    fn advance(&mut self, amount: u64) -> Result<(), CollectError> {
        self.settle((self.done + amount).min(self.total.unwrap_or(u64::MAX)))
    }

    fn settle(&mut self, done: u64) -> Result<(), CollectError> {
        self.done = done;
        (self.progress)(self.phase, done, self.total);
        self.check()
    }
}
