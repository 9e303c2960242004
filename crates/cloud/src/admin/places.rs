//! Chains, outlets, POS servers, and the version that a chain requires.

use chrono::{DateTime, Utc};
use tillwatch_protocol::error::FieldError;
use tillwatch_protocol::fleet;
use tillwatch_protocol::ids::{ChainId, OutletId, PosServerId};
use tillwatch_protocol::link::version::PosVersion;
use tillwatch_protocol::rest::admin::{NewOutlet, OutletEdit};
use tillwatch_protocol::rest::service_token::TokenScope;

use super::{AdminError, service_tokens};
use crate::domain::audit::{Actor, Entry};
use crate::store::entity::{chains, outlets, pos_servers};
use crate::store::outlet::Texts;
use crate::store::pos_server::keep;
use crate::store::{WriteTx, audit, chain, outlet};

/// Makes a chain.
pub(crate) async fn add_chain(
    tx: &WriteTx,
    actor: Actor,
    name: &str,
    now: DateTime<Utc>,
) -> Result<ChainId, AdminError> {
    let name = check_name(name)?;
    if chain::is_taken(&**tx, name).await? {
        return Err(AdminError::NameTaken { what: "a chain", name: name.into() });
    }
    let id = chain::insert(tx, name, now).await?;
    audit::append(tx, Entry::new(now, actor, "chain.added", format!("chain:{id}")).with("name", name))
        .await?;
    Ok(id)
}

/// Gives a chain another name.
pub(crate) async fn rename_chain(
    tx: &mut WriteTx,
    actor: Actor,
    before: &chains::Model,
    name: &str,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    let name = check_name(name)?;
    if name == before.name {
        return Ok(());
    }
    if chain::is_taken(&**tx, name).await? {
        return Err(AdminError::NameTaken { what: "a chain", name: name.into() });
    }
    chain::rename(tx, before.id.into(), name).await?;
    let entry = Entry::new(now, actor, "chain.renamed", format!("chain:{}", before.id));
    audit::append(tx, entry.with("name", name).with("name_before", before.name.as_str())).await?;
    Ok(())
}

/// Deletes a chain that has neither outlets nor loyalty data; its service tokens end.
pub(crate) async fn delete_chain(
    tx: &mut WriteTx,
    actor: Actor,
    row: &chains::Model,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    let (outlets, rows) = chain::content(&**tx, row.id.into()).await?;
    for (count, what) in [(outlets, "outlets"), (rows, "rows of loyalty data")] {
        if count > 0 {
            return Err(AdminError::NotEmpty { what, count });
        }
    }
    let entry = Entry::new(now, actor, "chain.deleted", format!("chain:{}", row.id));
    audit::append(tx, entry.with("name", row.name.as_str())).await?;
    service_tokens::revoke_all_for(tx, actor, TokenScope::Chain(row.id.into()), now).await?;
    chain::delete(tx, row.id.into()).await?;
    Ok(())
}

/// Makes an outlet.
pub(crate) async fn add_outlet(
    tx: &WriteTx,
    actor: Actor,
    new: &NewOutlet,
    now: DateTime<Utc>,
) -> Result<OutletId, AdminError> {
    let texts = check_texts(&new.name, &new.crm_id, &new.address, &new.time_zone)?;
    free_outlet(tx, new.chain_id, &texts.name).await?;
    let id = outlet::insert(tx, new.chain_id, &texts, now).await?;
    let entry = Entry::new(now, actor, "outlet.added", format!("outlet:{id}"));
    audit::append(tx, entry.with("name", texts.name).with("crm_id", texts.crm_id)).await?;
    Ok(id)
}

/// Changes what is given of an outlet.
pub(crate) async fn edit_outlet(
    tx: &mut WriteTx,
    actor: Actor,
    before: &outlets::Model,
    edit: &OutletEdit,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    let texts = check_texts(
        edit.name.as_ref().unwrap_or(&before.name),
        edit.crm_id.as_ref().unwrap_or(&before.crm_id),
        edit.address.as_ref().unwrap_or(&before.address),
        edit.time_zone.as_ref().unwrap_or(&before.time_zone),
    )?;
    let mut entry = Entry::new(now, actor, "outlet.edited", format!("outlet:{}", before.id));
    for (field, old, new) in [
        ("name", &before.name, &texts.name),
        ("crm_id", &before.crm_id, &texts.crm_id),
        ("address", &before.address, &texts.address),
        ("time_zone", &before.time_zone, &texts.time_zone),
    ] {
        if old != new {
            entry = entry.with(field, new.as_str());
        }
    }
    if entry.details.is_empty() {
        return Ok(());
    }
    if texts.name != before.name {
        free_outlet(tx, before.chain_id.into(), &texts.name).await?;
    }
    outlet::edit(tx, before.id.into(), &texts).await?;
    audit::append(tx, entry).await?;
    Ok(())
}

/// Deletes an outlet that has no POS servers.
pub(crate) async fn delete_outlet(
    tx: &mut WriteTx,
    actor: Actor,
    row: &outlets::Model,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    let count = outlet::content(&**tx, row.id.into()).await?;
    if count > 0 {
        return Err(AdminError::NotEmpty { what: "POS servers", count });
    }
    let entry = Entry::new(now, actor, "outlet.deleted", format!("outlet:{}", row.id));
    audit::append(tx, entry.with("name", row.name.as_str())).await?;
    outlet::delete(tx, row.id.into()).await?;
    Ok(())
}

/// Makes a POS server.
pub(crate) async fn add_pos_server(
    tx: &mut WriteTx,
    actor: Actor,
    outlet: &outlets::Model,
    name: &str,
    now: DateTime<Utc>,
) -> Result<PosServerId, AdminError> {
    let name = check_name(name)?;
    free_pos_server(tx, outlet.id.into(), name).await?;
    let id = keep::insert(tx, outlet, name, now).await?;
    let entry = Entry::new(now, actor, "pos_server.added", format!("pos_server:{id}"));
    audit::append(tx, entry.with("name", name)).await?;
    Ok(id)
}

/// Gives a POS server another name.
pub(crate) async fn rename_pos_server(
    tx: &mut WriteTx,
    actor: Actor,
    before: &pos_servers::Model,
    name: &str,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    let name = check_name(name)?;
    if name == before.name {
        return Ok(());
    }
    free_pos_server(tx, before.outlet_id.into(), name).await?;
    keep::rename(tx, before.id.into(), name).await?;
    let entry = Entry::new(now, actor, "pos_server.renamed", format!("pos_server:{}", before.id));
    audit::append(tx, entry.with("name", name).with("name_before", before.name.as_str())).await?;
    Ok(())
}

/// Removes a POS server with everything that waits for it; its service tokens end.
pub(crate) async fn remove_pos_server(
    tx: &mut WriteTx,
    actor: Actor,
    row: &pos_servers::Model,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    let entry = Entry::new(now, actor, "pos_server.removed", format!("pos_server:{}", row.id));
    audit::append(tx, entry.with("name", row.name.as_str())).await?;
    service_tokens::revoke_all_for(tx, actor, TokenScope::PosServer(row.id.into()), now).await?;
    keep::remove(tx, row, now).await?;
    Ok(())
}

/// Reads a version that can be required.
pub(crate) fn check_version(version: &str) -> Result<&str, AdminError> {
    let version = version.trim();
    if version.len() > 64 || version.parse::<PosVersion>().is_err() {
        return Err(AdminError::BadVersion(version.chars().take(64).collect()));
    }
    Ok(version)
}

/// Sets the version below which POS servers of a chain need an update, or none.
pub(crate) async fn require_version(
    tx: &mut WriteTx,
    actor: Actor,
    id: ChainId,
    version: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    let before = chain::find(&**tx, id).await?.and_then(|chain| chain.required_pos_version);
    if before.as_deref() == version {
        return Ok(());
    }
    chain::require_version(tx, id, version).await?;
    let entry = match version {
        Some(version) => {
            Entry::new(now, actor, "release.required", format!("chain:{id}")).with("pos_version", version)
        }
        None => Entry::new(now, actor, "release.cleared", format!("chain:{id}")),
    };
    audit::append(tx, entry).await?;
    Ok(())
}

async fn free_outlet(tx: &WriteTx, chain: ChainId, name: &str) -> Result<(), AdminError> {
    if outlet::is_taken(&**tx, chain, name).await? {
        return Err(AdminError::NameTaken { what: "an outlet of this chain", name: name.into() });
    }
    Ok(())
}

async fn free_pos_server(tx: &WriteTx, outlet: OutletId, name: &str) -> Result<(), AdminError> {
    if keep::is_taken(&**tx, outlet, name).await? {
        return Err(AdminError::NameTaken { what: "a POS server of this outlet", name: name.into() });
    }
    Ok(())
}

fn check_name(name: &str) -> Result<&str, AdminError> {
    let name = name.trim();
    match fleet::text_fault(name, true) {
        Some(fault) => Err(AdminError::BadFields(vec![field("name", fault.to_string())])),
        None => Ok(name),
    }
}

/// Checks all texts of an outlet, to tell everything that is wrong with them at once.
fn check_texts(name: &str, crm_id: &str, address: &str, time_zone: &str) -> Result<Texts, AdminError> {
    let trimmed = |text: &str| text.trim().to_owned();
    let texts = Texts {
        name: trimmed(name),
        crm_id: trimmed(crm_id),
        address: trimmed(address),
        time_zone: trimmed(time_zone),
    };
    let faults = [
        ("name", told(fleet::text_fault(&texts.name, true))),
        ("crm_id", told(fleet::text_fault(&texts.crm_id, false))),
        ("address", told(fleet::text_fault(&texts.address, false))),
        ("time_zone", told(fleet::time_zone_fault(&texts.time_zone))),
    ];
    let errors: Vec<FieldError> =
        faults.into_iter().filter_map(|(name, fault)| fault.map(|fault| field(name, fault))).collect();
    if errors.is_empty() { Ok(texts) } else { Err(AdminError::BadFields(errors)) }
}

fn told(fault: Option<impl ToString>) -> Option<String> {
    fault.map(|fault| fault.to_string())
}

fn field(field: &str, message: String) -> FieldError {
    FieldError { field: field.into(), message }
}
