//! Reading the statuses of POS servers, always through the eyes of a viewer.

pub(crate) mod keep;
pub(crate) mod sort;
mod status;
pub(crate) mod texts;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, ExprTrait, Func, LikeExpr, Order, Query, SelectStatement, SimpleExpr};
use sea_orm::{Condition, ConnectionTrait, FromQueryResult, Iterable};
use tillwatch_protocol::ids::{ChainId, OutletId, PosServerId};
use tillwatch_protocol::rest::pos_server::{LinkState, PosState, Status};
use tillwatch_protocol::rest::session::Permission;

use super::entity::{chains, outlets, pos_servers, removals};
use super::{StoreError, grant, to_text};
use crate::domain::permission::Viewer;
use crate::domain::pos_server::fold;
use sort::{Position, Sort};

use pos_servers::Column as Pos;

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

/// One page of statuses in the given order, and where the next one begins.
pub(crate) async fn page(
    db: &impl ConnectionTrait,
    filter: &Filter,
    sort: &[Sort],
    after: Option<&Position>,
    limit: u64,
) -> Result<(Vec<Status>, Option<Position>), StoreError> {
    let mut query = statuses(filter.viewer);
    query.cond_where(conditions(filter));
    sort::apply(&mut query, sort, after);
    query.limit(limit + 1);
    let mut rows = db.query_all(&query).await?;
    let more = rows.len() as u64 > limit;
    rows.truncate(limit as usize);
    let next = match rows.last() {
        Some(last) if more => Some(Position::of(last, sort)?),
        _ => None,
    };
    Ok((status::of_rows(db, rows).await?, next))
}

/// The status of one POS server.
pub(crate) async fn get(
    db: &impl ConnectionTrait,
    viewer: Viewer,
    id: PosServerId,
) -> Result<Option<Status>, StoreError> {
    let mut query = statuses(viewer);
    query.and_where(pos(Pos::Id).eq(id.0));
    let rows = db.query_all(&query).await?;
    Ok(status::of_rows(db, rows).await?.pop())
}

/// Statuses that changed after `since`, in the order of their last change.
pub(crate) async fn changed_since(
    db: &impl ConnectionTrait,
    viewer: Viewer,
    since: i64,
    limit: u64,
) -> Result<Vec<Status>, StoreError> {
    let mut query = statuses(viewer);
    query
        .and_where(pos(Pos::Revision).gt(since))
        .order_by((pos_servers::Entity, Pos::Revision), Order::Asc)
        .limit(limit);
    let rows = db.query_all(&query).await?;
    status::of_rows(db, rows).await
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

/// Rows of what a status is made of. See [`status`] for the names.
fn statuses(viewer: Viewer) -> SelectStatement {
    let outlet = |column: outlets::Column| Expr::col((outlets::Entity, column));
    let chain = |column: chains::Column| Expr::col((chains::Entity, column));
    let mut query = Query::select();
    for column in Pos::iter() {
        query.column((pos_servers::Entity, column));
    }
    query
        .expr_as(outlet(outlets::Column::Name), "outlet_name")
        .expr_as(outlet(outlets::Column::CrmId), "crm_id")
        .expr_as(outlet(outlets::Column::Address), "address")
        .expr_as(outlet(outlets::Column::TimeZone), "time_zone")
        .expr_as(chain(chains::Column::Name), "chain_name")
        .expr_as(chain(chains::Column::RequiredPosVersion), "required_pos_version")
        .expr_as(chain(chains::Column::RequiredVersionKey), "required_version_key")
        .from(pos_servers::Entity)
        .inner_join(outlets::Entity, outlet(outlets::Column::Id).equals((pos_servers::Entity, Pos::OutletId)))
        .inner_join(chains::Entity, chain(chains::Column::Id).equals((pos_servers::Entity, Pos::ChainId)))
        .cond_where(visible(viewer, Permission::OutletSetup));
    query
}

fn conditions(filter: &Filter) -> Condition {
    let problems = || {
        Condition::any()
            .add(pos(Pos::ErrorCode).is_not_null())
            .add(update_required())
            .add(pos(Pos::LinkState).ne(to_text(&LinkState::Online)))
            .add(pos(Pos::PosState).ne(to_text(&PosState::Running)))
    };
    Condition::all()
        .add_option(filter.chain_id.map(|id| pos(Pos::ChainId).eq(id.0)))
        .add_option(filter.outlet_id.map(|id| pos(Pos::OutletId).eq(id.0)))
        .add_option(filter.reported_since.map(|since| pos(Pos::LastReportAt).gte(since)))
        .add_option(filter.problems_only.then(problems))
        .add_option(filter.q.as_deref().map(contains))
}

/// The rule of [`crate::domain::pos_server::update_required`], for the database.
fn update_required() -> SimpleExpr {
    pos(Pos::PosVersionKey).lt(Expr::col((chains::Entity, chains::Column::RequiredVersionKey)))
}

/// Any text of the row contains `q`. Fixed texts are folded by us for every language. What stores report
/// is folded by the database: ASCII in SQLite, which is enough for versions and codes; a message in
/// another alphabet is found as it is written.
fn contains(q: &str) -> Condition {
    let pattern = |text: &str| {
        let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        LikeExpr::new(format!("%{escaped}%")).escape('\\')
    };
    let folded = fold(q);
    let reported = [Pos::PosVersion, Pos::ConnectorVersion, Pos::ErrorCode, Pos::ErrorMessage];
    let mut any = Condition::any()
        .add(pos(Pos::Search).like(pattern(&folded)))
        .add(Expr::col((chains::Entity, chains::Column::RequiredPosVersion)).like(pattern(q)))
        .add(pos(Pos::ErrorMessage).like(pattern(q)));
    for column in reported {
        any = any.add(Expr::expr(Func::lower(pos(column))).like(pattern(&folded)));
    }
    any
}
