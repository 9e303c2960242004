//! Users.

use chrono::{DateTime, Utc};
use tillwatch_protocol::ids::{SessionId, UserId};
use tillwatch_protocol::rest::admin::{AdminUser, UserEdit};
use tillwatch_protocol::rest::session::User;

use super::AdminError;
use crate::domain::audit::{Actor, Entry};
use crate::domain::user;
use crate::store::{WriteTx, attempts, audit, grant, session, user as users};
use crate::tokens;

/// A user to be made, checked, the password hashed.
pub(crate) struct New {
    user: User,
    password: users::Password,
    /// The password that was made up, if none was given.
    pub(crate) generated: Option<String>,
}

impl New {
    /// Checks what a user is to be. Takes tens of milliseconds for the hash: call it outside of a write.
    pub(crate) fn check(
        email: &str,
        name: &str,
        admin: bool,
        password: Option<String>,
    ) -> Result<Self, AdminError> {
        user::check_email(email)?;
        user::check_name(name)?;
        let Password { kept, generated } = Password::check(password, email, name)?;
        let (email, name) = (user::normal_email(email), name.trim().to_owned());
        let user = User { id: UserId::new(), email, name, admin };
        Ok(Self { user, password: kept, generated })
    }
}

/// A password, hashed.
pub(crate) struct Password {
    kept: users::Password,
    /// In the clear, if it was made up here.
    pub(crate) generated: Option<String>,
}

impl Password {
    /// Checks and hashes a password for the user of this e-mail and name, or makes one up. Takes tens of milliseconds.
    pub(crate) fn check(password: Option<String>, email: &str, name: &str) -> Result<Self, AdminError> {
        let hashed =
            |password: &str, made_up| users::Password { hash: user::hash_password(password), made_up };
        if let Some(password) = password {
            user::check_password(&password, email, name)?;
            return Ok(Self { kept: hashed(&password, false), generated: None });
        }
        let password = tokens::new_password();
        Ok(Self { kept: hashed(&password, true), generated: Some(password) })
    }
}

/// Makes a user.
pub(crate) async fn add(
    tx: &WriteTx,
    actor: Actor,
    new: &New,
    now: DateTime<Utc>,
) -> Result<User, AdminError> {
    let user = new.user.clone();
    if users::is_taken(&**tx, &user.email).await? {
        return Err(AdminError::EmailTaken(user.email));
    }
    users::insert(tx, &user, new.password.clone(), now).await?;
    let entry = entry(now, actor, "user.added", user.id);
    audit::append(tx, entry.with("email", user.email.as_str()).with("admin", user.admin)).await?;
    Ok(user)
}

/// Changes what is given of a user. Whoever may not sign in any more is signed out everywhere.
pub(crate) async fn edit(
    tx: &mut WriteTx,
    actor: Actor,
    before: &AdminUser,
    edit: &UserEdit,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    let mut changes = users::Edit::default();
    let mut entry = entry(now, actor, "user.edited", before.id);
    if let Some(email) = &edit.email {
        user::check_email(email)?;
        let email = user::normal_email(email);
        if email != before.email {
            if users::is_taken(&**tx, &email).await? {
                return Err(AdminError::EmailTaken(email));
            }
            entry = entry.with("email", email.as_str()).with("email_before", before.email.as_str());
            changes.email = Some(email);
        }
    }
    if let Some(name) = &edit.name {
        user::check_name(name)?;
        let name = name.trim();
        if name != before.name {
            entry = entry.with("name", name);
            changes.name = Some(name.to_owned());
        }
    }
    if let Some(admin) = edit.admin.filter(|admin| *admin != before.admin) {
        entry = entry.with("admin", admin);
        changes.admin = Some(admin);
    }
    if let Some(disabled) = edit.disabled.filter(|disabled| *disabled != before.disabled_at.is_some()) {
        entry = entry.with("disabled", disabled);
        changes.disabled = Some(disabled);
    }
    if entry.details.is_empty() {
        return Ok(());
    }
    let was_needed = before.admin && before.disabled_at.is_none();
    let goes = changes.admin == Some(false) || changes.disabled == Some(true);
    if was_needed && goes {
        keep_an_admin(tx).await?;
    }
    if changes.disabled == Some(true) {
        session::revoke_all(tx, before.id, None, now).await?;
    }
    let sees_other_rows = changes.admin.is_some();
    users::edit(tx, before.id, changes, now).await?;
    if sees_other_rows {
        grant::note_change(tx, before.id).await?;
    }
    audit::append(tx, entry).await?;
    Ok(())
}

/// Gives a user another password: they are signed out everywhere, and may try at once.
pub(crate) async fn set_password(
    tx: &WriteTx,
    actor: Actor,
    user: &AdminUser,
    password: &Password,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    attempts::forget(tx, &user.email).await?;
    replace_password(tx, actor, user.id, password, None, now).await
}

/// Gives a user the password of their own choice, from one of their sessions: the others end.
pub(crate) async fn change_password(
    tx: &WriteTx,
    user: &User,
    session: SessionId,
    password: &Password,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    attempts::forget(tx, &user.email).await?;
    replace_password(tx, Actor::User(user.id), user.id, password, Some(session), now).await
}

async fn replace_password(
    tx: &WriteTx,
    actor: Actor,
    user: UserId,
    password: &Password,
    keep: Option<SessionId>,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    let changes = users::Edit { password: Some(password.kept.clone()), ..users::Edit::default() };
    users::edit(tx, user, changes, now).await?;
    let sessions = session::revoke_all(tx, user, keep, now).await?;
    let entry = entry(now, actor, "user.password_set", user);
    audit::append(tx, entry.with("sessions_ended", sessions)).await?;
    Ok(())
}

/// Lets a user try passwords again who gave ten wrong ones.
pub(crate) async fn unlock(
    tx: &WriteTx,
    actor: Actor,
    user: &AdminUser,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    attempts::forget(tx, &user.email).await?;
    if user.locked_until.is_some() {
        audit::append(tx, entry(now, actor, "user.unlocked", user.id)).await?;
    }
    Ok(())
}

/// Deletes a user with sessions and grants.
pub(crate) async fn delete(
    tx: &mut WriteTx,
    actor: Actor,
    user: &AdminUser,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    if user.admin && user.disabled_at.is_none() {
        keep_an_admin(tx).await?;
    }
    users::delete(tx, user.id).await?;
    let entry = entry(now, actor, "user.deleted", user.id);
    audit::append(tx, entry.with("email", user.email.as_str())).await?;
    Ok(())
}

/// Ends one session of a user; tells whether there was one.
pub(crate) async fn end_session(
    tx: &WriteTx,
    actor: Actor,
    user: UserId,
    id: SessionId,
    now: DateTime<Utc>,
) -> Result<bool, AdminError> {
    let ended = session::revoke(tx, user, id, now).await?;
    if ended {
        let entry = Entry::new(now, actor, "session.ended", format!("session:{id}"));
        audit::append(tx, entry.with("user_id", user.to_string())).await?;
    }
    Ok(ended)
}

/// Ends every session of a user.
pub(crate) async fn end_sessions(
    tx: &WriteTx,
    actor: Actor,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    let count = session::revoke_all(tx, user, None, now).await?;
    if count > 0 {
        audit::append(tx, entry(now, actor, "user.signed_out", user).with("sessions", count)).await?;
    }
    Ok(())
}

/// Somebody else who may do everything has to be left.
async fn keep_an_admin(tx: &WriteTx) -> Result<(), AdminError> {
    if users::admins(&**tx).await? > 1 { Ok(()) } else { Err(AdminError::LastAdmin) }
}

fn entry(now: DateTime<Utc>, actor: Actor, action: &str, id: UserId) -> Entry {
    Entry::new(now, actor, action, format!("user:{id}"))
}
