//! From rows to statuses: the one place where columns become what the interface shows.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Expr, ExprTrait, Func, Order, Query, SelectStatement};
use serde::Deserialize;
use tillwatch_protocol::report::ExchangeError;
use tillwatch_protocol::rest::job::JobRef;
use tillwatch_protocol::rest::outlet::{ChainRef, OutletRef};
use tillwatch_protocol::rest::pos_server::{
    Behind, Confidence, Database, Evidence, Exchange, Link, LinkState, OfflineCause, Pos, PosState, Status,
};
use uuid::Uuid;

use crate::domain::pos_server::{highlight, update_required};
use crate::store::entity::{chains, loyalty_changes, outlets, pos_servers};
use crate::store::packed::Packed;
use crate::store::{StoreError, job};

/// What a status is made of.
#[derive(Debug, Deserialize)]
struct Row {
    id: Uuid,
    name: String,
    revision: i64,
    chain_id: Uuid,
    outlet_id: Uuid,
    link_state: LinkState,
    link_since: Option<DateTime<Utc>>,
    last_seen_at: Option<DateTime<Utc>>,
    connector_version: Option<String>,
    cause: Option<OfflineCause>,
    confidence: Option<Confidence>,
    evidence: Vec<Evidence>,
    pos_state: PosState,
    pos_version: Option<String>,
    pos_version_key: Option<String>,
    version_updated_at: Option<DateTime<Utc>>,
    exchange_success_at: Option<DateTime<Utc>>,
    exchange_attempt_at: Option<DateTime<Utc>>,
    error_code: Option<String>,
    error_message: Option<String>,
    error_since: Option<DateTime<Utc>>,
    error_failures: Option<i64>,
    cursor: i64,
    generation: Option<i64>,
    db_created_at: Option<DateTime<Utc>>,
    db_size_bytes: Option<i64>,
    unsent_transactions: Option<i64>,
    last_report_at: Option<DateTime<Utc>>,
    outlet_name: String,
    crm_id: String,
    address: String,
    time_zone: String,
    chain_name: String,
    required_pos_version: Option<String>,
    required_version_key: Option<String>,
}

/// The columns of a [`Row`].
fn columns(db: &impl ConnectionTrait) -> Packed {
    use chains::Column as Chain;
    use outlets::Column as Outlet;
    use pos_servers::Column as Pos;
    Packed::on(db)
        .columns([Pos::Id, Pos::Name, Pos::Revision, Pos::ChainId, Pos::OutletId])
        .columns([Pos::LinkState, Pos::LinkSince, Pos::LastSeenAt, Pos::ConnectorVersion])
        .columns([Pos::Cause, Pos::Confidence, Pos::Evidence])
        .columns([Pos::PosState, Pos::PosVersion, Pos::PosVersionKey, Pos::VersionUpdatedAt])
        .columns([Pos::ExchangeSuccessAt, Pos::ExchangeAttemptAt])
        .columns([Pos::ErrorCode, Pos::ErrorMessage, Pos::ErrorSince, Pos::ErrorFailures])
        .columns([Pos::Cursor, Pos::Generation, Pos::DbCreatedAt, Pos::DbSizeBytes])
        .columns([Pos::UnsentTransactions, Pos::LastReportAt])
        .column_as(Outlet::Name, "outlet_name")
        .columns([Outlet::CrmId, Outlet::Address, Outlet::TimeZone])
        .column_as(Chain::Name, "chain_name")
        .columns([Chain::RequiredPosVersion, Chain::RequiredVersionKey])
}

/// Whole statuses of the rows of a query over [`super::joined`], in its order.
pub(super) async fn of_rows(
    db: &impl ConnectionTrait,
    query: SelectStatement,
) -> Result<Vec<Status>, StoreError> {
    let rows: Vec<Row> = columns(db).rows(db, query).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut active = job::active(db, &ids).await?;
    let mut behind: HashMap<(Uuid, i64), Behind> = HashMap::new();
    let heads = heads(db, rows.iter().map(|row| row.chain_id).collect()).await?;
    let mut statuses = Vec::with_capacity(rows.len());
    for row in rows {
        let position = (row.chain_id, row.cursor);
        let head = heads.get(&row.chain_id).copied().flatten();
        let at_head = head.is_none_or(|head| row.cursor >= head);
        let behind = match behind.get(&position) {
            Some(known) => known.clone(),
            None if at_head => Behind::default(),
            None => behind.entry(position).or_insert(behind_of(db, row.chain_id, row.cursor).await?).clone(),
        };
        let jobs = active.remove(&row.id).unwrap_or_default();
        statuses.push(status(row, behind, jobs));
    }
    Ok(statuses)
}

/// The last change of each of the chains; none for a chain without any.
async fn heads(
    db: &impl ConnectionTrait,
    chain_ids: BTreeSet<Uuid>,
) -> Result<HashMap<Uuid, Option<i64>>, StoreError> {
    use loyalty_changes::Column::{ChainId, Seq};
    let chain_id = || Expr::col((chains::Entity, chains::Column::Id));
    // One look into the index a chain, however many changes there are.
    let last = Query::select()
        .expr(Func::max(Expr::col(Seq)))
        .from(loyalty_changes::Entity)
        .and_where(Expr::col((loyalty_changes::Entity, ChainId)).eq(chain_id()))
        .take();
    let mut query = Query::select();
    query
        .expr_as(chain_id(), "chain_id")
        .expr_as(Expr::SubQuery(None, Box::new(last.into())), "head")
        .from(chains::Entity)
        .and_where(chain_id().is_in(chain_ids));
    let rows = db.query_all(&query).await?;
    rows.iter().map(|row| Ok((row.try_get("", "chain_id")?, row.try_get("", "head")?))).collect()
}

/// What a POS server at a cursor has not taken yet.
async fn behind_of(db: &impl ConnectionTrait, chain: Uuid, cursor: i64) -> Result<Behind, StoreError> {
    use loyalty_changes::Column::{ChainId, CreatedAt, Seq};
    let beyond = |query: &mut SelectStatement| {
        query
            .from(loyalty_changes::Entity)
            .and_where(Expr::col(ChainId).eq(chain))
            .and_where(Expr::col(Seq).gt(cursor));
    };
    // The first of them is the oldest; a minimum would read every row where counting reads the index alone.
    let mut oldest = Query::select();
    beyond(oldest.column(CreatedAt).order_by(Seq, Order::Asc).limit(1));
    let mut query = Query::select();
    query
        .expr_as(Func::count(Expr::col(Seq)), "changes")
        .expr_as(Expr::SubQuery(None, Box::new(oldest.into())), "oldest_at");
    beyond(&mut query);
    let Some(row) = db.query_one(&query).await? else { return Ok(Behind::default()) };
    let changes: i64 = row.try_get("", "changes")?;
    Ok(Behind { changes: changes.unsigned_abs(), oldest_at: row.try_get("", "oldest_at")? })
}

fn status(row: Row, behind: Behind, active_jobs: Vec<JobRef>) -> Status {
    let update_required =
        update_required(row.pos_version_key.as_deref(), row.required_version_key.as_deref());
    let error = match (row.error_code, row.error_since) {
        (Some(code), Some(since)) => Some(ExchangeError {
            code,
            message: row.error_message.unwrap_or_default(),
            since,
            consecutive_failures: row.error_failures.map_or(1, i64::unsigned_abs),
        }),
        _ => None,
    };
    Status {
        id: row.id.into(),
        name: row.name,
        revision: row.revision,
        chain: ChainRef { id: row.chain_id.into(), name: row.chain_name },
        outlet: OutletRef {
            id: row.outlet_id.into(),
            name: row.outlet_name,
            crm_id: row.crm_id,
            address: row.address,
            time_zone: row.time_zone,
        },
        link: Link {
            state: row.link_state,
            since: row.link_since,
            last_seen_at: row.last_seen_at,
            connector_version: row.connector_version,
            cause: row.cause,
            confidence: row.confidence,
            evidence: row.evidence,
        },
        pos: Pos {
            state: row.pos_state,
            version: row.pos_version,
            version_updated_at: row.version_updated_at,
            required_version: row.required_pos_version,
            update_required,
        },
        highlight: highlight(error.is_some(), update_required),
        exchange: Exchange {
            last_success_at: row.exchange_success_at,
            last_attempt_at: row.exchange_attempt_at,
            error,
            behind,
        },
        database: Database {
            generation: row.generation,
            created_at: row.db_created_at,
            size_bytes: row.db_size_bytes.map(i64::unsigned_abs),
            unsent_transactions: row.unsent_transactions.map(i64::unsigned_abs),
        },
        last_report_at: row.last_report_at,
        active_jobs,
    }
}
