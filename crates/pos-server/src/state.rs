//! What outlives a reset of the database: the installed version and how the last exchanges went.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tillwatch_protocol::report::{ExchangeError, ExchangeReport, SyncError};

use crate::log::PosLog;

/// What the state file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The installed version.
    pub pos_version: String,
    /// When it was installed.
    pub version_updated_at: DateTime<Utc>,
    /// The last exchanges.
    #[serde(default)]
    pub exchange: ExchangeReport,
}

/// The state in memory and on disk.
pub struct StateFile {
    path: PathBuf,
    state: Mutex<State>,
}

impl StateFile {
    /// Reads the state and notes an update of the program. A file that is missing or damaged starts anew.
    pub fn open(path: PathBuf, pos_version: &str, now: DateTime<Utc>, log: &PosLog) -> Self {
        let fresh = || State {
            pos_version: pos_version.to_owned(),
            version_updated_at: now,
            exchange: ExchangeReport::default(),
        };
        let mut state = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<State>(&bytes).unwrap_or_else(|error| {
                log.warn(format_args!("The state file was damaged and is made anew: {error}"));
                fresh()
            }),
            Err(_) => fresh(),
        };
        if state.pos_version != pos_version {
            log.info(format_args!("Updated from version {} to {pos_version}", state.pos_version));
            pos_version.clone_into(&mut state.pos_version);
            state.version_updated_at = now;
        }
        let file = Self { path, state: Mutex::new(state.clone()) };
        file.save(&state, log);
        file
    }

    /// The state now.
    pub fn get(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that an exchange ended at `now`, which began at `began`.
    pub fn exchanged(
        &self,
        began: DateTime<Utc>,
        now: DateTime<Utc>,
        end: Result<(), (SyncError, String)>,
        log: &PosLog,
    ) {
        let state = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let exchange = &mut state.exchange;
            exchange.last_attempt_at = Some(began);
            match end {
                Ok(()) => {
                    exchange.last_success_at = Some(now);
                    exchange.error = None;
                }
                Err((error, message)) => {
                    let code = error.as_str().to_owned();
                    let before = exchange.error.take();
                    let since = before
                        .as_ref()
                        .filter(|before| before.code == code)
                        .map_or(now, |before| before.since);
                    let consecutive_failures = before.map_or(0, |before| before.consecutive_failures) + 1;
                    exchange.error = Some(ExchangeError { code, message, since, consecutive_failures });
                }
            }
            state.clone()
        };
        self.save(&state, log);
    }

    /// A state that can't be written is kept in memory: an exchange is worth more than its note.
    fn save(&self, state: &State, log: &PosLog) {
        if let Err(error) = write_whole(&self.path, state) {
            log.warn(format_args!("The state can't be written down: {error}"));
        }
    }
}

/// Replaces the file at once, so that a crash leaves the old one or the new one.
fn write_whole(path: &Path, state: &State) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    serde_json::to_writer(&mut file, state)?;
    file.flush()?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Rotation;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + minute * 60, 0).unwrap()
    }

    #[test]
    fn an_update_is_dated_and_a_restart_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let log = PosLog::new(dir.path().join("logs"), Rotation::default());
        let open = |version: &str, minute| {
            StateFile::open(dir.path().join("state.json"), version, at(minute), &log).get()
        };
        assert_eq!(open("34.5.2", 0).version_updated_at, at(0));
        assert_eq!(open("34.5.2", 5).version_updated_at, at(0));
        let updated = open("34.6.0", 9);
        assert_eq!((updated.pos_version.as_str(), updated.version_updated_at), ("34.6.0", at(9)));
        std::fs::write(dir.path().join("state.json"), "{ torn").unwrap();
        assert_eq!(open("34.6.0", 12).version_updated_at, at(12));
    }

    #[test]
    fn failures_are_counted_and_dated_by_their_code() {
        let dir = tempfile::tempdir().unwrap();
        let log = PosLog::new(dir.path().join("logs"), Rotation::default());
        let path = dir.path().join("state.json");
        let file = StateFile::open(path.clone(), "34.6.0", at(0), &log);
        let fail = |file: &StateFile, error, minute| {
            file.exchanged(at(minute), at(minute), Err((error, "why".into())), &log);
            file.get().exchange.error.map(|error| (error.since, error.consecutive_failures)).unwrap()
        };
        assert_eq!(fail(&file, SyncError::CloudUnreachable, 1), (at(1), 1));
        assert_eq!(fail(&file, SyncError::CloudUnreachable, 2), (at(1), 2));
        // The count outlives a restart, and another cause has a date of its own.
        let file = StateFile::open(path, "34.6.0", at(3), &log);
        assert_eq!(fail(&file, SyncError::ServerError, 3), (at(3), 3));
        file.exchanged(at(4), at(5), Ok(()), &log);
        let exchange = file.get().exchange;
        assert_eq!(exchange.error, None);
        assert_eq!((exchange.last_attempt_at, exchange.last_success_at), (Some(at(4)), Some(at(5))));
    }
}
