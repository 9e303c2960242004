//! What the app is to the system besides its window: the tray icon, notifications, closing to the tray.

mod words;

use std::sync::Arc;

use tauri::menu::{MenuBuilder, MenuItem, MenuItemBuilder};
use tauri::tray::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent};
use tauri::{AppHandle, LogicalSize, Manager, Runtime, WebviewWindow, Window, WindowEvent, image::Image};
use tauri_plugin_notification::NotificationExt;

use crate::core::Core;
use crate::ipc::Language;
use crate::platform;
use crate::watch::{self, News, State, Told};

/// The tray's icon and the line of its menu that says how it stands.
struct Tray<R: Runtime> {
    icon: TrayIcon<R>,
    state: MenuItem<R>,
    open: MenuItem<R>,
    quit: MenuItem<R>,
}

/// The items of the tray's menu.
const OPEN: &str = "tray_open";
const QUIT: &str = "tray_quit";

/// Puts the icon into the tray and has it and notifications follow the stores. A system without a tray is done without.
pub(crate) fn start<R: Runtime>(app: &AppHandle<R>, core: &Arc<Core>) {
    match tray(app, core.preferences().settings().language) {
        Ok(tray) => drop(app.manage(tray)),
        Err(error) => tracing::info!(%error, "no tray"),
    }
    let handle = app.clone();
    if let Err(error) = app.notification().on_action(move |_| show_window(&handle)) {
        tracing::info!(%error, "a click on a notification will not bring the window up");
    }
    let (wants, told) = (Arc::clone(core), Arc::clone(core));
    let handle = app.clone();
    tauri::async_runtime::spawn(watch::run(
        Arc::clone(core),
        move || wants.preferences().settings().notifications,
        move |tell| {
            let language = told.preferences().settings().language;
            match tell {
                Told::State(state) => show_state(&handle, state, language),
                Told::News(news) => notify(&handle, &news, language),
            }
        },
    ));
}

/// Whether there is a tray to close to.
pub(crate) fn has_tray<R: Runtime>(app: &AppHandle<R>) -> bool {
    app.try_state::<Tray<R>>().is_some()
}

/// Has the tray speak another language.
pub(crate) fn translate<R: Runtime>(app: &AppHandle<R>, core: &Core, language: Language) {
    let Some(tray) = app.try_state::<Tray<R>>() else { return };
    let words = words::of(language);
    let state = watch::state(core);
    let done = tray
        .open
        .set_text(words.open())
        .and_then(|()| tray.quit.set_text(words.quit()))
        .and_then(|()| tray.state.set_text(words.state(state)))
        .and_then(|()| tray.icon.set_tooltip(Some(words.tooltip(state))));
    if let Err(error) = done {
        tracing::warn!(%error, "the tray could not be translated");
    }
}

/// Hides the window instead of closing it, if the user wants that and there is a tray to bring it back from.
pub(crate) fn window_event<R: Runtime>(window: &Window<R>, event: &WindowEvent) {
    let WindowEvent::CloseRequested { api, .. } = event else { return };
    let app = window.app_handle();
    let wants = app.try_state::<Arc<Core>>().is_some_and(|core| core.preferences().settings().close_to_tray);
    if wants && has_tray(app) {
        match window.hide() {
            Ok(()) => api.prevent_close(),
            Err(error) => tracing::warn!(%error, "the window could not be hidden"),
        }
    }
}

/// Brings the window up, wherever it is.
pub(crate) fn show_window<R: Runtime>(app: &AppHandle<R>) {
    if let Some(window) = app.get_webview_window(crate::MAIN_WINDOW) {
        for shown in [window.show(), window.unminimize(), window.set_focus()] {
            if let Err(error) = shown {
                tracing::debug!(%error, "the window could not be shown");
            }
        }
    }
}

/// Puts the window back to the size and place of the first start.
pub(crate) fn reset_window<R: Runtime>(window: &WebviewWindow<R>) -> tauri::Result<()> {
    let config = window.config().app.windows.first().cloned().unwrap_or_default();
    window.unmaximize()?;
    window.set_size(LogicalSize::new(config.width, config.height))?;
    window.center()
}

fn tray<R: Runtime>(app: &AppHandle<R>, language: Language) -> tauri::Result<Tray<R>> {
    let words = words::of(language);
    let item = |id: &str, text: &str| MenuItemBuilder::with_id(id, text).build(app);
    let state = MenuItemBuilder::new(words.state(State::SignedOut)).enabled(false).build(app)?;
    let (open, quit) = (item(OPEN, words.open())?, item(QUIT, words.quit())?);
    let menu = MenuBuilder::new(app).item(&state).separator().items(&[&open, &quit]).build()?;
    let icon = TrayIconBuilder::with_id("tillwatch")
        .icon(image(State::SignedOut))
        .title("Tillwatch")
        .tooltip(words.tooltip(State::SignedOut))
        .menu(&menu)
        .show_menu_on_left_click(platform::TRAY_MENU_ON_CLICK)
        .on_menu_event(|app, event| match event.id().0.as_str() {
            OPEN => show_window(app),
            QUIT => app.exit(0),
            _ => {}
        })
        .on_tray_icon_event(|tray, event| {
            let clicked = matches!(
                event,
                TrayIconEvent::Click { button: MouseButton::Left, button_state: MouseButtonState::Up, .. }
            );
            if clicked && !platform::TRAY_MENU_ON_CLICK {
                show_window(tray.app_handle());
            }
        })
        .build(app)?;
    Ok(Tray { icon, state, open, quit })
}

fn show_state<R: Runtime>(app: &AppHandle<R>, state: State, language: Language) {
    let Some(tray) = app.try_state::<Tray<R>>() else { return };
    let words = words::of(language);
    let done = tray
        .icon
        .set_icon(Some(image(state)))
        .and_then(|()| tray.icon.set_tooltip(Some(words.tooltip(state))))
        .and_then(|()| tray.state.set_text(words.state(state)));
    if let Err(error) = done {
        tracing::warn!(%error, "the tray could not show the state");
    }
}

/// The icon of a state: our own, with a sign in its corner that colour and shape tell apart.
fn image(state: State) -> Image<'static> {
    match state {
        State::SignedOut | State::NotLive | State::Unknown(_) => {
            tauri::include_image!("icons/tray/unknown.png")
        }
        State::Errors(_) => tauri::include_image!("icons/tray/error.png"),
        State::Offline(_) => tauri::include_image!("icons/tray/offline.png"),
        State::UpdateRequired(_) => tauri::include_image!("icons/tray/update.png"),
        State::Well => tauri::include_image!("icons/tray/well.png"),
    }
}

fn notify<R: Runtime>(app: &AppHandle<R>, news: &News, language: Language) {
    let words = words::of(language);
    let body = platform::notification_body(&words.news_body(news));
    let shown = app.notification().builder().title(words.news_title(news)).body(body).show();
    if let Err(error) = shown {
        tracing::warn!(%error, "a notification could not be shown");
    }
}
