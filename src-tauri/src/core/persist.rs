//! Rows on their way into the cache: gathered for a moment, then written in one transaction.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tillwatch_protocol::rest::session::Me;
use tokio::sync::Notify;
use url::Url;
use uuid::Uuid;

use super::{Core, lock};
use crate::cache::{self, Cache, Head};
use crate::error::{AppError, LocalCode};
use crate::ipc::Profile;
use crate::rows::{Entry, Replaced};

/// How long changes are gathered before they are written.
const GATHER: Duration = Duration::from_millis(500);
/// The least time between two writes of what is on screen, while the app runs on: it is as large as hundreds of rows.
const SCREENS_APART: Duration = Duration::from_mins(1);

/// The cache, and what waits to be written to it.
#[derive(Debug, Default)]
pub(super) struct Persist {
    /// None when the file can't be opened: the app works without.
    cache: Mutex<Option<(PathBuf, Cache)>>,
    waiting: Mutex<Waiting>,
    more: Notify,
    /// When what is on screen was written last.
    screen_at: Mutex<Option<Instant>>,
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
    /// Opens the cache of a profile in place of another's, and gives what it holds. `begun` is told before its rows are
    /// read.
    pub(super) fn open_cache(&self, profile: &Profile, begun: impl FnOnce(&Head)) -> Option<cache::Kept> {
        self.close_cache();
        let path = profile.cache(&self.home);
        match cache::open(&path, begun) {
            Ok(opened) => {
                if let Some(aside) = opened.put_aside {
                    self.notice(AppError::from(LocalCode::CacheDamaged).param("path", aside.display()));
                }
                *lock(&self.persist.cache) = Some((path, opened.cache));
                opened.kept
            }
            Err(error) => {
                tracing::warn!(%error, "no cache");
                None
            }
        }
    }

    /// Makes the open cache that of `me`, or opens the profile's if it is not open.
    pub(super) fn claim_cache(&self, profile: &Profile, url: &Url, me: &Me) {
        let path = profile.cache(&self.home);
        if lock(&self.persist.cache).as_ref().is_none_or(|(open, _)| *open != path) {
            self.open_cache(profile, |_| {});
        }
        if let Some((_, cache)) = lock(&self.persist.cache).as_mut()
            && let Err(error) = cache.claim(url, me)
        {
            tracing::warn!(%error, "the cache could not be claimed");
        }
    }

    /// Removes a profile's cache, and what waited for it.
    pub(super) fn remove_cache(&self, profile: &Profile) {
        let path = profile.cache(&self.home);
        if lock(&self.persist.cache).as_ref().is_some_and(|(open, _)| *open == path) {
            self.close_cache();
        }
        cache::remove(&path);
    }

    /// Closes the cache, and forgets what waits to be written: it is not for the next one.
    fn close_cache(&self) {
        *lock(&self.persist.cache) = None;
        *lock(&self.persist.waiting) = Waiting::default();
        *lock(&self.persist.screen_at) = None;
    }

    /// Gives the cache of a version that had no profiles to the one profile that it can be of.
    pub(super) fn adopt_cache(&self, profile: &Profile) {
        cache::rename(&self.home.join(cache::FILE_OF_OLD), &profile.cache(&self.home));
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

    /// Writes what waits and what is on screen, now. Blocks.
    pub(crate) fn flush(&self) {
        *lock(&self.persist.screen_at) = None;
        lock(&self.persist.waiting).as_of = true;
        self.write_waiting();
    }

    /// Writes what waits, and what is on screen if it is time. Blocks.
    fn write_waiting(&self) {
        let Some(as_of) = self.fleet().as_of(self.now()) else { return };
        let is_due = lock(&self.persist.screen_at).is_none_or(|at| at.elapsed() >= SCREENS_APART);
        // Not while the cache is locked: whoever opens one has the rows.
        let screen_of = lock(&self.persist.cache).as_ref().map(|(path, _)| path.clone());
        let screen = is_due.then(|| self.fleet().screen(self.now()));
        let mut cache = lock(&self.persist.cache);
        let Some((path, open)) = cache.as_mut() else { return };
        let screen = screen.filter(|_| screen_of.as_ref() == Some(path));
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
        let written = open.write(&changed, &removed, as_of, screen.as_ref());
        if screen.is_some() && written.is_ok() {
            *lock(&self.persist.screen_at) = Some(Instant::now());
        }
        let path = path.clone();
        drop(cache);
        let told = std::mem::replace(&mut lock(&self.persist.waiting).failed, written.is_err());
        if let Err(error) = written {
            tracing::warn!(%error, rows = changed.len(), "the cache could not be written");
            let is_full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
            if is_full && !told {
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
            if let Err(error) = tokio::task::spawn_blocking(move || core.write_waiting()).await {
                tracing::error!(%error, "writing the cache failed");
            }
        }
    }
}
