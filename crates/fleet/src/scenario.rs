//! Which store has what trouble, and what its past looked like.

use chrono::{DateTime, TimeDelta, Utc};
use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tillwatch_protocol::ids::PosServerId;
use tillwatch_protocol::report::SyncError;

/// The version that has to be updated.
const OLD_VERSION: &str = "34.2.0";
/// What the others run.
const VERSIONS: [&str; 3] = ["34.6.0", "34.6.1", "34.6.2"];

/// Which troubles a fleet shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Troubles {
    /// The first stores of the file: two with sync errors, one that goes offline, one with an old version.
    Demo,
    /// None at all.
    None,
}

/// What is wrong with one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// Its database holds a row that the cloud does not know. A reset heals it.
    Inconsistent,
    /// There is no room for changes.
    DiskFull,
    /// Its connector is stopped soon after it was online.
    Leaves,
    /// Its POS version is too old.
    OldVersion,
}

/// The trouble of the n-th store, from 0.
pub fn assign(troubles: Troubles, index: usize) -> Trouble {
    const DEMO: [Trouble; 4] =
        [Trouble::Inconsistent, Trouble::DiskFull, Trouble::Leaves, Trouble::OldVersion];
    match troubles {
        Troubles::Demo => DEMO.get(index).copied().unwrap_or(Trouble::None),
        Troubles::None => Trouble::None,
    }
}

/// What is known of a store's past. The same store has the same past in each run, as far as now allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// The installed version.
    pub pos_version: &'static str,
    /// When it was installed.
    pub version_updated_at: DateTime<Utc>,
    /// When its first database was made.
    pub database_created_at: DateTime<Utc>,
    /// Since when exchanges fail, and how.
    pub failing_since: Option<(DateTime<Utc>, SyncError)>,
    /// For everything else that should differ from store to store and not from run to run.
    pub seed: u64,
}

impl Past {
    /// The past of a store with this trouble.
    pub fn of(store: PosServerId, trouble: Trouble, now: DateTime<Utc>) -> Self {
        // The last bits of an id made by time are the random ones.
        let seed = store.0.as_u64_pair().1;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut ago = |least_minutes: i64, most_minutes: i64| {
            now - TimeDelta::minutes(rng.random_range(least_minutes..most_minutes))
        };
        let (day, hour) = (24 * 60, 60);
        let version_updated_at = match trouble {
            Trouble::OldVersion => ago(150 * day, 200 * day),
            _ => ago(2 * day, 30 * day),
        };
        let database_created_at = ago(40 * day, 300 * day);
        let failing = match trouble {
            Trouble::Inconsistent => Some(SyncError::DatabaseInconsistent),
            Trouble::DiskFull => Some(SyncError::DiskFull),
            Trouble::None | Trouble::Leaves | Trouble::OldVersion => None,
        };
        let failing_since = failing.map(|error| (ago(3 * hour, 9 * hour), error));
        let pos_version = match trouble {
            Trouble::OldVersion => OLD_VERSION,
            _ => VERSIONS[rng.random_range(0..VERSIONS.len())],
        };
        Self { pos_version, version_updated_at, database_created_at, failing_since, seed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_shows_two_in_trouble_one_offline_and_one_to_update() {
        let all: Vec<_> = (0..12).map(|index| assign(Troubles::Demo, index)).collect();
        let count = |wanted: &[Trouble]| all.iter().filter(|trouble| wanted.contains(trouble)).count();
        assert_eq!(count(&[Trouble::Inconsistent]), 1);
        assert_eq!(count(&[Trouble::Inconsistent, Trouble::DiskFull]), 2);
        assert_eq!(count(&[Trouble::Leaves]), 1);
        assert_eq!(count(&[Trouble::OldVersion]), 1);
        assert_eq!(count(&[Trouble::None]), 8);
        assert!((0..12).all(|index| assign(Troubles::None, index) == Trouble::None));
    }

    #[test]
    fn a_past_is_the_same_in_each_run_and_lies_before_now() {
        let (store, now) = (PosServerId::new(), Utc::now());
        for trouble in [Trouble::None, Trouble::Inconsistent, Trouble::DiskFull, Trouble::OldVersion] {
            let past = Past::of(store, trouble, now);
            assert_eq!(past, Past::of(store, trouble, now));
            assert!(past.version_updated_at < now && past.database_created_at < now);
            assert_eq!(past.pos_version == OLD_VERSION, trouble == Trouble::OldVersion);
        }
        assert_eq!(
            Past::of(store, Trouble::DiskFull, now).failing_since.map(|(_, error)| error),
            Some(SyncError::DiskFull)
        );
    }
}
