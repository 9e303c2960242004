//! The last known rows on disk, so that they are on screen before the network is tried.
//!
//! A file belongs to one profile: one user of one cloud. One that is damaged, of another program or of another version is
//! put aside, never trusted and never deleted.

mod columns;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};
use tillwatch_protocol::rest::session::Me;
use url::Url;
use uuid::Uuid;

use crate::rows::{Entry, Screen, Texts};

/// The file in the app's home before each profile had one of its own.
pub(crate) const FILE_OF_OLD: &str = "cache.sqlite3";

/// Tells our files from others: "Till" in ASCII.
const APPLICATION_ID: i32 = 0x5469_6c6c;
/// One more whenever the tables change. A cache needs no migration: it is loaded anew.
const SCHEMA_VERSION: i32 = 1;

/// An open cache.
#[derive(Debug)]
pub(crate) struct Cache {
    connection: Connection,
}

/// Whose the rows of a cache are, and what of them was on screen: there long before they all are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    /// Of which cloud.
    pub(crate) url: Url,
    /// For whom.
    pub(crate) me: Me,
    /// None when none was kept, or one of another version.
    pub(crate) screen: Option<Screen>,
}

/// What a cache held.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Whose it is.
    pub(crate) head: Head,
    /// When the rows were last known to be true.
    pub(crate) as_of: Option<DateTime<Utc>>,
    /// The rows.
    pub(crate) entries: Vec<Entry>,
    /// The texts that they share.
    pub(crate) texts: Texts,
}

/// A cache that was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    /// It, ready to be written.
    pub(crate) cache: Cache,
    /// What it held, none when it is new.
    pub(crate) kept: Option<Kept>,
    /// Where a file that was no cache of ours was put.
    pub(crate) put_aside: Option<PathBuf>,
}

/// Opens the cache at `path`, or makes a new one in place of a file that can't be used. `begun` is told at once whose it
/// is, before its rows are read.
pub(crate) fn open(path: &Path, begun: impl FnOnce(&Head)) -> rusqlite::Result<Opened> {
    match open_existing(path).and_then(|cache| cache.read(begun).map(|kept| (cache, kept))) {
        Ok((cache, kept)) => Ok(Opened { cache, kept, put_aside: None }),
        // Another process writes at this moment: nothing is wrong with the file.
        Err(error) if is_busy(&error) => Err(error),
        Err(error) => {
            tracing::warn!(%error, "the cache can't be used and is put aside");
            let put_aside = put_aside(path);
            let cache = open_existing(path)?;
            Ok(Opened { cache, kept: None, put_aside })
        }
    }
}

/// Removes the cache at `path`, which must not be open any more.
pub(crate) fn remove(path: &Path) {
    for file in with_companions(path) {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, file = %file.display(), "a file of the cache could not be removed");
            }
            _ => {}
        }
    }
}

/// Gives the cache at `from`, if there is one, another place, unless there is one already. Neither may be open.
pub(crate) fn rename(from: &Path, to: &Path) {
    if !from.exists() || to.exists() {
        return;
    }
    // The log first: a database without it is older, but one whose log stayed behind is lost.
    for (from, to) in with_companions(from).into_iter().zip(with_companions(to)).rev() {
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, file = %from.display(), "a file of the cache could not be moved");
            }
            _ => {}
        }
    }
}

impl Cache {
    /// Makes this the cache of that user of that cloud; another's rows are removed.
    pub(crate) fn claim(&mut self, url: &Url, me: &Me) -> rusqlite::Result<()> {
        let owner = format!("{} {url}", me.user.id);
        let transaction = self.connection.transaction()?;
        let before: Option<String> = meta(&transaction, "owner")?;
        if before.as_ref() != Some(&owner) {
            transaction.execute_batch("DELETE FROM statuses; DELETE FROM meta;")?;
            set_meta(&transaction, "owner", &owner)?;
            set_meta(&transaction, "url", url.as_str())?;
        }
        set_meta(&transaction, "me", &serde_json::to_string(me).unwrap_or_default())?;
        transaction.commit()
    }

    /// Writes what changed, all of it or nothing.
    pub(crate) fn write(
        &mut self,
        changed: &[Arc<Entry>],
        removed: &[Uuid],
        as_of: DateTime<Utc>,
        screen: Option<&Screen>,
    ) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut remove = transaction.prepare_cached("DELETE FROM statuses WHERE id = ?1")?;
            for id in removed {
                remove.execute([id.as_bytes().as_slice()])?;
            }
            let mut write = transaction.prepare_cached(&columns::upsert())?;
            for entry in changed {
                columns::write(&mut write, entry)?;
            }
        }
        set_meta(&transaction, "as_of", &as_of.timestamp_micros().to_string())?;
        if let Some(screen) = screen {
            set_meta(&transaction, "screen", &serde_json::to_string(screen).unwrap_or_default())?;
        }
        transaction.commit()
    }

    fn read(&self, begun: impl FnOnce(&Head)) -> rusqlite::Result<Option<Kept>> {
        let url: Option<Url> = meta(&self.connection, "url")?.and_then(|url| url.parse().ok());
        let me: Option<Me> = meta(&self.connection, "me")?.and_then(|me| serde_json::from_str(&me).ok());
        let as_of = meta(&self.connection, "as_of")?;
        let (Some(url), Some(me)) = (url, me) else { return Ok(None) };
        let screen = meta(&self.connection, "screen")?.and_then(|screen| serde_json::from_str(&screen).ok());
        let head = Head { url, me, screen };
        begun(&head);
        let mut texts = Texts::default();
        let mut entries = Vec::new();
        let mut statement = self.connection.prepare(&columns::select())?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            entries.push(columns::read(row, &mut texts)?);
        }
        let as_of = as_of.and_then(|micros| DateTime::from_timestamp_micros(micros.parse().ok()?));
        Ok(Some(Kept { head, as_of, entries, texts }))
    }
}

fn open_existing(path: &Path) -> rusqlite::Result<Cache> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_millis(500))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let is_ours = (pragma("application_id")?, pragma("user_version")?) == (APPLICATION_ID, SCHEMA_VERSION);
    if !is_ours {
        let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
        if tables > 0 {
            return Err(rusqlite::Error::InvalidQuery);
        }
        let transaction = connection.transaction()?;
        transaction.execute_batch(&columns::schema())?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.commit()?;
    }
    Ok(Cache { connection })
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
    )
}

fn put_aside(path: &Path) -> Option<PathBuf> {
    let aside = path.with_extension("damaged.sqlite3");
    for (from, to) in with_companions(path).into_iter().zip(with_companions(&aside)) {
        // A companion of an earlier file must not be taken for this one's.
        let _ = std::fs::remove_file(&to);
        let _ = std::fs::rename(&from, &to);
    }
    aside.exists().then_some(aside)
}

/// A database and the files that SQLite keeps beside it.
fn with_companions(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let mut name = OsString::from(path);
        name.push(suffix);
        PathBuf::from(name)
    })
}

fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}

fn set_meta(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2",
            params![key, value],
        )
        .map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rows::tests::status;

    fn me() -> Me {
        serde_json::from_value(json!({
            "user": {"id": Uuid::from_u128(7), "email": "anna@example.com", "name": "Anna", "admin": false},
            "everywhere": ["outlet_setup"], "chains": [], "outlets": []
        }))
        .unwrap()
    }

    fn url() -> Url {
        "https://cloud.example.com/".parse().unwrap()
    }

    fn entries(count: u128) -> Vec<Arc<Entry>> {
        let mut texts = Texts::default();
        let full = json!({
            "link": {"state": "offline", "cause": "connection_lost", "confidence": "likely",
                     "evidence": [{"code": "fell_silent", "at": "2026-11-21T10:00:00Z", "params": {"seconds": 45}}]},
            "exchange": {"error": {"code": "database_inconsistent", "message": "=1+1", "since": "2026-11-21T09:00:00.123456Z",
                                   "consecutive_failures": 3}, "behind": {"changes": 12, "oldest_at": "2026-11-20T09:00:00Z"}},
            "highlight": "error", "active_jobs": [{"id": Uuid::from_u128(5), "kind": "diagnose", "state": "queued"}],
            "database": {"unsent_transactions": null}
        });
        (1..=count)
            .map(|n| {
                let change = if n % 2 == 0 { full.clone() } else { json!({}) };
                Arc::new(Entry::from_status(status(n, change), &mut texts))
            })
            .collect()
    }

    fn now() -> DateTime<Utc> {
        "2026-11-21T12:00:00.000001Z".parse().unwrap()
    }

    #[test]
    fn what_was_written_is_read_back_whole() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("cache.sqlite3");
        let mut opened = open(&path, |_| {}).unwrap();
        assert!(opened.kept.is_none() && opened.put_aside.is_none());
        let written = entries(20);
        opened.cache.claim(&url(), &me()).unwrap();
        opened.cache.write(&written, &[], now(), None).unwrap();
        opened.cache.write(&[], &[written[3].id], now(), None).unwrap();
        drop(opened);

        let kept = open(&path, |_| {}).unwrap().kept.unwrap();
        assert_eq!((kept.head, kept.as_of), (Head { url: url(), me: me(), screen: None }, Some(now())));
        let expected: Vec<&Entry> =
            written.iter().filter(|entry| entry.id != written[3].id).map(|entry| &**entry).collect();
        assert_eq!(kept.entries.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_was_on_screen_is_told_before_the_rows_are_read() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("cache.sqlite3");
        let mut fleet = crate::rows::Fleet::default();
        fleet.replace(vec![status(1, json!({})), status(2, json!({}))], now());
        let screen = fleet.screen(now());
        let mut cache = open(&path, |_| panic!("it is new")).unwrap().cache;
        cache.claim(&url(), &me()).unwrap();
        cache.write(&entries(2), &[], now(), Some(&screen)).unwrap();
        cache.write(&entries(3), &[], now(), None).unwrap();
        // Of a row that is damaged nothing is known yet.
        cache.connection.execute("UPDATE statuses SET link_state = 'nonsense'", []).unwrap();
        drop(cache);
        let mut told = None;
        let opened = open(&path, |head| told = Some(head.clone())).unwrap();
        assert!(opened.kept.is_none() && opened.put_aside.is_some());
        assert_eq!(told, Some(Head { url: url(), me: me(), screen: Some(screen) }));

        // One that an other version wrote is done without.
        let mut cache = opened.cache;
        cache.claim(&url(), &me()).unwrap();
        set_meta(&cache.connection, "screen", "{\"rows\": 7}").unwrap();
        drop(cache);
        assert_eq!(open(&path, |_| {}).unwrap().kept.unwrap().head.screen, None);
    }

    #[test]
    fn another_user_finds_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("cache.sqlite3");
        let mut cache = open(&path, |_| {}).unwrap().cache;
        cache.claim(&url(), &me()).unwrap();
        cache.write(&entries(3), &[], now(), None).unwrap();
        let mut other = me();
        other.user.id = Uuid::from_u128(8).into();
        cache.claim(&url(), &other).unwrap();
        drop(cache);
        let kept = open(&path, |_| {}).unwrap().kept.unwrap();
        assert!(kept.entries.is_empty() && kept.as_of.is_none());
    }

    /// What is wrong with a file, and how it came to be so.
    type Damage = (&'static str, fn(&Path));

    #[test]
    fn what_is_no_cache_is_put_aside_and_replaced() {
        let damages: [Damage; 4] = [
            ("noise", |path| std::fs::write(path, [0x55; 9000]).unwrap()),
            ("another program's", |path| {
                Connection::open(path).unwrap().execute_batch("CREATE TABLE notes (text)").unwrap();
            }),
            ("another version's", |path| {
                drop(open(path, |_| {}).unwrap());
                Connection::open(path).unwrap().pragma_update(None, "user_version", 99).unwrap();
            }),
            ("torn", |path| {
                let mut cache = open(path, |_| {}).unwrap().cache;
                cache.claim(&url(), &me()).unwrap();
                cache.write(&entries(200), &[], now(), None).unwrap();
                drop(cache);
                let bytes = std::fs::read(path).unwrap();
                let middle = bytes.len() / 2;
                let mut torn = bytes.clone();
                torn[middle..].fill(0xA5);
                std::fs::write(path, torn).unwrap();
            }),
        ];
        for (name, damage) in damages {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("cache.sqlite3");
            damage(&path);
            let mut opened = open(&path, |_| {}).unwrap();
            let aside = opened.put_aside.unwrap_or_else(|| panic!("{name} was not put aside"));
            assert!(aside.exists() && opened.kept.is_none(), "{name}");
            opened.cache.claim(&url(), &me()).unwrap();
            opened.cache.write(&entries(2), &[], now(), None).unwrap();
            drop(opened.cache);
            assert_eq!(open(&path, |_| {}).unwrap().kept.unwrap().entries.len(), 2, "{name}");
        }
    }

    #[test]
    fn a_removed_cache_leaves_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("cache.sqlite3");
        let mut cache = open(&path, |_| {}).unwrap().cache;
        cache.claim(&url(), &me()).unwrap();
        drop(cache);
        remove(&path);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
