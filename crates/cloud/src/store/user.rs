//! Users.

use chrono::{DateTime, Utc};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set};
use tillwatch_protocol::ids::UserId;
use tillwatch_protocol::rest::session::User;

use super::entity::{meta, users};
use super::{StoreError, WriteTx};
use crate::domain::user::Attempts;

/// A user as signing in needs one.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) user: User,
    pub(crate) password_hash: String,
    pub(crate) attempts: Attempts,
}

/// The user with a (normal) e-mail.
pub(crate) async fn by_email(db: &impl ConnectionTrait, email: &str) -> Result<Option<Account>, StoreError> {
    let row = users::Entity::find().filter(users::Column::Email.eq(email)).one(db).await?;
    Ok(row.map(|row| Account {
        password_hash: row.password_hash.clone(),
        attempts: Attempts { failed: row.failed_attempts, locked_until: row.locked_until },
        user: to_user(row),
    }))
}

/// Adds a user whose e-mail is not taken.
pub(crate) async fn insert(
    tx: &WriteTx,
    user: &User,
    password_hash: String,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = users::ActiveModel {
        id: Set(user.id.0),
        email: Set(user.email.clone()),
        name: Set(user.name.clone()),
        password_hash: Set(password_hash),
        admin: Set(user.admin),
        created_at: Set(now),
        failed_attempts: Set(0),
        locked_until: Set(None),
    };
    users::Entity::insert(row).exec_without_returning(&**tx).await?;
    Ok(())
}

/// Writes down how often a wrong password was given.
pub(crate) async fn set_attempts(tx: &WriteTx, id: UserId, attempts: Attempts) -> Result<(), StoreError> {
    users::Entity::update_many()
        .set(users::ActiveModel {
            failed_attempts: Set(attempts.failed),
            locked_until: Set(attempts.locked_until),
            ..Default::default()
        })
        .filter(users::Column::Id.eq(id.0))
        .exec(&**tx)
        .await?;
    Ok(())
}

/// Writes down when somebody last gave an e-mail that no user has.
pub(crate) async fn note_unknown(tx: &WriteTx, now: DateTime<Utc>) -> Result<(), StoreError> {
    let row = meta::ActiveModel { key: Set("unknown_user_at".into()), value: Set(now.to_rfc3339()) };
    let replace = OnConflict::column(meta::Column::Key).update_column(meta::Column::Value).to_owned();
    meta::Entity::insert(row).on_conflict(replace).exec_without_returning(&**tx).await?;
    Ok(())
}

/// A user as the interface shows one.
pub(super) fn to_user(row: users::Model) -> User {
    User { id: row.id.into(), email: row.email, name: row.name, admin: row.admin }
}
