//! What really happened in a world, noted by those to whom it did.

use std::cell::RefCell;
use std::collections::BTreeMap;

use tillwatch_protocol::ids::JobId;
use tillwatch_protocol::link::frame::CloudFrame;

use crate::template::STORES;

/// Everything that happened so far.
#[derive(Debug, Default)]
pub(crate) struct Facts(RefCell<Happened>);

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    /// What was done for each job.
    pub(crate) done: BTreeMap<JobId, Done>,
    /// What happened that must not, in words.
    pub(crate) wrong: Option<String>,
    /// The jobs that the manager was promised.
    pub(crate) promised: BTreeMap<JobId, Promise>,
    /// How often something was done in a store.
    pub(crate) changes: u64,
    /// Each store.
    pub(crate) stores: [StoreFacts; STORES],
    /// Whether the manager has everything that it wanted.
    pub(crate) manager_done: bool,
}

/// What was done to a store for a job.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    /// How often its POS server was stopped.
    pub(crate) stops: u32,
    /// How often a new database was made.
    pub(crate) databases: u32,
    /// How often the store's programs had ended when the job first did something.
    pub(crate) begun_in_life: u32,
}

/// What the manager was promised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// For which store.
    pub(crate) store: usize,
    /// By a reset: for which generation.
    pub(crate) generation: Option<i64>,
}

/// One store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StoreFacts {
    /// How often its programs have ended.
    pub(crate) lives: u32,
    /// Whether its journal could not be written for a while. An acknowledgement that could not be written down then is
    /// asked for again after the next start only.
    pub(crate) disk_was_lost: bool,
    /// The epoch of the session that it was welcomed to last, while that is open.
    pub(crate) session: Option<i64>,
    /// How many frames its lines have carried.
    pub(crate) frames: u64,
}

impl Facts {
    /// Looks at what happened, or notes something.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Happened) -> T) -> T {
        look(&mut self.0.borrow_mut())
    }

    /// A POS server was stopped for a job.
    pub(crate) fn stopped(&self, store: usize, job: Option<JobId>) {
        self.with(|happened| match happened.done_for(store, job) {
            Some(done) => done.stops += 1,
            None => happened.wrong = Some(format!("store {store}: its POS server was stopped without a job")),
        });
    }

    /// A POS server found no database and made one. The first of a store belongs to no job.
    pub(crate) fn database_made(&self, store: usize, job: Option<JobId>) {
        self.with(|happened| {
            if let Some(done) = happened.done_for(store, job) {
                done.databases += 1;
            }
        });
    }

    /// A store's line carries what the cloud says.
    pub(crate) fn cloud_said(&self, store: usize, frame: &CloudFrame) {
        self.with(|happened| {
            happened.stores[store].frames += 1;
            if let CloudFrame::Welcome { session_epoch, .. } = frame {
                happened.stores[store].session = Some(*session_epoch);
            }
        });
    }

    /// A store's line carries what its connector says.
    pub(crate) fn store_said(&self, store: usize) {
        self.with(|happened| happened.stores[store].frames += 1);
    }

    /// A store's line has ended.
    pub(crate) fn line_ended(&self, store: usize, epoch: Option<i64>) {
        self.with(|happened| {
            if happened.stores[store].session == epoch {
                happened.stores[store].session = None;
            }
        });
    }
}

impl Happened {
    fn done_for(&mut self, store: usize, job: Option<JobId>) -> Option<&mut Done> {
        self.changes += 1;
        let begun_in_life = self.stores[store].lives;
        Some(self.done.entry(job?).or_insert(Done { begun_in_life, ..Done::default() }))
    }
}
