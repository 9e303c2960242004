//! The journal: what was ordered, how far it is, how it ended. One file a job, so that a crash anywhere
//! neither loses nor repeats a job's effect.
//!
//! A job is written down before it is accepted, each step before it is taken, and the end before it is told.
//! When the cloud has acknowledged the end the entry stays for a while: a repeated order is answered from it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tillwatch_protocol::ids::{ArchiveId, BackupId, JobId};
use tillwatch_protocol::link::frame::{JobFinished, JobOrder};
use tillwatch_protocol::rest::job::{JobKind, JobState};

use crate::files::{self, Access};

/// The folder's name within the data dir.
pub(crate) const DIR: &str = "journal";
/// How long an acknowledged job is remembered, in days. The cloud gives up on a job long before.
const REMEMBERED_DAYS: i64 = 30;
/// How many acknowledged jobs are remembered.
const REMEMBERED_JOBS: usize = 500;

/// One job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// What was ordered.
    pub(crate) order: JobOrder,
    /// When it was written down, by this computer's clock; `sent_at` of the order is the cloud's time then.
    pub(crate) accepted_at: DateTime<Utc>,
    /// How far it is.
    pub(crate) state: State,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum State {
    /// It is being done.
    Running {
        /// What was reached; after a crash the job goes on there.
        step: Step,
    },
    /// It has ended.
    Finished {
        /// How.
        outcome: JobFinished,
        /// When.
        at: DateTime<Utc>,
        /// When the cloud acknowledged it.
        acknowledged_at: Option<DateTime<Utc>>,
    },
}

/// What a running job has reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Step {
    /// Logs that were collected and wait to be uploaded.
    pub(crate) logs: Option<Collection>,
    /// A database that changes hands.
    pub(crate) database: Option<DatabaseStep>,
}

/// Logs that were collected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Collection {
    /// The zips, oldest first.
    pub(crate) parts: Vec<CollectedPart>,
    /// The period they were collected for.
    pub(crate) from: DateTime<Utc>,
    /// Its end, exclusive.
    pub(crate) to: DateTime<Utc>,
    /// Whether older entries were left out.
    pub(crate) truncated: bool,
    /// How many log files are in them.
    pub(crate) files: u64,
    /// How many card numbers were masked.
    pub(crate) redactions: u64,
}

/// One zip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CollectedPart {
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// Its size.
    pub(crate) size_bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub(crate) sha256: String,
    /// Where its upload goes on, once it began.
    pub(crate) location: Option<String>,
    /// What it became, once the upload is whole.
    pub(crate) archive_id: Option<ArchiveId>,
}

/// How far a reset or a restore is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DatabaseStep {
    /// What is being done; all before it is done.
    pub(crate) phase: DatabasePhase,
    /// The generation that was found.
    pub(crate) old_generation: i64,
    /// The generation that comes after it.
    pub(crate) new_generation: i64,
    /// What the database that was found is kept as.
    pub(crate) backup_id: BackupId,
}

/// The steps of a reset and a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DatabasePhase {
    /// The POS server is being stopped. Up to here nothing has happened to the database.
    Stopping,
    /// The database's files are being moved away.
    MovingAway,
    /// A backup is being put in their place.
    PuttingBack,
    /// The POS server is being started.
    Starting,
}

impl Entry {
    /// What was reached, if the job has not ended.
    pub(crate) fn step(&self) -> Option<&Step> {
        match &self.state {
            State::Running { step } => Some(step),
            State::Finished { .. } => None,
        }
    }

    /// How it ended, if it did.
    pub(crate) fn outcome(&self) -> Option<&JobFinished> {
        match &self.state {
            State::Running { .. } => None,
            State::Finished { outcome, .. } => Some(outcome),
        }
    }

    fn acknowledged_at(&self) -> Option<DateTime<Utc>> {
        match self.state {
            State::Finished { acknowledged_at, .. } => acknowledged_at,
            State::Running { .. } => None,
        }
    }
}

/// All jobs that are known. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Journal {
    dir: Arc<Path>,
    entries: Arc<Mutex<BTreeMap<JobId, Entry>>>,
}

impl Journal {
    /// Opens the journal in a data dir. A file that can't be read is put aside and told.
    pub(crate) fn open(data_dir: &Path, now: DateTime<Utc>) -> io::Result<Self> {
        let dir = data_dir.join(DIR);
        files::create_dir(&dir, Access::Private)?;
        files::remove_unfinished(&dir)?;
        let mut entries = BTreeMap::new();
        for file in fs::read_dir(&dir)? {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                match read_entry(&path) {
                    Some(entry) => {
                        entries.insert(entry.order.id, entry);
                    }
                    None => put_aside(&path)?,
                }
            }
        }
        let journal = Self { dir: dir.into(), entries: Arc::new(Mutex::new(entries)) };
        journal.forget_old(now);
        Ok(journal)
    }

    /// A job by its id.
    pub(crate) fn get(&self, id: JobId) -> Option<Entry> {
        self.lock().get(&id).cloned()
    }

    /// Jobs whose end the cloud has not acknowledged, oldest first.
    pub(crate) fn unacknowledged(&self) -> Vec<Entry> {
        self.lock().values().filter(|entry| entry.acknowledged_at().is_none()).cloned().collect()
    }

    /// How many resets succeeded within a period of now. One that seems to lie ahead was done while the clock was
    /// wrong, and counts no longer than others.
    pub(crate) fn resets_within(&self, period: TimeDelta, now: DateTime<Utc>) -> usize {
        let succeeded = |entry: &&Entry| {
            matches!(&entry.state, State::Finished { outcome, at, .. }
                if outcome.state == JobState::Succeeded && (now - *at).abs() < period)
        };
        let is_reset = |entry: &&Entry| entry.order.spec.kind() == JobKind::ResetDatabase;
        self.lock().values().filter(is_reset).filter(succeeded).count()
    }

    /// The highest generation that any job made.
    pub(crate) fn highest_generation(&self) -> i64 {
        let of = |entry: &Entry| match &entry.state {
            State::Running { step } => step.database.as_ref().map(|step| step.new_generation),
            State::Finished { outcome, .. } => {
                let result = outcome.result.as_ref()?;
                result.get("new_generation").or_else(|| result.get("generation"))?.as_i64()
            }
        };
        self.lock().values().filter_map(of).max().unwrap_or(0)
    }

    /// Writes a job down; when this returns, a power cut does not undo it.
    pub(crate) async fn put(&self, entry: Entry) -> io::Result<()> {
        let journal = self.clone();
        tokio::task::spawn_blocking(move || journal.put_now(entry)).await.map_err(io::Error::other)?
    }

    /// [`Self::put`] on the caller's thread.
    pub(crate) fn put_now(&self, entry: Entry) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(&entry).expect("an entry is plain JSON");
        // The lock is held, so that two writes of one job reach disk and memory in the same order.
        let mut entries = self.lock();
        files::write_atomic(&self.path(entry.order.id), &text, Access::Private)?;
        entries.insert(entry.order.id, entry);
        Ok(())
    }

    /// Remembers what could not be written down, for as long as the process lives.
    pub(crate) fn remember(&self, entry: Entry) {
        self.lock().insert(entry.order.id, entry);
    }

    /// The cloud knows how the job ended.
    pub(crate) async fn acknowledge(&self, id: JobId, now: DateTime<Utc>) -> io::Result<()> {
        let Some(mut entry) = self.get(id) else { return Ok(()) };
        let State::Finished { acknowledged_at, .. } = &mut entry.state else { return Ok(()) };
        if acknowledged_at.is_some() {
            return Ok(());
        }
        *acknowledged_at = Some(now);
        self.put(entry).await?;
        self.forget_old(now);
        Ok(())
    }

    fn forget_old(&self, now: DateTime<Utc>) {
        let mut entries = self.lock();
        let mut old: Vec<_> =
            entries.values().filter_map(|entry| Some((entry.acknowledged_at()?, entry.order.id))).collect();
        old.sort_unstable();
        let too_many = old.len().saturating_sub(REMEMBERED_JOBS);
        for (index, (at, id)) in old.into_iter().enumerate() {
            if index < too_many || now - at > TimeDelta::days(REMEMBERED_DAYS) {
                entries.remove(&id);
                if let Err(error) = files::remove(&self.path(id)) {
                    tracing::warn!(%id, %error, "could not remove an old job from the journal");
                }
            }
        }
    }

    fn path(&self, id: JobId) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_entry(path: &Path) -> Option<Entry> {
    let entry: Entry = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    (entry.order.id.to_string() == stem).then_some(entry)
}

/// Keeps a damaged file for whoever looks into it, out of the way.
pub(crate) fn put_aside(path: &Path) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    tracing::error!(file = %path.display(), "a file is damaged; it is put aside");
    fs::rename(path, aside)
}

#[cfg(test)]
mod tests {
    use tillwatch_protocol::rest::job::JobSpec;

    use super::*;

    fn entry(state: State) -> Entry {
        let order =
            JobOrder { id: JobId::new(), deadline: Utc::now(), sent_at: None, spec: JobSpec::RestartPos {} };
        Entry { order, accepted_at: Utc::now(), state }
    }

    fn finished(id: JobId) -> State {
        let outcome = JobFinished { id, state: JobState::Succeeded, result: None, error: None };
        State::Finished { outcome, at: Utc::now(), acknowledged_at: None }
    }

    #[tokio::test]
    async fn what_was_written_down_is_there_after_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), Utc::now()).unwrap();
        let step = Step {
            database: Some(DatabaseStep {
                phase: DatabasePhase::MovingAway,
                old_generation: 1,
                new_generation: 2,
                backup_id: BackupId::new(),
            }),
            ..Step::default()
        };
        let running = entry(State::Running { step });
        journal.put(running.clone()).await.unwrap();
        drop(journal);
        let journal = Journal::open(dir.path(), Utc::now()).unwrap();
        assert_eq!(journal.unacknowledged(), std::slice::from_ref(&running));
        assert_eq!(journal.highest_generation(), 2);

        let id = running.order.id;
        journal.put(Entry { state: finished(id), ..running }).await.unwrap();
        journal.acknowledge(id, Utc::now()).await.unwrap();
        let journal = Journal::open(dir.path(), Utc::now()).unwrap();
        assert_eq!(journal.unacknowledged(), []);
        assert_eq!(journal.get(id).unwrap().outcome().unwrap().state, JobState::Succeeded);
    }

    #[tokio::test]
    async fn a_damaged_file_is_put_aside_and_the_others_count() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), Utc::now()).unwrap();
        let whole = entry(State::Running { step: Step::default() });
        journal.put(whole.clone()).await.unwrap();
        let damaged = dir.path().join(DIR).join(format!("{}.json", JobId::new()));
        fs::write(&damaged, "{\"order\": {\"id\"").unwrap();
        fs::write(dir.path().join(DIR).join(".writing-abc"), "half").unwrap();

        let journal = Journal::open(dir.path(), Utc::now()).unwrap();
        assert_eq!(journal.unacknowledged(), [whole]);
        assert!(!damaged.exists());
        assert!(PathBuf::from(format!("{}.damaged", damaged.display())).exists());
        assert!(!dir.path().join(DIR).join(".writing-abc").exists());
    }

    #[tokio::test]
    async fn acknowledged_jobs_are_forgotten_after_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), Utc::now()).unwrap();
        let mut old = entry(State::Running { step: Step::default() });
        old.state = finished(old.order.id);
        let waiting = entry(State::Running { step: Step::default() });
        journal.put(old.clone()).await.unwrap();
        journal.put(waiting.clone()).await.unwrap();
        journal.acknowledge(old.order.id, Utc::now()).await.unwrap();

        let later = Utc::now() + TimeDelta::days(REMEMBERED_DAYS + 1);
        let journal = Journal::open(dir.path(), later).unwrap();
        assert_eq!(journal.get(old.order.id), None);
        assert_eq!(journal.get(waiting.order.id), Some(waiting));
    }
}
