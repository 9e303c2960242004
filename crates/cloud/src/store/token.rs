//! Device tokens are used once, on whichever node, also when a process ends in between.

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set, TryInsertResult};
use uuid::Uuid;

use crate::store::entity::used_tokens;
use crate::store::{Store, StoreError};

/// What makes a token one of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// Its `jti`.
    pub id: Uuid,
    /// When it ends by itself.
    pub ends_at: DateTime<Utc>,
}

/// Uses a token up; false when it was used before.
pub(crate) async fn spend<C: ConnectionTrait>(conn: &C, token: Token) -> Result<bool, StoreError> {
    let row = used_tokens::ActiveModel { id: Set(token.id), ends_at: Set(token.ends_at) };
    let written = used_tokens::Entity::insert(row)
        .on_conflict_do_nothing_on([used_tokens::Column::Id])
        .exec_without_returning(conn)
        .await?;
    Ok(matches!(written, TryInsertResult::Inserted(1..)))
}

/// Whether a token was used before.
pub(crate) async fn is_spent<C: ConnectionTrait>(conn: &C, token: Token) -> Result<bool, StoreError> {
    Ok(used_tokens::Entity::find_by_id(token.id).one(conn).await?.is_some())
}

impl Store {
    /// Uses a token up by itself, without waiting for the disk; false when it was used before. A power failure
    /// may undo it, which takes longer than a token lives.
    pub(crate) async fn spend_token(&self, token: Token) -> Result<bool, StoreError> {
        spend(&self.notes, token).await
    }

    /// Forgets tokens that ended by themselves before this time.
    pub(crate) async fn forget_tokens(&self, before: DateTime<Utc>) -> Result<(), StoreError> {
        let old = used_tokens::Column::EndsAt.lt(before);
        used_tokens::Entity::delete_many().filter(old).exec(&self.notes).await?;
        Ok(())
    }
}
