//! Looking into archives: fetching them to a place of the app's own, reading them, and answering what the window asks.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::rest::job::MAX_LOG_BYTES;
use tokio_util::sync::CancellationToken;

use super::{Core, lock};
use crate::cloud::Cloud;
use crate::download;
use crate::error::AppError;
use crate::ipc::{
    AppEvent, Archive, Jump, LogEntry, LogFilter, LogFound, LogPlace, LogShown, LogSummary, LogWindow,
    Viewer, ViewerPhase,
};
use crate::viewer::{self, Log, Source, View};

/// Where what is looked into lies in the app's home, for as long as it is looked into.
const FOLDER: &str = "viewing";
/// The least time between two events of progress.
const EVENTS_APART: Duration = Duration::from_millis(100);
/// The most parts that an archive has: those of at most 50 MiB that make 2 GiB, and some.
const MOST_PARTS: usize = 100;

/// The archive that is looked into.
#[derive(Default)]
pub(super) struct Viewing {
    current: Mutex<Option<Arc<Open>>>,
    last_id: AtomicU32,
}

struct Open {
    id: u32,
    stop: CancellationToken,
    view: OnceLock<View>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Core {
    /// Starts to look into the parts of an archive. What comes of it is told by `viewer` events.
    pub(crate) fn view_archives(self: &Arc<Self>, archives: Vec<Archive>) -> Result<Viewer, AppError> {
        let size: u64 = archives.iter().map(|archive| archive.size_bytes).sum();
        if archives.is_empty() || archives.len() > MOST_PARTS || size > MAX_LOG_BYTES {
            return Err(AppError::from(ErrorCode::InvalidRequest).param("field", "archives"));
        }
        let cloud = self.current_cloud()?;
        let id = self.viewing.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let open = Arc::new(Open { id, stop: CancellationToken::new(), view: OnceLock::new() });
        if let Some(before) = lock(&self.viewing.current).replace(Arc::clone(&open)) {
            before.stop.cancel();
        }
        let viewer =
            Viewer { id, phase: ViewerPhase::Fetching, done: 0, total: size, log: None, error: None };
        let core = Arc::clone(self);
        let at_first = viewer.clone();
        tokio::spawn(async move {
            let mut viewer = at_first;
            match core.look_into(&cloud, &open, archives, &mut viewer).await {
                Ok(Some(log)) => {
                    viewer.phase = ViewerPhase::Ready;
                    viewer.log = Some(summary(&log));
                    // Set once, here.
                    let _ = open.view.set(View::new(Arc::new(log)));
                }
                // Whoever closed it needs not be told.
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, detail = error.detail, "an archive can't be looked into");
                    viewer.phase = ViewerPhase::Failed;
                    viewer.error = Some(error);
                }
            }
            core.emit(AppEvent::Viewer { viewer });
        });
        Ok(viewer)
    }

    /// The lines at these places.
    pub(crate) async fn viewer_window(
        &self,
        id: u32,
        offset: u32,
        limit: u32,
    ) -> Result<LogWindow, AppError> {
        self.ask_viewer(id, move |view| view.window(offset, limit)).await
    }

    /// Shows some levels and files only.
    pub(crate) async fn viewer_filter(
        &self,
        id: u32,
        filter: LogFilter,
        near: u32,
    ) -> Result<LogShown, AppError> {
        self.ask_viewer(id, move |view| Ok(view.filter(&filter, near))).await
    }

    /// Searches; none if another search was started meanwhile.
    pub(crate) async fn viewer_find(
        &self,
        id: u32,
        text: String,
        near: u32,
    ) -> Result<Option<LogFound>, AppError> {
        self.ask_viewer(id, move |view| view.find(&text, near)).await
    }

    /// The next or previous match or error.
    pub(crate) async fn viewer_jump(
        &self,
        id: u32,
        from: u32,
        to: Jump,
    ) -> Result<Option<LogPlace>, AppError> {
        self.ask_viewer(id, move |view| Ok(view.jump(from, to))).await
    }

    /// A whole entry.
    pub(crate) async fn viewer_entry(&self, id: u32, place: u32) -> Result<Option<LogEntry>, AppError> {
        self.ask_viewer(id, move |view| view.entry(place)).await
    }

    /// Stops and forgets what is looked into.
    pub(crate) fn close_viewer(&self, id: u32) {
        if let Some(open) = lock(&self.viewing.current).take_if(|open| open.id == id) {
            open.stop.cancel();
        }
    }

    /// The same, whatever is looked into.
    pub(super) fn close_any_viewer(&self) {
        if let Some(open) = lock(&self.viewing.current).take() {
            open.stop.cancel();
        }
    }

    /// Removes what an app that was killed left behind.
    pub(super) fn sweep_viewing(&self) {
        match std::fs::remove_dir_all(self.home.join(FOLDER)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "archives that were looked into could not be removed");
            }
            _ => {}
        }
    }

    /// Fetches and reads; none if it was stopped.
    async fn look_into(
        &self,
        cloud: &Cloud,
        open: &Open,
        archives: Vec<Archive>,
        viewer: &mut Viewer,
    ) -> Result<Option<Log>, AppError> {
        let folder = self.viewing_folder()?;
        let fetching = self.fetch_parts(cloud, &folder, &archives, viewer);
        let sources = tokio::select! {
            () = open.stop.cancelled() => return Ok(None),
            fetched = fetching => fetched?,
        };
        viewer.phase = ViewerPhase::Reading;
        (viewer.done, viewer.total) = (0, 0);
        self.emit(AppEvent::Viewer { viewer: viewer.clone() });
        let (progress, mut heard) = tokio::sync::watch::channel((0, 0));
        let stop = open.stop.clone();
        // The folder goes when the reading has ended; what is kept of the text has no name in it.
        let mut reading = tokio::task::spawn_blocking(move || {
            let mut go_on = |done: u64, total: u64| {
                progress.send_replace((done, total));
                !stop.is_cancelled()
            };
            viewer::read(&sources, folder.path(), viewer::LIMITS, &mut go_on)
        });
        loop {
            tokio::select! {
                read = &mut reading => {
                    return read.unwrap_or_else(|error| Err(AppError::bug("reading an archive failed", &error)));
                }
                Ok(()) = heard.changed() => {
                    (viewer.done, viewer.total) = *heard.borrow_and_update();
                    if !open.stop.is_cancelled() {
                        self.emit(AppEvent::Viewer { viewer: viewer.clone() });
                    }
                    tokio::time::sleep(EVENTS_APART).await;
                }
            }
        }
    }

    async fn fetch_parts(
        &self,
        cloud: &Cloud,
        folder: &TempDir,
        archives: &[Archive],
        viewer: &mut Viewer,
    ) -> Result<Vec<Source>, AppError> {
        let mut sources = Vec::with_capacity(archives.len());
        let mut before = 0;
        let mut told_at = Instant::now();
        for (number, archive) in archives.iter().enumerate() {
            let path: PathBuf = folder.path().join(format!("{number}.zip"));
            download::fetch_whole(cloud, archive, &path, |done| {
                viewer.done = before + done;
                if told_at.elapsed() >= EVENTS_APART {
                    told_at = Instant::now();
                    self.emit(AppEvent::Viewer { viewer: viewer.clone() });
                }
            })
            .await?;
            before += archive.size_bytes;
            sources.push(Source { path, name: archive.file_name.clone(), to: archive.to });
        }
        Ok(sources)
    }

    fn viewing_folder(&self) -> Result<TempDir, AppError> {
        let parent = self.home.join(FOLDER);
        let made = std::fs::create_dir_all(&parent).and_then(|()| tempfile::tempdir_in(&parent));
        made.map_err(|error| AppError::from_io(&error, &parent))
    }

    /// Asks off the async threads, as answers take the disk and up to seconds.
    async fn ask_viewer<T: Send + 'static>(
        &self,
        id: u32,
        ask: impl FnOnce(&View) -> Result<T, AppError> + Send + 'static,
    ) -> Result<T, AppError> {
        let open = lock(&self.viewing.current).as_ref().filter(|open| open.id == id).cloned();
        let Some(open) = open else { return Err(ErrorCode::NotFound.into()) };
        let asked = tokio::task::spawn_blocking(move || {
            open.view.get().ok_or_else(|| AppError::from(ErrorCode::NotFound)).and_then(ask)
        });
        asked.await.unwrap_or_else(|error| Err(AppError::bug("looking into an archive failed", &error)))
    }
}

fn summary(log: &Log) -> LogSummary {
    let (from, to) = log.period().unzip();
    LogSummary {
        outlet: log.about().outlet.clone(),
        time_zone: log.about().time_zone.clone(),
        lines: log.len() as u32,
        entries: log.entries(),
        levels: log.counts(),
        files: log.files().to_vec(),
        from,
        to,
        truncated: log.about().truncated,
    }
}
