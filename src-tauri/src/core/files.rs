//! Saving archives and writing spreadsheets.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::session::Held;
use super::{Core, lock};
use crate::download::{self, Pending};
use crate::error::AppError;
use crate::export;
use crate::ipc::{AppEvent, Archive, CopyRequest, Download, DownloadState, ExportRequest, Exported};

impl Core {
    /// Saves an archive as `path`. Progress goes out as events; done when the file is whole and checked, or not. None
    /// when another profile is shown meanwhile: it goes on when this one is again.
    pub(crate) async fn download(self: &Arc<Self>, archive: Archive, path: PathBuf) -> Option<Download> {
        self.download_in(self.hold(), archive, path).await
    }

    async fn download_in(
        &self,
        session: Result<Held, AppError>,
        archive: Archive,
        path: PathBuf,
    ) -> Option<Download> {
        let tell = |download: &Download| self.emit(AppEvent::Download { download: download.clone() });
        let Held { cloud, url, email, stop, .. } = &match session {
            Ok(session) => session,
            Err(error) => {
                let failed = Download {
                    id: archive.id,
                    path: None,
                    done: 0,
                    total: archive.size_bytes,
                    state: DownloadState::Failed,
                    error: Some(error),
                };
                tell(&failed);
                return Some(failed);
            }
        };
        let pending = Pending { url: url.clone(), email: email.clone(), archive, path };
        self.downloads.run(cloud, stop, pending, tell).await
    }

    /// Goes on with what was left of the user who is signed in, one after another. Each is taken up once.
    pub(crate) fn resume_downloads(self: &Arc<Self>) {
        let Ok(session) = self.hold() else { return };
        let left = self.downloads.take_left(&session.url, &session.email);
        if left.is_empty() {
            return;
        }
        let core = Arc::clone(self);
        tokio::spawn(async move {
            for pending in left {
                let tell = |download: &Download| core.emit(AppEvent::Download { download: download.clone() });
                core.downloads.go_on(&session.cloud, &session.stop, pending, tell).await;
            }
        });
    }

    /// Saves archives one after another into `folder`, each under a name that is free there.
    pub(crate) async fn download_all(
        self: &Arc<Self>,
        archives: Vec<Archive>,
        folder: &Path,
    ) -> Vec<Download> {
        let session = self.hold();
        let mut saved = Vec::with_capacity(archives.len());
        for archive in archives {
            let name = download::safe_file_name(&archive.file_name, "zip");
            let path = download::free_path(&folder.join(name));
            saved.extend(self.download_in(session.clone(), archive, path).await);
        }
        saved
    }

    /// The download of this archive, if one is under way.
    pub(crate) fn running_download(&self, id: &str) -> Option<Download> {
        self.downloads.running(id)
    }

    /// Puts the selected rows on the clipboard. Gives how many.
    pub(crate) async fn copy_selection(self: &Arc<Self>, request: CopyRequest) -> Result<u32, AppError> {
        let core = Arc::clone(self);
        let copying = tokio::task::spawn_blocking(move || {
            let entries = core.fleet().selected_entries(core.now());
            if !entries.is_empty() {
                core.clipboard.write(export::tabbed(&request, &entries))?;
            }
            Ok(entries.len() as u32)
        });
        copying.await.map_err(|error| AppError::bug("copying failed", &error))?
    }

    /// Stops a download.
    pub(crate) fn cancel_download(&self, id: &str) {
        self.downloads.cancel(id);
    }

    /// Whether the app saved this file. The window can't have others shown.
    pub(crate) fn has_saved(&self, path: &Path) -> bool {
        self.downloads.has_saved(path)
    }

    /// Writes what matches, in its order, to a spreadsheet.
    pub(crate) async fn export(
        self: &Arc<Self>,
        request: ExportRequest,
        path: PathBuf,
    ) -> Result<Exported, AppError> {
        let sheet = {
            let session = lock(&self.session).clone();
            let connection = self.connection();
            export::Sheet::new(&mut self.fleet(), request, session, connection, self.now())
        };
        let rows = sheet.rows();
        let target = path.clone();
        match tokio::task::spawn_blocking(move || export::write(&sheet, &target)).await {
            Ok(written) => written?,
            Err(error) => return Err(AppError::bug("writing the spreadsheet failed", &error)),
        }
        self.downloads.saved(&path);
        Ok(Exported { path: path.display().to_string(), rows })
    }
}
