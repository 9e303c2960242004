//! What the user chose, and which certificates they trust: `settings.json`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tauri::{AppHandle, Runtime};
use tauri_plugin_store::StoreExt;
use tempfile::NamedTempFile;
use url::Url;

use crate::error::{AppError, LocalCode};
use crate::ipc::Settings;

/// The settings' file in the app's home.
pub(crate) const FILE: &str = "settings.json";

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// What the user chose.
    pub(crate) settings: Settings,
    /// Pinned certificates: SHA-256 by the cloud's origin.
    pub(crate) trusted_certificates: BTreeMap<String, String>,
}

/// Writes what is to be kept.
type Save = dyn Fn(&Stored) -> Result<(), AppError> + Send + Sync;

/// The settings in memory, written whenever they change.
pub(crate) struct Preferences {
    stored: Mutex<Stored>,
    save: Box<Save>,
}

impl Preferences {
    /// Starts from what was stored; `save` writes what changes.
    pub(crate) fn new(
        stored: Stored,
        save: impl Fn(&Stored) -> Result<(), AppError> + Send + Sync + 'static,
    ) -> Self {
        Self { stored: Mutex::new(stored), save: Box::new(save) }
    }

    /// What the user chose.
    pub(crate) fn settings(&self) -> Settings {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).settings.clone()
    }

    /// Keeps what the user chose. Who signed in last is the core's to say.
    pub(crate) fn save_settings(&self, settings: Settings) -> Result<(), AppError> {
        self.change(|stored| {
            let Settings { last_url, last_email, .. } = stored.settings.clone();
            stored.settings = Settings { last_url, last_email, ..settings };
        })
    }

    /// Keeps who signed in last, and where.
    pub(crate) fn save_sign_in(&self, url: &Url, email: &str) -> Result<(), AppError> {
        self.change(|stored| {
            stored.settings.last_url = Some(url.to_string());
            stored.settings.last_email = Some(email.to_owned());
        })
    }

    /// The certificate that is pinned for a cloud.
    pub(crate) fn pin(&self, url: &Url) -> Option<String> {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.trusted_certificates.get(url.as_str()).cloned()
    }

    /// Pins a certificate for a cloud in place of an earlier one.
    pub(crate) fn save_pin(&self, url: &Url, sha256: String) -> Result<(), AppError> {
        self.change(|stored| drop(stored.trusted_certificates.insert(url.to_string(), sha256)))
    }

    fn change(&self, change: impl FnOnce(&mut Stored)) -> Result<(), AppError> {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let before = stored.clone();
        change(&mut stored);
        if *stored == before { Ok(()) } else { (self.save)(&stored) }
    }
}

/// Opens the settings in the app's home. A file that is none is put aside, which the second value tells.
pub(crate) fn open<R: Runtime>(
    app: &AppHandle<R>,
    home: &Path,
) -> Result<(Preferences, Option<AppError>), AppError> {
    let path = home.join(FILE);
    let put_aside = put_aside_if_damaged(&path);
    let store = app.store_builder(&path).disable_auto_save().build().map_err(|error| {
        AppError::from(LocalCode::FileUnwritable).detail(error).param("path", path.display())
    })?;
    let stored = Stored {
        settings: merged(store.get("settings")),
        trusted_certificates: store
            .get("trusted_certificates")
            .and_then(|value| serde_json::from_value(value).ok())
            .unwrap_or_default(),
    };
    let preferences = Preferences::new(stored, move |stored| {
        if let Ok(Value::Object(values)) = serde_json::to_value(stored) {
            for (key, value) in values {
                store.set(key, value);
            }
        }
        let values: serde_json::Map<String, Value> = store.entries().into_iter().collect();
        write_whole(&path, &values)
    });
    Ok((preferences, put_aside))
}

/// Writes the file as the store would, but whole or not at all: a crash must not cost the settings.
fn write_whole(path: &Path, values: &serde_json::Map<String, Value>) -> Result<(), AppError> {
    let failed = |error: std::io::Error| AppError::from_io(&error, path);
    let bytes = serde_json::to_vec_pretty(values).map_err(|error| failed(error.into()))?;
    let mut file = NamedTempFile::new_in(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    file.write_all(&bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// The settings of a file that an older version may have written: what it does not say is as at the first start.
fn merged(stored: Option<Value>) -> Settings {
    let defaults = serde_json::to_value(Settings::default()).unwrap_or_default();
    let (Value::Object(mut values), Some(Value::Object(stored))) = (defaults, stored) else {
        return Settings::default();
    };
    for (key, value) in stored {
        let mut with_this = values.clone();
        with_this.insert(key, value);
        // One field that can't be read costs that field only.
        if serde_json::from_value::<Settings>(Value::Object(with_this.clone())).is_ok() {
            values = with_this;
        }
    }
    serde_json::from_value(Value::Object(values)).unwrap_or_default()
}

fn put_aside_if_damaged(path: &Path) -> Option<AppError> {
    let bytes = std::fs::read(path).ok()?;
    if serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes).is_ok() {
        return None;
    }
    let aside: PathBuf = path.with_extension("damaged.json");
    if let Err(error) = std::fs::rename(path, &aside) {
        tracing::warn!(%error, "the damaged settings could not be put aside");
    }
    tracing::warn!(path = %aside.display(), "the settings were damaged and put aside");
    Some(AppError::from(LocalCode::SettingsDamaged).param("path", aside.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ipc::{Language, Theme};

    #[test]
    fn settings_of_other_versions_are_read_as_far_as_they_go() {
        let settings = merged(Some(json!({
            "language": "ru", "theme": "sepia", "last_email": "anna@example.com", "hue": 3
        })));
        assert_eq!(settings.language, Language::Ru);
        assert_eq!(settings.theme, Theme::System);
        assert_eq!(settings.last_email.as_deref(), Some("anna@example.com"));
        assert_eq!(merged(None), Settings::default());
    }

    /// An app with nothing but the store.
    fn app() -> tauri::App<tauri::test::MockRuntime> {
        tauri::test::mock_builder()
            .plugin(tauri_plugin_store::Builder::new().build())
            .build(tauri::test::mock_context(tauri::test::noop_assets()))
            .unwrap()
    }

    #[test]
    fn what_was_saved_is_there_after_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let url: Url = "https://cloud.example.com".parse().unwrap();
        let (preferences, put_aside) = open(app().handle(), home.path()).unwrap();
        assert!(put_aside.is_none());
        preferences.save_sign_in(&url, "anna@example.com").unwrap();
        preferences.save_pin(&url, "ab".repeat(32)).unwrap();
        let chosen = Settings { theme: Theme::Dark, last_email: None, ..preferences.settings() };
        preferences.save_settings(chosen).unwrap();

        let (preferences, _) = open(app().handle(), home.path()).unwrap();
        assert_eq!(preferences.settings().theme, Theme::Dark);
        assert_eq!(
            preferences.settings().last_email.as_deref(),
            Some("anna@example.com"),
            "not the window's to change"
        );
        assert_eq!(preferences.pin(&url), Some("ab".repeat(32)));
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn noise_is_put_aside() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(FILE);
        std::fs::write(&path, b"\x00\xffnoise").unwrap();
        assert_eq!(put_aside_if_damaged(&path).unwrap().code, "settings_damaged");
        assert!(!path.exists());
        assert_eq!(std::fs::read(home.path().join("settings.damaged.json")).unwrap(), b"\x00\xffnoise");
        assert!(put_aside_if_damaged(&path).is_none());
    }
}
