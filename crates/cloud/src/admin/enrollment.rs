//! Codes by which connectors enroll, and the identities that came of them.

use chrono::{DateTime, Utc};
use tillwatch_protocol::ids::{DeviceId, PosServerId};
use tillwatch_protocol::rest::admin::NewEnrollmentCode;

use super::{AdminError, CODE_LIFE};
use crate::domain::audit::{Actor, Entry};
use crate::store::{WriteTx, audit, device, presence};
use crate::tokens;

/// Makes a code for a POS server; one that waits to be used dies.
pub(crate) async fn new_code(
    tx: &WriteTx,
    actor: Actor,
    id: PosServerId,
    now: DateTime<Utc>,
) -> Result<NewEnrollmentCode, AdminError> {
    let enrollment_code = tokens::new_enrollment_code();
    let expires_at = now + CODE_LIFE;
    let code_hash = tokens::hash_enrollment_code(&enrollment_code);
    device::add_code(&**tx, id, code_hash, now, expires_at).await?;
    audit::append(tx, Entry::new(now, actor, "enrollment_code.made", format!("pos_server:{id}"))).await?;
    Ok(NewEnrollmentCode { pos_server_id: id, enrollment_code, expires_at })
}

/// Revokes the code of a POS server that waits to be used, if there is one.
pub(crate) async fn revoke_codes(
    tx: &WriteTx,
    actor: Actor,
    id: PosServerId,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    if device::revoke_codes(&**tx, id, now).await? {
        let entry = Entry::new(now, actor, "enrollment_code.revoked", format!("pos_server:{id}"));
        audit::append(tx, entry).await?;
    }
    Ok(())
}

/// Revokes an identity: its link closes, and it is let in no more.
pub(crate) async fn revoke_device(
    tx: &mut WriteTx,
    actor: Actor,
    id: DeviceId,
    pos_server: PosServerId,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    if device::revoke(&**tx, id, now).await? {
        let revision = tx.next_revision().await?;
        presence::revoked(&**tx, pos_server, now, revision).await?;
        let entry = Entry::new(now, actor, "device.revoked", format!("pos_server:{pos_server}"));
        audit::append(tx, entry.with("device_id", id.to_string())).await?;
    }
    Ok(())
}
