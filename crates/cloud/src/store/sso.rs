//! Signing in by a provider of identities: tries under way, and which account there is which user here.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter, Set,
};
use tillwatch_protocol::ids::UserId;

use super::entity::{sso_attempts, sso_identities};
use super::{StoreError, WriteTx};

pub(crate) use sso_attempts::Model as Attempt;

/// Keeps a try until it comes back, and forgets those that never did.
pub(crate) async fn begin(tx: &WriteTx, attempt: Attempt, now: DateTime<Utc>) -> Result<(), StoreError> {
    sso_attempts::Entity::delete_many().filter(sso_attempts::Column::ExpiresAt.lte(now)).exec(&**tx).await?;
    // Every column is given: nothing of a model that was read is unchanged here.
    let row = attempt.into_active_model().reset_all();
    sso_attempts::Entity::insert(row).exec_without_returning(&**tx).await?;
    Ok(())
}

/// A try that has this state and secret and whose time is not over.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    state_hash: &str,
    secret_hash: &str,
    now: DateTime<Utc>,
) -> Result<Option<Attempt>, StoreError> {
    Ok(sso_attempts::Entity::find_by_id(state_hash)
        .filter(sso_attempts::Column::SecretHash.eq(secret_hash))
        .filter(sso_attempts::Column::ExpiresAt.gt(now))
        .one(db)
        .await?)
}

/// Takes such a try out. It is there once.
pub(crate) async fn take(
    tx: &WriteTx,
    state_hash: &str,
    secret_hash: &str,
    now: DateTime<Utc>,
) -> Result<Option<Attempt>, StoreError> {
    let found = find(&**tx, state_hash, secret_hash, now).await?;
    if found.is_some() {
        sso_attempts::Entity::delete_by_id(state_hash).exec(&**tx).await?;
    }
    Ok(found)
}

/// An account at a provider, as far as it may be a user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// It is the user's.
    Known,
    /// It is the user's from now on: there was none at this issuer.
    First,
    /// It is somebody else's, or the user has another.
    Foreign,
}

/// Whether an account at a provider is this user's; remembers it the first time.
///
/// A user has one account at an issuer and an account is one user: an e-mail that a provider gave to
/// somebody else does not bring that somebody in.
pub(crate) async fn recognise(
    tx: &WriteTx,
    issuer: &str,
    subject: &str,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<Account, StoreError> {
    let of_user = sso_identities::Column::UserId.eq(user.0);
    let known = sso_identities::Entity::find()
        .filter(sso_identities::Column::Issuer.eq(issuer))
        .filter(of_user.or(sso_identities::Column::Subject.eq(subject)))
        .all(&**tx)
        .await?;
    if let Some(first) = known.first() {
        let same = known.len() == 1 && first.user_id == user.0 && first.subject == subject;
        return Ok(if same { Account::Known } else { Account::Foreign });
    }
    let row = sso_identities::ActiveModel {
        issuer: Set(issuer.to_owned()),
        subject: Set(subject.to_owned()),
        user_id: Set(user.0),
        created_at: Set(now),
    };
    sso_identities::Entity::insert(row).exec_without_returning(&**tx).await?;
    Ok(Account::First)
}

/// Forgets which accounts a user has; tells how many those were.
pub(crate) async fn forget(tx: &WriteTx, user: UserId) -> Result<u64, StoreError> {
    let deleted = sso_identities::Entity::delete_many()
        .filter(sso_identities::Column::UserId.eq(user.0))
        .exec(&**tx)
        .await?;
    Ok(deleted.rows_affected)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::sso::ATTEMPT_LIFE;
    use crate::store::Store;

    fn attempt(state_hash: &str, now: DateTime<Utc>) -> Attempt {
        Attempt {
            state_hash: state_hash.into(),
            secret_hash: "secret".into(),
            provider: "work".into(),
            redirect_uri: "http://127.0.0.1:5000/".into(),
            nonce: "nonce".into(),
            pkce_verifier: "verifier".into(),
            expires_at: now + ATTEMPT_LIFE,
            again: None,
        }
    }

    #[tokio::test]
    async fn a_try_is_good_once_for_ten_minutes_and_with_its_secret() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), None).await.unwrap();
        let now = Utc::now();
        let tx = store.write().await.unwrap();
        begin(&tx, attempt("one", now), now).await.unwrap();
        begin(&tx, attempt("two", now), now).await.unwrap();
        let just_in_time = now + ATTEMPT_LIFE - TimeDelta::milliseconds(1);

        assert!(take(&tx, "one", "guess", now).await.unwrap().is_none());
        assert!(take(&tx, "one", "secret", just_in_time).await.unwrap().is_some());
        assert!(take(&tx, "one", "secret", just_in_time).await.unwrap().is_none(), "used");
        assert!(take(&tx, "two", "secret", now + ATTEMPT_LIFE).await.unwrap().is_none(), "too old");
        begin(&tx, attempt("three", now), now + ATTEMPT_LIFE).await.unwrap();
        assert!(take(&tx, "two", "secret", now).await.unwrap().is_none(), "forgotten by then");
    }

    #[tokio::test]
    async fn an_account_is_one_user_and_a_user_one_account_at_an_issuer() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), None).await.unwrap();
        let (anna, boris, now) = (UserId::new(), UserId::new(), Utc::now());
        let tx = store.write().await.unwrap();
        let is = async |issuer, subject, user| recognise(&tx, issuer, subject, user, now).await.unwrap();

        assert_eq!(is("here", "1", anna).await, Account::First);
        assert_eq!(is("here", "1", anna).await, Account::Known);
        assert_eq!(is("here", "2", anna).await, Account::Foreign, "another account with her e-mail");
        assert_eq!(is("here", "1", boris).await, Account::Foreign, "her account with his e-mail");
        assert_eq!(is("there", "2", anna).await, Account::First);
        assert_eq!(is("here", "2", boris).await, Account::First);
        assert_eq!(is("here", "2", anna).await, Account::Foreign, "two rows that both speak against it");
        assert_eq!(forget(&tx, anna).await.unwrap(), 2);
        assert_eq!(is("here", "3", anna).await, Account::First);
    }
}
