//! Users.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, ExprTrait as _, Func, LikeExpr, SimpleExpr};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, NotSet, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait, Set,
};
use tillwatch_protocol::ids::UserId;
use tillwatch_protocol::rest::admin::AdminUser;
use tillwatch_protocol::rest::session::User;
use uuid::Uuid;

use super::entity::{grants, outlets, sessions, users};
use super::{StoreError, WriteTx, attempts, grant, sso};
use crate::domain::permission::{Chains, Reach};
use crate::domain::pos_server::fold;
use crate::domain::user::MADE_UP_LIFE;
use crate::tokens::hash;

/// A user as signing in needs one.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) user: User,
    pub(crate) password_hash: String,
    /// Until when it lets the user in, as it was made up for them.
    pub(crate) password_ends_at: Option<DateTime<Utc>>,
    /// May not sign in, whatever the password.
    pub(crate) disabled: bool,
}

/// A password as it is kept.
#[derive(Clone)]
pub(crate) struct Password {
    /// By argon2id.
    pub(crate) hash: String,
    /// Whether somebody else than the user knows it, who had it made up.
    pub(crate) made_up: bool,
}

/// Until when a user's password lets them in, if it ends.
fn ends_at(user: &users::Model) -> Option<DateTime<Utc>> {
    user.password_made_up_at.map(|at| at + MADE_UP_LIFE)
}

/// Until when the password of a user lets them in, if it ends.
pub(crate) async fn password_ends_at(
    db: &impl ConnectionTrait,
    id: UserId,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(users::Entity::find_by_id(id.0).one(db).await?.and_then(|user| ends_at(&user)))
}

/// The user with a (normal) e-mail.
pub(crate) async fn by_email(db: &impl ConnectionTrait, email: &str) -> Result<Option<Account>, StoreError> {
    let row = users::Entity::find().filter(users::Column::Email.eq(email)).one(db).await?;
    Ok(row.map(|row| Account {
        password_hash: row.password_hash.clone(),
        password_ends_at: ends_at(&row),
        disabled: row.disabled_at.is_some(),
        user: to_user(row),
    }))
}

/// Adds a user whose e-mail is not taken.
pub(crate) async fn insert(
    tx: &WriteTx,
    user: &User,
    password: Password,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = users::ActiveModel {
        id: Set(user.id.0),
        email: Set(user.email.clone()),
        name: Set(user.name.clone()),
        password_hash: Set(password.hash),
        password_made_up_at: Set(password.made_up.then_some(now)),
        admin: Set(user.admin),
        created_at: Set(now),
        disabled_at: Set(None),
    };
    users::Entity::insert(row).exec_without_returning(&**tx).await?;
    Ok(())
}

/// Whether a user is there and not disabled.
pub(crate) async fn may_sign_in(tx: &WriteTx, id: UserId) -> Result<bool, StoreError> {
    let user = users::Entity::find_by_id(id.0).one(&**tx).await?;
    Ok(user.is_some_and(|user| user.disabled_at.is_none()))
}

/// A user as the interface shows one.
pub(super) fn to_user(row: users::Model) -> User {
    User { id: row.id.into(), email: row.email, name: row.name, admin: row.admin }
}

/// A user as administrators see one.
pub(crate) async fn find(db: &impl ConnectionTrait, id: UserId) -> Result<Option<AdminUser>, StoreError> {
    let row = users::Entity::find_by_id(id.0).one(db).await?;
    Ok(to_admin(db, row.into_iter().collect()).await?.pop())
}

/// Whether somebody signs in by a (normal) e-mail already.
pub(crate) async fn is_taken(db: &impl ConnectionTrait, email: &str) -> Result<bool, StoreError> {
    Ok(users::Entity::find().filter(users::Column::Email.eq(email)).one(db).await?.is_some())
}

/// The users within reach whose e-mail or name holds `q`, by e-mail, from after one.
pub(crate) async fn page(
    db: &impl ConnectionTrait,
    reach: &Reach,
    q: Option<&str>,
    after: Option<&str>,
    limit: u64,
) -> Result<Vec<AdminUser>, StoreError> {
    let mut query = users::Entity::find().filter(within(reach));
    if let Some(q) = q {
        let pattern = |text: &str| {
            let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            LikeExpr::new(format!("%{escaped}%")).escape('\\')
        };
        let name = Expr::col((users::Entity, users::Column::Name));
        // E-mails are kept folded. The database folds names: ASCII in SQLite, so others as they are written.
        let any = Expr::col((users::Entity, users::Column::Email))
            .like(pattern(&fold(q)))
            .or(name.clone().like(pattern(q)))
            .or(Expr::expr(Func::lower(name)).like(pattern(&fold(q))));
        query = query.filter(any);
    }
    if let Some(after) = after {
        query = query.filter(users::Column::Email.gt(after));
    }
    let rows = query.order_by_asc(users::Column::Email).limit(limit).all(db).await?;
    to_admin(db, rows).await
}

/// A user within reach.
pub(crate) async fn find_within(
    db: &impl ConnectionTrait,
    reach: &Reach,
    id: UserId,
) -> Result<Option<AdminUser>, StoreError> {
    let row = users::Entity::find_by_id(id.0).filter(within(reach)).one(db).await?;
    Ok(to_admin(db, row.into_iter().collect()).await?.pop())
}

/// Users who may do something in the chains within reach: a condition on users.
fn within(reach: &Reach) -> SimpleExpr {
    let Chains::Only(chains) = &reach.chains else { return Expr::val(true).eq(true) };
    let ids = || chains.iter().map(|chain| chain.0);
    let theirs = outlets::Entity::find()
        .select_only()
        .column(outlets::Column::Id)
        .filter(outlets::Column::ChainId.is_in(ids()))
        .into_query();
    let granted = grants::Entity::find()
        .select_only()
        .column(grants::Column::UserId)
        .filter(grants::Column::ChainId.is_in(ids()).or(grants::Column::OutletId.in_subquery(theirs)))
        .into_query();
    users::Column::Id.in_subquery(granted)
}

/// What of a user changes; what is none stays.
#[derive(Default)]
pub(crate) struct Edit {
    pub(crate) email: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) admin: Option<bool>,
    pub(crate) disabled: Option<bool>,
    pub(crate) password: Option<Password>,
}

/// Changes a user.
pub(crate) async fn edit(tx: &WriteTx, id: UserId, edit: Edit, now: DateTime<Utc>) -> Result<(), StoreError> {
    let (hash, made_up) = edit.password.map(|password| (password.hash, password.made_up)).unzip();
    let row = users::ActiveModel {
        email: edit.email.map_or(NotSet, Set),
        name: edit.name.map_or(NotSet, Set),
        admin: edit.admin.map_or(NotSet, Set),
        disabled_at: edit.disabled.map_or(NotSet, |disabled| Set(disabled.then_some(now))),
        password_hash: hash.map_or(NotSet, Set),
        password_made_up_at: made_up.map_or(NotSet, |made_up| Set(made_up.then_some(now))),
        ..Default::default()
    };
    if row.is_changed() {
        users::Entity::update_many().set(row).filter(users::Column::Id.eq(id.0)).exec(&**tx).await?;
    }
    Ok(())
}

/// How many admins there are who may sign in.
pub(crate) async fn admins(db: &impl ConnectionTrait) -> Result<u64, StoreError> {
    Ok(users::Entity::find()
        .filter(users::Column::Admin.eq(true))
        .filter(users::Column::DisabledAt.is_null())
        .count(db)
        .await?)
}

/// Deletes a user with their sessions and grants. What they did stays in the audit trail.
pub(crate) async fn delete(tx: &mut WriteTx, id: UserId) -> Result<(), StoreError> {
    grant::delete_of_user(tx, id).await?;
    sso::forget(tx, id).await?;
    sessions::Entity::delete_many().filter(sessions::Column::UserId.eq(id.0)).exec(&**tx).await?;
    users::Entity::delete_many().filter(users::Column::Id.eq(id.0)).exec(&**tx).await?;
    Ok(())
}

/// The names of users, by id.
pub(crate) async fn names(
    db: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = Uuid>,
) -> Result<HashMap<Uuid, String>, StoreError> {
    let rows: Vec<(Uuid, String)> = users::Entity::find()
        .select_only()
        .columns([users::Column::Id, users::Column::Name])
        .filter(users::Column::Id.is_in(ids))
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.into_iter().collect())
}

async fn to_admin(db: &impl ConnectionTrait, rows: Vec<users::Model>) -> Result<Vec<AdminUser>, StoreError> {
    let attempts = attempts::of_all(db, rows.iter().map(|row| row.email.as_str())).await?;
    let to_admin = |row: users::Model| AdminUser {
        locked_until: attempts.get(&hash(&row.email)).and_then(|attempts| attempts.locked_until()),
        id: row.id.into(),
        email: row.email,
        name: row.name,
        admin: row.admin,
        created_at: row.created_at,
        disabled_at: row.disabled_at,
    };
    Ok(rows.into_iter().map(to_admin).collect())
}
