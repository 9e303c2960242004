//! Looking into archives without saving them. What `view_archives` starts is told by `viewer` events; there is one
//! viewer at a time, and commands that name another fail with `not_found`.

use super::{Answer, CoreState, check};
use crate::ipc::{Archive, Jump, LogEntry, LogFilter, LogFound, LogPlace, LogShown, LogWindow, Viewer};

/// Fetches the parts of an archive, checks them and reads their entries, all in the background. Takes the place of
/// the viewer before.
#[tauri::command]
#[specta::specta]
pub(crate) async fn view_archives(core: CoreState<'_>, archives: Vec<Archive>) -> Answer<Viewer> {
    check::archives(&archives)?;
    core.inner().view_archives(archives)
}

/// The lines at these places, at most 500.
#[tauri::command]
#[specta::specta]
pub(crate) async fn viewer_window(
    core: CoreState<'_>,
    id: u32,
    offset: u32,
    limit: u32,
) -> Answer<LogWindow> {
    core.viewer_window(id, offset, limit).await
}

/// Shows lines of some levels and files only. `near` is the place that is looked at.
#[tauri::command]
#[specta::specta]
pub(crate) async fn viewer_filter(
    core: CoreState<'_>,
    id: u32,
    filter: LogFilter,
    near: u32,
) -> Answer<LogShown> {
    core.viewer_filter(id, filter, near).await
}

/// Searches for a text of at most 500 characters, in whatever case. Null if another search was started meanwhile;
/// an empty text ends the search.
#[tauri::command]
#[specta::specta]
pub(crate) async fn viewer_find(
    core: CoreState<'_>,
    id: u32,
    text: String,
    near: u32,
) -> Answer<Option<LogFound>> {
    check::text("text", &text)?;
    core.viewer_find(id, text, near).await
}

/// The next or previous match or error, from the other end when there is none; null when there is none at all.
#[tauri::command]
#[specta::specta]
pub(crate) async fn viewer_jump(
    core: CoreState<'_>,
    id: u32,
    from: u32,
    to: Jump,
) -> Answer<Option<LogPlace>> {
    core.viewer_jump(id, from, to).await
}

/// The whole entry of the line at this place, at most 256 KiB of it.
#[tauri::command]
#[specta::specta]
pub(crate) async fn viewer_entry(core: CoreState<'_>, id: u32, place: u32) -> Answer<Option<LogEntry>> {
    core.viewer_entry(id, place).await
}

/// Stops whatever goes on and forgets everything that was fetched.
#[tauri::command]
#[specta::specta]
pub(crate) async fn close_viewer(core: CoreState<'_>, id: u32) -> Answer<()> {
    core.close_viewer(id);
    Ok(())
}
