//! A user of a cloud who has signed in on this computer: what tells one from another, and where its rows are.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use crate::cloud::{address, hex};
use crate::ipc::{Profile, Profiles};

impl Profile {
    /// The profile of this user of the cloud at `url`. The same two give the same id.
    pub(crate) fn new(url: &Url, email: &str, name: &str) -> Self {
        let id = id(&format!("{email} {url}"));
        Self { id, url: url.to_string(), email: email.into(), name: name.into() }
    }

    /// The cloud's address; none if the settings were edited into something that is none.
    pub(crate) fn address(&self) -> Option<Url> {
        address::normalise(&self.url).ok()
    }

    /// The file that holds the last known rows of this profile.
    pub(crate) fn cache(&self, home: &Path) -> PathBuf {
        home.join(format!("cache-{}.sqlite3", self.id))
    }
}

/// The id of the profile of `e-mail address`.
pub(crate) fn id(owner: &str) -> String {
    let mut hash = hex(&Sha256::digest(owner));
    hash.truncate(16);
    hash
}

/// The profiles of the settings' file, as any version of the app wrote it. Their ids are made anew, as they become
/// names of files; what is no profile is left out.
pub(crate) fn read(profiles: Option<Value>, settings: Option<&Value>) -> Profiles {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    let profile = |url: &str, email: &str, name: &str| {
        let url = address::normalise(url).ok()?;
        (!email.is_empty()).then(|| Profile::new(&url, email, name))
    };
    let Some(stored) = profiles else {
        // Before there were profiles the settings told who signed in last.
        let last = settings
            .and_then(|settings| Some((text(settings, "last_url")?, text(settings, "last_email")?)))
            .and_then(|(url, email)| profile(&url, &email, &email));
        return Profiles {
            current: last.as_ref().map(|profile| profile.id.clone()),
            items: last.into_iter().collect(),
        };
    };
    let items: Vec<Profile> = stored
        .get("items")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|item| {
            let (url, email) = (text(item, "url")?, text(item, "email")?);
            let name = text(item, "name").unwrap_or_else(|| email.clone());
            profile(&url, &email, &name)
        })
        .collect();
    let current = text(&stored, "current").filter(|id| items.iter().any(|profile| profile.id == *id));
    Profiles { items, current }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_signed_in_before_there_were_profiles_is_one() {
        let settings = json!({"last_url": "https://cloud.example.com/", "last_email": "anna@example.com"});
        let profiles = read(None, Some(&settings));
        assert_eq!(profiles.items.len(), 1);
        assert_eq!(profiles.current.as_deref(), Some(profiles.items[0].id.as_str()));
        assert_eq!(profiles.items[0].name, "anna@example.com");
        assert_eq!(
            read(None, Some(&json!({"last_url": null}))),
            Profiles { items: Vec::new(), current: None }
        );
    }

    #[test]
    fn a_file_that_was_edited_names_no_files_elsewhere() {
        let stored = json!({"current": "../../evil", "items": [
            {"id": "../../evil", "url": "https://cloud.example.com", "email": "anna@example.com", "name": "Anna"},
            {"id": "x", "url": "no address at all", "email": "boris@example.com"}, 7,
        ]});
        let profiles = read(Some(stored), None);
        assert_eq!(profiles.current, None);
        let [anna] = profiles.items.as_slice() else { panic!("{profiles:?}") };
        assert_eq!((anna.id.len(), anna.url.as_str()), (16, "https://cloud.example.com/"));
        assert!(anna.id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
