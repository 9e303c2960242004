//! Work for stores, and saving what it made.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use tauri::{AppHandle, Runtime};
use tauri_plugin_opener::OpenerExt;

use super::{Answer, CoreState, check, dialogs};
use crate::core::LogRequest;
use crate::download;
use crate::error::{AppError, LocalCode};
use crate::ipc::{Archive, Download, Job, RequestedLogs, RunnableJob, WhenOffline};

/// Asks stores for their logs, each with a job of its own. `wait_until` says how long stores that are offline are
/// waited for, at most 30 days; 8 hours when null.
#[tauri::command]
#[specta::specta]
pub(crate) async fn request_logs(
    core: CoreState<'_>,
    ids: Vec<String>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    max_bytes: u32,
    when_offline: WhenOffline,
    wait_until: Option<DateTime<Utc>>,
) -> Answer<Vec<RequestedLogs>> {
    let max_bytes = u64::from(max_bytes);
    core.request_logs(&ids, LogRequest { from, to, max_bytes, when_offline, wait_until }).await
}

/// Resets a POS database. `confirm` is the outlet's name as the user typed it.
#[tauri::command]
#[specta::specta]
pub(crate) async fn reset_database(
    core: CoreState<'_>,
    id: String,
    confirm: String,
    expected_generation: u32,
    collect_logs: bool,
    discard_unsent: bool,
) -> Answer<Job> {
    check::text("confirm", &confirm)?;
    core.reset_database(&id, confirm, i64::from(expected_generation), collect_logs, discard_unsent).await
}

/// Puts a POS database back that was moved away. `confirm` is the outlet's name as the user typed it.
#[tauri::command]
#[specta::specta]
pub(crate) async fn restore_database(
    core: CoreState<'_>,
    id: String,
    confirm: String,
    backup_id: String,
) -> Answer<Job> {
    core.restore_database(&id, confirm, &backup_id).await
}

/// Starts a job that needs nothing but the POS server's id.
#[tauri::command]
#[specta::specta]
pub(crate) async fn run_job(core: CoreState<'_>, id: String, kind: RunnableJob) -> Answer<Job> {
    core.run_job(&id, kind).await
}

/// Asks for a job to be canceled.
#[tauri::command]
#[specta::specta]
pub(crate) async fn cancel_job(core: CoreState<'_>, job_id: String) -> Answer<Job> {
    core.cancel_job(&job_id).await
}

/// The user's jobs that the app knows of, the newest first.
#[tauri::command]
#[specta::specta]
pub(crate) async fn jobs(core: CoreState<'_>) -> Answer<Vec<Job>> {
    Ok(core.jobs())
}

/// Saves an archive where the user says: null when the dialog was dismissed, else done when the file is whole
/// and checked, or was canceled. A failure is both an error here and a `download` event.
#[tauri::command]
#[specta::specta]
pub(crate) async fn save_archive<R: Runtime>(
    app: AppHandle<R>,
    core: CoreState<'_>,
    archive: Archive,
    dialog_title: String,
) -> Answer<Option<Download>> {
    check::archive(&archive)?;
    check::text("dialog_title", &dialog_title)?;
    if let Some(running) = core.running_download(&archive.id) {
        return Ok(Some(running));
    }
    let name = download::safe_file_name(&archive.file_name, "zip");
    let Some(path) = dialogs::save_file(&app, &dialog_title, &name, "zip").await? else {
        return Ok(None);
    };
    match core.inner().download(archive, path).await {
        Some(Download { error: Some(error), .. }) => Err(error),
        saved => Ok(saved),
    }
}

/// Saves archives to a folder that the user chooses, under names that are free there. One that failed says so
/// in its entry; the others are saved nevertheless.
#[tauri::command]
#[specta::specta]
pub(crate) async fn save_archives<R: Runtime>(
    app: AppHandle<R>,
    core: CoreState<'_>,
    archives: Vec<Archive>,
    dialog_title: String,
) -> Answer<Option<Vec<Download>>> {
    check::archives(&archives)?;
    check::text("dialog_title", &dialog_title)?;
    let Some(folder) = dialogs::pick_folder(&app, &dialog_title).await? else {
        return Ok(None);
    };
    Ok(Some(core.inner().download_all(archives, &folder).await))
}

/// Stops a download; its file is removed.
#[tauri::command]
#[specta::specta]
pub(crate) async fn cancel_download(core: CoreState<'_>, id: String) -> Answer<()> {
    core.cancel_download(&id);
    Ok(())
}

/// Shows a file that the app saved in the system's file manager.
#[tauri::command]
#[specta::specta]
pub(crate) async fn show_in_folder<R: Runtime>(
    app: AppHandle<R>,
    core: CoreState<'_>,
    path: String,
) -> Answer<()> {
    let path = PathBuf::from(path);
    if !core.has_saved(&path) {
        return Err(AppError::from(LocalCode::FileUnwritable).param("path", path.display()));
    }
    if !path.exists() {
        return Err(AppError::from(LocalCode::FileGone).param("path", path.display()));
    }
    app.opener().reveal_item_in_dir(&path).map_err(|error| {
        AppError::from(LocalCode::FileUnwritable).detail(error).param("path", path.display())
    })
}
