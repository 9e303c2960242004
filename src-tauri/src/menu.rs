//! The native menu, in the window's language. What it can't do itself it hands to the window.

use std::sync::Arc;

use tauri::menu::{Menu, MenuBuilder, MenuEvent, MenuItem, MenuItemBuilder, SubmenuBuilder};
use tauri::{AppHandle, Manager, Runtime};

use crate::core::Core;
use crate::ipc::{AppEvent, Language, MenuAction};
use crate::platform;

/// Puts the menu in place.
pub(crate) fn install<R: Runtime>(app: &AppHandle<R>, language: Language) {
    if let Err(error) =
        build(app, platform::is_russian(language)).and_then(|menu| app.set_menu(menu).map(drop))
    {
        tracing::warn!(%error, "no menu");
    }
}

/// What the menu does by itself where the system has no item of its own for it.
const QUIT: &str = "quit";
const MINIMIZE: &str = "minimize";
const MAXIMIZE: &str = "maximize";
const CLOSE: &str = "close";
const CUT: &str = "cut";
const COPY: &str = "copy";

/// Does what was chosen, or hands it to the window.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a menu handler")]
pub(crate) fn chosen<R: Runtime>(app: &AppHandle<R>, event: MenuEvent) {
    let id = event.id().0.as_str();
    if let Ok(action) = serde_json::from_value::<MenuAction>(id.into()) {
        if let Some(core) = app.try_state::<Arc<Core>>() {
            core.emit(AppEvent::Menu { action });
        }
        return;
    }
    if id == QUIT {
        app.exit(0);
        return;
    }
    let Some(window) = app.get_webview_window(crate::MAIN_WINDOW) else { return };
    let done = match id {
        MINIMIZE => window.minimize(),
        MAXIMIZE if window.is_maximized().unwrap_or(false) => window.unmaximize(),
        MAXIMIZE => window.maximize(),
        CLOSE => window.close(),
        CUT | COPY => window.eval(format!("document.execCommand('{id}')")),
        _ => Ok(()),
    };
    if let Err(error) = done {
        tracing::warn!(%error, id, "the menu could not do it");
    }
}

fn build<R: Runtime>(app: &AppHandle<R>, is_russian: bool) -> tauri::Result<Menu<R>> {
    let say = |english: &'static str, russian: &'static str| if is_russian { russian } else { english };
    let own = |id: &str, text: &str, keys: Option<&str>| -> tauri::Result<MenuItem<R>> {
        let item = MenuItemBuilder::with_id(id, text);
        match keys {
            Some(keys) => item.accelerator(keys),
            None => item,
        }
        .build(app)
    };
    let item = |action: MenuAction, text: &str, keys: Option<&str>| {
        own(serde_json::to_value(action)?.as_str().unwrap_or_default(), text, keys)
    };
    let file = SubmenuBuilder::new(app, say("&File", "&Файл"))
        .item(&item(
            MenuAction::ExportExcel,
            say("&Export to Excel…", "&Экспорт в Excel…"),
            Some("CmdOrCtrl+E"),
        )?)
        .separator()
        .item(&item(MenuAction::Settings, say("&Settings…", "&Настройки…"), Some("CmdOrCtrl+,"))?)
        .item(&item(MenuAction::SignOut, say("Sign &out", "&Выйти из учётной записи"), None)?)
        .separator();
    let quit = say("&Quit", "Вы&ход");
    let file = if platform::HAS_NATIVE_ITEMS {
        file.quit_with_text(quit)
    } else {
        file.item(&own(QUIT, quit, Some("CmdOrCtrl+Q"))?)
    };
    let file = file.build()?;
    let edit = SubmenuBuilder::new(app, say("&Edit", "&Правка"));
    let (cut, copy, all) =
        (say("Cu&t", "&Вырезать"), say("&Copy", "&Копировать"), say("Select &all", "Выделить &всё"));
    let edit = if platform::HAS_NATIVE_ITEMS {
        // Predefined, or copy and paste die on macOS.
        edit.undo_with_text(say("&Undo", "&Отменить"))
            .redo_with_text(say("&Redo", "&Повторить"))
            .separator()
            .cut_with_text(cut)
            .copy_with_text(copy)
            .paste_with_text(say("&Paste", "Вст&авить"))
            .select_all_with_text(all)
    } else {
        // The keys of these are the webview's own.
        edit.item(&own(CUT, cut, None)?).item(&own(COPY, copy, None)?).item(&item(
            MenuAction::SelectAll,
            all,
            None,
        )?)
    };
    let edit = edit
        .separator()
        .item(&item(MenuAction::Find, say("&Find", "&Найти"), Some("CmdOrCtrl+F"))?)
        .build()?;
    let view = SubmenuBuilder::new(app, say("&View", "&Вид"))
        .item(&item(MenuAction::Refresh, say("&Refresh", "&Обновить"), Some("F5"))?)
        .item(&item(MenuAction::ClearFilters, say("&Clear filters", "&Снять фильтры"), None)?)
        .item(&item(MenuAction::Views, say("&Views…", "Со&хранённые виды…"), None)?)
        .item(&item(MenuAction::Columns, say("C&olumns…", "&Столбцы…"), None)?)
        .item(&item(MenuAction::Activity, say("&Activity", "&Действия"), None)?)
        .separator()
        .item(&item(MenuAction::Administration, say("Ad&ministration", "Ад&министрирование"), None)?)
        .build()?;
    let store = SubmenuBuilder::new(app, say("&Store", "&Заведение"))
        .item(&item(
            MenuAction::RetrieveLogs,
            say("Retrieve &logs…", "Получить &логи…"),
            Some("CmdOrCtrl+L"),
        )?)
        .item(&item(MenuAction::Diagnose, say("&Diagnose", "&Диагностика"), None)?)
        .item(&item(MenuAction::ExchangeNow, say("&Exchange now", "&Обменяться сейчас"), None)?)
        .item(&item(
            MenuAction::RestartPos,
            say("Re&start the POS server", "Пере&запустить POS-сервер"),
            None,
        )?)
        .separator()
        .item(&item(MenuAction::ResetDatabase, say("&Reset POS database…", "С&бросить базу POS…"), None)?)
        .item(&item(
            MenuAction::RestoreDatabase,
            say("Restore the &previous database…", "&Восстановить прежнюю базу…"),
            None,
        )?)
        .build()?;
    let window = SubmenuBuilder::new(app, say("&Window", "&Окно"));
    let (minimize, maximize) = (say("Mi&nimize", "&Свернуть"), say("Ma&ximize", "&Развернуть"));
    let close = say("&Close", "&Закрыть");
    let window = if platform::HAS_NATIVE_ITEMS {
        window
            .minimize_with_text(minimize)
            .maximize_with_text(maximize)
            .separator()
            .close_window_with_text(close)
    } else {
        window
            .item(&own(MINIMIZE, minimize, None)?)
            .item(&own(MAXIMIZE, maximize, None)?)
            .separator()
            .item(&own(CLOSE, close, None)?)
    };
    let window = window.build()?;
    let help = SubmenuBuilder::new(app, say("&Help", "&Справка"))
        .item(&item(MenuAction::About, say("&About Tillwatch", "&О программе"), None)?)
        .build()?;
    MenuBuilder::new(app).items(&[&file, &edit, &view, &store, &window, &help]).build()
}
