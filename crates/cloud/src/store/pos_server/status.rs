//! From rows to statuses: the one place where columns become what the interface shows.

use std::collections::{BTreeSet, HashMap};

use sea_orm::sea_query::{Expr, ExprTrait, Func, Order, Query, SelectStatement};
use sea_orm::{ConnectionTrait, FromQueryResult, QueryResult};
use tillwatch_protocol::report::ExchangeError;
use tillwatch_protocol::rest::job::JobRef;
use tillwatch_protocol::rest::outlet::{ChainRef, OutletRef};
use tillwatch_protocol::rest::pos_server::{Behind, Database, Exchange, Link, Pos, Status};
use uuid::Uuid;

use crate::domain::pos_server::{highlight, update_required};
use crate::store::entity::{chains, loyalty_changes, pos_servers};
use crate::store::{StoreError, from_text, job};

/// What the joins add to a POS server's own columns.
#[derive(Debug, FromQueryResult)]
struct Joined {
    outlet_name: String,
    crm_id: String,
    address: String,
    time_zone: String,
    chain_name: String,
    required_pos_version: Option<String>,
    required_version_key: Option<String>,
}

/// Whole statuses of rows, in the same order.
pub(super) async fn of_rows(
    db: &impl ConnectionTrait,
    rows: Vec<QueryResult>,
) -> Result<Vec<Status>, StoreError> {
    let rows: Vec<(pos_servers::Model, Joined)> = rows
        .iter()
        .map(|row| Ok((pos_servers::Model::from_query_result(row, "")?, Joined::from_query_result(row, "")?)))
        .collect::<Result<_, StoreError>>()?;
    let ids: Vec<Uuid> = rows.iter().map(|(row, _)| row.id).collect();
    let mut active = job::active(db, &ids).await?;
    let mut behind: HashMap<(Uuid, i64), Behind> = HashMap::new();
    let heads = heads(db, rows.iter().map(|(row, _)| row.chain_id).collect()).await?;
    let mut statuses = Vec::with_capacity(rows.len());
    for (row, joined) in rows {
        let position = (row.chain_id, row.cursor);
        let head = heads.get(&row.chain_id).copied().flatten();
        let at_head = head.is_none_or(|head| row.cursor >= head);
        let behind = match behind.get(&position) {
            Some(known) => known.clone(),
            None if at_head => Behind::default(),
            None => behind.entry(position).or_insert(behind_of(db, row.chain_id, row.cursor).await?).clone(),
        };
        let jobs = active.remove(&row.id).unwrap_or_default();
        statuses.push(status(row, joined, behind, jobs)?);
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

fn status(
    row: pos_servers::Model,
    joined: Joined,
    behind: Behind,
    active_jobs: Vec<JobRef>,
) -> Result<Status, StoreError> {
    let update_required =
        update_required(row.pos_version_key.as_deref(), joined.required_version_key.as_deref());
    let error = match (row.error_code, row.error_since) {
        (Some(code), Some(since)) => Some(ExchangeError {
            code,
            message: row.error_message.unwrap_or_default(),
            since,
            consecutive_failures: row.error_failures.map_or(1, i64::unsigned_abs),
        }),
        _ => None,
    };
    Ok(Status {
        id: row.id.into(),
        name: row.name,
        revision: row.revision,
        chain: ChainRef { id: row.chain_id.into(), name: joined.chain_name },
        outlet: OutletRef {
            id: row.outlet_id.into(),
            name: joined.outlet_name,
            crm_id: joined.crm_id,
            address: joined.address,
            time_zone: joined.time_zone,
        },
        link: Link {
            state: from_text(&row.link_state)?,
            since: row.link_since,
            last_seen_at: row.last_seen_at,
            connector_version: row.connector_version,
            cause: row.cause.as_deref().map(from_text).transpose()?,
            confidence: row.confidence.as_deref().map(from_text).transpose()?,
            evidence: serde_json::from_value(row.evidence)
                .map_err(|_| StoreError::Damaged("evidence".into()))?,
        },
        pos: Pos {
            state: from_text(&row.pos_state)?,
            version: row.pos_version,
            version_updated_at: row.version_updated_at,
            required_version: joined.required_pos_version,
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
    })
}
