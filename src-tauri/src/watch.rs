//! What the shell tells while nobody looks at the window: the worst state of all stores, and news of single ones.
//!
//! A store has news when it turned red, offline, or well again, and stayed so for a while. News are gathered, so that a
//! power cut in a mall is one notification and not fifty. What the cloud itself is to blame for is no news: rows of which
//! it knows nothing say nothing, and after it was away stores have time to come back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::core::Core;
use crate::ipc::{ConnectionState, GridSummary, Highlight, LinkState};
use crate::rows::Entry;

/// How long a store must stay as it is before that is news.
const DEBOUNCE: Duration = Duration::from_secs(15);
/// The same, of a store of which nothing was known, and of all of them when the cloud has been out of reach: longer than
/// stores take to come back and to exchange data.
const SETTLE: Duration = Duration::from_mins(2);
/// The least time between two notifications; news that come sooner wait and go together.
const APART: Duration = Duration::from_secs(30);
/// The least time between two looks at the rows.
const LOOKS_APART: Duration = Duration::from_secs(1);
/// How many stores a notification names, of each kind.
pub(crate) const NAMED: usize = 3;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The state of all stores has changed.
    State(State),
    /// Stores have news.
    News(News),
}

/// The state of all stores: the worst there is, and how many stores it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody is signed in.
    SignedOut,
    /// There is no connection to the cloud: what is known may be old.
    NotLive,
    /// Exchanges fail.
    Errors(u32),
    /// Links are down.
    Offline(u32),
    /// Updates are required.
    UpdateRequired(u32),
    /// Of some nothing is known.
    Unknown(u32),
    /// All is well.
    Well,
}

impl State {
    fn new(connection: ConnectionState, summary: &GridSummary) -> Self {
        match (connection, summary) {
            (ConnectionState::SignedOut | ConnectionState::SessionEnded, _) => Self::SignedOut,
            (state, _) if state != ConnectionState::Live => Self::NotLive,
            (_, &GridSummary { errors: count @ 1.., .. }) => Self::Errors(count),
            (_, &GridSummary { offline: count @ 1.., .. }) => Self::Offline(count),
            (_, &GridSummary { update_required: count @ 1.., .. }) => Self::UpdateRequired(count),
            (_, &GridSummary { unknown: count @ 1.., .. }) => Self::Unknown(count),
            _ => Self::Well,
        }
    }
}

/// Stores that are no longer as they were last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Exchanges began to fail.
    pub(crate) errors: Stores,
    /// Links went down.
    pub(crate) offline: Stores,
    /// All is well again.
    pub(crate) recovered: Stores,
}

/// Some stores: the names of the first [`NAMED`], and how many they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stores {
    pub(crate) names: Vec<String>,
    pub(crate) count: usize,
}

impl Stores {
    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < NAMED {
            self.names.push(name.to_owned());
        }
    }
}

/// How it stands now.
pub(crate) fn state(core: &Core) -> State {
    State::new(core.connection().state, &core.summary())
}

/// Tells of changes for as long as the app runs. Nothing but the state is told while `wants_news` says no.
pub(crate) async fn run(core: Arc<Core>, wants_news: impl Fn() -> bool, tell: impl Fn(Told)) {
    let mut state = None;
    let mut watch = Watch::default();
    core.rows_read().await;
    loop {
        let connection = core.connection().state;
        let now_is = self::state(&core);
        if state != Some(now_is) {
            state = Some(now_is);
            tell(Told::State(now_is));
        }
        if !wants_news() || matches!(connection, ConnectionState::SignedOut | ConnectionState::Connecting) {
            watch = Watch::default();
        } else {
            let entries = core.fleet().entries();
            if let Some(news) = watch.look(connection == ConnectionState::Live, &entries, Instant::now()) {
                tell(Told::News(news));
            }
        }
        tokio::time::sleep(LOOKS_APART).await;
        match watch.next() {
            Some(due) => tokio::select! {
                () = core.changed() => {}
                () = tokio::time::sleep_until(due) => {}
            },
            None => core.changed().await,
        }
    }
}

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Well,
    Failing,
    Offline,
}

/// What a row says, if anything. A required update is no trouble that comes overnight.
fn condition(entry: &Entry) -> Option<Condition> {
    match (entry.link_state, entry.highlight) {
        (LinkState::Unknown, _) => None,
        (LinkState::Offline, _) => Some(Condition::Offline),
        (_, Highlight::Error) => Some(Condition::Failing),
        _ => Some(Condition::Well),
    }
}

/// What was told of which store, and what waits to be told.
#[derive(Debug, Default)]
struct Watch {
    /// As stores were last told, or found at first. None if nothing was known of one.
    told: HashMap<Uuid, Option<Condition>>,
    waiting: HashMap<Uuid, Waiting>,
    /// Whether the rows were ever true.
    begun: bool,
    live: bool,
    /// Until when stores have time to come back after the cloud was out of reach.
    settles_until: Option<Instant>,
    told_at: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    /// None while nothing is known of it.
    condition: Option<Condition>,
    due: Instant,
}

impl Watch {
    /// Looks at all rows, and gives what is to be told now.
    fn look(&mut self, live: bool, entries: &[Arc<Entry>], now: Instant) -> Option<News> {
        let returned = live && !self.live && self.begun;
        self.live = live;
        if !live {
            // The rows stand still, and nobody knows whether they are true.
            return None;
        }
        if returned {
            self.settles_until = Some(now + SETTLE);
            self.waiting.clear();
        }
        for entry in entries {
            let is = condition(entry);
            // One that comes to be seen has no news.
            let told = *self.told.entry(entry.id).or_insert(is);
            if told == is {
                self.waiting.remove(&entry.id);
                continue;
            }
            let was = self.waiting.get(&entry.id).map(|waiting| waiting.condition);
            if was == Some(is) {
                continue;
            }
            let patience = match (was, self.settles_until) {
                (Some(None), _) => now + SETTLE,
                (_, Some(settled)) if settled > now => settled,
                _ => now + DEBOUNCE,
            };
            self.waiting.insert(entry.id, Waiting { condition: is, due: patience });
        }
        self.begun = true;
        if self.told.len() > entries.len() {
            let there: std::collections::HashSet<Uuid> = entries.iter().map(|entry| entry.id).collect();
            self.told.retain(|id, _| there.contains(id));
            self.waiting.retain(|id, _| there.contains(id));
        }
        if self.next().is_none_or(|due| due > now) {
            return None;
        }
        self.tell(entries, now)
    }

    /// When there will be something to tell, unless it changes.
    fn next(&self) -> Option<Instant> {
        if !self.live {
            return None;
        }
        let known = self.waiting.values().filter(|waiting| waiting.condition.is_some());
        let due = known.map(|waiting| waiting.due).min()?;
        Some(self.told_at.map_or(due, |told_at| due.max(told_at + APART)))
    }

    fn tell(&mut self, entries: &[Arc<Entry>], now: Instant) -> Option<News> {
        let mut news = News::default();
        for entry in entries {
            let Some(Waiting { condition: Some(is), due }) = self.waiting.get(&entry.id) else { continue };
            if *due > now {
                continue;
            }
            let is = *is;
            self.waiting.remove(&entry.id);
            // Nobody was told that it was in trouble.
            if (self.told.insert(entry.id, Some(is)), is) == (Some(None), Condition::Well) {
                continue;
            }
            match is {
                Condition::Failing => news.errors.add(&entry.organization),
                Condition::Offline => news.offline.add(&entry.organization),
                Condition::Well => news.recovered.add(&entry.organization),
            }
        }
        if news == News::default() {
            return None;
        }
        self.told_at = Some(now);
        Some(news)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;
    use crate::rows::{Texts, tests::status};
    use crate::secrets::Secrets;
    use crate::settings::{Preferences, Stored};

    /// So many stores, each as its letter says: well, failing, offline, unknown.
    fn stores(states: &str) -> Vec<Arc<Entry>> {
        let mut texts = Texts::default();
        (1..)
            .zip(states.chars())
            .map(|(n, state)| {
                let change = match state {
                    'f' => json!({"highlight": "error"}),
                    'o' => json!({"link": {"state": "offline"}}),
                    '?' => json!({"link": {"state": "unknown"}}),
                    _ => json!({}),
                };
                Arc::new(Entry::from_status(status(n, change), &mut texts))
            })
            .collect()
    }

    /// A watch and its time, in seconds.
    struct Scene {
        watch: Watch,
        start: Instant,
    }

    impl Scene {
        fn new(states: &str) -> Self {
            let mut scene = Self { watch: Watch::default(), start: Instant::now() };
            assert_eq!(scene.at(0, states), None, "what is so already is no news");
            scene
        }

        /// What is told when stores are so at that second: counts of errors, offline, recovered.
        fn at(&mut self, second: u64, states: &str) -> Option<(usize, usize, usize)> {
            self.look(second, states, true)
        }

        fn look(&mut self, second: u64, states: &str, live: bool) -> Option<(usize, usize, usize)> {
            let now = self.start + Duration::from_secs(second);
            let news = self.watch.look(live, &stores(states), now)?;
            Some((news.errors.count, news.offline.count, news.recovered.count))
        }
    }

    #[test]
    fn a_store_that_stays_in_trouble_is_told_once_and_once_that_it_is_well() {
        let mut scene = Scene::new("wwo");
        assert_eq!(scene.at(1, "fwo"), None);
        assert_eq!(scene.at(15, "fwo"), None);
        assert_eq!(scene.at(16, "fwo"), Some((1, 0, 0)));
        assert_eq!(scene.at(300, "fwo"), None);
        assert_eq!(scene.at(301, "wwo"), None);
        assert_eq!(scene.at(316, "wwo"), Some((0, 0, 1)));
        assert_eq!(scene.at(320, "www"), None);
        assert_eq!(scene.at(346, "www"), Some((0, 0, 1)), "it was in trouble from the start");
    }

    #[test]
    fn one_that_comes_and_goes_is_not_told() {
        let mut scene = Scene::new("ww");
        for round in 0..20 {
            assert_eq!(scene.at(round * 20 + 1, "ow"), None);
            assert_eq!(scene.at(round * 20 + 11, "ww"), None);
        }
        assert_eq!(scene.watch.next(), None);
    }

    #[test]
    fn many_at_a_time_are_told_together() {
        let mut scene = Scene::new("wwwwww");
        scene.at(1, "owwwww");
        assert_eq!(scene.at(16, "ooofww"), Some((0, 1, 0)));
        // Those are due at 31, yet a notification was at 16.
        assert_eq!(scene.at(31, "ooofow"), None);
        assert_eq!(scene.at(46, "ooofow"), Some((1, 3, 0)));
        let news = {
            let now = scene.start + Duration::from_secs(400);
            scene.watch.look(true, &stores("wwwwww"), now);
            scene.watch.look(true, &stores("wwwwww"), now + DEBOUNCE).unwrap()
        };
        assert_eq!((news.recovered.count, news.recovered.names.len()), (5, NAMED));
        assert_eq!(news.recovered.names[0], "Outlet 00001");
    }

    #[test]
    fn the_clouds_own_outage_is_no_news_but_what_it_leaves_is() {
        let mut scene = Scene::new("wwwwf");
        // The app loses the cloud, and finds it again knowing nothing of its stores.
        assert_eq!(scene.look(10, "wwwwf", false), None);
        assert_eq!(scene.at(60, "?????"), None);
        // They come back, some with an exchange that failed meanwhile, which mends itself.
        assert_eq!(scene.at(90, "wff?f"), None);
        assert_eq!(scene.at(110, "wffof"), None);
        assert_eq!(scene.at(150, "wwwof"), None);
        for second in 151..230 {
            assert_eq!(scene.at(second, "wwwof"), None, "{second}");
        }
        assert_eq!(scene.at(230, "wwwof"), Some((0, 1, 0)), "one did not come back");
        for second in 231..600 {
            assert_eq!(scene.at(second, "wwwof"), None, "{second}");
        }
    }

    #[test]
    fn rows_that_become_unknown_while_the_app_is_live_are_no_news() {
        let mut scene = Scene::new("wwo");
        assert_eq!(scene.at(1, "???"), None);
        assert_eq!(scene.at(300, "???"), None);
        assert_eq!(scene.watch.next(), None);
        assert_eq!(scene.at(301, "wwo"), None);
        assert_eq!(scene.at(600, "wwo"), None);
        // Of one that was unknown from the start nobody was told anything.
        let mut scene = Scene::new("?");
        assert_eq!(scene.at(1, "w"), None);
        assert_eq!(scene.at(300, "w"), None);
        assert_eq!(scene.at(301, "o"), None);
        assert_eq!(scene.at(316, "o"), Some((0, 1, 0)));
    }

    #[test]
    fn stores_that_come_to_be_seen_or_go_are_no_news() {
        let mut scene = Scene::new("w");
        assert_eq!(scene.at(1, "wof"), None);
        assert_eq!(scene.at(100, "wof"), None);
        scene.at(101, "oof");
        assert_eq!(scene.at(102, ""), None);
        assert_eq!((scene.watch.told.len(), scene.watch.waiting.len()), (0, 0));
        assert_eq!(scene.at(200, ""), None);
    }

    #[test]
    fn the_state_is_the_worst_there_is() {
        use ConnectionState::{Connecting, Live, NoNetwork, SignedOut};
        let mut fleet = crate::rows::Fleet::default();
        let mut summary = fleet.summary(chrono::Utc::now());
        assert_eq!(State::new(Live, &summary), State::Well);
        summary.unknown = 1;
        assert_eq!(State::new(Live, &summary), State::Unknown(1));
        summary.update_required = 2;
        assert_eq!(State::new(Live, &summary), State::UpdateRequired(2));
        summary.offline = 3;
        assert_eq!(State::new(Live, &summary), State::Offline(3));
        summary.errors = 4;
        assert_eq!(State::new(Live, &summary), State::Errors(4));
        assert_eq!(State::new(NoNetwork, &summary), State::NotLive);
        assert_eq!(State::new(Connecting, &summary), State::NotLive);
        assert_eq!(State::new(SignedOut, &summary), State::SignedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn news_come_by_themselves_and_only_if_wanted() {
        let home = tempfile::tempdir().unwrap();
        let preferences = Preferences::new(Stored::default(), |_| Ok(()));
        let core = Arc::new(Core::new(home.path(), preferences, Secrets::memory()));
        let wanted = Arc::new(AtomicBool::new(true));
        let (tell, mut told) = mpsc::unbounded_channel();
        let asked = Arc::clone(&wanted);
        let task = tokio::spawn(run(
            Arc::clone(&core),
            move || asked.load(Ordering::Relaxed),
            move |news| tell.send((Instant::now(), news)).unwrap(),
        ));
        assert_eq!(told.recv().await.unwrap().1, Told::State(State::SignedOut));

        let change = |failing: bool| {
            let highlight = if failing { json!({"highlight": "error"}) } else { json!({}) };
            core.fleet().replace(vec![status(1, highlight), status(2, json!({}))], chrono::Utc::now());
            core.rows_changed();
            Instant::now()
        };
        change(false);
        core.set_connection(ConnectionState::Live);
        assert_eq!(told.recv().await.unwrap().1, Told::State(State::Well));

        let failed_at = change(true);
        assert_eq!(told.recv().await.unwrap().1, Told::State(State::Errors(1)));
        let (told_at, news) = told.recv().await.unwrap();
        let errors = Stores { names: vec!["Outlet 00001".into()], count: 1 };
        assert_eq!(news, Told::News(News { errors, ..News::default() }));
        assert!((DEBOUNCE..DEBOUNCE + LOOKS_APART * 2).contains(&(told_at - failed_at)));

        wanted.store(false, Ordering::Relaxed);
        change(false);
        assert_eq!(told.recv().await.unwrap().1, Told::State(State::Well));
        let silence = tokio::time::timeout(SETTLE * 10, told.recv()).await;
        assert!(silence.is_err(), "{silence:?}");
        // What happened meanwhile is no news once they are wanted again.
        wanted.store(true, Ordering::Relaxed);
        core.rows_changed();
        let silence = tokio::time::timeout(SETTLE * 10, told.recv()).await;
        assert!(silence.is_err(), "{silence:?}");
        task.abort();
    }
}
