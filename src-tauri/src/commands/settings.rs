//! The app itself and what the user chose.

use tauri::{AppHandle, Runtime};

use super::{Answer, CoreState};
use crate::ipc::{AppInfo, Settings};
use crate::menu;

/// What the About box says.
#[tauri::command]
#[specta::specta]
pub(crate) async fn app_info() -> Answer<AppInfo> {
    Ok(AppInfo {
        version: env!("CARGO_PKG_VERSION").into(),
        os: std::env::consts::OS.into(),
        debug: cfg!(debug_assertions),
    })
}

/// What the user chose.
#[tauri::command]
#[specta::specta]
pub(crate) async fn settings(core: CoreState<'_>) -> Answer<Settings> {
    Ok(core.preferences().settings())
}

/// Keeps what the user chose. The native menu follows the language.
#[tauri::command]
#[specta::specta]
pub(crate) async fn save_settings<R: Runtime>(
    app: AppHandle<R>,
    core: CoreState<'_>,
    settings: Settings,
) -> Answer<()> {
    let before = core.preferences().settings().language;
    let language = settings.language;
    core.preferences().save_settings(settings)?;
    if language != before {
        menu::install(&app, language);
    }
    Ok(())
}
