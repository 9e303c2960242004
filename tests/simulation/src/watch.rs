//! What must hold after every step, whatever broke, and what must hold again once nothing does.
//!
//! Triggers in the cloud's database write down each change of a job's state and of a store's link within the transaction
//! that makes it, so that none is overlooked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tillwatch_protocol::ids::JobId;
use tillwatch_protocol::rest::job::JobState;
use uuid::Uuid;

use crate::facts::{Done, Facts, Happened};
use crate::template::STORES;

/// How long until a link is back after all has been mended: until its silence is noticed, for the longest wait before
/// another try, and for that try.
pub(crate) const LINK_BACK: Duration = Duration::from_secs(40 + 60 + 25);
/// How long until a store's jobs have ended after its link is back.
pub(crate) const JOBS_ENDED: Duration = Duration::from_mins(1);
/// By how much later than it is heard a sign of life may be dated: it is gathered until it is written.
const GATHERED_SECONDS: f64 = 3.0;
/// How many frames two programs may exchange in a second of a world's life, on average.
const FRAMES_PER_SECOND: u64 = 20;

/// Adds to a database what writes down its changes.
pub(crate) fn install(database: &Path) -> rusqlite::Result<()> {
    Connection::open(database)?.execute_batch(
        "CREATE TABLE watched_jobs (n INTEGER PRIMARY KEY, id, state, kind);
         CREATE TRIGGER watch_new_job AFTER INSERT ON jobs
             BEGIN INSERT INTO watched_jobs (id, state, kind) VALUES (NEW.id, NEW.state, NEW.kind); END;
         CREATE TRIGGER watch_job AFTER UPDATE ON jobs
             WHEN OLD.state <> NEW.state OR OLD.finished_at IS NOT NEW.finished_at
             BEGIN INSERT INTO watched_jobs (id, state, kind) VALUES (NEW.id, NEW.state, NEW.kind); END;
         CREATE TABLE watched_links (n INTEGER PRIMARY KEY, id, epoch, before_epoch, generation, went_back_seconds);
         CREATE TRIGGER watch_link AFTER UPDATE ON pos_servers
             WHEN OLD.session_epoch <> NEW.session_epoch OR OLD.link_state <> NEW.link_state
                 OR OLD.generation IS NOT NEW.generation OR OLD.last_seen_at IS NOT NEW.last_seen_at
             BEGIN INSERT INTO watched_links (id, epoch, before_epoch, generation, went_back_seconds) VALUES (NEW.id,
                 NEW.session_epoch, OLD.session_epoch, NEW.generation,
                 (julianday(OLD.last_seen_at) - julianday(NEW.last_seen_at)) * 86400); END;",
    )
}

/// Who watches a world.
#[derive(Debug)]
pub(crate) struct Watch {
    db: Connection,
    /// The POS servers, by number.
    pos_servers: Vec<Uuid>,
    /// The stores' data directories.
    stores: Vec<PathBuf>,
    facts: Rc<Facts>,
    /// Of the database and of the facts, when they were looked at.
    version: i64,
    changes: u64,
    seen_jobs: i64,
    seen_links: i64,
    jobs: BTreeMap<JobId, Job>,
    generations: [i64; STORES],
    /// When the link of each store was seen to be back.
    back_at: [Option<Duration>; STORES],
}

/// A job as its last change left it.
#[derive(Clone, Copy, Debug)]
struct Job {
    state: JobState,
    /// What had been done for it when it was canceled.
    done_at_cancel: Done,
}

impl Watch {
    pub(crate) fn new(
        database: &Path,
        pos_servers: Vec<Uuid>,
        stores: Vec<PathBuf>,
        facts: Rc<Facts>,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            db: Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
            pos_servers,
            stores,
            facts,
            version: 0,
            changes: 0,
            seen_jobs: 0,
            seen_links: 0,
            jobs: BTreeMap::new(),
            generations: [0; STORES],
            back_at: [None; STORES],
        })
    }

    /// Looks at what a step changed. An error says what must not be.
    pub(crate) fn after_step(&mut self, elapsed: Duration) -> anyhow::Result<()> {
        let facts = self.facts.clone();
        facts.with(|happened| {
            if let Some(wrong) = &happened.wrong {
                anyhow::bail!("{wrong}");
            }
            for (number, store) in happened.stores.iter().enumerate() {
                anyhow::ensure!(
                    store.frames <= FRAMES_PER_SECOND * (elapsed.as_secs() + 30),
                    "store {number} and the cloud do not stop talking: {} frames",
                    store.frames
                );
            }
            let version = self.db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
            if (version, happened.changes) != (self.version, self.changes) {
                (self.version, self.changes) = (version, happened.changes);
                self.look_at_jobs(happened)?;
                self.look_at_links()?;
                self.look_at_work(happened)?;
            }
            Ok(())
        })
    }

    fn look_at_jobs(&mut self, happened: &Happened) -> anyhow::Result<()> {
        let mut query =
            self.db.prepare_cached("SELECT n, id, state FROM watched_jobs WHERE n > ? ORDER BY n")?;
        let mut rows = query.query([self.seen_jobs])?;
        while let Some(row) = rows.next()? {
            self.seen_jobs = row.get(0)?;
            let id = JobId(uuid(row.get_ref(1)?)?);
            let state: JobState = serde_json::from_value(row.get::<_, String>(2)?.into())?;
            let before = self.jobs.get(&id).map(|job| job.state);
            anyhow::ensure!(
                may_follow(before, state),
                "job {id} was {before:?} and became {state:?}: a job ends once and goes only forward"
            );
            let done_at_cancel = happened.done.get(&id).copied().unwrap_or_default();
            self.jobs.insert(id, Job { state, done_at_cancel });
        }
        Ok(())
    }

    fn look_at_links(&mut self) -> anyhow::Result<()> {
        let mut query = self.db.prepare_cached(
            "SELECT n, id, epoch, before_epoch, generation, went_back_seconds FROM watched_links WHERE n > ?",
        )?;
        let mut rows = query.query([self.seen_links])?;
        while let Some(row) = rows.next()? {
            self.seen_links = row.get(0)?;
            let id = uuid(row.get_ref(1)?)?;
            let (epoch, before): (i64, i64) = (row.get(2)?, row.get(3)?);
            anyhow::ensure!(epoch >= before, "the epoch of {id} went back from {before} to {epoch}");
            let back: Option<f64> = row.get(5)?;
            anyhow::ensure!(
                back.is_none_or(|seconds| seconds < GATHERED_SECONDS),
                "the presence of {id} went back by {back:?} s: an old session wrote over a newer one"
            );
            let number = self.pos_servers.iter().position(|known| *known == id);
            if let (Some(number), Some(told)) = (number, row.get::<_, Option<i64>>(4)?) {
                let real = generation(&self.stores[number]).unwrap_or_default();
                anyhow::ensure!(
                    told <= real,
                    "the cloud says that store {number} is at generation {told}, which is at {real}"
                );
            }
        }
        Ok(())
    }

    /// What was done in the stores against what was asked for.
    fn look_at_work(&mut self, happened: &Happened) -> anyhow::Result<()> {
        for (number, dir) in self.stores.iter().enumerate() {
            if let Some(now) = generation(dir) {
                let before = std::mem::replace(&mut self.generations[number], now);
                anyhow::ensure!(
                    now >= before,
                    "the generation of store {number} went back from {before} to {now}"
                );
            }
        }
        for (id, done) in &happened.done {
            let Some(promise) = happened.promised.get(id) else { continue };
            let lives = happened.stores[promise.store].lives - done.begun_in_life;
            anyhow::ensure!(
                done.stops <= 1 + lives,
                "job {id} stopped its POS server {} times in {} lives of the connector",
                done.stops,
                1 + lives
            );
            anyhow::ensure!(done.databases <= 1, "job {id} replaced the database {} times", done.databases);
            if let Some(Job { state: JobState::Canceled | JobState::Expired, done_at_cancel }) =
                self.jobs.get(id)
            {
                anyhow::ensure!(
                    done.stops == done_at_cancel.stops && done.databases == 0,
                    "job {id} went on after it was canceled"
                );
            }
        }
        Ok(())
    }

    /// What is still amiss this long after all has been mended; nothing when all is well.
    pub(crate) fn amiss(&mut self, elapsed: Duration) -> anyhow::Result<Option<String>> {
        let facts = self.facts.clone();
        let mut amiss = None;
        for number in 0..STORES {
            let Some(back_at) = self.back_at[number] else {
                let session = facts.with(|happened| happened.stores[number].session);
                let online = self.is_online(number, session)?;
                if online {
                    self.back_at[number] = Some(elapsed);
                }
                anyhow::ensure!(
                    online || elapsed <= LINK_BACK,
                    "store {number} is not back {elapsed:?} after all was mended"
                );
                amiss = Some(format!("store {number} is not online"));
                continue;
            };
            let told = facts.with(|happened| self.unsettled(number, happened))?;
            anyhow::ensure!(
                told.is_none() || elapsed <= back_at + JOBS_ENDED,
                "{elapsed:?} after all was mended, and store {number} was back after {back_at:?}: {}",
                told.unwrap_or_default()
            );
            amiss = amiss.or(told);
        }
        if amiss.is_none() && !facts.with(|happened| happened.manager_done) {
            amiss = Some("the manager still asks".to_owned());
        }
        Ok(amiss)
    }

    /// Whether the cloud says of a store that it is online, in the session that it really has.
    fn is_online(&self, number: usize, session: Option<i64>) -> anyhow::Result<bool> {
        let mut query =
            self.db.prepare_cached("SELECT link_state, session_epoch FROM pos_servers WHERE id = ?")?;
        let (state, epoch): (String, i64) = query
            .query_row([self.pos_servers[number].as_bytes().as_slice()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        Ok(state == "online" && Some(epoch) == session)
    }

    fn unsettled(&self, number: usize, happened: &Happened) -> anyhow::Result<Option<String>> {
        let promised = happened.promised.iter().filter(|(_, promise)| promise.store == number);
        for (id, promise) in promised {
            let Some(job) = self.jobs.get(id) else { anyhow::bail!("job {id} is lost") };
            if !job.state.is_terminal() {
                return Ok(Some(format!("job {id} is {:?}", job.state)));
            }
            if job.state == JobState::Succeeded && promise.generation.is_some() {
                let databases = happened.done.get(id).map_or(0, |done| done.databases);
                anyhow::ensure!(databases == 1, "reset {id} succeeded and made {databases} databases");
            }
        }
        if !self.is_online(number, happened.stores[number].session)? {
            return Ok(Some("it is not online any more".to_owned()));
        }
        let mut query =
            self.db.prepare_cached("SELECT pos_state, generation FROM pos_servers WHERE id = ?")?;
        let (pos, told): (String, Option<i64>) = query
            .query_row([self.pos_servers[number].as_bytes().as_slice()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let real = generation(&self.stores[number]);
        if pos != "running" || told != real {
            return Ok(Some(format!(
                "its POS server is {pos}, its generation {real:?} and told as {told:?}"
            )));
        }
        if happened.stores[number].disk_was_lost {
            return Ok(None);
        }
        Ok(unacknowledged(&self.stores[number])?.map(|id| format!("the end of job {id} is not acknowledged")))
    }
}

/// Whether a job may go from one state to another. One that has ended stays as it ended.
fn may_follow(before: Option<JobState>, after: JobState) -> bool {
    use JobState::{CancelRequested, Expired, InProgress, Queued};
    match before {
        None => after == Queued,
        Some(Queued) => after != Queued,
        Some(InProgress) => !matches!(after, Queued | InProgress | Expired),
        Some(CancelRequested) => after.is_terminal() && after != Expired,
        Some(_) => false,
    }
}

/// What the store itself says of its database's generation.
fn generation(store: &Path) -> Option<i64> {
    serde_json::from_slice::<Value>(&fs::read(store.join("generation.json")).ok()?).ok()?["generation"]
        .as_i64()
}

/// A job in a store's journal whose end the cloud has not acknowledged.
fn unacknowledged(store: &Path) -> anyhow::Result<Option<String>> {
    for entry in fs::read_dir(store.join("journal"))? {
        let entry: Value = serde_json::from_slice(&fs::read(entry?.path())?)?;
        if entry["state"]["acknowledged_at"].is_null() {
            return Ok(entry["order"]["id"].as_str().map(str::to_owned));
        }
    }
    Ok(None)
}

fn uuid(value: ValueRef<'_>) -> anyhow::Result<Uuid> {
    match value {
        ValueRef::Blob(bytes) => Ok(Uuid::from_slice(bytes)?),
        other => Ok(other.as_str()?.parse()?),
    }
}
