//! Archives on their way to files: resumed where they stopped, checked, and whole or not at all.
//!
//! Bytes go to `<target>.part` in the target's folder, and only a file whose SHA-256 is right takes the target's
//! name. Whatever else happens, the partial file is removed, but when the app ends or another profile is shown: then it
//! stays, and [`journal`] knows of it, so that it goes on when its user does.

mod journal;
mod names;

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use reqwest::StatusCode;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

pub(crate) use journal::Pending;
pub(crate) use names::{free_path, is_invisible, safe_file_name};

use crate::cloud::{Cloud, hex, is_passing};
use crate::core::lock;
use crate::error::{AppError, LocalCode};
use crate::ipc::{Archive, Download, DownloadState};
use journal::Journal;

/// How many times in a row a connection may break without a byte having arrived.
const TRIES: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The least time between two events of a download.
const EVENTS_APART: Duration = Duration::from_millis(100);

/// The downloads under way, and what was saved.
#[derive(Debug)]
pub(crate) struct Downloads {
    journal: Journal,
    running: Mutex<HashMap<String, (Download, CancellationToken)>>,
    saved: Mutex<HashSet<PathBuf>>,
}

/// Where a download goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    path: PathBuf,
    part: PathBuf,
}

impl Target {
    /// Goes on with what arrived for `path` in an earlier run of the app. A file that came to be there since stays.
    fn left(path: &Path) -> Self {
        Self { path: free_path(path), ..Self::new(path.to_owned()) }
    }

    /// The file at `path`, which is replaced if it is there: the dialog asked.
    pub(crate) fn new(path: PathBuf) -> Self {
        let mut part = OsString::from(&path);
        part.push(".part");
        Self { part: part.into(), path }
    }
}

/// Why a download ended without a file.
enum Stopped {
    Canceled,
    /// The session was stopped: it goes on with the next one.
    Left,
    Failed(AppError),
}

impl Downloads {
    /// Those that an earlier run of the app in `home` left are known.
    pub(crate) fn open(home: &Path) -> Self {
        Self { journal: Journal::open(home), running: Mutex::default(), saved: Mutex::default() }
    }

    /// Downloads an archive. `tell` hears of progress, the end included; none when it is left at `stop`.
    pub(crate) async fn run(
        &self,
        cloud: &Cloud,
        stop: &CancellationToken,
        pending: Pending,
        tell: impl Fn(&Download),
    ) -> Option<Download> {
        let target = Target::new(pending.path.clone());
        self.journal.begin(pending.clone());
        let part = Part::create(&target.part).await;
        let download = self.finish(cloud, stop, &pending.archive, &target, part, tell).await;
        self.ended(pending, download)
    }

    /// Goes on with a download that was left.
    pub(crate) async fn go_on(
        &self,
        cloud: &Cloud,
        stop: &CancellationToken,
        pending: Pending,
        tell: impl Fn(&Download),
    ) -> Option<Download> {
        let target = Target::left(&pending.path);
        let part = tokio::select! {
            part = Part::open(&target.part) => part,
            // Hashing again what arrived takes a while.
            () = stop.cancelled() => return self.ended(pending, None),
        };
        let download = self.finish(cloud, stop, &pending.archive, &target, part, tell).await;
        self.ended(pending, download)
    }

    fn ended(&self, pending: Pending, download: Option<Download>) -> Option<Download> {
        match download {
            Some(_) => self.journal.end(&pending.path),
            None => self.journal.leave(pending),
        }
        download
    }

    /// Those of a user that were left; each is given once.
    pub(crate) fn take_left(&self, url: &str, email: &str) -> Vec<Pending> {
        self.journal.take_left(url, email)
    }

    /// Forgets those of a user that were left.
    pub(crate) async fn forget_left(&self, url: &str, email: &str) {
        self.journal.forget_left(url, email).await;
    }

    async fn finish(
        &self,
        cloud: &Cloud,
        stop: &CancellationToken,
        archive: &Archive,
        target: &Target,
        part: Result<Part, AppError>,
        tell: impl Fn(&Download),
    ) -> Option<Download> {
        let cancel = CancellationToken::new();
        let mut download = Download {
            id: archive.id.clone(),
            path: Some(target.path.display().to_string()),
            done: part.as_ref().map_or(0, |part| part.length),
            total: archive.size_bytes,
            state: DownloadState::Running,
            error: None,
        };
        lock(&self.running).insert(archive.id.clone(), (download.clone(), cancel.clone()));
        tell(&download);
        let mut told_at = Instant::now();
        let progress = |done: u64| {
            if told_at.elapsed() >= EVENTS_APART {
                told_at = Instant::now();
                if let Some((running, _)) = lock(&self.running).get_mut(&archive.id) {
                    running.done = done;
                    tell(running);
                }
            }
        };
        // Only the waiting for bytes is given up: a file that is being made or named can't be taken back.
        let ended = match part {
            Ok(mut part) => tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Stopped::Canceled),
                () = stop.cancelled() => part.keep().await,
                fetched = fetch(cloud, archive, &mut part, progress) => match fetched {
                    Ok(()) => part.land(target).await.map_err(Stopped::Failed),
                    Err(error) => Err(Stopped::Failed(error)),
                },
            },
            Err(error) => Err(Stopped::Failed(error)),
        };
        lock(&self.running).remove(&archive.id);
        match ended {
            Ok(()) => {
                self.saved(&target.path);
                download.done = archive.size_bytes;
                download.state = DownloadState::Done;
            }
            Err(Stopped::Left) => return None,
            Err(Stopped::Canceled) => {
                remove(&target.part).await;
                download.path = None;
                download.state = DownloadState::Canceled;
            }
            Err(Stopped::Failed(error)) => {
                remove(&target.part).await;
                tracing::warn!(%error, detail = error.detail, archive = archive.id, "a download failed");
                download.path = None;
                download.state = DownloadState::Failed;
                download.error = Some(error);
            }
        }
        tell(&download);
        Some(download)
    }

    /// All that are under way.
    pub(crate) fn all_running(&self) -> Vec<Download> {
        lock(&self.running).values().map(|(download, _)| download.clone()).collect()
    }

    /// The download of this archive, if one is under way.
    pub(crate) fn running(&self, id: &str) -> Option<Download> {
        lock(&self.running).get(id).map(|(download, _)| download.clone())
    }

    /// Stops a download.
    pub(crate) fn cancel(&self, id: &str) {
        if let Some((_, cancel)) = lock(&self.running).get(id) {
            cancel.cancel();
        }
    }

    /// Stops all downloads.
    pub(crate) fn cancel_all(&self) {
        lock(&self.running).values().for_each(|(_, cancel)| cancel.cancel());
    }

    /// Remembers a file that was saved.
    pub(crate) fn saved(&self, path: &Path) {
        lock(&self.saved).insert(path.to_owned());
    }

    /// Whether that file was saved by the app.
    pub(crate) fn has_saved(&self, path: &Path) -> bool {
        lock(&self.saved).contains(path)
    }
}

/// Brings an archive to `path`, whole and right; `progress` hears how many bytes are there. Whoever gives up the
/// waiting removes what is there.
pub(crate) async fn fetch_whole(
    cloud: &Cloud,
    archive: &Archive,
    path: &Path,
    progress: impl FnMut(u64),
) -> Result<(), AppError> {
    let mut part = Part::create(path).await?;
    fetch(cloud, archive, &mut part, progress).await?;
    part.file.flush().await.map_err(|error| AppError::from_io(&error, path))
}

/// Brings the archive's bytes into the partial file, all of them and the right ones.
async fn fetch(
    cloud: &Cloud,
    archive: &Archive,
    part: &mut Part,
    mut progress: impl FnMut(u64),
) -> Result<(), AppError> {
    let mut failures = 0;
    while let Err(error) = part.go_on(cloud, archive, &mut failures, &mut progress).await {
        if !is_passing(&error) {
            return Err(error);
        }
        failures += 1;
        if failures >= TRIES {
            return Err(AppError { code: LocalCode::DownloadInterrupted.as_str().into(), ..error });
        }
        tokio::time::sleep(FIRST_WAIT * 2_u32.pow(failures - 1)).await;
    }
    let sha256 = hex(&part.hasher.finalize_reset());
    if part.length != archive.size_bytes || sha256 != archive.sha256 {
        return Err(AppError::from(LocalCode::ChecksumMismatch)
            .detail(format!("{} bytes arrived with SHA-256 {sha256}", part.length)));
    }
    Ok(())
}

/// The partial file.
struct Part {
    file: File,
    path: PathBuf,
    length: u64,
    hasher: Sha256,
}

impl Part {
    async fn create(path: &Path) -> Result<Self, AppError> {
        let file = File::create(path).await.map_err(|error| AppError::from_io(&error, path))?;
        Ok(Self { file, path: path.to_owned(), length: 0, hasher: Sha256::new() })
    }

    /// The partial file that is there, if one is; what it holds is hashed again.
    async fn open(path: &Path) -> Result<Self, AppError> {
        let at_part = |error: std::io::Error| AppError::from_io(&error, path);
        let options = &mut tokio::fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path).await;
        let mut part =
            Self { file: file.map_err(at_part)?, path: path.to_owned(), length: 0, hasher: Sha256::new() };
        let mut piece = vec![0; 1 << 16];
        loop {
            let read = part.file.read(&mut piece).await.map_err(at_part)?;
            if read == 0 {
                return Ok(part);
            }
            part.hasher.update(&piece[..read]);
            part.length += read as u64;
        }
    }

    /// Reads on from where the file ends. `failures` starts anew with each byte that arrives.
    async fn go_on(
        &mut self,
        cloud: &Cloud,
        archive: &Archive,
        failures: &mut u32,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), AppError> {
        // What an earlier run left may be whole, or of something else.
        if self.length == archive.size_bytes && self.length > 0 {
            return Ok(());
        }
        if self.length > archive.size_bytes {
            self.start_over().await?;
        }
        let response = cloud.archive(&archive.id, &archive.sha256, self.length).await?;
        if response.status() != StatusCode::PARTIAL_CONTENT && self.length > 0 {
            self.start_over().await?;
        }
        let mut bytes = response.bytes_stream();
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk.map_err(|error| AppError::from(LocalCode::CloudUnreachable).detail(error))?;
            self.file.write_all(&chunk).await.map_err(|error| AppError::from_io(&error, &self.path))?;
            self.hasher.update(&chunk);
            self.length += chunk.len() as u64;
            *failures = 0;
            progress(self.length);
            if self.length > archive.size_bytes {
                return Err(
                    AppError::from(LocalCode::ChecksumMismatch).detail("more arrived than was announced")
                );
            }
        }
        if self.length < archive.size_bytes {
            return Err(AppError::from(LocalCode::CloudUnreachable).detail("the answer ended early"));
        }
        Ok(())
    }

    /// The cloud sends everything, as what it has is not what it had.
    async fn start_over(&mut self) -> Result<(), AppError> {
        let at_part = |error: std::io::Error| AppError::from_io(&error, &self.path);
        self.file.set_len(0).await.map_err(at_part)?;
        self.file.rewind().await.map_err(at_part)?;
        self.hasher = Sha256::new();
        self.length = 0;
        Ok(())
    }

    /// Leaves the bytes where they are, all that were handed to the system.
    async fn keep(&mut self) -> Result<(), Stopped> {
        self.file.flush().await.map_err(|error| Stopped::Failed(AppError::from_io(&error, &self.path)))?;
        Err(Stopped::Left)
    }

    /// Makes the bytes durable and gives them the target's name.
    async fn land(mut self, target: &Target) -> Result<(), AppError> {
        let at_part = |error: std::io::Error| AppError::from_io(&error, &target.part);
        self.file.flush().await.map_err(at_part)?;
        self.file.sync_all().await.map_err(at_part)?;
        drop(self.file);
        tokio::fs::rename(&target.part, &target.path)
            .await
            .map_err(|error| AppError::from_io(&error, &target.path))?;
        sync_folder(&target.path).await;
        Ok(())
    }
}

/// Makes the new name durable where folders can be opened. The file is whole either way.
async fn sync_folder(path: &Path) {
    if cfg!(unix)
        && let Some(folder) = path.parent()
        && let Ok(folder) = File::open(folder).await
        && let Err(error) = folder.sync_all().await
    {
        tracing::debug!(%error, "the folder could not be synced");
    }
}

async fn remove(part: &Path) {
    match tokio::fs::remove_file(part).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, "a partial download could not be removed");
        }
        _ => {}
    }
}
