//! Identities of connectors and the codes that they come from.

use chrono::{DateTime, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, Set};
use tillwatch_protocol::ids::{DeviceId, PosServerId};

use crate::store::StoreError;
use crate::store::entity::{devices, enrollment_codes, outlets, pos_servers};

/// What an enrollment gave.
pub(crate) struct Enrollment {
    /// The new identity.
    pub device_id: DeviceId,
    /// The POS server that it serves.
    pub pos_server_id: PosServerId,
    /// The outlet's name.
    pub outlet: String,
    /// The outlet's time zone.
    pub time_zone: String,
}

/// Takes a code and makes an identity of the key that came with it; older identities of the same POS server
/// are revoked. Nothing when the code is unknown, used or too old.
pub(crate) async fn enroll<C: ConnectionTrait>(
    tx: &C,
    code_hash: &str,
    public_key: &str,
    now: DateTime<Utc>,
) -> Result<Option<Enrollment>, StoreError> {
    let taken = enrollment_codes::Entity::update_many()
        .col_expr(enrollment_codes::Column::UsedAt, Expr::value(now))
        .filter(enrollment_codes::Column::CodeHash.eq(code_hash))
        .filter(enrollment_codes::Column::UsedAt.is_null())
        .filter(enrollment_codes::Column::ExpiresAt.gt(now))
        .exec(tx)
        .await?;
    if taken.rows_affected != 1 {
        return Ok(None);
    }
    let Some(code) = enrollment_codes::Entity::find_by_id(code_hash.to_owned()).one(tx).await? else {
        return Ok(None);
    };
    let Some(pos_server) = pos_servers::Entity::find_by_id(code.pos_server_id).one(tx).await? else {
        return Ok(None);
    };
    let Some(outlet) = outlets::Entity::find_by_id(pos_server.outlet_id).one(tx).await? else {
        return Ok(None);
    };
    devices::Entity::update_many()
        .col_expr(devices::Column::RevokedAt, Expr::value(now))
        .filter(devices::Column::PosServerId.eq(pos_server.id))
        .filter(devices::Column::RevokedAt.is_null())
        .exec(tx)
        .await?;
    let device_id = DeviceId::new();
    let device = devices::ActiveModel {
        id: Set(device_id.0),
        pos_server_id: Set(pos_server.id),
        public_key: Set(public_key.to_owned()),
        created_at: Set(now),
        revoked_at: Set(None),
    };
    device.insert(tx).await?;
    Ok(Some(Enrollment {
        device_id,
        pos_server_id: pos_server.id.into(),
        outlet: outlet.name,
        time_zone: outlet.time_zone,
    }))
}

/// Whether some identity, revoked or not, has this key already.
pub(crate) async fn key_is_known<C: ConnectionTrait>(conn: &C, public_key: &str) -> Result<bool, StoreError> {
    let known = devices::Entity::find().filter(devices::Column::PublicKey.eq(public_key)).one(conn).await?;
    Ok(known.is_some())
}

/// An identity.
pub(crate) async fn find<C: ConnectionTrait>(
    conn: &C,
    id: DeviceId,
) -> Result<Option<devices::Model>, StoreError> {
    Ok(devices::Entity::find_by_id(id.0).one(conn).await?)
}

/// The identities that were revoked at `since` or later.
pub(crate) async fn revoked_since<C: ConnectionTrait>(
    conn: &C,
    since: DateTime<Utc>,
) -> Result<Vec<DeviceId>, StoreError> {
    let ids: Vec<uuid::Uuid> = devices::Entity::find()
        .select_only()
        .column(devices::Column::Id)
        .filter(devices::Column::RevokedAt.gte(since))
        .into_tuple()
        .all(conn)
        .await?;
    Ok(ids.into_iter().map(DeviceId).collect())
}
