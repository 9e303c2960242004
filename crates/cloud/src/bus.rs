//! Hints that something changed. The database holds the truth; a lost hint costs a second.

use tokio::sync::watch;

/// Tells everybody who waits which revision was committed last.
#[derive(Clone, Debug)]
pub struct Bus {
    revision: watch::Sender<i64>,
}

impl Bus {
    /// A bus that nobody listens to yet.
    pub(crate) fn new(revision: i64) -> Self {
        Self { revision: watch::Sender::new(revision) }
    }

    /// Tells that this revision is committed. Older news than the last is dropped.
    pub(crate) fn changed(&self, revision: i64) {
        self.revision.send_if_modified(|last| {
            let newer = revision > *last;
            *last = revision.max(*last);
            newer
        });
    }

    /// Wakes at each change from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<i64> {
        self.revision.subscribe()
    }
}
