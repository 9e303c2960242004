//! Nodes: the processes that serve the cloud. A row lasts as long as its node's lease.

use chrono::{DateTime, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set};
use uuid::Uuid;

use crate::store::StoreError;
use crate::store::entity::nodes;

/// Writes down a node.
pub(crate) async fn enter<C: ConnectionTrait>(
    tx: &C,
    id: Uuid,
    name: &str,
    started_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = nodes::ActiveModel {
        id: Set(id),
        name: Set(name.to_owned()),
        started_at: Set(started_at),
        seen_at: Set(now),
    };
    row.insert(tx).await?;
    Ok(())
}

/// Says that a node lives; false when its lease was given up.
pub(crate) async fn renew<C: ConnectionTrait>(
    tx: &C,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let written = nodes::Entity::update_many()
        .col_expr(nodes::Column::SeenAt, Expr::value(now))
        .filter(nodes::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(written.rows_affected == 1)
}

/// Every node whose lease holds.
pub(crate) async fn all<C: ConnectionTrait>(conn: &C) -> Result<Vec<nodes::Model>, StoreError> {
    Ok(nodes::Entity::find().all(conn).await?)
}

/// Ends the lease of a node that stops, or has stopped.
pub(crate) async fn leave<C: ConnectionTrait>(tx: &C, id: Uuid) -> Result<(), StoreError> {
    nodes::Entity::delete_by_id(id).exec(tx).await?;
    Ok(())
}

/// Ends the lease of a node unless it was renewed since it was seen like this.
pub(crate) async fn give_up<C: ConnectionTrait>(tx: &C, seen: &nodes::Model) -> Result<bool, StoreError> {
    let deleted = nodes::Entity::delete_many()
        .filter(nodes::Column::Id.eq(seen.id))
        .filter(nodes::Column::SeenAt.eq(seen.seen_at))
        .exec(tx)
        .await?;
    Ok(deleted.rows_affected == 1)
}
