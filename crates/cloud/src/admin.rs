//! What administrators do, from the command line and over REST.
//!
//! The functions of the modules work within a write that their caller began and will commit, and append their
//! audit entry to it. Whether somebody may do this is decided before, by `http::admin`; whoever has the
//! command line may do everything. The functions here are the command line's: one write each, with names
//! where people give names, beside a cloud that may be running on the same database.

mod error;

pub(crate) mod enrollment;
pub(crate) mod fleet;
pub(crate) mod grants;
pub(crate) mod places;
pub(crate) mod service_tokens;
pub(crate) mod users;

use chrono::{DateTime, TimeDelta, Utc};
use tillwatch_protocol::ids::{ChainId, OutletId};
use tillwatch_protocol::rest::admin::Imported;
use tillwatch_protocol::rest::service_token::{ServiceToken, TokenScope};
use tillwatch_protocol::rest::session::{Permission, User};

use crate::domain::audit::{Actor, Entry};
use crate::domain::user;
use crate::store::{Store, audit, chain, outlet, pos_server, service_token, sso, user as kept_users};

pub use crate::store::audit::{Chain as AuditChain, Head as AuditHead};
pub use crate::store::grant::Scope;
pub use error::AdminError;

/// How long an enrollment code is good for.
pub const CODE_LIFE: TimeDelta = TimeDelta::hours(24);

/// Makes a user. Without a password one is made up; it is returned and kept nowhere.
pub async fn add_user(
    store: &Store,
    email: &str,
    name: &str,
    admin: bool,
    password: Option<String>,
    now: DateTime<Utc>,
) -> Result<(User, Option<String>), AdminError> {
    let new = users::New::check(email, name, admin, password)?;
    let tx = store.write().await?;
    let user = users::add(&tx, Actor::CommandLine, &new, now).await?;
    tx.commit().await?;
    Ok((user, new.generated))
}

/// Where a grant is to hold, as an operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeName {
    /// Everywhere.
    All,
    /// A chain, by id or name.
    Chain(String),
    /// An outlet, by id or unique name.
    Outlet(String),
}

/// Grants permissions; those that are granted already stay.
pub async fn grant(
    store: &Store,
    email: &str,
    scope: &ScopeName,
    permissions: &[Permission],
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    let mut tx = store.write().await?;
    let email = user::normal_email(email);
    let account = kept_users::by_email(&*tx, &email).await?;
    let user = account.ok_or(AdminError::NotFound { what: "user", name: email })?.user;
    let scope = match scope {
        ScopeName::All => Scope::All,
        ScopeName::Chain(name) => {
            let id: ChainId = the_one("chain", name, chain::named(&*tx, name).await?)?;
            Scope::Chain(id)
        }
        ScopeName::Outlet(name) => {
            let id: OutletId = the_one("outlet", name, outlet::named(&*tx, name).await?)?;
            Scope::Outlet(id)
        }
    };
    for permission in permissions {
        grants::add(&mut tx, Actor::CommandLine, user.id, scope, *permission, now).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Forgets which accounts at providers of identities a user has, so that the next one to sign in with the
/// user's e-mail is remembered.
pub async fn forget_sso(store: &Store, email: &str, now: DateTime<Utc>) -> Result<u64, AdminError> {
    let tx = store.write().await?;
    let email = user::normal_email(email);
    let account = kept_users::by_email(&*tx, &email).await?;
    let user = account.ok_or(AdminError::NotFound { what: "user", name: email })?.user;
    let forgotten = sso::forget(&tx, user.id).await?;
    let entry = Entry::new(now, Actor::CommandLine, "user.sso_forgotten", format!("user:{}", user.id));
    audit::append(&tx, entry.with("accounts", forgotten)).await?;
    tx.commit().await?;
    Ok(forgotten)
}

/// Imports a fleet, all of it or nothing.
pub async fn import_fleet(
    store: &Store,
    file: &[u8],
    now: DateTime<Utc>,
) -> Result<Vec<Imported>, AdminError> {
    let lines = fleet::parse(file)?;
    let mut tx = store.write().await?;
    let imported = fleet::import(&mut tx, Actor::CommandLine, None, lines, now).await?;
    tx.commit().await?;
    Ok(imported)
}

/// Sets the version below which POS servers of a chain need an update.
pub async fn require_version(
    store: &Store,
    chain_name: &str,
    version: &str,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    let version = places::check_version(version)?;
    let mut tx = store.write().await?;
    let id = the_one("chain", chain_name, chain::named(&*tx, chain_name).await?)?;
    places::require_version(&mut tx, Actor::CommandLine, id, Some(version), now).await?;
    tx.commit().await?;
    Ok(())
}

/// Where a service token is to be good, as an operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenScopeName {
    /// A POS server, by id or unique name.
    PosServer(String),
    /// A chain, by id or name.
    Chain(String),
}

/// Makes a service token. The second is the token itself: it is returned and kept nowhere.
pub async fn add_token(
    store: &Store,
    name: &str,
    scope: &TokenScopeName,
    permission: Permission,
    now: DateTime<Utc>,
) -> Result<(ServiceToken, String), AdminError> {
    let tx = store.write().await?;
    let scope = match scope {
        TokenScopeName::PosServer(name) => {
            TokenScope::PosServer(the_one("POS server", name, pos_server::named(&*tx, name).await?)?)
        }
        TokenScopeName::Chain(name) => {
            TokenScope::Chain(the_one("chain", name, chain::named(&*tx, name).await?)?)
        }
    };
    let made = service_tokens::add(&tx, Actor::CommandLine, name, scope, permission, now).await?;
    tx.commit().await?;
    Ok(made)
}

/// Every service token, the newest first; revoked ones too.
pub async fn list_tokens(store: &Store) -> Result<Vec<ServiceToken>, AdminError> {
    Ok(service_token::list(&store.read().await?).await?)
}

/// Revokes a service token, by id or name.
pub async fn revoke_token(store: &Store, name: &str, now: DateTime<Utc>) -> Result<(), AdminError> {
    let tx = store.write().await?;
    let token = service_tokens::named(&tx, name).await?;
    service_tokens::revoke(&tx, Actor::CommandLine, token, now).await?;
    tx.commit().await?;
    Ok(())
}

/// Makes up new keys by which nodes know each other's hints and mark refresh tokens; nodes take them when they start.
/// Until all have, hints between old and new ones are lost and found again in the database, and a refresh token that
/// was made before and used is unknown rather than used twice.
pub async fn renew_keys(store: &Store, now: DateTime<Utc>) -> Result<(), AdminError> {
    let tx = store.write().await?;
    crate::store::renew_keys(&tx).await?;
    audit::append(&tx, Entry::new(now, Actor::CommandLine, "keys.renewed", "cloud".to_owned())).await?;
    tx.commit().await?;
    Ok(())
}

/// Checks the chain of hashes of the audit trail, and that it holds what was noted of it outside.
pub async fn verify_audit(store: &Store, noted: Option<&AuditHead>) -> Result<AuditChain, AdminError> {
    Ok(audit::verify(&store.read().await?, noted).await?)
}

/// Where the audit trail ends, to be noted outside.
pub async fn audit_head(store: &Store) -> Result<AuditHead, AdminError> {
    Ok(audit::head(&store.read().await?).await?)
}

fn the_one<T>(what: &'static str, name: &str, mut found: Vec<T>) -> Result<T, AdminError> {
    let name = || name.to_owned();
    match found.len() {
        0 => Err(AdminError::NotFound { what, name: name() }),
        1 => Ok(found.remove(0)),
        _ => Err(AdminError::Ambiguous { what, name: name() }),
    }
}
