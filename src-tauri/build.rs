//! Prepares what Tauri embeds, and the permissions of the app's own commands.

fn main() {
    tauri_build::try_build(
        tauri_build::Attributes::new().app_manifest(tauri_build::AppManifest::new().commands(COMMANDS)),
    )
    .expect("tauri.conf.json, capabilities and icons fit together");
}

/// The commands that `commands::list` registers, each of which becomes a permission for `capabilities/`.
const COMMANDS: &[&str] = &[
    "subscribe",
    "session",
    "sign_in",
    "trust_certificate",
    "sign_out",
    "app_info",
    "settings",
    "save_settings",
    "reset_window_layout",
    "set_query",
    "summary",
    "grid_window",
    "set_cursor",
    "row",
    "select",
    "selected_rows",
    "copy_selection",
    "outlet_options",
    "refresh",
    "timeline",
    "backups",
    "request_logs",
    "reset_database",
    "restore_database",
    "run_job",
    "cancel_job",
    "jobs",
    "save_archive",
    "save_archives",
    "cancel_download",
    "show_in_folder",
    "view_archives",
    "viewer_window",
    "viewer_filter",
    "viewer_find",
    "viewer_jump",
    "viewer_entry",
    "close_viewer",
    "export_excel",
];
