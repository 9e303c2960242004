//! Hints that something changed: within this process, and over NATS where there are more. The database holds
//! the truth; a lost hint costs a second.

pub(crate) mod nats;

use tokio::sync::watch;

/// Tells everybody who waits which revision was committed last.
#[derive(Clone, Debug)]
pub struct Bus {
    revision: watch::Sender<i64>,
    /// The last revision that this process committed itself: what other nodes have to hear of.
    committed: watch::Sender<i64>,
}

impl Bus {
    /// A bus that nobody listens to yet.
    pub(crate) fn new(revision: i64) -> Self {
        Self { revision: watch::Sender::new(revision), committed: watch::Sender::new(revision) }
    }

    /// Tells that somebody has committed this revision. Older news than the last is dropped.
    pub(crate) fn changed(&self, revision: i64) {
        raise(&self.revision, revision);
    }

    /// Tells that this process has committed this revision.
    pub(crate) fn commit(&self, revision: i64) {
        raise(&self.revision, revision);
        raise(&self.committed, revision);
    }

    /// Wakes when this process has committed something.
    fn committed(&self) -> watch::Receiver<i64> {
        self.committed.subscribe()
    }

    /// Wakes at each change from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<i64> {
        self.revision.subscribe()
    }
}

fn raise(to: &watch::Sender<i64>, revision: i64) {
    to.send_if_modified(|last| {
        let newer = revision > *last;
        *last = revision.max(*last);
        newer
    });
}
