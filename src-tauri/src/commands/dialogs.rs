//! The system's own dialogs, awaited without holding up any thread.

use std::path::PathBuf;

use tauri::{AppHandle, Manager, Runtime};
use tauri_plugin_dialog::{DialogExt, FilePath};
use tokio::sync::oneshot;

use crate::download::free_path;
use crate::error::AppError;

/// Asks where to save a file. The extension is added when the user left it out; not every system does.
pub(super) async fn save_file<R: Runtime>(
    app: &AppHandle<R>,
    title: &str,
    name: &str,
    extension: &str,
) -> Result<Option<PathBuf>, AppError> {
    let (answer, answered) = oneshot::channel();
    let mut dialog = app
        .dialog()
        .file()
        .set_title(title)
        .set_file_name(name)
        .add_filter(extension.to_uppercase(), &[extension]);
    if let Some(window) = app.get_webview_window(crate::MAIN_WINDOW) {
        dialog = dialog.set_parent(&window);
    }
    dialog.save_file(move |path| drop(answer.send(path)));
    Ok(to_path(answered.await)?.map(|path| with_extension(path, extension)))
}

/// Asks for a file to read.
pub(super) async fn pick_file<R: Runtime>(
    app: &AppHandle<R>,
    title: &str,
    extensions: &[&str],
) -> Result<Option<PathBuf>, AppError> {
    let (answer, answered) = oneshot::channel();
    let kinds = extensions.join(", ").to_uppercase();
    let mut dialog = app.dialog().file().set_title(title).add_filter(kinds, extensions);
    if let Some(window) = app.get_webview_window(crate::MAIN_WINDOW) {
        dialog = dialog.set_parent(&window);
    }
    dialog.pick_file(move |path| drop(answer.send(path)));
    to_path(answered.await)
}

/// Asks for a folder.
pub(super) async fn pick_folder<R: Runtime>(
    app: &AppHandle<R>,
    title: &str,
) -> Result<Option<PathBuf>, AppError> {
    let (answer, answered) = oneshot::channel();
    let mut dialog = app.dialog().file().set_title(title);
    if let Some(window) = app.get_webview_window(crate::MAIN_WINDOW) {
        dialog = dialog.set_parent(&window);
    }
    dialog.pick_folder(move |path| drop(answer.send(path)));
    to_path(answered.await)
}

/// A dialog that went away without an answer was dismissed.
fn to_path(answer: Result<Option<FilePath>, oneshot::error::RecvError>) -> Result<Option<PathBuf>, AppError> {
    answer
        .ok()
        .flatten()
        .map(|path| path.into_path().map_err(|error| AppError::bug("a dialog gave no path", &error)))
        .transpose()
}

fn with_extension(path: PathBuf, extension: &str) -> PathBuf {
    if path.extension().is_some_and(|has| has.eq_ignore_ascii_case(extension)) {
        return path;
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(extension);
    // The dialog asked about the name without the extension only.
    free_path(&path.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_is_added_when_it_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("taken.zip"), "").unwrap();
        for (typed, saved) in [
            ("logs", "logs.zip"),
            ("logs.zip", "logs.zip"),
            ("logs.ZIP", "logs.ZIP"),
            ("riga.2026", "riga.2026.zip"),
            ("taken", "taken (2).zip"),
            ("taken.zip", "taken.zip"),
        ] {
            assert_eq!(with_extension(folder.path().join(typed), "zip"), folder.path().join(saved));
        }
    }
}
