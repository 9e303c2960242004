//! What the webview may ask for. A command opens the dialog it needs and calls [`crate::core::Core`], which
//! knows nothing of Tauri.

pub(crate) mod admin;
mod check;
mod dialogs;
pub(crate) mod export;
pub(crate) mod grid;
pub(crate) mod jobs;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod store;
#[cfg(test)]
mod tests;
pub(crate) mod viewer;

use std::sync::Arc;

use tauri_specta::collect_commands;

use crate::core::Core;
use crate::error::AppError;

/// The core as commands get it.
type CoreState<'a> = tauri::State<'a, Arc<Core>>;

/// What every command gives.
type Answer<T> = Result<T, AppError>;

/// The list of commands, from which both the handler and the TypeScript are made. `capabilities/` and
/// `build.rs` name the same ones. A macro, as a function's own type parameter can't stand in the list.
macro_rules! list {
    ($runtime:ty) => {
        tauri_specta::Builder::<$runtime>::new().disable_serde_phases().commands(collect_commands![
            session::subscribe,
            session::session,
            session::sign_in,
            session::trust_certificate,
            session::sign_out,
            session::sso_providers,
            session::start_sso::<$runtime>,
            session::finish_sso::<$runtime>,
            session::cancel_sso,
            session::profiles,
            session::switch_profile,
            session::remove_profile,
            session::sessions,
            session::end_session,
            session::change_password,
            settings::app_info::<$runtime>,
            settings::settings,
            settings::save_settings::<$runtime>,
            settings::reset_window_layout::<$runtime>,
            grid::set_query,
            grid::summary,
            grid::grid_window,
            grid::set_cursor,
            grid::row,
            grid::select,
            grid::selected_rows,
            grid::copy_selection,
            grid::outlet_options,
            grid::outlet_option,
            grid::refresh,
            store::timeline,
            store::backups,
            jobs::request_logs,
            jobs::reset_database,
            jobs::restore_database,
            jobs::run_job,
            jobs::cancel_job,
            jobs::jobs,
            jobs::save_archive::<$runtime>,
            jobs::save_archives::<$runtime>,
            jobs::cancel_download,
            jobs::show_in_folder::<$runtime>,
            viewer::view_archives,
            viewer::viewer_window,
            viewer::viewer_filter,
            viewer::viewer_find,
            viewer::viewer_jump,
            viewer::viewer_entry,
            viewer::close_viewer,
            export::export_excel::<$runtime>,
            admin::admin_chains,
            admin::add_chain,
            admin::rename_chain,
            admin::delete_chain,
            admin::require_version,
            admin::admin_outlets,
            admin::add_outlet,
            admin::edit_outlet,
            admin::delete_outlet,
            admin::read_import::<$runtime>,
            admin::import_outlets,
            admin::admin_pos_servers,
            admin::add_pos_server,
            admin::rename_pos_server,
            admin::remove_pos_server,
            admin::make_enrollment_code,
            admin::revoke_enrollment_code,
            admin::store_devices,
            admin::revoke_device,
            admin::users,
            admin::add_user,
            admin::edit_user,
            admin::delete_user,
            admin::reset_password,
            admin::unlock_user,
            admin::user_sessions,
            admin::end_user_sessions,
            admin::grants,
            admin::add_grant,
            admin::remove_grant,
            admin::audit,
        ])
    };
}

/// The commands for the window.
pub(crate) fn list() -> tauri_specta::Builder<tauri::Wry> {
    list!(tauri::Wry)
}

/// The commands for tests without a display.
#[cfg(test)]
pub(crate) fn mock_list() -> tauri_specta::Builder<tauri::test::MockRuntime> {
    list!(tauri::test::MockRuntime)
}
