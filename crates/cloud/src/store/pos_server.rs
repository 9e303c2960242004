//! Reading the statuses of POS servers, always through the eyes of a viewer.

mod columns;
mod index;
pub(crate) mod keep;
pub(crate) mod sort;
mod status;
pub(crate) mod texts;

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, ExprTrait, Order, Query, SelectStatement};
use sea_orm::{Condition, ConnectionTrait, EntityTrait, FromQueryResult};
use tillwatch_protocol::ids::{ChainId, OutletId, PosServerId};
use tillwatch_protocol::rest::pos_server::Status;
use tillwatch_protocol::rest::session::Permission;
use uuid::Uuid;

use super::entity::{chains, outlets, pos_servers, removals};
use super::{StoreError, grant};
use crate::domain::permission::Viewer;

use pos_servers::Column as Pos;

pub(crate) use index::Index;

/// How many ids one statement names.
const CHUNK: usize = 500;

/// A column of POS servers, in a query that joins other tables.
fn pos(column: Pos) -> Expr {
    Expr::col((pos_servers::Entity, column))
}

/// Where the viewer has a permission: a condition on [`pos_servers`].
pub(crate) fn visible(viewer: Viewer, permission: Permission) -> Condition {
    Condition::all().add(grant::granted(
        viewer,
        permission,
        ("pos_servers", "chain_id"),
        ("pos_servers", "outlet_id"),
    ))
}

/// Which statuses a list holds.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) viewer: Viewer,
    pub(crate) chain_id: Option<ChainId>,
    pub(crate) outlet_id: Option<OutletId>,
    /// Only those whose last report is of then or later.
    pub(crate) reported_since: Option<DateTime<Utc>>,
    /// Only those with something wrong.
    pub(crate) problems_only: bool,
    /// Only those with a text that contains this one, in any case.
    pub(crate) q: Option<String>,
}

/// Statuses of these POS servers, in the order of the ids.
async fn of_ids(db: &impl ConnectionTrait, viewer: Viewer, ids: &[Uuid]) -> Result<Vec<Status>, StoreError> {
    let mut statuses = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        let mut query = seen(viewer);
        query.and_where(pos(Pos::Id).is_in(chunk.iter().copied()));
        statuses.extend(status::of_rows(db, query).await?.into_iter().map(|status| (status.id, status)));
    }
    Ok(ids.iter().filter_map(|id| statuses.remove(&PosServerId(*id))).collect())
}

/// POS servers that went after `since`.
async fn removed_ids_since(db: &impl ConnectionTrait, since: i64) -> Result<HashSet<Uuid>, StoreError> {
    let mut query = Query::select();
    query
        .column(removals::Column::PosServerId)
        .from(removals::Entity)
        .and_where(Expr::col(removals::Column::Revision).gt(since));
    let rows = db.query_all(&query).await?;
    Ok(rows.iter().map(|row| row.try_get("", "pos_server_id")).collect::<Result<_, _>>()?)
}

/// The status of one POS server.
pub(crate) async fn get(
    db: &impl ConnectionTrait,
    viewer: Viewer,
    id: PosServerId,
) -> Result<Option<Status>, StoreError> {
    let mut query = seen(viewer);
    query.and_where(pos(Pos::Id).eq(id.0));
    Ok(status::of_rows(db, query).await?.pop())
}

/// The POS servers that an id or a name means.
pub(crate) async fn named(db: &impl ConnectionTrait, text: &str) -> Result<Vec<PosServerId>, StoreError> {
    let mut query = Query::select();
    let names = match text.parse::<Uuid>() {
        Ok(id) => pos(Pos::Id).eq(id).or(pos(Pos::Name).eq(text)),
        Err(_) => pos(Pos::Name).eq(text),
    };
    // Two are as good as all: many outlets call theirs the same.
    query.column(Pos::Id).from(pos_servers::Entity).and_where(names).limit(2);
    let rows = db.query_all(&query).await?;
    rows.iter().map(|row| Ok(row.try_get::<Uuid>("", "id")?.into())).collect()
}

/// Whether a viewer has a permission for a POS server.
pub(crate) async fn is_visible(
    db: &impl ConnectionTrait,
    viewer: Viewer,
    permission: Permission,
    id: PosServerId,
) -> Result<bool, StoreError> {
    let mut query = Query::select();
    query
        .expr(Expr::val(1))
        .from(pos_servers::Entity)
        .and_where(pos(Pos::Id).eq(id.0))
        .cond_where(visible(viewer, permission));
    Ok(db.query_one(&query).await?.is_some())
}

/// What is known of a POS server, for who may know it.
pub(crate) async fn row(
    db: &impl ConnectionTrait,
    id: PosServerId,
) -> Result<Option<pos_servers::Model>, StoreError> {
    Ok(pos_servers::Entity::find_by_id(id.0).one(db).await?)
}

/// Statuses that changed after `since`, in the order of their last change.
pub(crate) async fn changed_since(
    db: &impl ConnectionTrait,
    viewer: Viewer,
    since: i64,
    limit: u64,
) -> Result<Vec<Status>, StoreError> {
    let mut query = seen(viewer);
    query
        .and_where(pos(Pos::Revision).gt(since))
        .order_by((pos_servers::Entity, Pos::Revision), Order::Asc)
        .limit(limit);
    status::of_rows(db, query).await
}

/// POS servers that went after `since`, with the revision of each.
pub(crate) async fn removed_since(
    db: &impl ConnectionTrait,
    viewer: Viewer,
    since: i64,
    limit: u64,
) -> Result<Vec<(i64, PosServerId)>, StoreError> {
    let visible =
        grant::granted(viewer, Permission::OutletSetup, ("removals", "chain_id"), ("removals", "outlet_id"));
    let mut query = Query::select();
    query
        .columns([removals::Column::PosServerId, removals::Column::OutletId])
        .columns([removals::Column::ChainId, removals::Column::Revision])
        .from(removals::Entity)
        .and_where(Expr::col(removals::Column::Revision).gt(since))
        .and_where(visible)
        .order_by(removals::Column::Revision, Order::Asc)
        .limit(limit);
    let rows = db.query_all(&query).await?;
    rows.iter()
        .map(|row| {
            let row = removals::Model::from_query_result(row, "")?;
            Ok((row.revision, row.pos_server_id.into()))
        })
        .collect()
}

/// Whether a viewer sees anything of a chain; an admin sees empty ones too.
pub(crate) async fn chain_is_visible(
    db: &impl ConnectionTrait,
    viewer: Viewer,
    id: ChainId,
) -> Result<bool, StoreError> {
    let mut query = Query::select();
    query.expr(Expr::val(1)).limit(1);
    if viewer.admin {
        query.from(chains::Entity).and_where(Expr::col(chains::Column::Id).eq(id.0));
    } else {
        query
            .from(outlets::Entity)
            .and_where(Expr::col((outlets::Entity, outlets::Column::ChainId)).eq(id.0))
            .and_where(super::outlet::visible(viewer));
    }
    Ok(db.query_one(&query).await?.is_some())
}

/// POS servers that the viewer sees, with what [`joined`] adds.
fn seen(viewer: Viewer) -> SelectStatement {
    let mut query = joined();
    query.cond_where(visible(viewer, Permission::OutletSetup));
    query
}

/// POS servers with their outlets and chains; what is selected of them comes besides.
fn joined() -> SelectStatement {
    let outlet = Expr::col((outlets::Entity, outlets::Column::Id));
    let chain = Expr::col((chains::Entity, chains::Column::Id));
    let mut query = Query::select();
    query
        .from(pos_servers::Entity)
        .inner_join(outlets::Entity, outlet.equals((pos_servers::Entity, Pos::OutletId)))
        .inner_join(chains::Entity, chain.equals((pos_servers::Entity, Pos::ChainId)));
    query
}
