//! Sessions: one for each sign-in. Tokens are kept as hashes.

use chrono::{DateTime, Utc};
use sea_orm::sea_query::SimpleExpr;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, JoinType, QueryFilter, QueryOrder,
    QuerySelect, Set,
};
use tillwatch_protocol::ids::{SessionId, UserId};
use tillwatch_protocol::rest::session::User;

use super::entity::{sessions, users};
use super::user::to_user;
use super::{StoreError, WriteTx};
use crate::domain::user::{ACCESS_LIFE, REFRESH_GRACE, REFRESH_LIFE, SESSION_LIFE};
use crate::tokens::hash;

/// The tokens of a session, in the clear; they leave the cloud once.
pub(crate) struct NewTokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// A session as its list shows it.
pub(crate) struct Listed {
    pub(crate) id: SessionId,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) last_used_at: DateTime<Utc>,
}

/// Begins a session.
pub(crate) async fn insert(
    tx: &WriteTx,
    id: SessionId,
    user: UserId,
    tokens: &NewTokens,
    proved_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = sessions::ActiveModel {
        id: Set(id.0),
        user_id: Set(user.0),
        created_at: Set(now),
        last_used_at: Set(now),
        proved_at: Set(proved_at),
        access_hash: Set(hash(&tokens.access)),
        access_expires_at: Set(now + ACCESS_LIFE),
        refresh_hash: Set(hash(&tokens.refresh)),
        refresh_expires_at: Set(now + REFRESH_LIFE),
        revoked_at: Set(None),
        last_try_hash: Set(None),
        again_until: Set(None),
    };
    sessions::Entity::insert(row).exec_without_returning(&**tx).await?;
    Ok(())
}

/// A session that goes on, and whose it is.
pub(crate) struct Live {
    pub(crate) id: SessionId,
    /// When its user proved who they are, where that is known.
    pub(crate) proved_at: Option<DateTime<Utc>>,
    pub(crate) user: User,
}

/// The session of an access token that is good now.
pub(crate) async fn by_access_token(
    db: &impl ConnectionTrait,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Option<Live>, StoreError> {
    // With its user, in one statement: every call begins with it.
    let of_user = sessions::Entity::belongs_to(users::Entity)
        .from(sessions::Column::UserId)
        .to(users::Column::Id)
        .into();
    let found = sessions::Entity::find()
        .join(JoinType::InnerJoin, of_user)
        .select_also(users::Entity)
        .filter(sessions::Column::AccessHash.eq(hash(token)))
        .filter(sessions::Column::RevokedAt.is_null())
        .filter(sessions::Column::AccessExpiresAt.gt(now))
        .filter(users::Column::DisabledAt.is_null())
        .one(db)
        .await?;
    let Some((session, Some(user))) = found else { return Ok(None) };
    Ok(Some(Live { id: session.id.into(), proved_at: session.proved_at, user: to_user(user) }))
}

/// The user of a session that still has an access token that is good now.
pub(crate) async fn live_user(
    db: &impl ConnectionTrait,
    id: SessionId,
    now: DateTime<Utc>,
) -> Result<Option<User>, StoreError> {
    unless_ended(db, id, sessions::Column::AccessExpiresAt.gt(now)).await
}

/// The user of a session that goes on, whether or not its access token has to be changed by now.
pub(crate) async fn user(
    db: &impl ConnectionTrait,
    id: SessionId,
    now: DateTime<Utc>,
) -> Result<Option<User>, StoreError> {
    unless_ended(db, id, sessions::Column::RefreshExpiresAt.gt(now)).await
}

async fn unless_ended(
    db: &impl ConnectionTrait,
    id: SessionId,
    in_time: SimpleExpr,
) -> Result<Option<User>, StoreError> {
    let session = sessions::Entity::find_by_id(id.0)
        .filter(sessions::Column::RevokedAt.is_null())
        .filter(in_time)
        .one(db)
        .await?;
    let Some(session) = session else { return Ok(None) };
    user_of(db, &session).await
}

/// Whose session it is, unless they may not sign in any more.
async fn user_of(db: &impl ConnectionTrait, session: &sessions::Model) -> Result<Option<User>, StoreError> {
    let user = users::Entity::find_by_id(session.user_id).filter(users::Column::DisabledAt.is_null());
    Ok(user.one(db).await?.map(to_user))
}

/// What a refresh token is good for.
pub(crate) enum Refreshed {
    /// The session goes on, with new tokens.
    Tokens(User),
    /// The token was used before: somebody else has it, and the session is over for both.
    Reused(UserId),
    /// No such session, or it has ended, or the token was never one of it.
    Unknown,
}

/// A refresh token that came with a request.
#[derive(Clone, Copy)]
pub(crate) struct Presented<'a> {
    /// Of which session it says that it is.
    pub(crate) session: SessionId,
    /// All of it.
    pub(crate) token: &'a str,
    /// Whether its mark shows that it was made here.
    pub(crate) made_here: bool,
    /// By what the same try is known when it comes again.
    pub(crate) idempotency_key: Option<&'a str>,
}

/// Changes the tokens of a session, if the refresh token is its present one, or the try is one whose answer was lost on
/// its way: then others take the place of the tokens that nobody got.
pub(crate) async fn refresh(
    tx: &WriteTx,
    presented: Presented<'_>,
    tokens: &NewTokens,
    now: DateTime<Utc>,
) -> Result<Refreshed, StoreError> {
    let Some(session) = refreshable(&**tx, presented, now).await? else { return Ok(Refreshed::Unknown) };
    let presented_hash = hash(presented.token);
    let mut changed = sessions::ActiveModel {
        last_used_at: Set(now),
        access_hash: Set(hash(&tokens.access)),
        access_expires_at: Set(now + ACCESS_LIFE),
        refresh_hash: Set(hash(&tokens.refresh)),
        refresh_expires_at: Set(Ord::min(now + REFRESH_LIFE, session.created_at + SESSION_LIFE)),
        ..Default::default()
    };
    let a_try = presented.idempotency_key.map(|key| hash(&format!("{} {key}", presented.token)));
    let again = a_try.is_some() && a_try == session.last_try_hash;
    if session.refresh_hash == presented_hash {
        changed.again_until = Set(a_try.as_ref().map(|_| now + REFRESH_GRACE));
        changed.last_try_hash = Set(a_try);
    } else if !again || session.again_until.is_none_or(|until| until <= now) {
        revoke(tx, session.user_id.into(), presented.session, now).await?;
        return Ok(Refreshed::Reused(session.user_id.into()));
    }
    // A try is good for a minute after the first time, however often it comes.
    sessions::Entity::update_many()
        .set(changed)
        .filter(sessions::Column::Id.eq(session.id))
        .exec(&**tx)
        .await?;
    Ok(user_of(&**tx, &session).await?.map_or(Refreshed::Unknown, Refreshed::Tokens))
}

/// The session that goes on, and of which a refresh token is or was one. A made-up token that names it has nothing to
/// do with it.
pub(crate) async fn refreshable(
    db: &impl ConnectionTrait,
    presented: Presented<'_>,
    now: DateTime<Utc>,
) -> Result<Option<sessions::Model>, StoreError> {
    let found = sessions::Entity::find_by_id(presented.session.0)
        .filter(sessions::Column::RevokedAt.is_null())
        .filter(sessions::Column::RefreshExpiresAt.gt(now))
        .one(db)
        .await?;
    Ok(found.filter(|session| presented.made_here || session.refresh_hash == hash(presented.token)))
}

/// Ends a session of a user; tells whether there was one to end.
pub(crate) async fn revoke(
    tx: &WriteTx,
    user: UserId,
    id: SessionId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let ended = sessions::Entity::update_many()
        .set(sessions::ActiveModel { revoked_at: Set(Some(now)), ..Default::default() })
        .filter(sessions::Column::Id.eq(id.0))
        .filter(sessions::Column::UserId.eq(user.0))
        .filter(sessions::Column::RevokedAt.is_null())
        .filter(sessions::Column::RefreshExpiresAt.gt(now))
        .exec(&**tx)
        .await?;
    Ok(ended.rows_affected == 1)
}

/// Ends every session of a user, but for one to keep; tells how many there were.
pub(crate) async fn revoke_all(
    tx: &WriteTx,
    user: UserId,
    keep: Option<SessionId>,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let others = Condition::all().add_option(keep.map(|keep| sessions::Column::Id.ne(keep.0)));
    let ended = sessions::Entity::update_many()
        .set(sessions::ActiveModel { revoked_at: Set(Some(now)), ..Default::default() })
        .filter(sessions::Column::UserId.eq(user.0))
        .filter(sessions::Column::RevokedAt.is_null())
        .filter(sessions::Column::RefreshExpiresAt.gt(now))
        .filter(others)
        .exec(&**tx)
        .await?;
    Ok(ended.rows_affected)
}

/// The sessions of a user that have not ended, newest first.
pub(crate) async fn of_user(
    db: &impl ConnectionTrait,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<Vec<Listed>, StoreError> {
    let rows = sessions::Entity::find()
        .filter(sessions::Column::UserId.eq(user.0))
        .filter(sessions::Column::RevokedAt.is_null())
        .filter(sessions::Column::RefreshExpiresAt.gt(now))
        .order_by_desc(sessions::Column::Id)
        .all(db)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| Listed { id: row.id.into(), created_at: row.created_at, last_used_at: row.last_used_at })
        .collect())
}

/// Forgets sessions of a user that ended before `now`.
pub(crate) async fn forget_ended(tx: &WriteTx, user: UserId, now: DateTime<Utc>) -> Result<(), StoreError> {
    sessions::Entity::delete_many()
        .filter(sessions::Column::UserId.eq(user.0))
        .filter(sessions::Column::RevokedAt.is_not_null().or(sessions::Column::RefreshExpiresAt.lte(now)))
        .exec(&**tx)
        .await?;
    Ok(())
}
