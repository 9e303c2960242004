//! Where the app keeps its files. `TILLWATCH_HOME` moves all of them, and makes an app of its own: it may run
//! beside others, with its own keychain entries.

use std::path::PathBuf;

use sha2::{Digest, Sha256};
use tauri::{AppHandle, Context, Manager, Runtime};
use tauri_plugin_log::{RotationStrategy, Target, TargetKind};

use crate::cloud::hex;

/// Where the app keeps its files.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    /// What `TILLWATCH_HOME` said.
    moved: Option<PathBuf>,
    identifier: String,
}

impl Home {
    /// Reads `TILLWATCH_HOME`. An app that was moved gets an identifier of its own, by which the system tells
    /// instances apart.
    pub(crate) fn find<R: Runtime>(context: &mut Context<R>) -> Self {
        let moved = std::env::var_os("TILLWATCH_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        // Relative to where the app was started, which may change later.
        let moved = moved.map(|home| std::path::absolute(&home).unwrap_or(home));
        if let Some(home) = &moved {
            let hash = hex(&Sha256::digest(home.as_os_str().as_encoded_bytes()));
            let identifier = &mut context.config_mut().identifier;
            identifier.push_str(".home-");
            identifier.push_str(&hash[..12]);
        }
        Self { moved, identifier: context.config().identifier.clone() }
    }

    /// The folder of cache and settings; it is there afterwards.
    pub(crate) fn folder<R: Runtime>(&self, app: &AppHandle<R>) -> anyhow::Result<PathBuf> {
        let folder = match &self.moved {
            Some(home) => home.clone(),
            None => app.path().app_data_dir()?,
        };
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Where the webview keeps its own things; none means where the system has it.
    pub(crate) fn webview(&self) -> Option<PathBuf> {
        self.moved.as_ref().map(|home| home.join("webview"))
    }

    /// The file that remembers the window's place; relative to the system's folder for this app.
    pub(crate) fn window_state(&self) -> String {
        match &self.moved {
            Some(home) => home.join("window-state.json").to_string_lossy().into_owned(),
            None => "window-state.json".into(),
        }
    }

    /// Under which name the keychain keeps sign-ins.
    pub(crate) fn keychain_service(&self) -> &str {
        &self.identifier
    }

    /// Logs to standard error and to a file that is kept small.
    pub(crate) fn log_plugin<R: Runtime>(&self) -> tauri::plugin::TauriPlugin<R> {
        let file = match &self.moved {
            Some(home) => TargetKind::Folder { path: home.join("logs"), file_name: Some("tillwatch".into()) },
            None => TargetKind::LogDir { file_name: Some("tillwatch".into()) },
        };
        tauri_plugin_log::Builder::new()
            .level(log::LevelFilter::Warn)
            .level_for("tillwatch", log::LevelFilter::Info)
            .level_for("tillwatch_lib", log::LevelFilter::Info)
            .targets([Target::new(TargetKind::Stderr), Target::new(file)])
            .max_file_size(2_000_000)
            .rotation_strategy(RotationStrategy::KeepOne)
            .build()
    }
}
