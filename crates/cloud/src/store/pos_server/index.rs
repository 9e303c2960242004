//! What the list of statuses is filtered and ordered by, held in memory: any filter, any order and the
//! deepest page cost one pass over compact rows, where the database would need an index for each combination.
//!
//! The database holds the truth. A view is of one moment of it: before anything is looked for, the rows are
//! brought to the revision that the view's own snapshot has, and only what changed since is read. That every
//! change of a status raises its revision is what makes this sound.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use memchr::memmem::Finder;
use sea_orm::{ConnectionTrait, DatabaseTransaction, ExprTrait};
use serde::Deserialize;
use tillwatch_protocol::rest::pos_server::{LinkState, PosState, Status};
use tillwatch_protocol::rest::session::Permission;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use uuid::Uuid;

use super::Filter;
use super::columns::{self, Columns, Ordered};
use super::sort::{Key, Position, Sort, SortKey};
use crate::domain::permission::Viewer;
use crate::domain::pos_server::{fold, update_required};
use crate::store::entity::{chains, outlets, pos_servers};
use crate::store::grant::{self, Scope};
use crate::store::packed::Packed;
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
    /// What they are ordered by, at the same places.
    columns: Columns,
}

/// What a POS server is filtered by.
#[derive(Debug)]
struct Row {
    id: Uuid,
    chain_id: Uuid,
    outlet_id: Uuid,
    /// Whether there is something to see to.
    problem: bool,
    /// Every text that `q` looks into, folded, one a line.
    texts: Box<str>,
}

/// What rows are made of.
#[derive(Debug, Deserialize)]
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
            *self = Self::default();
        }
        let known = self.sorted.len();
        for loaded in Loaded::since(db, since).await? {
            let place = self.sorted[..known].binary_search_by_key(&loaded.id, |row| row.id);
            let place = place.unwrap_or(self.sorted.len());
            self.columns.set(place, |key| loaded.key(key));
            let row = loaded.row();
            match self.sorted.get_mut(place) {
                Some(old) => *old = row,
                None => self.sorted.push(row),
            }
        }
        let removed = super::removed_ids_since(db, since).await?;
        if self.sorted.len() > known || !removed.is_empty() {
            self.put_in_order(&removed);
        }
        self.columns.settle();
        self.revision = Some(revision);
        Ok(())
    }

    /// Leaves the removed rows out, and brings the others into the order of their ids.
    fn put_in_order(&mut self, removed: &HashSet<Uuid>) {
        let mut rows: Vec<(usize, Row)> = std::mem::take(&mut self.sorted).into_iter().enumerate().collect();
        rows.retain(|(_, row)| !removed.contains(&row.id));
        rows.sort_by_key(|(_, row)| row.id);
        let (places, sorted): (Vec<usize>, _) = rows.into_iter().unzip();
        self.sorted = sorted;
        self.columns.pick(&places);
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
        let since = filter.reported_since.map(columns::from_time);
        let reports = self.columns.of(SortKey::LastReportAt);
        let order: Vec<Ordered<'_>> = sort.iter().map(|sort| Ordered::of(&self.columns, *sort)).collect();
        // Rows lie in the order of their ids, so that places break ties as ids do.
        let compare = |one: usize, other: usize| {
            let mut columns = order.iter().map(|column| column.value(one).cmp(&column.value(other)));
            columns.find(|order| order.is_ne()).unwrap_or_else(|| one.cmp(&other))
        };
        let after = after.map(|after| {
            let values: Vec<u64> =
                order.iter().zip(&after.held).map(|(column, held)| column.value_of(held)).collect();
            (values, self.sorted.partition_point(|row| row.id <= after.id))
        });
        let comes_after = |place: usize| {
            after.as_ref().is_none_or(|(values, first)| {
                let mut columns =
                    order.iter().zip(values).map(|(column, value)| column.value(place).cmp(value));
                columns.find(|order| order.is_ne()).map_or(place >= *first, Ordering::is_gt)
            })
        };
        let matches = |place: &usize| {
            let row = &self.sorted[*place];
            filter.chain_id.is_none_or(|id| row.chain_id == id.0)
                && filter.outlet_id.is_none_or(|id| row.outlet_id == id.0)
                && (!filter.problems_only || row.problem)
                && since.is_none_or(|since| reports.is_from(*place, since))
                && seen.sees(row)
                && comes_after(*place)
                && text.as_ref().is_none_or(|text| text.find(row.texts.as_bytes()).is_some())
        };
        let start = after.as_ref().filter(|_| sort.is_empty()).map_or(0, |(_, first)| *first);
        let matching = (start..self.sorted.len()).filter(matches);
        let mut places = if sort.is_empty() {
            matching.take(limit + 1).collect()
        } else {
            first(matching, limit + 1, compare)
        };
        let more = places.len() > limit;
        places.truncate(limit);
        let next = places.last().filter(|_| more).map(|place| Position {
            held: order.iter().map(|column| column.held(*place)).collect(),
            id: self.sorted[*place].id,
        });
        (places.into_iter().map(|place| self.sorted[place].id).collect(), next)
    }
}

/// The first `count` of the places by an order, in that order: as many again are gathered before those that
/// are too late are thrown out, so that nearly every place costs one comparison.
fn first(
    places: impl Iterator<Item = usize>,
    count: usize,
    order: impl Fn(usize, usize) -> Ordering,
) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::with_capacity(2 * count);
    let mut last: Option<usize> = None;
    for place in places {
        if last.is_some_and(|last| order(place, last).is_gt()) {
            continue;
        }
        kept.push(place);
        if kept.len() == 2 * count {
            kept.select_nth_unstable_by(count - 1, |one, other| order(*one, *other));
            kept.truncate(count);
            last = kept.last().copied();
        }
    }
    kept.sort_unstable_by(|one, other| order(*one, *other));
    kept.truncate(count);
    kept
}

impl Loaded {
    /// POS servers that changed after a revision, whoever may see them.
    async fn since(db: &impl ConnectionTrait, revision: i64) -> Result<Vec<Self>, StoreError> {
        use chains::Column as Chain;
        use outlets::Column as Outlet;
        use pos_servers::Column as Pos;
        let mut query = super::joined();
        query.and_where(super::pos(Pos::Revision).gt(revision));
        Packed::on(db)
            .columns([Pos::Id, Pos::ChainId, Pos::OutletId, Pos::Search, Pos::NameFolded])
            .column_as(Chain::NameFolded, "chain_folded")
            .column_as(Outlet::NameFolded, "outlet_folded")
            .columns([Outlet::CrmIdFolded, Outlet::AddressFolded, Outlet::TimeZone])
            .columns([Pos::LinkState, Pos::ConnectorVersion, Pos::ConnectorVersionKey, Pos::Cause])
            .columns([Pos::PosState, Pos::PosVersion, Pos::PosVersionKey])
            .columns([Chain::RequiredPosVersion, Chain::RequiredVersionKey])
            .columns([Pos::ErrorCode, Pos::ErrorMessage, Pos::LinkSince, Pos::LastSeenAt])
            .columns([Pos::VersionUpdatedAt, Pos::ExchangeSuccessAt, Pos::ExchangeAttemptAt])
            .columns([Pos::ErrorSince, Pos::DbCreatedAt, Pos::LastReportAt])
            .columns([Pos::Generation, Pos::DbSizeBytes, Pos::UnsentTransactions])
            .rows(db, query)
            .await
    }

    fn update_required(&self) -> bool {
        update_required(self.pos_version_key.as_deref(), self.required_version_key.as_deref())
    }

    /// What it is filtered by.
    fn row(self) -> Row {
        let healthy =
            self.link_state == to_text(&LinkState::Online) && self.pos_state == to_text(&PosState::Running);
        let problem = self.error_code.is_some() || self.update_required() || !healthy;
        let mut texts = self.search;
        let reported = [
            &self.pos_version,
            &self.connector_version,
            &self.required_pos_version,
            &self.error_code,
            &self.error_message,
        ];
        for text in reported.into_iter().flatten() {
            texts.push('\n');
            texts.push_str(&fold(text));
        }
        let Self { id, chain_id, outlet_id, .. } = self;
        Row { id, chain_id, outlet_id, problem, texts: texts.into() }
    }

    /// What it has for a key that lists are ordered by.
    fn key(&self, key: SortKey) -> Key<'_> {
        fn some(text: Option<&str>) -> Key<'_> {
            text.map_or(Key::Nothing, Key::Text)
        }
        let time = |time: Option<DateTime<Utc>>| time.map_or(Key::Nothing, Key::Time);
        let number = |number: Option<i64>| number.map_or(Key::Nothing, Key::Number);
        match key {
            SortKey::Name => Key::Text(&self.name_folded),
            SortKey::Chain => Key::Text(&self.chain_folded),
            SortKey::Outlet => Key::Text(&self.outlet_folded),
            SortKey::CrmId => Key::Text(&self.crm_id_folded),
            SortKey::Address => Key::Text(&self.address_folded),
            SortKey::TimeZone => Key::Text(&self.time_zone),
            SortKey::Link => Key::Text(&self.link_state),
            SortKey::LinkSince => time(self.link_since),
            SortKey::LastSeenAt => time(self.last_seen_at),
            SortKey::ConnectorVersion => some(self.connector_version_key.as_deref()),
            SortKey::Cause => some(self.cause.as_deref()),
            SortKey::PosState => Key::Text(&self.pos_state),
            SortKey::PosVersion => some(self.pos_version_key.as_deref()),
            SortKey::RequiredVersion => some(self.required_version_key.as_deref()),
            SortKey::VersionUpdatedAt => time(self.version_updated_at),
            SortKey::LastExchangeAt => time(self.exchange_success_at),
            SortKey::LastAttemptAt => time(self.exchange_attempt_at),
            SortKey::Error => some(self.error_code.as_deref()),
            SortKey::ErrorSince => time(self.error_since),
            SortKey::Generation => number(self.generation),
            SortKey::DatabaseCreatedAt => time(self.db_created_at),
            SortKey::DatabaseSizeBytes => number(self.db_size_bytes),
            SortKey::UnsentTransactions => number(self.unsent_transactions),
            SortKey::LastReportAt => time(self.last_report_at),
            SortKey::Highlight if self.error_code.is_some() => Key::Number(2),
            SortKey::Highlight => Key::Number(i64::from(self.update_required())),
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
