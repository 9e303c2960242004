//! The desktop app: status grid, dialogs, exports, offline view.
//!
//! The fleet's rows live here, in [`rows`]; the webview holds what is on screen. [`core`] is what the commands
//! call and knows nothing of windows; [`events`] keeps the rows true; [`cloud`] is the only way to the network.

#[cfg(test)]
mod bindings;
mod cache;
mod clipboard;
mod clock;
mod cloud;
mod commands;
mod core;
mod download;
pub mod error;
mod events;
pub mod export;
mod home;
pub mod ipc;
mod loopback;
mod menu;
mod platform;
mod profile;
mod rows;
mod secrets;
mod settings;
mod shell;
#[cfg(debug_assertions)]
mod stdin;
pub mod viewer;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;

use tauri::{App, Manager, RunEvent, WebviewWindowBuilder};
use tauri_plugin_window_state::StateFlags;

use crate::core::Core;
use crate::home::Home;
use crate::secrets::Secrets;

/// The label of the one window.
const MAIN_WINDOW: &str = "main";

/// Runs the app until its window is closed.
pub fn run() -> ExitCode {
    // Fails only if another provider is there already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut context = tauri::generate_context!();
    let home = Home::find(&mut context);
    let commands = commands::list();
    let setup_home = home.clone();
    let app = tauri::Builder::default()
        // First, as a second instance must go before anything else happens.
        .plugin(tauri_plugin_single_instance::init(|app, _, _| shell::show_window(app)))
        .plugin(home.log_plugin())
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_notification::init())
        .plugin(tauri_plugin_opener::init())
        .plugin(tauri_plugin_store::Builder::new().build())
        .plugin(
            tauri_plugin_window_state::Builder::new()
                .with_filename(home.window_state())
                .with_state_flags(StateFlags::SIZE | StateFlags::POSITION | StateFlags::MAXIMIZED)
                .build(),
        )
        .invoke_handler(commands.invoke_handler())
        .on_menu_event(menu::chosen)
        .on_window_event(shell::window_event)
        .setup(move |app| Ok(set_up(app, &setup_home)?))
        .build(context);
    match app {
        Ok(app) => {
            app.run(|app, event| {
                if let (RunEvent::Exit, Some(core)) = (event, app.try_state::<Arc<Core>>()) {
                    core.flush();
                }
            });
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(%error, "the app could not start");
            ExitCode::FAILURE
        }
    }
}

fn set_up(app: &mut App, home: &Home) -> anyhow::Result<()> {
    let folder = home.folder(app.handle())?;
    let (preferences, put_aside) = settings::open(app.handle(), &folder).map_err(anyhow::Error::new)?;
    let language = preferences.settings().language;
    let core = Arc::new(Core::new(&folder, preferences, Secrets::keychain(home.keychain_service())));
    app.manage(Arc::clone(&core));
    tauri::async_runtime::block_on(async { core.start() });
    if let Some(error) = put_aside {
        core.notice(error);
    }
    #[cfg(debug_assertions)]
    if std::env::args().any(|argument| argument == stdin::FLAG) {
        stdin::sign_in(Arc::clone(&core));
    }
    menu::install(app.handle(), language);
    let window = app.config().app.windows.first().cloned().unwrap_or_default();
    let mut window = WebviewWindowBuilder::from_config(app, &window)?;
    if let Some(folder) = home.webview() {
        window = window.data_directory(folder);
    }
    window.build()?;
    shell::start(app.handle(), &core);
    Ok(())
}
