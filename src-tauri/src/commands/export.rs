//! Excel.

use tauri::{AppHandle, Runtime};

use super::{Answer, CoreState, check, dialogs};
use crate::download;
use crate::ipc::{ExportRequest, Exported};

/// Writes what is filtered and visible, in its order, to a spreadsheet where the user says; null when the
/// dialog was dismissed.
#[tauri::command]
#[specta::specta]
pub(crate) async fn export_excel<R: Runtime>(
    app: AppHandle<R>,
    core: CoreState<'_>,
    request: ExportRequest,
) -> Answer<Option<Exported>> {
    check::export(&request)?;
    let name = download::safe_file_name(&request.file_name, "xlsx");
    let Some(path) = dialogs::save_file(&app, &request.dialog_title, &name, "xlsx").await? else {
        return Ok(None);
    };
    core.inner().export(request, path).await.map(Some)
}
