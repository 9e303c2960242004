//! What the user chose, who signed in here, and which certificates they trust: `settings.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tauri::{AppHandle, Runtime};
use tauri_plugin_store::StoreExt;
use tempfile::NamedTempFile;
use tillwatch_protocol::error::ErrorCode;
use url::Url;

use crate::error::{AppError, LocalCode};
use crate::ipc::{GridQuery, Profile, Profiles, SavedView, Settings};
use crate::profile;

/// The settings' file in the app's home.
pub(crate) const FILE: &str = "settings.json";

/// One more whenever what older files say means something else now; [`migrated`] then brings them here.
const SCHEMA: u32 = 3;

/// The most views that a user may save, and the longest name of one, in characters.
const MOST_VIEWS: usize = 100;
const LONGEST_NAME: usize = 60;

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// What the user chose.
    pub(crate) settings: Settings,
    /// Who signed in here, and as whom the window shows rows.
    pub(crate) profiles: Profiles,
    /// What speaks of the stores of one cloud and so belongs to one profile, by its id; of the one that is shown it
    /// stands in `settings`.
    pub(crate) personal: BTreeMap<String, Personal>,
    /// Pinned certificates: SHA-256 by the cloud's origin.
    pub(crate) trusted_certificates: BTreeMap<String, String>,
}

impl Stored {
    /// Makes the settings those of this profile, or with none of nobody; what the one before had is kept for it.
    fn show(&mut self, id: Option<&str>) {
        if self.profiles.current.as_deref() == id {
            return;
        }
        let theirs = id.and_then(|id| self.personal.remove(id)).unwrap_or_default();
        let settings = &mut self.settings;
        let left = Personal {
            query: std::mem::replace(&mut settings.query, theirs.query),
            views: std::mem::replace(&mut settings.views, theirs.views),
            view: std::mem::replace(&mut settings.view, theirs.view),
        };
        if let Some(before) = std::mem::replace(&mut self.profiles.current, id.map(ToOwned::to_owned)) {
            self.personal.insert(before, left);
        }
    }
}

/// What each profile has of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Personal {
    query: Option<GridQuery>,
    views: Vec<SavedView>,
    view: Option<String>,
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

    /// Keeps what the user chose. Fails with `invalid_request` when there are too many views, or their names are not
    /// good.
    pub(crate) fn save_settings(&self, settings: Settings) -> Result<(), AppError> {
        check_views(&settings.views)?;
        self.change(|stored| stored.settings = settings)
    }

    /// Who signed in here.
    pub(crate) fn profiles(&self) -> Profiles {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).profiles.clone()
    }

    /// The profile with this id.
    pub(crate) fn profile(&self, id: &str) -> Option<Profile> {
        self.profiles().items.into_iter().find(|profile| profile.id == id)
    }

    /// Keeps a profile as the one that is used now, in place of what was known of it, and gives it its own filters
    /// and views.
    pub(crate) fn use_profile(&self, profile: Profile) -> Result<(), AppError> {
        self.change(|stored| {
            stored.show(Some(&profile.id));
            let items = &mut stored.profiles.items;
            items.retain(|other| other.id != profile.id);
            items.insert(0, profile);
        })
    }

    /// No profile is used any more; they stay to choose from, with their filters and views.
    pub(crate) fn leave_profile(&self) -> Result<(), AppError> {
        self.change(|stored| stored.show(None))
    }

    /// Forgets a profile.
    pub(crate) fn remove_profile(&self, id: &str) -> Result<(), AppError> {
        self.change(|stored| {
            if stored.profiles.current.as_deref() == Some(id) {
                stored.show(None);
            }
            stored.profiles.items.retain(|profile| profile.id != id);
            stored.personal.remove(id);
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
    let schema = store.get("schema").and_then(|schema| schema.as_u64()).unwrap_or(1);
    let settings = store.get("settings");
    let stored = Stored {
        profiles: profile::read(store.get("profiles"), settings.as_ref()),
        settings: merged(settings.map(|settings| migrated(settings, schema))),
        personal: store
            .get("personal")
            .and_then(|value| serde_json::from_value(value).ok())
            .map(|personal| of_profiles(personal, schema))
            .unwrap_or_default(),
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
        store.set("schema", SCHEMA);
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

/// Whose is what. Before there were profiles it was kept by `e-mail address`, of which their ids are made.
fn of_profiles(personal: BTreeMap<String, Personal>, schema: u64) -> BTreeMap<String, Personal> {
    if schema >= 3 {
        return personal;
    }
    personal.into_iter().map(|(owner, personal)| (profile::id(&owner), personal)).collect()
}

fn check_views(views: &[SavedView]) -> Result<(), AppError> {
    let invalid =
        |why: &str| Err(AppError::from(ErrorCode::InvalidRequest).detail(why).param("field", "views"));
    if views.len() > MOST_VIEWS {
        return invalid("there are too many views");
    }
    let mut names = BTreeSet::new();
    for SavedView { name, .. } in views {
        if name.trim().is_empty() || name.chars().count() > LONGEST_NAME {
            return invalid("the name of a view is empty or too long");
        }
        if !names.insert(name.trim().to_lowercase()) {
            return invalid("two views have the same name");
        }
    }
    Ok(())
}

/// What a file of an older version means by today's words.
fn migrated(mut settings: Value, schema: u64) -> Value {
    if schema < 2
        && let Some(columns) = settings.get_mut("columns").and_then(Value::as_array_mut)
    {
        // These two always stayed on screen; since then it is said of each column.
        for column in columns.iter_mut().filter_map(Value::as_object_mut) {
            let pinned = matches!(column.get("key").and_then(Value::as_str), Some("link" | "organization"));
            column.entry("pinned").or_insert(pinned.into());
        }
    }
    settings
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
    use crate::ipc::{Density, Language, Theme};

    #[test]
    fn settings_of_other_versions_are_read_as_far_as_they_go() {
        let settings = merged(Some(json!({
            "language": "ru", "theme": "sepia", "density": "comfortable", "hue": 3
        })));
        assert_eq!(settings.language, Language::Ru);
        assert_eq!(settings.theme, Theme::System);
        assert_eq!(settings.density, Density::Comfortable);
        assert_eq!(merged(None), Settings::default());
    }

    #[test]
    fn columns_of_the_first_schema_keep_what_stayed_on_screen() {
        let columns = json!([{"key": "chain", "width": 90, "visible": true}, {"key": "link", "width": 70, "visible": true}]);
        let old = merged(Some(migrated(json!({"columns": columns}), 1)));
        let pinned: Vec<_> =
            old.columns.iter().map(|column| (column.key.as_str(), column.width, column.pinned)).collect();
        assert_eq!(pinned, [("chain", 90, false), ("link", 70, true)]);
    }

    fn view(name: &str) -> SavedView {
        SavedView { name: name.into(), query: GridQuery::default(), columns: Vec::new() }
    }

    #[test]
    fn each_user_finds_their_own_views_again() {
        let preferences = Preferences::new(Stored::default(), |_| Ok(()));
        let profile = |host: &str, email: &str| {
            Profile::new(&format!("https://{host}.example.com").parse().unwrap(), email, email)
        };
        let (anna, boris) = (profile("cloud", "anna@example.com"), profile("cloud", "boris@example.com"));
        let names = || preferences.settings().views.into_iter().map(|view| view.name).collect::<Vec<_>>();
        let save = |name: &str| {
            let settings = preferences.settings();
            let views = vec![view(name)];
            preferences.save_settings(Settings { views, view: Some(name.into()), ..settings }).unwrap();
        };
        preferences.use_profile(anna.clone()).unwrap();
        save("Anna's");
        preferences.use_profile(boris.clone()).unwrap();
        assert_eq!((names(), preferences.settings().view), (vec![], None));
        save("Boris's");
        preferences.use_profile(anna.clone()).unwrap();
        assert_eq!((names(), preferences.settings().view), (vec!["Anna's".into()], Some("Anna's".into())));
        preferences.use_profile(anna.clone()).unwrap();
        assert_eq!(names(), ["Anna's"]);
        preferences.use_profile(profile("other", "anna@example.com")).unwrap();
        assert!(names().is_empty());

        // Signed out nobody's are there; whoever signs in again has theirs, a profile that was removed has none.
        preferences.use_profile(anna.clone()).unwrap();
        preferences.leave_profile().unwrap();
        assert_eq!((names(), preferences.settings().view), (vec![], None));
        preferences.use_profile(anna.clone()).unwrap();
        assert_eq!(names(), ["Anna's"]);
        preferences.remove_profile(&anna.id).unwrap();
        assert_eq!((names(), preferences.profiles().current), (vec![], None));
        preferences.remove_profile(&boris.id).unwrap();
        for gone in [anna, boris] {
            preferences.use_profile(gone).unwrap();
            assert!(names().is_empty());
        }
    }

    #[test]
    fn views_of_before_there_were_profiles_are_found_again() {
        let url: Url = "https://cloud.example.com".parse().unwrap();
        let mine = Personal { views: vec![view("Mine")], ..Personal::default() };
        let kept = BTreeMap::from([(format!("anna@example.com {url}"), mine.clone())]);
        let id = Profile::new(&url, "anna@example.com", "Anna").id;
        let now = of_profiles(kept, 2);
        assert_eq!(now, BTreeMap::from([(id, mine)]));
        assert_eq!(of_profiles(now.clone(), 3), now);
    }

    #[test]
    fn views_that_cannot_be_told_apart_are_refused() {
        let preferences = Preferences::new(Stored::default(), |_| Ok(()));
        let many = (0..=MOST_VIEWS).map(|n| view(&n.to_string())).collect();
        for views in [vec![view(" ")], vec![view("Riga"), view("riga ")], vec![view(&"x".repeat(61))], many] {
            let refused = preferences.save_settings(Settings { views, ..Settings::default() }).unwrap_err();
            assert_eq!(refused.code, "invalid_request");
        }
        assert!(preferences.settings().views.is_empty());
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
        let profile = |email| Profile::new(&url, email, "Somebody");
        for email in ["anna@example.com", "boris@example.com", "anna@example.com", "vera@example.com"] {
            preferences.use_profile(profile(email)).unwrap();
        }
        preferences.remove_profile(&profile("boris@example.com").id).unwrap();
        preferences.save_pin(&url, "ab".repeat(32)).unwrap();
        let chosen = Settings { theme: Theme::Dark, ..preferences.settings() };
        preferences.save_settings(chosen).unwrap();

        let (preferences, _) = open(app().handle(), home.path()).unwrap();
        assert_eq!(preferences.settings().theme, Theme::Dark);
        let vera = profile("vera@example.com");
        assert_eq!(
            preferences.profiles(),
            Profiles { current: Some(vera.id.clone()), items: vec![vera, profile("anna@example.com")] }
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
