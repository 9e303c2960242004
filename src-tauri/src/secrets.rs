//! The refresh token in the system's keychain, and nowhere else.

use std::sync::{Arc, Mutex, PoisonError};

use url::Url;

use crate::error::{AppError, LocalCode};

/// Where sign-ins are kept. Apps with different homes keep theirs apart: a refresh token is good for one.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    store: Store,
    /// One write at a time, so that an older token which waited for the user never replaces a newer one.
    turn: Arc<Mutex<()>>,
}

#[derive(Clone, Debug)]
enum Store {
    /// The system's, under this service's name.
    Keychain(String),
    /// One that lives as long as a test.
    #[cfg(test)]
    Memory(Arc<Mutex<std::collections::HashMap<String, String>>>),
}

impl Secrets {
    /// The system's keychain.
    pub(crate) fn keychain(service: impl Into<String>) -> Self {
        Self { store: Store::Keychain(service.into()), turn: Arc::default() }
    }

    /// A keychain for a test.
    #[cfg(test)]
    pub(crate) fn memory() -> Self {
        Self { store: Store::Memory(Arc::default()), turn: Arc::default() }
    }

    /// Keeps the refresh token that `newest` gives once it is this write's turn, if it still gives one. Blocks while
    /// the keychain asks the user.
    pub(crate) fn keep(
        &self,
        cloud: &Url,
        email: &str,
        newest: impl FnOnce() -> Option<String>,
    ) -> Result<(), AppError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(token) = newest() else { return Ok(()) };
        match &self.store {
            Store::Keychain(service) => {
                entry(service, cloud, email)?.set_password(&token).map_err(|error| unavailable(&error))
            }
            #[cfg(test)]
            Store::Memory(kept) => {
                kept.lock().unwrap().insert(account(cloud, email), token);
                Ok(())
            }
        }
    }

    /// A keychain that answers nobody until the guard is dropped.
    #[cfg(test)]
    pub(crate) fn busy(&self) -> std::sync::MutexGuard<'_, ()> {
        self.turn.lock().unwrap()
    }

    /// The kept refresh token, none if there is none.
    pub(crate) fn find(&self, cloud: &Url, email: &str) -> Result<Option<String>, AppError> {
        match &self.store {
            Store::Keychain(service) => match entry(service, cloud, email)?.get_password() {
                Ok(token) => Ok(Some(token)),
                Err(keyring::Error::NoEntry) => Ok(None),
                Err(error) => Err(unavailable(&error)),
            },
            #[cfg(test)]
            Store::Memory(kept) => Ok(kept.lock().unwrap().get(&account(cloud, email)).cloned()),
        }
    }

    /// Forgets the refresh token.
    pub(crate) fn forget(&self, cloud: &Url, email: &str) -> Result<(), AppError> {
        match &self.store {
            Store::Keychain(service) => match entry(service, cloud, email)?.delete_credential() {
                Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
                Err(error) => Err(unavailable(&error)),
            },
            #[cfg(test)]
            Store::Memory(kept) => {
                kept.lock().unwrap().remove(&account(cloud, email));
                Ok(())
            }
        }
    }
}

fn account(cloud: &Url, email: &str) -> String {
    format!("{email} {cloud}")
}

fn entry(service: &str, cloud: &Url, email: &str) -> Result<keyring::Entry, AppError> {
    keyring::Entry::new(service, &account(cloud, email)).map_err(|error| unavailable(&error))
}

/// Only the kind of the failure is told: some of them carry what they found.
fn unavailable(error: &keyring::Error) -> AppError {
    let kind = match error {
        keyring::Error::NoDefaultStore => "this system has no keychain",
        keyring::Error::NoStorageAccess(_) => "the keychain is locked",
        keyring::Error::PlatformFailure(_) => "the keychain failed",
        _ => "the keychain's entry can't be used",
    };
    AppError::from(LocalCode::KeychainUnavailable).detail(kind)
}
