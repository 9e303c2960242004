//! The generation: which life of the POS database this is. It ties a typed confirmation to one database, so
//! a number is never used twice.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::files::{self, Access};
use crate::journal;

/// The file's name within the data dir.
const FILE_NAME: &str = "generation.json";

/// What the file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// The number.
    generation: i64,
    /// When the database that has it was made, once that was seen.
    database_created_at: Option<DateTime<Utc>>,
    /// The next database that appears was ordered by us and has this number already.
    expecting: bool,
}

/// The generation of one store's database. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Generation {
    path: Arc<Path>,
    known: Arc<Mutex<Known>>,
}

impl Generation {
    /// Reads the file in a data dir. `highest_used` is the highest number that journal and backups name, in
    /// case the file is lost. A file that is there stands above them: a job that was cut off may have written
    /// down a number that no database has yet.
    pub(crate) fn open(data_dir: &Path, highest_used: i64, now: DateTime<Utc>) -> io::Result<Self> {
        let path: PathBuf = data_dir.join(FILE_NAME);
        let known = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice::<Known>(&text).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(first(highest_used + 1)),
            Err(error) => return Err(error),
        };
        let known = if let Some(known) = known {
            known
        } else {
            journal::put_aside(&path)?;
            // Nobody knows how far it was: the minutes since 1970 were surely not reached by counting.
            first((highest_used + 1).max(now.timestamp() / 60))
        };
        let generation = Self { path: path.into(), known: Arc::new(Mutex::new(known)) };
        generation.write(known)?;
        Ok(generation)
    }

    /// The number of the present database.
    pub(crate) fn current(&self) -> i64 {
        self.lock().generation
    }

    /// Takes note of the database that the POS server reports. One that was not ordered gets a new number.
    pub(crate) fn observe(&self, created_at: DateTime<Utc>) -> io::Result<()> {
        let mut known = self.lock();
        if known.database_created_at == Some(created_at) {
            return Ok(());
        }
        let is_ours = known.expecting || known.database_created_at.is_none();
        let next = Known {
            generation: if is_ours { known.generation } else { known.generation + 1 },
            database_created_at: Some(created_at),
            expecting: false,
        };
        if !is_ours {
            tracing::warn!(
                generation = next.generation,
                "a database appeared that this connector did not make"
            );
        }
        self.write(next)?;
        *known = next;
        Ok(())
    }

    /// From now on the database has this number; the one to come is ours. Repeating it changes nothing.
    pub(crate) fn advance_to(&self, generation: i64) -> io::Result<()> {
        let mut known = self.lock();
        if known.generation >= generation {
            return Ok(());
        }
        let next = Known { generation, expecting: true, ..*known };
        self.write(next)?;
        *known = next;
        Ok(())
    }

    /// The database that was ordered does not come: the one that is there stays, under the number that was meant for the
    /// other. The next to appear is a stranger again.
    pub(crate) fn expect_no_more(&self) -> io::Result<()> {
        let created_at = self.lock().database_created_at;
        self.settle(created_at)
    }

    /// The job that ordered a database has seen it: `created_at` is its, even if an earlier one was made at
    /// the same time.
    pub(crate) fn settle(&self, created_at: Option<DateTime<Utc>>) -> io::Result<()> {
        let mut known = self.lock();
        let next = Known { expecting: false, database_created_at: created_at, ..*known };
        if next != *known {
            self.write(next)?;
            *known = next;
        }
        Ok(())
    }

    fn write(&self, known: Known) -> io::Result<()> {
        let text = serde_json::to_vec(&known).expect("plain JSON");
        files::write_atomic(&self.path, &text, Access::Public)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn first(generation: i64) -> Known {
    Known { generation, database_created_at: None, expecting: false }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_starts_at_one_and_counts_databases_that_nobody_ordered() {
        let dir = tempfile::tempdir().unwrap();
        let now = Utc::now();
        let generation = Generation::open(dir.path(), 0, now).unwrap();
        generation.observe(now).unwrap();
        generation.observe(now).unwrap();
        assert_eq!(generation.current(), 1);
        generation.observe(now + TimeDelta::seconds(1)).unwrap();
        assert_eq!(generation.current(), 2);
        assert_eq!(Generation::open(dir.path(), 0, now).unwrap().current(), 2);
    }

    #[test]
    fn an_ordered_database_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let (now, later) = (Utc::now(), Utc::now() + TimeDelta::seconds(9));
        let generation = Generation::open(dir.path(), 0, now).unwrap();
        generation.observe(now).unwrap();
        generation.advance_to(2).unwrap();
        // A report from just before the stop comes late.
        generation.observe(now).unwrap();
        // The connector was killed and repeats the step.
        let generation = Generation::open(dir.path(), 0, now).unwrap();
        generation.advance_to(2).unwrap();
        generation.observe(later).unwrap();
        generation.settle(Some(later)).unwrap();
        assert_eq!(generation.current(), 2);
        generation.observe(later + TimeDelta::seconds(1)).unwrap();
        assert_eq!(generation.current(), 3);
    }

    #[test]
    fn after_an_ordered_database_that_did_not_come_the_next_is_a_stranger() {
        let dir = tempfile::tempdir().unwrap();
        let now = Utc::now();
        let generation = Generation::open(dir.path(), 0, now).unwrap();
        generation.observe(now).unwrap();
        generation.advance_to(2).unwrap();
        generation.expect_no_more().unwrap();
        generation.observe(now).unwrap();
        assert_eq!(generation.current(), 2);
        generation.observe(now + TimeDelta::seconds(1)).unwrap();
        assert_eq!(generation.current(), 3);
    }

    #[test]
    fn a_number_is_never_used_twice_even_if_the_file_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Generation::open(dir.path(), 7, Utc::now()).unwrap().current(), 8);
        std::fs::write(dir.path().join(FILE_NAME), "noise").unwrap();
        assert!(Generation::open(dir.path(), 7, Utc::now()).unwrap().current() > 8);
        assert!(dir.path().join("generation.json.damaged").exists());
    }

    /// What can happen to a store's database.
    #[derive(Clone, Copy, Debug)]
    enum Happening {
        Report(i64),
        Order,
        Settle(i64),
        Restart,
    }

    fn happening() -> impl Strategy<Value = Happening> {
        prop_oneof![
            (0..5_i64).prop_map(Happening::Report),
            Just(Happening::Order),
            (0..5_i64).prop_map(Happening::Settle),
            Just(Happening::Restart),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn it_only_ever_grows_and_each_order_grows_it(happenings in proptest::collection::vec(happening(), 1..20)) {
            let dir = tempfile::tempdir().unwrap();
            let at = |n: i64| DateTime::UNIX_EPOCH + TimeDelta::days(n);
            let mut generation = Generation::open(dir.path(), 0, Utc::now()).unwrap();
            for happening in happenings {
                let before = generation.current();
                match happening {
                    Happening::Report(n) => generation.observe(at(n)).unwrap(),
                    Happening::Order => {
                        generation.advance_to(before + 1).unwrap();
                        prop_assert_eq!(generation.current(), before + 1);
                    }
                    Happening::Settle(n) => generation.settle(Some(at(n))).unwrap(),
                    Happening::Restart => {
                        generation = Generation::open(dir.path(), 0, Utc::now()).unwrap();
                        prop_assert_eq!(generation.current(), before);
                    }
                }
                prop_assert!((before..=before + 1).contains(&generation.current()));
            }
        }
    }
}
