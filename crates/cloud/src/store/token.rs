//! Device tokens are used once, on whichever node, also when a process ends in between.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{OnConflict, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
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

/// Uses tokens up; gives those that were not used before.
pub(crate) async fn spend<C: ConnectionTrait>(
    conn: &C,
    tokens: impl IntoIterator<Item = Token>,
) -> Result<HashSet<Uuid>, StoreError> {
    let mut insert = Query::insert();
    insert.into_table(used_tokens::Entity).columns([used_tokens::Column::Id, used_tokens::Column::EndsAt]);
    for token in tokens {
        insert.values_panic([token.id.into(), token.ends_at.into()]);
    }
    insert
        .on_conflict(OnConflict::column(used_tokens::Column::Id).do_nothing().to_owned())
        .returning_col(used_tokens::Column::Id);
    let rows = conn.query_all(&insert).await?;
    Ok(rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?)
}

impl Store {
    /// Uses a token up by itself, without waiting for the disk; false when it was used before. A power failure
    /// may undo it, which takes longer than a token lives.
    pub(crate) async fn spend_token(&self, token: Token) -> Result<bool, StoreError> {
        Ok(spend(&self.notes, [token]).await?.contains(&token.id))
    }

    /// Forgets tokens that ended by themselves before this time.
    pub(crate) async fn forget_tokens(&self, before: DateTime<Utc>) -> Result<(), StoreError> {
        let old = used_tokens::Column::EndsAt.lt(before);
        used_tokens::Entity::delete_many().filter(old).exec(&self.notes).await?;
        Ok(())
    }
}
