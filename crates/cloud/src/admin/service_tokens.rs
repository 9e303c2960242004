//! Service tokens, by which programs of third parties sign in.

use chrono::{DateTime, Utc};
use tillwatch_protocol::error::FieldError;
use tillwatch_protocol::ids::ServiceTokenId;
use tillwatch_protocol::rest::service_token::{PREFIX, ServiceToken, TokenScope};
use tillwatch_protocol::rest::session::Permission;

use super::AdminError;
use crate::domain::audit::{Actor, Entry};
use crate::store::{WriteTx, audit, service_token};
use crate::tokens;

/// The longest name of a token, in characters.
const MAX_NAME: usize = 100;

/// Makes a service token for a place that is there. The second is the token itself, which is kept nowhere.
pub(crate) async fn add(
    tx: &WriteTx,
    actor: Actor,
    name: &str,
    scope: TokenScope,
    permission: Permission,
    now: DateTime<Utc>,
) -> Result<(ServiceToken, String), AdminError> {
    let name = name.trim();
    let bad = |field: &str, message: String| {
        AdminError::BadFields(vec![FieldError { field: field.into(), message }])
    };
    if name.is_empty() || name.chars().count() > MAX_NAME || name.contains(char::is_control) {
        return Err(bad("name", format!("must be 1 to {MAX_NAME} characters in one line")));
    }
    if permission != Permission::Relay {
        return Err(bad("permission", "must be relay: tokens are made for nothing else".into()));
    }
    if service_token::named(&**tx, name).await?.is_some() {
        return Err(AdminError::NameTaken { what: "a service token", name: name.into() });
    }
    let secret = format!("{PREFIX}{}", tokens::new_token());
    let token = ServiceToken {
        id: ServiceTokenId::new(),
        name: name.into(),
        scope,
        permission,
        created_at: now,
        created_by: actor.to_string(),
        last_used_at: None,
        revoked_at: None,
    };
    service_token::insert(tx, &token, &secret).await?;
    let entry = Entry::new(now, actor, "token.added", format!("service_token:{}", token.id));
    let entry = entry.with("name", name).with("scope", scope.to_string());
    audit::append(tx, entry.with("permission", permission.as_str())).await?;
    Ok((token, secret))
}

/// The token that is good and has this id or name.
pub(crate) async fn named(tx: &WriteTx, name: &str) -> Result<ServiceToken, AdminError> {
    let token = service_token::named(&**tx, name.trim()).await?;
    token.ok_or_else(|| AdminError::NotFound { what: "token", name: name.into() })
}

/// Revokes the tokens that are good for what is about to be removed.
pub(crate) async fn revoke_all_for(
    tx: &WriteTx,
    actor: Actor,
    scope: TokenScope,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    for token in service_token::good_for(tx, scope).await? {
        revoke(tx, actor, token, now).await?;
    }
    Ok(())
}

/// Revokes a token. It is refused from the next request on.
pub(crate) async fn revoke(
    tx: &WriteTx,
    actor: Actor,
    token: ServiceToken,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    service_token::revoke(tx, token.id, now).await?;
    let entry = Entry::new(now, actor, "token.revoked", format!("service_token:{}", token.id));
    audit::append(tx, entry.with("name", token.name)).await?;
    Ok(())
}
