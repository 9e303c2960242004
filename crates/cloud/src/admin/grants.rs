//! Grants.

use chrono::{DateTime, Utc};
use tillwatch_protocol::ids::UserId;
use tillwatch_protocol::rest::session::Permission;

use super::{AdminError, Scope};
use crate::domain::audit::{Actor, Entry};
use crate::store::grant::list::Stored;
use crate::store::{WriteTx, audit, grant, outlet};

/// Grants a permission; tells whether it is new.
pub(crate) async fn add(
    tx: &mut WriteTx,
    actor: Actor,
    user: UserId,
    scope: Scope,
    permission: Permission,
    now: DateTime<Utc>,
) -> Result<bool, AdminError> {
    if !grant::insert(tx, user, scope, permission).await? {
        return Ok(false);
    }
    audit::append(tx, entry(tx, actor, "grant.added", user, scope, permission, now).await?).await?;
    Ok(true)
}

/// Takes a grant away.
pub(crate) async fn remove(
    tx: &mut WriteTx,
    actor: Actor,
    stored: &Stored,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    let Stored { user, scope, permission, .. } = *stored;
    let entry = entry(tx, actor, "grant.removed", user, scope, permission, now).await?;
    if grant::delete(tx, stored.id).await? {
        audit::append(tx, entry).await?;
    }
    Ok(())
}

async fn entry(
    tx: &WriteTx,
    actor: Actor,
    action: &str,
    user: UserId,
    scope: Scope,
    permission: Permission,
    now: DateTime<Utc>,
) -> Result<Entry, AdminError> {
    let entry =
        Entry::new(now, actor, action, format!("user:{user}")).with("permission", permission.as_str());
    Ok(match scope {
        Scope::All => entry.with("scope", "all"),
        Scope::Chain(id) => entry.with("scope", format!("chain:{id}")).in_chain(id),
        Scope::Outlet(id) => {
            let entry = entry.with("scope", format!("outlet:{id}"));
            match outlet::find(&**tx, id).await? {
                Some(outlet) => entry.in_chain(outlet.chain_id.into()),
                None => entry,
            }
        }
    })
}
