//! The backups that stores keep, as they last told.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set};
use serde_json::{Value, json};
use tillwatch_protocol::ids::PosServerId;
use tillwatch_protocol::rest::backup::DatabaseBackup;
use uuid::Uuid;

use crate::store::StoreError;
use crate::store::entity::backups;

/// How many of those that a store tells of are kept. Our connectors keep three.
const MAX: usize = 20;

/// Writes down what different stores told, and when, where that is new.
pub(crate) async fn tell<C: ConnectionTrait>(
    tx: &C,
    told: &[(PosServerId, &Vec<DatabaseBackup>, DateTime<Utc>)],
) -> Result<(), StoreError> {
    if told.is_empty() {
        return Ok(());
    }
    let known: HashMap<Uuid, Value> = backups::Entity::find()
        .filter(backups::Column::PosServerId.is_in(told.iter().map(|(id, ..)| id.0)))
        .all(tx)
        .await?
        .into_iter()
        .map(|row| (row.pos_server_id, row.items))
        .collect();
    for (id, list, at) in told {
        let items = json!(&list[..list.len().min(MAX)]);
        let before = known.get(&id.0);
        if before == Some(&items) {
            continue;
        }
        let row = backups::ActiveModel { pos_server_id: Set(id.0), items: Set(items), told_at: Set(*at) };
        if before.is_some() {
            backups::Entity::update(row).exec(tx).await?;
        } else {
            backups::Entity::insert(row).exec_without_returning(tx).await?;
        }
    }
    Ok(())
}

/// What a store last told, and when it first told just that; nothing when its connector never did.
pub(crate) async fn known<C: ConnectionTrait>(
    conn: &C,
    id: PosServerId,
) -> Result<Option<(Vec<DatabaseBackup>, DateTime<Utc>)>, StoreError> {
    let Some(row) = backups::Entity::find_by_id(id.0).one(conn).await? else { return Ok(None) };
    let items =
        serde_json::from_value(row.items).map_err(|_| StoreError::Damaged(format!("backups of {id}")))?;
    Ok(Some((items, row.told_at)))
}

/// Forgets those of a POS server that is removed.
pub(crate) async fn forget<C: ConnectionTrait>(tx: &C, id: PosServerId) -> Result<(), StoreError> {
    backups::Entity::delete_by_id(id.0).exec(tx).await?;
    Ok(())
}
