//! Timelines: written in the transactions of what they tell of, many stores at a time.
//!
//! [`Following`] compares statuses before and after a write; other entries are handed to [`append`]. Days that
//! are too old to be told are summed up by [`thin`].

mod following;
mod page;
mod thin;

use std::collections::HashMap;

use chrono::{DateTime, NaiveTime, Utc};
use sea_orm::sea_query::{Expr, ExprTrait, IntoIden, Query, TableRef, ValueTuple};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, Order, QueryFilter, QuerySelect, Set};
use serde_json::{Value, json};
use tillwatch_protocol::ids::PosServerId;
use tillwatch_protocol::rest::timeline::TimelineKind;
use uuid::Uuid;

use crate::domain::timeline::{Entry, How};
use crate::store::entity::{boots, timeline};
use crate::store::{StoreError, to_text};

pub(crate) use following::Following;
pub(crate) use page::{Cursor, Period, page};
pub(crate) use thin::thin;

use timeline::Column;

/// How many entries of a kind a store adds to one day. After that each takes the last one's place, so that
/// a link that flaps all day costs no more room than this and its timeline still ends with what is.
const PER_DAY: i64 = 50;
/// How many stores one statement names.
const CHUNK: usize = 500;
/// How many entries one statement adds at most: connections keep each size prepared.
const INSERTED: usize = 32;
/// How many earlier changes of a kind are not listed.
const SKIPPED: &str = "skipped";

/// Adds entries to the timelines of stores. `now` says which day is filled.
pub(crate) async fn append<C: ConnectionTrait>(
    tx: &C,
    entries: Vec<(PosServerId, Entry)>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut entries = entries;
    while !entries.is_empty() {
        let rest = entries.split_off(entries.len().min(CHUNK));
        append_chunk(tx, entries, now).await?;
        entries = rest;
    }
    Ok(())
}

async fn append_chunk<C: ConnectionTrait>(
    tx: &C,
    entries: Vec<(PosServerId, Entry)>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut ids: Vec<Uuid> = entries.iter().map(|(id, _)| id.0).collect();
    ids.dedup();
    let today = today(tx, &ids, now).await?;
    let doubtful: Vec<Uuid> =
        entries.iter().filter(|(_, entry)| entry.how == How::AddIfNew).map(|(id, _)| id.0).collect();
    let known = if doubtful.is_empty() { HashMap::new() } else { last_pos_codes(tx, &doubtful).await? };
    let mut rows = Vec::with_capacity(entries.len());
    let mut amendments = Vec::new();
    for (id, entry) in entries {
        let mut params = entry.params;
        match entry.how {
            How::Amend => {
                amendments.push(Amendment { id, since: entry.at, params: json!(params) });
                continue;
            }
            How::AddIfNew if known.get(&id.0) == Some(&entry.code) => continue,
            How::Add | How::AddIfNew => {}
        }
        let kind = to_text(&entry.kind);
        if let Some(Day { count, last }) = today.get(&(id.0, kind.clone()))
            && *count >= PER_DAY
            && let Some(last) = timeline::Entity::find_by_id(*last).one(tx).await?
        {
            let skipped = last.params.get(SKIPPED).and_then(Value::as_i64).unwrap_or(0);
            params.insert(SKIPPED.into(), json!(skipped + 1));
            timeline::Entity::delete_by_id(last.id).exec(tx).await?;
        }
        rows.push(timeline::ActiveModel {
            pos_server_id: Set(id.0),
            at: Set(entry.at),
            kind: Set(kind),
            code: Set(entry.code),
            params: Set(Value::Object(params)),
            ..Default::default()
        });
    }
    amend(tx, amendments).await?;
    while !rows.is_empty() {
        let later = rows.split_off(rows.len().min(INSERTED));
        timeline::Entity::insert_many(rows).exec_without_returning(tx).await?;
        rows = later;
    }
    Ok(())
}

/// What a day holds of a kind.
struct Day {
    count: i64,
    /// The entry that was written last.
    last: i64,
}

async fn today<C: ConnectionTrait>(
    tx: &C,
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<HashMap<(Uuid, String), Day>, StoreError> {
    let midnight = now.with_time(NaiveTime::MIN).single().unwrap_or(now);
    let rows: Vec<(Uuid, String, i64, i64)> = timeline::Entity::find()
        .select_only()
        .columns([Column::PosServerId, Column::Kind])
        .column_as(Column::Id.count(), "entries")
        .column_as(Column::Id.max(), "last")
        .filter(Column::PosServerId.is_in(ids.iter().copied()))
        .filter(Column::Kind.ne(to_text(&TimelineKind::Day)))
        .filter(Column::At.gte(midnight))
        .group_by(Column::PosServerId)
        .group_by(Column::Kind)
        .into_tuple()
        .all(tx)
        .await?;
    Ok(rows.into_iter().map(|(id, kind, count, last)| ((id, kind), Day { count, last })).collect())
}

/// What each timeline last told of its POS server.
async fn last_pos_codes<C: ConnectionTrait>(
    tx: &C,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, String>, StoreError> {
    use crate::store::entity::pos_servers;
    let store = Expr::col((pos_servers::Entity, pos_servers::Column::Id));
    let last = Query::select()
        .column(Column::Code)
        .from(timeline::Entity)
        .and_where(Expr::col((timeline::Entity, Column::PosServerId)).eq(store.clone()))
        .and_where(Column::Kind.eq(to_text(&TimelineKind::Pos)))
        .order_by(Column::At, Order::Desc)
        .limit(1)
        .take();
    let mut query = Query::select();
    query
        .expr_as(store.clone(), "id")
        .expr_as(Expr::SubQuery(None, Box::new(last.into())), "code")
        .from(pos_servers::Entity)
        .and_where(store.is_in(ids.iter().copied()));
    let mut known = HashMap::new();
    for row in tx.query_all(&query).await? {
        if let Some(code) = row.try_get::<Option<String>>("", "code")? {
            known.insert(row.try_get("", "id")?, code);
        }
    }
    Ok(known)
}

/// What is to be told anew of why a link was lost.
#[derive(Debug)]
pub(crate) struct Amendment {
    /// Whose link.
    pub id: PosServerId,
    /// When it was lost.
    pub since: DateTime<Utc>,
    /// What is told from now on.
    pub params: Value,
}

/// Tells anew why links were lost; where a timeline does not tell of it, nothing.
pub(crate) async fn amend<C: ConnectionTrait>(tx: &C, amendments: Vec<Amendment>) -> Result<(), StoreError> {
    if amendments.is_empty() {
        return Ok(());
    }
    let rows: Vec<(Uuid, i64, DateTime<Utc>)> = timeline::Entity::find()
        .select_only()
        .column(Column::PosServerId)
        .column_as(Column::Id.max(), "id")
        .column_as(Column::At.max(), "at")
        .filter(Column::PosServerId.is_in(amendments.iter().map(|amendment| amendment.id.0)))
        .filter(Column::Kind.eq(to_text(&TimelineKind::Link)))
        .filter(Column::Code.eq("offline"))
        .group_by(Column::PosServerId)
        .into_tuple()
        .all(tx)
        .await?;
    let last: HashMap<Uuid, (i64, DateTime<Utc>)> =
        rows.into_iter().map(|(store, id, at)| (store, (id, at))).collect();
    let rows: Vec<_> = amendments
        .into_iter()
        .filter_map(|Amendment { id, since, params }| {
            let (entry, at) = last.get(&id.0)?;
            (*at >= since).then(|| ValueTuple::Two((*entry).into(), params.into()))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    // Both databases call the columns of such a list so.
    let listed = |name: &'static str| Expr::col(("amended", name));
    let mut update = Query::update();
    update
        .table(timeline::Entity)
        .value(Column::Params, listed("column2"))
        .from(TableRef::ValuesList(rows, "amended".into_iden()))
        .and_where(Expr::col((timeline::Entity, Column::Id)).eq(listed("column1")));
    tx.execute(&update).await?;
    Ok(())
}

/// Forgets what happened to a POS server that is removed.
pub(crate) async fn forget<C: ConnectionTrait>(tx: &C, id: PosServerId) -> Result<(), StoreError> {
    timeline::Entity::delete_many().filter(Column::PosServerId.eq(id.0)).exec(tx).await?;
    boots::Entity::delete_by_id(id.0).exec(tx).await?;
    Ok(())
}
