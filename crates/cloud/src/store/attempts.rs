//! Wrong passwords of late. They are counted by e-mail, whether a user has it or not, so that nothing in how they
//! are kept can tell which of the two it is.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set};

use super::entity::sign_in_attempts::{ActiveModel, Column, Entity, Model};
use super::{StoreError, WriteTx};
use crate::domain::user::Attempts;
use crate::tokens::hash;

/// How often wrong passwords were given for a (normal) e-mail.
pub(crate) async fn of(db: &impl ConnectionTrait, email: &str) -> Result<Attempts, StoreError> {
    Ok(Entity::find_by_id(hash(email)).one(db).await?.as_ref().map(to_attempts).unwrap_or_default())
}

/// The same for several e-mails; those without wrong passwords are left out.
pub(super) async fn of_all(
    db: &impl ConnectionTrait,
    emails: impl IntoIterator<Item = &str>,
) -> Result<HashMap<String, Attempts>, StoreError> {
    let hashes = emails.into_iter().map(hash);
    let rows = Entity::find().filter(Column::EmailHash.is_in(hashes)).all(db).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let attempts = to_attempts(&row);
            (row.email_hash, attempts)
        })
        .collect())
}

/// Writes down how often a wrong password was given, last now.
pub(crate) async fn note(
    tx: &WriteTx,
    email: &str,
    failed: i32,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = ActiveModel { email_hash: Set(hash(email)), failed: Set(failed), last_at: Set(now) };
    let replace =
        OnConflict::column(Column::EmailHash).update_columns([Column::Failed, Column::LastAt]).to_owned();
    Entity::insert(row).on_conflict(replace).exec_without_returning(&**tx).await?;
    Ok(())
}

/// Lets passwords be tried again as if none had been wrong.
pub(crate) async fn forget(tx: &WriteTx, email: &str) -> Result<(), StoreError> {
    Entity::delete_by_id(hash(email)).exec(&**tx).await?;
    Ok(())
}

/// Whether there are wrong passwords that were given before this time.
pub(crate) async fn any_before(db: &impl ConnectionTrait, time: DateTime<Utc>) -> Result<bool, StoreError> {
    Ok(Entity::find().filter(Column::LastAt.lt(time)).one(db).await?.is_some())
}

/// Forgets wrong passwords that were given before this time.
pub(crate) async fn forget_before(tx: &WriteTx, time: DateTime<Utc>) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::LastAt.lt(time)).exec(&**tx).await?;
    Ok(())
}

fn to_attempts(row: &Model) -> Attempts {
    Attempts { failed: row.failed, last_at: row.last_at }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn they_are_counted_for_anybody_and_forgotten_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), None).await.unwrap();
        // SQLite keeps microseconds in text; these are equal when they are read again.
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let (early, late) = ("early@example.com", "late@example.com");
        let tx = store.write().await.unwrap();
        note(&tx, early, 1, now).await.unwrap();
        note(&tx, early, 2, now + TimeDelta::minutes(1)).await.unwrap();
        note(&tx, late, 1, now + TimeDelta::minutes(2)).await.unwrap();
        assert_eq!(of(&*tx, early).await.unwrap().failed, 2);

        let between = now + TimeDelta::minutes(2);
        assert!(any_before(&*tx, between).await.unwrap());
        forget_before(&tx, between).await.unwrap();
        assert!(!any_before(&*tx, between).await.unwrap());
        assert_eq!(of(&*tx, early).await.unwrap(), Attempts::default());
        assert_eq!(of(&*tx, late).await.unwrap(), Attempts { failed: 1, last_at: between });
        forget(&tx, late).await.unwrap();
        assert_eq!(of(&*tx, late).await.unwrap(), Attempts::default());
    }
}
