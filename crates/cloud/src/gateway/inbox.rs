//! What stores say, written together: while one commit is made, what comes meanwhile gathers for the next.
//!
//! What is *told* has nobody waiting for it: of each store only the latest counts, and it is kept until it is
//! written. What is *asked* has somebody who waits until it is durable, or is told that it is not.

mod change;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tillwatch_protocol::ids::PosServerId;
use tillwatch_protocol::link::frame::StoreReport;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

pub(crate) use change::{Ask, Begin, Change, Heartbeat, JobChange, NotBegun, Took};

use crate::domain::presence::Presence;
use crate::metrics;
use crate::store::{Store, StoreError};

/// How many changes one transaction takes at most: other writes wait that long for their turn.
const GROUP: usize = 256;
/// How long a failed write waits for the next try.
const RETRY: Duration = Duration::from_secs(1);

/// What waits to be written. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox {
    waiting: Arc<Mutex<Waiting>>,
    urgent: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Waiting {
    alive: HashMap<PosServerId, bool>,
    reports: HashMap<PosServerId, Reported>,
    ends: HashMap<PosServerId, Ended>,
    asked: Vec<Change>,
    /// Whether losses were written that were not looked at again since.
    review: bool,
}

/// What a store reported.
#[derive(Debug)]
pub(crate) struct Reported {
    /// In which session.
    pub epoch: i64,
    /// Its state.
    pub report: StoreReport,
    /// When it came.
    pub at: DateTime<Utc>,
}

/// How a session ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Which session.
    pub epoch: i64,
    /// What the link is since.
    pub presence: Presence,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// When the connector was last heard.
    pub heard_at: DateTime<Utc>,
}

impl Inbox {
    /// A store's state changed.
    pub(super) fn report(&self, id: PosServerId, reported: Reported) {
        if let Some(error) = &reported.report.report.exchange.error {
            metrics::exchange_error_reported(&error.code);
        }
        let mut waiting = self.lock();
        waiting.alive.remove(&id);
        if waiting.reports.get(&id).is_none_or(|older| older.epoch <= reported.epoch) {
            waiting.reports.insert(id, reported);
        }
        drop(waiting);
        self.urgent.notify_one();
    }

    /// A store lives; this may wait until there is more to write.
    pub(super) fn alive(&self, id: PosServerId, pos_answers: bool) {
        self.lock().alive.insert(id, pos_answers);
    }

    /// A session ended.
    pub(super) fn end(&self, id: PosServerId, ended: Ended) {
        let mut waiting = self.lock();
        waiting.alive.remove(&id);
        if waiting.ends.get(&id).is_none_or(|older| older.epoch <= ended.epoch) {
            waiting.ends.insert(id, ended);
        }
        drop(waiting);
        self.urgent.notify_one();
    }

    /// Hands in a change and waits until it is written, or is not. What was told before is written before it.
    pub(crate) async fn ask<C, A>(
        &self,
        what: C,
        wrap: fn(Box<Ask<C, A>>) -> Change,
    ) -> Result<A, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.lock().asked.push(wrap(Box::new(Ask::new(what, answer))));
        self.urgent.notify_one();
        answered.await.map_err(|_| StoreError::NotWritten)
    }

    /// How much of what waits.
    pub(crate) fn waiting(&self) -> [(&'static str, usize); 4] {
        let Waiting { alive, reports, ends, asked, .. } = &*self.lock();
        [("alive", alive.len()), ("reports", reports.len()), ("ends", ends.len()), ("asked", asked.len())]
    }

    /// Writes what waits.
    async fn write(&self, store: &Store) -> Result<(), StoreError> {
        let mut changes = self.lock().take();
        // All at once: what many losses have in common shows in none of the groups alone.
        if let Err(error) = change::judge(store, &mut changes).await {
            let mut waiting = self.lock();
            for change in changes {
                waiting.put_back(change);
            }
            return Err(error);
        }
        while !changes.is_empty() {
            let rest = changes.split_off(changes.len().min(GROUP));
            if let Err(error) = change::write_together(store, &mut changes).await {
                let mut waiting = self.lock();
                for change in changes.into_iter().chain(rest) {
                    waiting.put_back(change);
                }
                return Err(error);
            }
            metrics::batch_written(changes.len());
            self.lock().review |= changes.iter().any(|change| matches!(change, Change::End(..)));
            for change in changes {
                change.answer();
            }
            changes = rest;
        }
        if std::mem::take(&mut self.lock().review)
            && let Err(error) = change::review(store).await
        {
            self.lock().review = true;
            return Err(error);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Each step on the maps is complete in itself, so a panic elsewhere leaves them sound.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In the order in which the database holds stores: neighbours share its pages, and each page is written once a commit.
fn by_id<T>(told: HashMap<PosServerId, T>) -> impl Iterator<Item = (PosServerId, T)> {
    let mut told: Vec<_> = told.into_iter().collect();
    told.sort_unstable_by_key(|(id, _)| *id);
    told.into_iter()
}

impl Waiting {
    /// Everything, in an order in which it can have happened: a session that asks to begin is newer than
    /// one whose end is told, and what is asked in a session is newer than what was told in it.
    fn take(&mut self) -> Vec<Change> {
        let Self { alive, reports, ends, asked, review } = std::mem::take(self);
        self.review = review;
        let (answering, silent): (Vec<_>, Vec<_>) = alive.into_iter().partition(|(_, answers)| *answers);
        let mut changes = Vec::with_capacity(2 + reports.len() + ends.len() + asked.len());
        for (stores, pos_answers) in [(answering, true), (silent, false)] {
            if !stores.is_empty() {
                let ids = stores.into_iter().map(|(id, _)| id).collect();
                changes.push(Change::Alive { ids, pos_answers, at: Utc::now() });
            }
        }
        changes.extend(by_id(reports).map(|(id, reported)| Change::Report(id, reported)));
        changes.extend(by_id(ends).map(|(id, ended)| Change::End(id, ended)));
        changes.extend(asked);
        changes
    }

    /// Puts back what could not be written, unless something newer came meanwhile. Who asked is told by the
    /// loss of the answer.
    fn put_back(&mut self, change: Change) {
        match change {
            Change::Alive { ids, pos_answers, .. } => {
                for id in ids {
                    self.alive.entry(id).or_insert(pos_answers);
                }
            }
            Change::Report(id, reported) => {
                self.reports.entry(id).or_insert(reported);
            }
            Change::End(id, ended) => {
                self.ends.entry(id).or_insert(ended);
            }
            Change::Begin(_) | Change::Job(_) | Change::Heartbeat(_) | Change::Took(_) => {}
        }
    }
}

/// Writes reports of sessions of this epoch as [`Inbox`] does: what `npm run bench -- cloud` measures.
#[doc(hidden)]
pub async fn write_reports(
    store: &Store,
    epoch: i64,
    reports: Vec<(PosServerId, StoreReport)>,
) -> Result<(), StoreError> {
    let inbox = Inbox::default();
    for (id, report) in reports {
        inbox.report(id, Reported { epoch, report, at: Utc::now() });
    }
    inbox.write(store).await
}

/// Writes signs of life every `pause` and everything else as it comes, until the stop; then what is left.
pub(crate) async fn write_in_time(inbox: Inbox, store: Store, pause: Duration, stop: CancellationToken) {
    let mut stopping = false;
    while !stopping {
        tokio::select! {
            () = stop.cancelled() => stopping = true,
            () = inbox.urgent.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        if let Err(error) = inbox.write(&store).await {
            let error = format!("{:#}", anyhow::Error::from(error));
            tracing::error!(error, "what stores said could not be written");
            if !stopping {
                tokio::time::sleep(RETRY).await;
                inbox.urgent.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use chrono::TimeDelta;
    use futures_util::future::join_all;
    use sea_orm::{ConnectionTrait, EntityTrait, QueryOrder};
    use serde_json::json;
    use tempfile::TempDir;
    use tillwatch_protocol::ids::BootId;
    use tillwatch_protocol::link::frame::Hello;
    use tillwatch_protocol::report::{ExchangeError, Report};
    use tillwatch_protocol::rest::pos_server::PosState;
    use uuid::Uuid;

    use crate::store::token::Token;

    use super::*;
    use crate::domain::pos_server::version_key;
    use crate::domain::presence;
    use crate::http::device::Device;
    use crate::store::entity::{pos_servers, timeline};
    use crate::store::presence::Begun;
    use crate::{admin, store, tokens};

    /// A store of POS servers whose outlets are named after their numbers.
    async fn with_stores(count: usize) -> (TempDir, Store, Vec<Device>) {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path(), None).await.unwrap();
        let mut file = "chain,outlet,crm_id,address,time_zone,pos_server\n".to_owned();
        for number in 0..count {
            writeln!(file, "Pizza,{number},1,,Europe/Riga,Main").unwrap();
        }
        let mut devices = Vec::new();
        let imported = admin::import_fleet(&store, file.as_bytes(), Utc::now()).await.unwrap();
        let tx = store.write().await.unwrap();
        for (number, row) in imported.iter().enumerate() {
            let hash = tokens::hash_enrollment_code(&row.enrollment_code);
            let key = format!("key {number}");
            let enrolled = store::device::enroll(&*tx, &hash, &key, Utc::now()).await.unwrap().unwrap();
            devices.push(Device { id: enrolled.device_id, pos_server_id: enrolled.pos_server_id });
        }
        tx.commit().await.unwrap();
        (folder, store, devices)
    }

    fn hello(device: Device) -> Begin {
        let hello = Hello {
            connector_version: "1.0".into(),
            boot_id: BootId::new(),
            started_at: Utc::now(),
            report: None,
            unfinished_jobs: Vec::new(),
            drops: 0,
        };
        let token = Token { id: Uuid::now_v7(), ends_at: Utc::now() };
        Begin { node: Uuid::now_v7(), device, token, hello, presence: Presence::online(), at: Utc::now() }
    }

    /// Hands in a hello of each and then writes once; gives what each was told.
    async fn begin_all(
        inbox: &Inbox,
        store: &Store,
        devices: &[Device],
    ) -> Vec<Result<Result<Begun, NotBegun>, StoreError>> {
        let asked = join_all(devices.iter().map(|device| inbox.ask(hello(*device), Change::Begin)));
        let write = async {
            while inbox.lock().asked.len() < devices.len() {
                tokio::task::yield_now().await;
            }
            inbox.write(store).await
        };
        tokio::join!(asked, write).0
    }

    async fn rows(store: &Store) -> Vec<pos_servers::Model> {
        let db = store.read().await.unwrap();
        pos_servers::Entity::find().order_by_asc(pos_servers::Column::Id).all(&db).await.unwrap()
    }

    async fn link_states(store: &Store) -> Vec<String> {
        rows(store).await.into_iter().map(|row| row.link_state).collect()
    }

    #[tokio::test]
    async fn many_sessions_begin_in_few_commits() {
        let (_folder, store, devices) = with_stores(300).await;
        let inbox = Inbox::default();
        let before = store.revision().await.unwrap();

        let begun = begin_all(&inbox, &store, &devices).await;

        assert!(begun.into_iter().all(|begun| begun.unwrap().unwrap().epoch == 1));
        assert!(link_states(&store).await.iter().all(|state| state == "online"));
        assert_eq!(store.revision().await.unwrap() - before, 2, "groups of at most {GROUP}");
    }

    #[tokio::test]
    async fn a_store_that_comes_twice_in_a_group_has_two_sessions_and_a_token_begins_one() {
        let (_folder, store, devices) = with_stores(3).await;
        let inbox = Inbox::default();
        let twice = [devices[0], devices[1], devices[0]];
        let begun = begin_all(&inbox, &store, &twice).await;
        let epochs: Vec<_> = begun.into_iter().map(|begun| begun.unwrap().unwrap().epoch).collect();
        assert_eq!(epochs, [1, 1, 2]);

        let (first, mut second) = (hello(devices[2]), hello(devices[2]));
        second.token = first.token;
        let asked = async { tokio::join!(inbox.ask(first, Change::Begin), inbox.ask(second, Change::Begin)) };
        let write = async {
            while inbox.lock().asked.len() < 2 {
                tokio::task::yield_now().await;
            }
            inbox.write(&store).await
        };
        let ((first, second), written) = tokio::join!(asked, write);
        written.unwrap();
        assert_eq!(first.unwrap().unwrap().epoch, 1);
        assert!(matches!(second, Ok(Err(NotBegun::TokenUsed))));
    }

    #[tokio::test]
    async fn of_reports_that_are_written_together_each_changes_what_it_tells() {
        let (_folder, store, devices) = with_stores(4).await;
        let inbox = Inbox::default();
        begin_all(&inbox, &store, &devices).await;
        let hand_in = |number: usize, epoch, pos_state, report, at| {
            let report = StoreReport { pos_state, report };
            inbox.report(devices[number].pos_server_id, Reported { epoch, report, at });
        };
        let first = Utc::now();
        for number in 0..4 {
            let mut report = Report { pos_version: Some(format!("34.{number}.0")), ..Report::default() };
            report.exchange.last_success_at = Some(first);
            report.database.generation = Some(number as i64);
            report.database.unsent_transactions = Some(number as u64);
            hand_in(number, 1, PosState::Running, report, first);
        }
        inbox.write(&store).await.unwrap();

        let second = first + TimeDelta::seconds(1);
        let failing = ExchangeError {
            code: "disk_full".into(),
            message: format!("\0{}", "long ".repeat(1000)),
            since: second,
            consecutive_failures: 3,
        };
        let mut told = Report { pos_version: Some("35".into()), ..Report::default() };
        told.exchange.error = Some(failing);
        hand_in(0, 1, PosState::Running, told.clone(), second);
        hand_in(1, 1, PosState::Stopped, Report::default(), second);
        hand_in(2, 0, PosState::Running, told.clone(), second);
        hand_in(3, 1, PosState::NotResponding, told, second);
        inbox.write(&store).await.unwrap();

        let rows = rows(&store).await;
        let row = |number: usize| rows.iter().find(|row| row.id == devices[number].pos_server_id.0).unwrap();
        let seen = |number| {
            let pos_servers::Model { pos_state, pos_version, generation, unsent_transactions, .. } =
                row(number);
            (pos_state.as_str(), pos_version.as_deref(), *generation, *unsent_transactions)
        };
        assert_eq!(seen(0), ("running", Some("35"), Some(0), None));
        assert_eq!(seen(1), ("stopped", Some("34.1.0"), Some(1), Some(1)));
        assert_eq!(seen(2), ("running", Some("34.2.0"), Some(2), Some(2)), "a session that has ended");
        assert_eq!(seen(3), ("not_responding", Some("35"), Some(3), None));
        let heard = |number| (row(number).last_seen_at, row(number).last_report_at);
        assert_eq!(heard(0), (Some(second), Some(second)));
        assert_eq!(heard(1), (Some(second), Some(first)));
        assert_eq!(heard(2), (Some(first), Some(first)));
        assert_eq!(heard(3), (Some(second), Some(first)));
        let error = row(0);
        assert_eq!(error.error_code.as_deref(), Some("disk_full"));
        assert_eq!(error.error_message.as_ref().map(|text| text.chars().count()), Some(2000));
        assert_eq!((error.error_since, error.error_failures), (Some(second), Some(3)));
        assert_eq!(error.exchange_success_at, None);
        assert_eq!(error.pos_version_key.as_deref(), version_key("35").as_deref());
        assert_eq!(row(1).exchange_success_at, Some(first));
        assert!(row(0).revision > row(2).revision);
    }

    #[tokio::test]
    async fn one_that_cannot_be_written_leaves_the_others_alone() {
        let (_folder, store, devices) = with_stores(3).await;
        let inbox = Inbox::default();
        let refuse = format!(
            "CREATE TRIGGER refuse BEFORE UPDATE ON pos_servers WHEN old.id = x'{}'
                 BEGIN SELECT RAISE(ABORT, 'not this one'); END",
            devices[1].pos_server_id.0.simple()
        );
        let tx = store.write().await.unwrap();
        tx.execute_unprepared(&refuse).await.unwrap();
        tx.commit().await.unwrap();

        let begun = begin_all(&inbox, &store, &devices).await;

        assert!(matches!(begun[1], Err(StoreError::NotWritten)));
        assert_eq!(begun[0].as_ref().unwrap().as_ref().unwrap().epoch, 1);
        assert_eq!(begun[2].as_ref().unwrap().as_ref().unwrap().epoch, 1);
        assert_eq!(link_states(&store).await, ["online", "never_connected", "online"]);
    }

    #[tokio::test]
    async fn an_end_and_the_next_hello_are_written_in_the_order_they_happened() {
        let (_folder, store, devices) = with_stores(1).await;
        let inbox = Inbox::default();
        begin_all(&inbox, &store, &devices).await;
        let since = rows(&store).await[0].link_since;
        let ended = Ended { epoch: 1, presence: Presence::unknown(), at: Utc::now(), heard_at: Utc::now() };
        inbox.end(devices[0].pos_server_id, ended);

        let begun = begin_all(&inbox, &store, &devices).await;

        assert_eq!(begun[0].as_ref().unwrap().as_ref().unwrap().epoch, 2);
        let row = rows(&store).await.remove(0);
        assert_eq!(row.link_state, "online");
        assert!(row.link_since > since, "it was away in between");
    }

    #[tokio::test]
    async fn a_database_that_is_away_costs_an_answer_but_nothing_told() {
        let (folder, store, devices) = with_stores(1).await;
        let inbox = Inbox::default();
        begin_all(&inbox, &store, &devices).await;
        let ended = Ended { epoch: 1, presence: Presence::unknown(), at: Utc::now(), heard_at: Utc::now() };
        inbox.end(devices[0].pos_server_id, ended);
        store.clone().close().await;

        let begun = begin_all(&inbox, &store, &devices).await;
        assert!(matches!(begun[0], Err(StoreError::NotWritten)));

        let store = Store::open(folder.path(), None).await.unwrap();
        inbox.write(&store).await.unwrap();
        assert_eq!(link_states(&store).await, ["unknown"]);
    }

    #[tokio::test]
    async fn nodes_that_see_too_few_losses_each_find_the_outage_together() {
        let (_folder, store, devices) = with_stores(6).await;
        begin_all(&Inbox::default(), &store, &devices).await;
        let lose = |devices: &[Device]| {
            let end = |device: &Device| {
                let presence = presence::after(&presence::End::Broken, Utc::now()).unwrap();
                let ended = Ended { epoch: 1, presence, at: Utc::now(), heard_at: Utc::now() };
                Change::End(device.pos_server_id, ended)
            };
            devices.iter().map(end).collect::<Vec<_>>()
        };
        let (mut here, mut there) = (lose(&devices[..3]), lose(&devices[3..]));
        // Neither sees what the other is about to write.
        change::judge(&store, &mut here).await.unwrap();
        change::judge(&store, &mut there).await.unwrap();
        change::write_together(&store, &mut here).await.unwrap();
        change::review(&store).await.unwrap();
        change::write_together(&store, &mut there).await.unwrap();
        let causes =
            async || rows(&store).await.into_iter().map(|row| row.cause.unwrap()).collect::<Vec<_>>();
        assert_eq!(causes().await, ["connection_lost"; 6]);

        change::review(&store).await.unwrap();
        assert_eq!(causes().await, ["outage_nearby"; 6]);
    }

    #[tokio::test]
    async fn links_that_are_cut_all_at_once_are_written_as_one_outage() {
        const OUTLETS: usize = 2000;
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path(), None).await.unwrap();
        let mut file = "chain,outlet,crm_id,address,time_zone,pos_server\n".to_owned();
        for number in 0..OUTLETS {
            writeln!(file, "Chain {},{number},1,,Europe/Riga,Main", number % 20).unwrap();
        }
        admin::import_fleet(&store, file.as_bytes(), Utc::now()).await.unwrap();
        let tx = store.write().await.unwrap();
        let online = "UPDATE pos_servers SET link_state = 'online', session_epoch = 1";
        tx.execute_unprepared(online).await.unwrap();
        tx.commit().await.unwrap();
        let inbox = Inbox::default();
        let rows = pos_servers::Entity::find().all(&store.read().await.unwrap()).await.unwrap();
        for row in &rows {
            let presence = presence::after(&presence::End::Broken, Utc::now()).unwrap();
            let ended = Ended { epoch: 1, presence, at: Utc::now(), heard_at: Utc::now() };
            inbox.end(row.id.into(), ended);
        }
        inbox.write(&store).await.unwrap();

        let db = store.read().await.unwrap();
        for row in pos_servers::Entity::find().all(&db).await.unwrap() {
            assert_eq!(row.cause.as_deref(), Some("outage_nearby"));
            let params = &row.evidence[1]["params"];
            assert_eq!(*params, json!({"outlets": 100, "of": 100, "scope": "chain", "within_seconds": 60}));
        }
        let told = timeline::Entity::find().all(&db).await.unwrap();
        assert_eq!(told.len(), OUTLETS);
        assert!(told.iter().all(|told| told.code == "offline" && told.params["cause"] == "outage_nearby"));
    }
}
