//! The app itself and what the user chose.

use tauri::{AppHandle, Runtime, WebviewWindow};

use super::{Answer, CoreState, check};
use crate::error::AppError;
use crate::ipc::{AppInfo, Settings};
use crate::{menu, shell};

/// What the About box says.
#[tauri::command]
#[specta::specta]
pub(crate) async fn app_info<R: Runtime>(app: AppHandle<R>) -> Answer<AppInfo> {
    Ok(AppInfo {
        version: env!("CARGO_PKG_VERSION").into(),
        os: std::env::consts::OS.into(),
        debug: cfg!(debug_assertions),
        tray: shell::has_tray(&app),
    })
}

/// What the user chose.
#[tauri::command]
#[specta::specta]
pub(crate) async fn settings(core: CoreState<'_>) -> Answer<Settings> {
    Ok(core.preferences().settings())
}

/// Keeps what the user chose. The native menu and the tray follow the language.
#[tauri::command]
#[specta::specta]
pub(crate) async fn save_settings<R: Runtime>(
    app: AppHandle<R>,
    core: CoreState<'_>,
    settings: Settings,
) -> Answer<()> {
    check::settings(&settings)?;
    let before = core.preferences().settings().language;
    let language = settings.language;
    core.preferences().save_settings(settings)?;
    if language != before {
        menu::install(&app, language);
        shell::translate(&app, &core, language);
    }
    Ok(())
}

/// Puts the window back to the size and place of the first start.
#[tauri::command]
#[specta::specta]
pub(crate) async fn reset_window_layout<R: Runtime>(window: WebviewWindow<R>) -> Answer<()> {
    shell::reset_window(&window).map_err(|error| AppError::bug("the window could not be put back", &error))
}
