//! What operators do from the command line. Each is one write, with its audit entry, beside a cloud that
//! may be running on the same database.

use chrono::{DateTime, TimeDelta, Utc};
use tillwatch_protocol::ids::{ChainId, OutletId, UserId};
use tillwatch_protocol::link::version::PosVersion;
use tillwatch_protocol::rest::admin::Imported;
use tillwatch_protocol::rest::session::{Permission, User};

use crate::domain::audit::{Actor, Entry};
use crate::domain::fleet::{self, BadLine};
use crate::domain::user::{self, BadUser};
use crate::store::chain::{self, Known};
use crate::store::{Store, StoreError, audit, grant, user as users};
use crate::tokens;

pub use crate::store::audit::Chain as AuditChain;
pub use crate::store::grant::Scope;

/// How long an enrollment code is good for.
pub const CODE_LIFE: TimeDelta = TimeDelta::hours(24);

/// Why an operator's wish was not granted.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The user can't be made like this.
    #[error(transparent)]
    BadUser(#[from] BadUser),
    /// The e-mail is taken.
    #[error("there is a user with the e-mail {0} already")]
    EmailTaken(String),
    /// No such thing.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// User, chain or outlet.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// A name that several have.
    #[error("several {what}s are called `{name}`; give the id")]
    Ambiguous {
        /// Chain or outlet.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// Not a version.
    #[error("`{0}` is not a version such as 34.6.0")]
    BadVersion(String),
    /// Lines that can't be imported; nothing was.
    #[error("nothing was imported:\n{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    BadLines(Vec<BadLine>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a user. Without a password one is made up; it is returned and kept nowhere.
pub async fn add_user(
    store: &Store,
    email: &str,
    name: &str,
    admin: bool,
    password: Option<String>,
    now: DateTime<Utc>,
) -> Result<(User, Option<String>), AdminError> {
    let generated = password.is_none().then(tokens::new_password);
    let password = password.or_else(|| generated.clone()).unwrap_or_default();
    user::check(email, name, &password)?;
    let user =
        User { id: UserId::new(), email: user::normal_email(email), name: name.trim().to_owned(), admin };
    let password_hash = user::hash_password(&password);
    let tx = store.write().await?;
    if users::by_email(&*tx, &user.email).await?.is_some() {
        return Err(AdminError::EmailTaken(user.email));
    }
    users::insert(&tx, &user, password_hash, now).await?;
    let entry = Entry::new(now, Actor::CommandLine, "user.added", format!("user:{}", user.id));
    audit::append(&tx, entry.with("email", user.email.as_str()).with("admin", admin)).await?;
    tx.commit().await?;
    Ok((user, generated))
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
    let account = users::by_email(&*tx, &email).await?;
    let user = account.ok_or(AdminError::NotFound { what: "user", name: email })?.user;
    let (scope, place) = match scope {
        ScopeName::All => (Scope::All, "all".to_owned()),
        ScopeName::Chain(name) => {
            let id: ChainId = the_one("chain", name, chain::named(&*tx, name).await?)?;
            (Scope::Chain(id), format!("chain:{id}"))
        }
        ScopeName::Outlet(name) => {
            let id: OutletId = the_one("outlet", name, chain::named_outlets(&*tx, name).await?)?;
            (Scope::Outlet(id), format!("outlet:{id}"))
        }
    };
    for permission in permissions {
        if grant::insert(&mut tx, user.id, scope, *permission).await? {
            let entry = Entry::new(now, Actor::CommandLine, "grant.added", format!("user:{}", user.id));
            let entry = entry.with("scope", place.as_str()).with("permission", permission.as_str());
            audit::append(&tx, entry).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

/// Imports a fleet, all of it or nothing.
pub async fn import_fleet(
    store: &Store,
    file: &[u8],
    now: DateTime<Utc>,
) -> Result<Vec<Imported>, AdminError> {
    let lines = fleet::parse(file).map_err(AdminError::BadLines)?;
    let mut tx = store.write().await?;
    let mut known = Known::default();
    let (mut imported, mut conflicts) = (Vec::with_capacity(lines.len()), Vec::new());
    for numbered in lines {
        match chain::add_line(&mut tx, &mut known, &numbered.line, now).await? {
            Ok(pos_server_id) => {
                let enrollment_code = tokens::new_enrollment_code();
                let code_hash = tokens::hash_enrollment_code(&enrollment_code);
                chain::add_code(&tx, pos_server_id, code_hash, now, now + CODE_LIFE).await?;
                imported.push(Imported { pos_server_id, outlet: numbered.line.outlet, enrollment_code });
            }
            Err(conflict) => {
                conflicts.push(BadLine { number: numbered.number, reason: conflict.to_string() });
            }
        }
    }
    if !conflicts.is_empty() {
        return Err(AdminError::BadLines(conflicts));
    }
    let entry = Entry::new(now, Actor::CommandLine, "fleet.imported", "fleet");
    audit::append(&tx, entry.with("pos_servers", imported.len() as u64)).await?;
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
    let version = version.trim();
    if version.parse::<PosVersion>().is_err() {
        return Err(AdminError::BadVersion(version.into()));
    }
    let mut tx = store.write().await?;
    let id = the_one("chain", chain_name, chain::named(&*tx, chain_name).await?)?;
    chain::require_version(&mut tx, id, version).await?;
    let entry = Entry::new(now, Actor::CommandLine, "release.required", format!("chain:{id}"));
    audit::append(&tx, entry.with("pos_version", version)).await?;
    tx.commit().await?;
    Ok(())
}

/// Checks the chain of hashes of the audit trail.
pub async fn verify_audit(store: &Store) -> Result<AuditChain, AdminError> {
    Ok(audit::verify(&store.read().await?).await?)
}

fn the_one<T>(what: &'static str, name: &str, mut found: Vec<T>) -> Result<T, AdminError> {
    let name = || name.to_owned();
    match found.len() {
        0 => Err(AdminError::NotFound { what, name: name() }),
        1 => Ok(found.remove(0)),
        _ => Err(AdminError::Ambiguous { what, name: name() }),
    }
}
