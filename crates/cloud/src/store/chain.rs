//! Chains.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Set,
};
use tillwatch_protocol::ids::ChainId;
use tillwatch_protocol::rest::admin::AdminChain;
use uuid::Uuid;

use super::entity::{chains, loyalty_changes, loyalty_rows, outlets, pos_servers};
use super::pos_server::texts;
use super::{StoreError, WriteTx, grant};
use crate::domain::permission::Reach;
use crate::domain::pos_server::{fold, version_key};

/// Where a page of chains ends: the folded name and the id.
pub(crate) type Position = (String, Uuid);

/// The chains that an id or a name means.
pub(crate) async fn named(db: &impl ConnectionTrait, text: &str) -> Result<Vec<ChainId>, StoreError> {
    let mut query = chains::Entity::find();
    query = match text.parse::<Uuid>() {
        Ok(id) => query.filter(chains::Column::Id.eq(id).or(chains::Column::Name.eq(text))),
        Err(_) => query.filter(chains::Column::Name.eq(text)),
    };
    Ok(query.all(db).await?.into_iter().map(|chain| chain.id.into()).collect())
}

/// A chain.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    id: ChainId,
) -> Result<Option<chains::Model>, StoreError> {
    Ok(chains::Entity::find_by_id(id.0).one(db).await?)
}

/// Whether a chain has this name already.
pub(crate) async fn is_taken(db: &impl ConnectionTrait, name: &str) -> Result<bool, StoreError> {
    Ok(chains::Entity::find().filter(chains::Column::Name.eq(name)).one(db).await?.is_some())
}

/// The chains within reach, by name.
pub(crate) async fn page(
    db: &impl ConnectionTrait,
    reach: &Reach,
    after: Option<&Position>,
    limit: u64,
) -> Result<(Vec<AdminChain>, Option<Position>), StoreError> {
    let column = |column: chains::Column| Expr::col((chains::Entity, column));
    let mut query = chains::Entity::find().filter(grant::within(reach, column(chains::Column::Id)));
    if let Some((folded, id)) = after {
        let same = chains::Column::NameFolded.eq(folded).and(chains::Column::Id.gt(*id));
        query = query.filter(chains::Column::NameFolded.gt(folded).or(same));
    }
    let mut rows = query
        .order_by_asc(chains::Column::NameFolded)
        .order_by_asc(chains::Column::Id)
        .limit(limit + 1)
        .all(db)
        .await?;
    let more = rows.len() as u64 > limit;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|last| (last.name_folded.clone(), last.id));
    Ok((whole(db, rows).await?, next))
}

/// A chain as its administrators see it.
pub(crate) async fn to_rest(
    db: &impl ConnectionTrait,
    chain: chains::Model,
) -> Result<AdminChain, StoreError> {
    let id = chain.id;
    whole(db, vec![chain]).await?.pop().ok_or_else(|| StoreError::Damaged(format!("chain {id}")))
}

async fn whole(db: &impl ConnectionTrait, rows: Vec<chains::Model>) -> Result<Vec<AdminChain>, StoreError> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let in_outlets: Vec<(Uuid, i64)> = outlets::Entity::find()
        .select_only()
        .column(outlets::Column::ChainId)
        .column_as(outlets::Column::Id.count(), "count")
        .filter(outlets::Column::ChainId.is_in(ids.iter().copied()))
        .group_by(outlets::Column::ChainId)
        .into_tuple()
        .all(db)
        .await?;
    let in_stores: Vec<(Uuid, i64)> = pos_servers::Entity::find()
        .select_only()
        .column(pos_servers::Column::ChainId)
        .column_as(pos_servers::Column::Id.count(), "count")
        .filter(pos_servers::Column::ChainId.is_in(ids))
        .group_by(pos_servers::Column::ChainId)
        .into_tuple()
        .all(db)
        .await?;
    let (in_outlets, in_stores): (HashMap<_, _>, HashMap<_, _>) =
        (in_outlets.into_iter().collect(), in_stores.into_iter().collect());
    let count = |counts: &HashMap<Uuid, i64>, id| counts.get(&id).copied().unwrap_or(0).unsigned_abs();
    Ok(rows
        .into_iter()
        .map(|row| AdminChain {
            id: row.id.into(),
            outlets: count(&in_outlets, row.id),
            pos_servers: count(&in_stores, row.id),
            name: row.name,
            required_pos_version: row.required_pos_version,
            created_at: row.created_at,
        })
        .collect())
}

/// Adds a chain whose name is not taken.
pub(crate) async fn insert(tx: &WriteTx, name: &str, now: DateTime<Utc>) -> Result<ChainId, StoreError> {
    let id = ChainId::new();
    chains::Entity::insert(new_row(id, name, now)).exec_without_returning(&**tx).await?;
    Ok(id)
}

/// The row of a new chain.
pub(super) fn new_row(id: ChainId, name: &str, now: DateTime<Utc>) -> chains::ActiveModel {
    chains::ActiveModel {
        id: Set(id.0),
        name: Set(name.into()),
        name_folded: Set(fold(name)),
        required_pos_version: Set(None),
        required_version_key: Set(None),
        created_at: Set(now),
    }
}

/// Gives a chain another name, which is not taken. Its statuses change with it.
pub(crate) async fn rename(tx: &mut WriteTx, id: ChainId, name: &str) -> Result<(), StoreError> {
    chains::Entity::update_many()
        .set(chains::ActiveModel {
            name: Set(name.into()),
            name_folded: Set(fold(name)),
            ..Default::default()
        })
        .filter(chains::Column::Id.eq(id.0))
        .exec(&**tx)
        .await?;
    texts::refresh(tx, pos_servers::Column::ChainId.eq(id.0)).await
}

/// How many outlets and rows of loyalty data a chain has.
pub(crate) async fn content(db: &impl ConnectionTrait, id: ChainId) -> Result<(u64, u64), StoreError> {
    let outlets = outlets::Entity::find().filter(outlets::Column::ChainId.eq(id.0)).count(db).await?;
    let rows = loyalty_rows::Entity::find().filter(loyalty_rows::Column::ChainId.eq(id.0)).count(db).await?;
    Ok((outlets, rows))
}

/// Deletes an empty chain with the grants for it.
pub(crate) async fn delete(tx: &mut WriteTx, id: ChainId) -> Result<(), StoreError> {
    grant::delete_of_chain(tx, id).await?;
    // Nobody is left to take them: they told POS servers which rows went.
    loyalty_changes::Entity::delete_many()
        .filter(loyalty_changes::Column::ChainId.eq(id.0))
        .exec(&**tx)
        .await?;
    chains::Entity::delete_many().filter(chains::Column::Id.eq(id.0)).exec(&**tx).await?;
    Ok(())
}

/// Sets the version below which POS servers of a chain need an update, or none. Their statuses change with it.
pub(crate) async fn require_version(
    tx: &mut WriteTx,
    chain: ChainId,
    version: Option<&str>,
) -> Result<(), StoreError> {
    chains::Entity::update_many()
        .set(chains::ActiveModel {
            required_pos_version: Set(version.map(Into::into)),
            required_version_key: Set(version.and_then(version_key)),
            ..Default::default()
        })
        .filter(chains::Column::Id.eq(chain.0))
        .exec(&**tx)
        .await?;
    let revision = tx.next_revision().await?;
    pos_servers::Entity::update_many()
        .col_expr(pos_servers::Column::Revision, Expr::value(revision))
        .filter(pos_servers::Column::ChainId.eq(chain.0))
        .exec(&**tx)
        .await?;
    Ok(())
}
