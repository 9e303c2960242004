//! What the list of statuses is filtered and ordered by, held in memory: any filter, any order and the
//! deepest page cost one pass over compact rows, where the database would need an index for each combination.
//!
//! The database holds the truth. A view is of one moment of it: before anything is looked for, the rows are
//! brought to the revision that the view's own snapshot has, and only what changed since is read. That every
//! change of a status raises its revision is what makes this sound.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use memchr::memmem::Finder;
use sea_orm::{ConnectionTrait, DatabaseTransaction, FromQueryResult};
use tillwatch_protocol::rest::pos_server::{LinkState, PosState, Status};
use tillwatch_protocol::rest::session::Permission;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use uuid::Uuid;

use super::sort::{Held, Key, Position, Sort, SortKey};
use super::{Filter, sort};
use crate::domain::permission::Viewer;
use crate::domain::pos_server::{fold, update_required};
use crate::store::grant::{self, Scope};
use crate::store::{Store, StoreError, revision_of, to_text};

/// The rows of this process. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    rows: Arc<RwLock<Rows>>,
}

/// The rows as they were at a revision.
#[derive(Debug, Default)]
struct Rows {
    /// None before the first load.
    revision: Option<i64>,
    /// In the order of their ids.
    sorted: Vec<Row>,
    /// Texts that many rows share.
    shared: HashSet<Arc<str>>,
}

/// What is kept of a POS server.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: Uuid,
    chain_id: Uuid,
    outlet_id: Uuid,
    /// Every text that `q` looks into, folded, one a line.
    texts: Box<str>,
    /// Whether there is something to see to.
    problem: bool,
    highlight: i64,
    name: Arc<str>,
    chain: Arc<str>,
    outlet: Box<str>,
    crm_id: Box<str>,
    address: Box<str>,
    time_zone: Arc<str>,
    link: Arc<str>,
    connector_version: Option<Arc<str>>,
    cause: Option<Arc<str>>,
    pos: Arc<str>,
    pos_version: Option<Arc<str>>,
    required_version: Option<Arc<str>>,
    error: Option<Arc<str>>,
    link_since: Option<DateTime<Utc>>,
    last_seen_at: Option<DateTime<Utc>>,
    version_updated_at: Option<DateTime<Utc>>,
    last_exchange_at: Option<DateTime<Utc>>,
    last_attempt_at: Option<DateTime<Utc>>,
    error_since: Option<DateTime<Utc>>,
    database_created_at: Option<DateTime<Utc>>,
    last_report_at: Option<DateTime<Utc>>,
    generation: Option<i64>,
    database_size_bytes: Option<i64>,
    unsent_transactions: Option<i64>,
}

/// The columns that a [`Row`] is made of, as [`super::statuses`] names them.
#[derive(Debug, FromQueryResult)]
struct Loaded {
    id: Uuid,
    chain_id: Uuid,
    outlet_id: Uuid,
    search: String,
    name_folded: String,
    chain_folded: String,
    outlet_folded: String,
    crm_id_folded: String,
    address_folded: String,
    time_zone: String,
    link_state: String,
    connector_version: Option<String>,
    connector_version_key: Option<String>,
    cause: Option<String>,
    pos_state: String,
    pos_version: Option<String>,
    pos_version_key: Option<String>,
    required_pos_version: Option<String>,
    required_version_key: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    link_since: Option<DateTime<Utc>>,
    last_seen_at: Option<DateTime<Utc>>,
    version_updated_at: Option<DateTime<Utc>>,
    exchange_success_at: Option<DateTime<Utc>>,
    exchange_attempt_at: Option<DateTime<Utc>>,
    error_since: Option<DateTime<Utc>>,
    db_created_at: Option<DateTime<Utc>>,
    last_report_at: Option<DateTime<Utc>>,
    generation: Option<i64>,
    db_size_bytes: Option<i64>,
    unsent_transactions: Option<i64>,
}

/// A moment: a snapshot of the database, and the rows as they are in it.
pub(crate) struct View {
    /// The snapshot.
    pub(crate) db: DatabaseTransaction,
    /// Its revision.
    pub(crate) revision: i64,
    rows: OwnedRwLockReadGuard<Rows>,
}

impl Index {
    /// The present moment.
    pub(crate) async fn view(&self, store: &Store) -> Result<View, StoreError> {
        loop {
            let rows = self.rows.clone().read_owned().await;
            let db = store.read().await?;
            let revision = revision_of(&db).await?;
            if rows.revision == Some(revision) {
                return Ok(View { db, revision, rows });
            }
            drop(rows);
            let mut rows = self.rows.clone().write_owned().await;
            // Another view may have gone further meanwhile.
            if rows.revision.is_none_or(|known| known < revision) {
                rows.catch_up(&db, revision).await?;
                return Ok(View { db, revision, rows: rows.downgrade() });
            }
        }
    }
}

impl View {
    /// One page of statuses in the given order, and where the next one begins.
    pub(crate) async fn page(
        self,
        filter: Filter,
        sort: Vec<Sort>,
        after: Option<Position>,
        limit: u64,
    ) -> Result<(Vec<Status>, Option<Position>), StoreError> {
        let Self { db, rows, .. } = self;
        let viewer = filter.viewer;
        let seen = Seen::by(&db, viewer).await?;
        // Some milliseconds of computing, which would hold up what else this thread serves.
        let found = tokio::task::spawn_blocking(move || {
            let (ids, next) = rows.find(&filter, &seen, &sort, after.as_ref(), limit as usize);
            drop(rows);
            (ids, next)
        });
        let (ids, next) = found.await.map_err(|_| StoreError::Damaged("a search".into()))?;
        Ok((super::of_ids(&db, viewer, &ids).await?, next))
    }
}

/// What a viewer sees.
enum Seen {
    All,
    Only { chains: HashSet<Uuid>, outlets: HashSet<Uuid> },
}

impl Seen {
    async fn by(db: &impl ConnectionTrait, viewer: Viewer) -> Result<Self, StoreError> {
        if viewer.admin {
            return Ok(Self::All);
        }
        let (mut chains, mut outlets) = (HashSet::new(), HashSet::new());
        for (scope, permission) in grant::of_user(db, viewer.user_id).await? {
            match scope {
                _ if permission != Permission::OutletSetup => {}
                Scope::All => return Ok(Self::All),
                Scope::Chain(id) => {
                    chains.insert(id.0);
                }
                Scope::Outlet(id) => {
                    outlets.insert(id.0);
                }
            }
        }
        Ok(Self::Only { chains, outlets })
    }

    fn sees(&self, row: &Row) -> bool {
        match self {
            Self::All => true,
            Self::Only { chains, outlets } => {
                chains.contains(&row.chain_id) || outlets.contains(&row.outlet_id)
            }
        }
    }
}

impl Rows {
    /// Reads what changed up to `revision`, which is that of the snapshot.
    async fn catch_up(&mut self, db: &impl ConnectionTrait, revision: i64) -> Result<(), StoreError> {
        let since = self.revision.unwrap_or(-1);
        // If this breaks off in between, everything is read anew.
        self.revision = None;
        if since < 0 {
            self.sorted.clear();
        }
        let mut new = Vec::new();
        for loaded in super::index_rows_since(db, since).await? {
            let row = self.row(Loaded::from_query_result(&loaded, "")?);
            match self.sorted.binary_search_by_key(&row.id, |row| row.id) {
                Ok(place) => self.sorted[place] = row,
                Err(_) => new.push(row),
            }
        }
        let removed = super::removed_ids_since(db, since).await?;
        if !removed.is_empty() {
            self.sorted.retain(|row| !removed.contains(&row.id));
            new.retain(|row| !removed.contains(&row.id));
        }
        if !new.is_empty() {
            self.sorted.append(&mut new);
            self.sorted.sort_unstable_by_key(|row| row.id);
        }
        self.shared.retain(|text| Arc::strong_count(text) > 1);
        self.revision = Some(revision);
        Ok(())
    }

    fn row(&mut self, row: Loaded) -> Row {
        let update_required =
            update_required(row.pos_version_key.as_deref(), row.required_version_key.as_deref());
        let healthy =
            row.link_state == to_text(&LinkState::Online) && row.pos_state == to_text(&PosState::Running);
        let mut texts = row.search;
        let reported = [
            &row.pos_version,
            &row.connector_version,
            &row.required_pos_version,
            &row.error_code,
            &row.error_message,
        ];
        for text in reported.into_iter().flatten() {
            texts.push('\n');
            texts.push_str(&fold(text));
        }
        Row {
            id: row.id,
            chain_id: row.chain_id,
            outlet_id: row.outlet_id,
            texts: texts.into(),
            problem: row.error_code.is_some() || update_required || !healthy,
            highlight: if row.error_code.is_some() { 2 } else { i64::from(update_required) },
            name: self.share(&row.name_folded),
            chain: self.share(&row.chain_folded),
            outlet: row.outlet_folded.into(),
            crm_id: row.crm_id_folded.into(),
            address: row.address_folded.into(),
            time_zone: self.share(&row.time_zone),
            link: self.share(&row.link_state),
            connector_version: self.share_some(row.connector_version_key.as_deref()),
            cause: self.share_some(row.cause.as_deref()),
            pos: self.share(&row.pos_state),
            pos_version: self.share_some(row.pos_version_key.as_deref()),
            required_version: self.share_some(row.required_version_key.as_deref()),
            error: self.share_some(row.error_code.as_deref()),
            link_since: row.link_since,
            last_seen_at: row.last_seen_at,
            version_updated_at: row.version_updated_at,
            last_exchange_at: row.exchange_success_at,
            last_attempt_at: row.exchange_attempt_at,
            error_since: row.error_since,
            database_created_at: row.db_created_at,
            last_report_at: row.last_report_at,
            generation: row.generation,
            database_size_bytes: row.db_size_bytes,
            unsent_transactions: row.unsent_transactions,
        }
    }

    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.shared.get(text) {
            return known.clone();
        }
        let text: Arc<str> = text.into();
        self.shared.insert(text.clone());
        text
    }

    fn share_some(&mut self, text: Option<&str>) -> Option<Arc<str>> {
        text.map(|text| self.share(text))
    }

    /// The ids of a page's rows in their order, and where the next page begins.
    fn find(
        &self,
        filter: &Filter,
        seen: &Seen,
        sort: &[Sort],
        after: Option<&Position>,
        limit: usize,
    ) -> (Vec<Uuid>, Option<Position>) {
        let folded = filter.q.as_deref().map(fold);
        let text = folded.as_deref().map(Finder::new);
        let matches = |row: &&Row| {
            filter.chain_id.is_none_or(|id| row.chain_id == id.0)
                && filter.outlet_id.is_none_or(|id| row.outlet_id == id.0)
                && (!filter.problems_only || row.problem)
                && filter.reported_since.is_none_or(|since| row.last_report_at.is_some_and(|at| at >= since))
                && seen.sees(row)
                && after.is_none_or(|after| sort::compare_to(row, after, sort).is_gt())
                && text.as_ref().is_none_or(|text| text.find(row.texts.as_bytes()).is_some())
        };
        // Rows lie in the order of their ids.
        let start = match after {
            Some(after) if sort.is_empty() => self.sorted.partition_point(|row| row.id <= after.id()),
            _ => 0,
        };
        let matching = self.sorted[start..].iter().filter(matches);
        let mut rows = if sort.is_empty() {
            matching.take(limit + 1).collect()
        } else {
            first(matching, limit + 1, |one, other| sort::compare(one, other, sort))
        };
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| Position::of(row, sort));
        (rows.into_iter().map(|row| row.id).collect(), next)
    }
}

/// The first `count` of the rows by an order, in that order: as many again are gathered before those that
/// are too late are thrown out, so that nearly every row costs one comparison.
fn first<'a>(
    rows: impl Iterator<Item = &'a Row>,
    count: usize,
    order: impl Fn(&Row, &Row) -> std::cmp::Ordering,
) -> Vec<&'a Row> {
    let mut kept: Vec<&Row> = Vec::with_capacity(2 * count);
    let mut last: Option<&Row> = None;
    for row in rows {
        if last.is_some_and(|last| order(row, last).is_gt()) {
            continue;
        }
        kept.push(row);
        if kept.len() == 2 * count {
            kept.select_nth_unstable_by(count - 1, |one, other| order(one, other));
            kept.truncate(count);
            last = kept.last().copied();
        }
    }
    kept.sort_unstable_by(|one, other| order(one, other));
    kept.truncate(count);
    kept
}

impl Row {
    /// What it holds in a column that lists are sorted by.
    pub(super) fn key(&self, key: SortKey) -> Key<'_> {
        fn some(text: Option<&Arc<str>>) -> Key<'_> {
            text.map_or(Key::Nothing, |text| Key::Text(text))
        }
        let time = |time: Option<DateTime<Utc>>| time.map_or(Key::Nothing, Key::Time);
        let number = |number: Option<i64>| number.map_or(Key::Nothing, Key::Number);
        match key {
            SortKey::Name => Key::Text(&self.name),
            SortKey::Chain => Key::Text(&self.chain),
            SortKey::Outlet => Key::Text(&self.outlet),
            SortKey::CrmId => Key::Text(&self.crm_id),
            SortKey::Address => Key::Text(&self.address),
            SortKey::TimeZone => Key::Text(&self.time_zone),
            SortKey::Link => Key::Text(&self.link),
            SortKey::LinkSince => time(self.link_since),
            SortKey::LastSeenAt => time(self.last_seen_at),
            SortKey::ConnectorVersion => some(self.connector_version.as_ref()),
            SortKey::Cause => some(self.cause.as_ref()),
            SortKey::PosState => Key::Text(&self.pos),
            SortKey::PosVersion => some(self.pos_version.as_ref()),
            SortKey::RequiredVersion => some(self.required_version.as_ref()),
            SortKey::VersionUpdatedAt => time(self.version_updated_at),
            SortKey::LastExchangeAt => time(self.last_exchange_at),
            SortKey::LastAttemptAt => time(self.last_attempt_at),
            SortKey::Error => some(self.error.as_ref()),
            SortKey::ErrorSince => time(self.error_since),
            SortKey::Generation => number(self.generation),
            SortKey::DatabaseCreatedAt => time(self.database_created_at),
            SortKey::DatabaseSizeBytes => number(self.database_size_bytes),
            SortKey::UnsentTransactions => number(self.unsent_transactions),
            SortKey::LastReportAt => time(self.last_report_at),
            SortKey::Highlight => Key::Number(self.highlight),
        }
    }

    /// The same, to be kept in a cursor.
    pub(super) fn held(&self, key: SortKey) -> Held {
        match self.key(key) {
            Key::Nothing => Held::Nothing,
            Key::Text(text) => Held::Text(text.to_owned()),
            Key::Number(number) => Held::Number(number),
            Key::Time(time) => Held::Time(time),
        }
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::{EntityTrait, Set};
    use tempfile::TempDir;
    use tillwatch_protocol::ids::UserId;

    use super::*;
    use crate::admin;
    use crate::store::entity::{pos_servers, removals};

    fn all() -> Filter {
        Filter {
            viewer: Viewer { user_id: UserId::new(), admin: true },
            chain_id: None,
            outlet_id: None,
            reported_since: None,
            problems_only: false,
            q: None,
        }
    }

    async fn names(index: &Index, store: &Store) -> Vec<String> {
        let sort = vec![Sort { key: SortKey::Outlet, descending: false }];
        let (statuses, _) = index.view(store).await.unwrap().page(all(), sort, None, 100).await.unwrap();
        statuses.into_iter().map(|status| status.outlet.name).collect()
    }

    #[tokio::test]
    async fn it_follows_what_comes_and_what_goes() {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path(), None).await.unwrap();
        let index = Index::default();
        let import = async |outlet: &str| {
            let line = format!("Pizza,{outlet},1,,Europe/Riga,Main\n");
            let file = format!("chain,outlet,crm_id,address,time_zone,pos_server\n{line}");
            admin::import_fleet(&store, file.as_bytes(), Utc::now()).await.unwrap().remove(0)
        };
        assert_eq!(names(&index, &store).await, [""; 0]);
        let first = import("Riga").await;
        import("Jelgava").await;
        assert_eq!(names(&index, &store).await, ["Jelgava", "Riga"]);

        let gone = first.pos_server_id.0;
        let mut tx = store.write().await.unwrap();
        let revision = tx.next_revision().await.unwrap();
        let row = pos_servers::Entity::find_by_id(gone).one(&*tx).await.unwrap().unwrap();
        pos_servers::Entity::delete_by_id(gone).exec(&*tx).await.unwrap();
        let removal = removals::ActiveModel {
            pos_server_id: Set(gone),
            outlet_id: Set(row.outlet_id),
            chain_id: Set(row.chain_id),
            revision: Set(revision),
        };
        removals::Entity::insert(removal).exec_without_returning(&*tx).await.unwrap();
        tx.commit().await.unwrap();
        import("Cesis").await;
        assert_eq!(names(&index, &store).await, ["Cesis", "Jelgava"]);
    }

    #[tokio::test]
    async fn after_a_catch_up_that_broke_off_everything_is_read_anew() {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path(), None).await.unwrap();
        let index = Index::default();
        let file = "chain,outlet,crm_id,address,time_zone,pos_server\nPizza,Riga,1,,Europe/Riga,Main\n";
        admin::import_fleet(&store, file.as_bytes(), Utc::now()).await.unwrap();
        assert_eq!(names(&index, &store).await, ["Riga"]);

        index.rows.write().await.revision = None;

        assert_eq!(names(&index, &store).await, ["Riga"]);
    }
}
