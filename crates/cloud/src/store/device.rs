//! Identities of connectors and the codes that they come from.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
};
use serde_json::json;
use tillwatch_protocol::ids::{DeviceId, PosServerId};
use tillwatch_protocol::rest::admin::{CodeState, EnrollmentCode, StoreDevice};
use tillwatch_protocol::rest::timeline::TimelineKind;
use uuid::Uuid;

use crate::domain::timeline::Entry;
use crate::store::entity::{devices, enrollment_codes, outlets, pos_servers};
use crate::store::{StoreError, timeline};

use enrollment_codes::Column as Code;

/// How many ids one statement names.
const CHUNK: usize = 500;

/// What an enrollment gave.
pub(crate) struct Enrollment {
    /// The identity.
    pub device_id: DeviceId,
    /// The POS server that it serves.
    pub pos_server_id: PosServerId,
    /// The outlet's name.
    pub outlet: String,
    /// The outlet's time zone.
    pub time_zone: String,
    /// Whether it was made now. One whose answer was lost is given again.
    pub is_new: bool,
    /// Whether an older identity was revoked for it.
    pub replaces: bool,
}

/// Why a code gives no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoEnrollment {
    /// The code is unknown, used by another key, revoked or too old.
    BadCode,
    /// Some identity, revoked or not, has this key already.
    KnownKey,
}

/// What a code and a key are good for, before anything is written.
pub(crate) struct Claim {
    code: enrollment_codes::Model,
    pos_server: pos_servers::Model,
    outlet: outlets::Model,
    /// The identity that came of them before.
    device_id: Option<Uuid>,
}

impl Claim {
    /// The identity that came of them before.
    pub(crate) fn known(self) -> Option<Enrollment> {
        let id = self.device_id?;
        Some(self.enrolled(id, false, false))
    }

    fn enrolled(self, id: Uuid, is_new: bool, replaces: bool) -> Enrollment {
        Enrollment {
            device_id: id.into(),
            pos_server_id: self.pos_server.id.into(),
            outlet: self.outlet.name,
            time_zone: self.outlet.time_zone,
            is_new,
            replaces,
        }
    }
}

/// Looks at a code and the key that came with it.
pub(crate) async fn claim<C: ConnectionTrait>(
    conn: &C,
    code_hash: &str,
    public_key: &str,
    now: DateTime<Utc>,
) -> Result<Result<Claim, NoEnrollment>, StoreError> {
    let code = enrollment_codes::Entity::find_by_id(code_hash.to_owned())
        .filter(Code::ExpiresAt.gt(now))
        .filter(Code::RevokedAt.is_null())
        .one(conn)
        .await?;
    let known = devices::Entity::find().filter(devices::Column::PublicKey.eq(public_key)).one(conn).await?;
    let (code, device_id) = match (code, known) {
        (Some(code), Some(device)) if code.device_id == Some(device.id) && device.revoked_at.is_none() => {
            (code, Some(device.id))
        }
        (_, Some(_)) => return Ok(Err(NoEnrollment::KnownKey)),
        (Some(code), None) if code.used_at.is_none() => (code, None),
        (_, None) => return Ok(Err(NoEnrollment::BadCode)),
    };
    let Some(pos_server) = pos_servers::Entity::find_by_id(code.pos_server_id).one(conn).await? else {
        return Ok(Err(NoEnrollment::BadCode));
    };
    let Some(outlet) = outlets::Entity::find_by_id(pos_server.outlet_id).one(conn).await? else {
        return Ok(Err(NoEnrollment::BadCode));
    };
    Ok(Ok(Claim { code, pos_server, outlet, device_id }))
}

/// Takes a code and makes an identity of the key that came with it; older identities of the same POS server
/// are revoked. The same code with the same key gives the same identity again as long as the code lives.
pub(crate) async fn enroll<C: ConnectionTrait>(
    tx: &C,
    code_hash: &str,
    public_key: &str,
    now: DateTime<Utc>,
) -> Result<Result<Enrollment, NoEnrollment>, StoreError> {
    let claim = match claim(tx, code_hash, public_key, now).await? {
        Ok(claim) => claim,
        Err(none) => return Ok(Err(none)),
    };
    if let Some(id) = claim.device_id {
        return Ok(Ok(claim.enrolled(id, false, false)));
    }
    let (id, replaces) = take(tx, &claim.code, public_key, now).await?;
    Ok(Ok(claim.enrolled(id, true, replaces)))
}

/// Makes an identity by a code that is good; tells as well whether an older one was revoked for it.
async fn take<C: ConnectionTrait>(
    tx: &C,
    code: &enrollment_codes::Model,
    public_key: &str,
    now: DateTime<Utc>,
) -> Result<(Uuid, bool), StoreError> {
    let replaces = revoke_all(tx, code.pos_server_id.into(), now).await?;
    let id = DeviceId::new().0;
    let device = devices::ActiveModel {
        id: Set(id),
        pos_server_id: Set(code.pos_server_id),
        public_key: Set(public_key.to_owned()),
        created_at: Set(now),
        revoked_at: Set(None),
    };
    device.insert(tx).await?;
    tell(tx, code.pos_server_id, id, "enrolled", now).await?;
    enrollment_codes::Entity::update_many()
        .col_expr(Code::UsedAt, Expr::value(now))
        .col_expr(Code::DeviceId, Expr::value(id))
        .filter(Code::CodeHash.eq(&code.code_hash))
        .exec(tx)
        .await?;
    Ok((id, replaces))
}

/// An identity.
pub(crate) async fn find<C: ConnectionTrait>(
    conn: &C,
    id: DeviceId,
) -> Result<Option<devices::Model>, StoreError> {
    Ok(devices::Entity::find_by_id(id.0).one(conn).await?)
}

/// Revokes an identity; tells whether it was valid.
pub(crate) async fn revoke<C: ConnectionTrait>(
    tx: &C,
    id: DeviceId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    revoke_where(tx, devices::Column::Id.eq(id.0), now).await
}

/// Revokes every identity of a POS server.
pub(crate) async fn revoke_all<C: ConnectionTrait>(
    tx: &C,
    id: PosServerId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    revoke_where(tx, devices::Column::PosServerId.eq(id.0), now).await
}

async fn revoke_where<C: ConnectionTrait>(
    tx: &C,
    which: SimpleExpr,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let valid = devices::Entity::find().filter(which).filter(devices::Column::RevokedAt.is_null());
    let valid = valid.all(tx).await?;
    for device in &valid {
        devices::Entity::update_many()
            .col_expr(devices::Column::RevokedAt, Expr::value(now))
            .filter(devices::Column::Id.eq(device.id))
            .exec(tx)
            .await?;
        tell(tx, device.pos_server_id, device.id, "revoked", now).await?;
    }
    Ok(!valid.is_empty())
}

/// Adds what became of an identity to the timeline of its POS server.
async fn tell<C: ConnectionTrait>(
    tx: &C,
    pos_server: Uuid,
    device: Uuid,
    code: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let entry = Entry::new(now, TimelineKind::Identity, code, json!({ "device_id": device }));
    timeline::append(tx, vec![(pos_server.into(), entry)], now).await
}

/// Of these identities those that were revoked.
pub(crate) async fn revoked_of<C: ConnectionTrait>(
    conn: &C,
    ids: &[DeviceId],
) -> Result<Vec<DeviceId>, StoreError> {
    let mut revoked = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let found: Vec<Uuid> = devices::Entity::find()
            .select_only()
            .column(devices::Column::Id)
            .filter(devices::Column::Id.is_in(chunk.iter().map(|id| id.0)))
            .filter(devices::Column::RevokedAt.is_not_null())
            .into_tuple()
            .all(conn)
            .await?;
        revoked.extend(found.into_iter().map(DeviceId));
    }
    Ok(revoked)
}

/// The identities that a POS server has had, newest first, older than `before`.
pub(crate) async fn of_pos_server<C: ConnectionTrait>(
    conn: &C,
    id: PosServerId,
    before: Option<DeviceId>,
    limit: u64,
) -> Result<Vec<StoreDevice>, StoreError> {
    let mut query = devices::Entity::find().filter(devices::Column::PosServerId.eq(id.0));
    if let Some(before) = before {
        query = query.filter(devices::Column::Id.lt(before.0));
    }
    let rows = query.order_by_desc(devices::Column::Id).limit(limit).all(conn).await?;
    Ok(rows
        .into_iter()
        .map(|row| StoreDevice {
            id: row.id.into(),
            pos_server_id: row.pos_server_id.into(),
            created_at: row.created_at,
            revoked_at: row.revoked_at,
        })
        .collect())
}

/// Since when each of these POS servers has the identity that is valid now.
pub(crate) async fn enrolled_at<C: ConnectionTrait>(
    conn: &C,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, DateTime<Utc>>, StoreError> {
    let rows: Vec<(Uuid, DateTime<Utc>)> = devices::Entity::find()
        .select_only()
        .columns([devices::Column::PosServerId, devices::Column::CreatedAt])
        .filter(devices::Column::PosServerId.is_in(ids.iter().copied()))
        .filter(devices::Column::RevokedAt.is_null())
        .into_tuple()
        .all(conn)
        .await?;
    Ok(rows.into_iter().collect())
}

/// The row of a new code.
pub(super) fn new_code(
    pos_server: PosServerId,
    code_hash: String,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> enrollment_codes::ActiveModel {
    enrollment_codes::ActiveModel {
        code_hash: Set(code_hash),
        pos_server_id: Set(pos_server.0),
        created_at: Set(now),
        expires_at: Set(expires_at),
        used_at: Set(None),
        revoked_at: Set(None),
        device_id: Set(None),
    }
}

/// Keeps the hash of a new code; those that were waiting are revoked.
pub(crate) async fn add_code<C: ConnectionTrait>(
    tx: &C,
    pos_server: PosServerId,
    code_hash: String,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    revoke_codes(tx, pos_server, now).await?;
    let row = new_code(pos_server, code_hash, now, expires_at);
    enrollment_codes::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

/// Revokes the codes of a POS server that wait to be used; tells whether there were any.
pub(crate) async fn revoke_codes<C: ConnectionTrait>(
    tx: &C,
    id: PosServerId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let revoked = enrollment_codes::Entity::update_many()
        .col_expr(Code::RevokedAt, Expr::value(now))
        .filter(Code::PosServerId.eq(id.0))
        .filter(Code::UsedAt.is_null())
        .filter(Code::RevokedAt.is_null())
        .filter(Code::ExpiresAt.gt(now))
        .exec(tx)
        .await?;
    Ok(revoked.rows_affected > 0)
}

/// Forgets the codes of a POS server that is removed.
pub(crate) async fn forget_codes<C: ConnectionTrait>(tx: &C, id: PosServerId) -> Result<(), StoreError> {
    enrollment_codes::Entity::delete_many().filter(Code::PosServerId.eq(id.0)).exec(tx).await?;
    Ok(())
}

/// The codes that a POS server has had, newest first.
pub(crate) async fn codes_of<C: ConnectionTrait>(
    conn: &C,
    id: PosServerId,
    before: Option<DateTime<Utc>>,
    limit: u64,
    now: DateTime<Utc>,
) -> Result<Vec<EnrollmentCode>, StoreError> {
    let mut query = enrollment_codes::Entity::find().filter(Code::PosServerId.eq(id.0));
    if let Some(before) = before {
        query = query.filter(Code::CreatedAt.lt(before));
    }
    let rows = query.order_by_desc(Code::CreatedAt).limit(limit).all(conn).await?;
    Ok(rows
        .into_iter()
        .map(|row| EnrollmentCode {
            state: match (row.used_at, row.revoked_at) {
                (Some(_), _) => CodeState::Used,
                (None, Some(_)) => CodeState::Revoked,
                (None, None) if row.expires_at <= now => CodeState::Expired,
                (None, None) => CodeState::Usable,
            },
            created_at: row.created_at,
            expires_at: row.expires_at,
            used_at: row.used_at,
            revoked_at: row.revoked_at,
            device_id: row.device_id.map(DeviceId::from),
        })
        .collect())
}

/// Until when the codes are good that wait for these POS servers.
pub(crate) async fn codes_waiting<C: ConnectionTrait>(
    conn: &C,
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<HashMap<Uuid, DateTime<Utc>>, StoreError> {
    let rows: Vec<(Uuid, DateTime<Utc>)> = enrollment_codes::Entity::find()
        .select_only()
        .columns([Code::PosServerId, Code::ExpiresAt])
        .filter(Code::PosServerId.is_in(ids.iter().copied()))
        .filter(Code::UsedAt.is_null())
        .filter(Code::RevokedAt.is_null())
        .filter(Code::ExpiresAt.gt(now))
        .into_tuple()
        .all(conn)
        .await?;
    Ok(rows.into_iter().collect())
}
