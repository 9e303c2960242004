//! Rows on their way into the cache: gathered for a moment, then written in one transaction.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use tillwatch_protocol::rest::session::Me;
use tokio::sync::Notify;
use url::Url;
use uuid::Uuid;

use super::{Core, lock};
use crate::cache::{self, Cache};
use crate::error::{AppError, LocalCode};
use crate::rows::{Entry, Replaced};

/// How long changes are gathered before they are written.
const GATHER: Duration = Duration::from_millis(500);

/// The cache, and what waits to be written to it.
#[derive(Debug, Default)]
pub(super) struct Persist {
    /// None when the file can't be opened: the app works without.
    cache: Mutex<Option<Cache>>,
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    changed: HashMap<Uuid, Arc<Entry>>,
    removed: HashSet<Uuid>,
    /// Only that the rows are still true is to be written.
    as_of: bool,
    /// The last write failed, which was told.
    failed: bool,
}

impl Core {
    /// Opens the cache, and gives what it holds.
    pub(super) fn open_cache(&self) -> Option<cache::Kept> {
        let path = self.home.join(cache::FILE);
        match cache::open(&path) {
            Ok(opened) => {
                if let Some(aside) = opened.put_aside {
                    self.notice(AppError::from(LocalCode::CacheDamaged).param("path", aside.display()));
                }
                *lock(&self.persist.cache) = Some(opened.cache);
                opened.kept
            }
            Err(error) => {
                tracing::warn!(%error, "no cache");
                None
            }
        }
    }

    /// Makes the cache this user's.
    pub(super) fn claim_cache(&self, url: &Url, me: &Me) {
        if lock(&self.persist.cache).is_none() {
            self.open_cache();
        }
        if let Some(cache) = lock(&self.persist.cache).as_mut()
            && let Err(error) = cache.claim(url, me)
        {
            tracing::warn!(%error, "the cache could not be claimed");
        }
    }

    /// Removes the cache and what waited for it.
    pub(super) fn remove_cache(&self) {
        self.drop_unwritten();
        *lock(&self.persist.cache) = None;
        cache::remove(&self.home.join(cache::FILE));
    }

    /// Forgets what waits to be written, as it is another user's.
    pub(super) fn drop_unwritten(&self) {
        *lock(&self.persist.waiting) = Waiting::default();
    }

    /// Has rows written soon.
    pub(crate) fn persist(&self, replaced: Replaced) {
        {
            let mut waiting = lock(&self.persist.waiting);
            for id in replaced.removed {
                waiting.changed.remove(&id);
                waiting.removed.insert(id);
            }
            for entry in replaced.changed {
                waiting.removed.remove(&entry.id);
                waiting.changed.insert(entry.id, entry);
            }
            waiting.as_of = true;
        }
        self.persist.more.notify_one();
    }

    /// Writes what waits, now. Blocks.
    pub(crate) fn flush(&self) {
        let Some(as_of) = self.fleet().as_of(Utc::now()) else { return };
        let mut cache = lock(&self.persist.cache);
        let Some(open) = cache.as_mut() else { return };
        let (changed, removed) = {
            let mut waiting = lock(&self.persist.waiting);
            if !waiting.as_of {
                return;
            }
            waiting.as_of = false;
            (std::mem::take(&mut waiting.changed), std::mem::take(&mut waiting.removed))
        };
        let changed: Vec<_> = changed.into_values().collect();
        let removed: Vec<_> = removed.into_iter().collect();
        let written = open.write(&changed, &removed, as_of);
        drop(cache);
        let told = std::mem::replace(&mut lock(&self.persist.waiting).failed, written.is_err());
        if let Err(error) = written {
            tracing::warn!(%error, rows = changed.len(), "the cache could not be written");
            let is_full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
            if is_full && !told {
                let path = self.home.join(cache::FILE);
                self.notice(AppError::from(LocalCode::DiskFull).detail(error).param("path", path.display()));
            }
            // Kept for the next try, unless there is something newer by now.
            let mut waiting = lock(&self.persist.waiting);
            for entry in changed {
                if !waiting.removed.contains(&entry.id) {
                    waiting.changed.entry(entry.id).or_insert(entry);
                }
            }
            for id in removed {
                if !waiting.changed.contains_key(&id) {
                    waiting.removed.insert(id);
                }
            }
            waiting.as_of = true;
        }
    }

    /// Writes what comes to wait, for as long as the app runs.
    pub(super) async fn write_cache(self: Arc<Self>) {
        loop {
            self.persist.more.notified().await;
            tokio::time::sleep(GATHER).await;
            let core = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || core.flush()).await {
                tracing::error!(%error, "writing the cache failed");
            }
        }
    }
}
