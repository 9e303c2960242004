//! Chains, and the fleet that an import adds to them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set};
use serde_json::json;
use tillwatch_protocol::ids::{ChainId, OutletId, PosServerId};
use tillwatch_protocol::rest::admin::FleetLine;
use tillwatch_protocol::rest::pos_server::{LinkState, PosState};
use uuid::Uuid;

use super::entity::{chains, enrollment_codes, outlets, pos_servers};
use super::{StoreError, WriteTx, to_text};
use crate::domain::pos_server::{fold, version_key};

/// What is there already and what was just made, by name, while an import goes on.
#[derive(Debug, Default)]
pub(crate) struct Known {
    chains: HashMap<String, Uuid>,
    outlets: HashMap<(Uuid, String), Uuid>,
}

/// Why a line can't be added to what is there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Conflict {
    /// The outlet is there with other data.
    #[error("the outlet `{0}` is there already with another {1}")]
    Outlet(String, &'static str),
    /// The POS server is there.
    #[error("the POS server `{0}` of this outlet is there already")]
    PosServer(String),
}

/// Adds a POS server, and its chain and outlet where they are not there yet.
pub(crate) async fn add_line(
    tx: &mut WriteTx,
    known: &mut Known,
    line: &FleetLine,
    now: DateTime<Utc>,
) -> Result<Result<PosServerId, Conflict>, StoreError> {
    let chain_id = chain_of(tx, known, &line.chain, now).await?;
    let outlet_id = match outlet_of(tx, known, chain_id, line, now).await? {
        Ok(id) => id,
        Err(conflict) => return Ok(Err(conflict)),
    };
    let taken = pos_servers::Entity::find()
        .filter(pos_servers::Column::OutletId.eq(outlet_id))
        .filter(pos_servers::Column::Name.eq(&line.pos_server))
        .one(&**tx)
        .await?;
    if taken.is_some() {
        return Ok(Err(Conflict::PosServer(line.pos_server.clone())));
    }
    let id = PosServerId::new();
    let texts = [&line.pos_server, &line.outlet, &line.chain, &line.crm_id, &line.address, &line.time_zone];
    let row = pos_servers::ActiveModel {
        id: Set(id.0),
        outlet_id: Set(outlet_id),
        chain_id: Set(chain_id),
        name: Set(line.pos_server.clone()),
        name_folded: Set(fold(&line.pos_server)),
        // Lines between the texts, so that nothing is found across two of them.
        search: Set(texts.map(|text| fold(text)).join("\n")),
        created_at: Set(now),
        revision: Set(tx.next_revision().await?),
        link_state: Set(to_text(&LinkState::NeverConnected)),
        session_epoch: Set(0),
        evidence: Set(json!([])),
        pos_state: Set(to_text(&PosState::Unknown)),
        cursor: Set(0),
        ..Default::default()
    };
    pos_servers::Entity::insert(row).exec_without_returning(&**tx).await?;
    Ok(Ok(id))
}

async fn chain_of(
    tx: &WriteTx,
    known: &mut Known,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Uuid, StoreError> {
    if let Some(id) = known.chains.get(name) {
        return Ok(*id);
    }
    let found = chains::Entity::find().filter(chains::Column::Name.eq(name)).one(&**tx).await?;
    let id = if let Some(chain) = found {
        chain.id
    } else {
        let id = ChainId::new().0;
        let row = chains::ActiveModel {
            id: Set(id),
            name: Set(name.into()),
            name_folded: Set(fold(name)),
            required_pos_version: Set(None),
            required_version_key: Set(None),
            created_at: Set(now),
        };
        chains::Entity::insert(row).exec_without_returning(&**tx).await?;
        id
    };
    known.chains.insert(name.into(), id);
    Ok(id)
}

async fn outlet_of(
    tx: &WriteTx,
    known: &mut Known,
    chain_id: Uuid,
    line: &FleetLine,
    now: DateTime<Utc>,
) -> Result<Result<Uuid, Conflict>, StoreError> {
    let key = (chain_id, line.outlet.clone());
    if let Some(id) = known.outlets.get(&key) {
        return Ok(Ok(*id));
    }
    let found = outlets::Entity::find()
        .filter(outlets::Column::ChainId.eq(chain_id))
        .filter(outlets::Column::Name.eq(&line.outlet))
        .one(&**tx)
        .await?;
    let id = if let Some(outlet) = found {
        let same = [
            ("crm_id", outlet.crm_id == line.crm_id),
            ("address", outlet.address == line.address),
            ("time_zone", outlet.time_zone == line.time_zone),
        ];
        if let Some((field, _)) = same.into_iter().find(|(_, same)| !same) {
            return Ok(Err(Conflict::Outlet(line.outlet.clone(), field)));
        }
        outlet.id
    } else {
        let id = OutletId::new().0;
        let row = outlets::ActiveModel {
            id: Set(id),
            chain_id: Set(chain_id),
            name: Set(line.outlet.clone()),
            name_folded: Set(fold(&line.outlet)),
            crm_id: Set(line.crm_id.clone()),
            crm_id_folded: Set(fold(&line.crm_id)),
            address: Set(line.address.clone()),
            address_folded: Set(fold(&line.address)),
            time_zone: Set(line.time_zone.clone()),
            created_at: Set(now),
        };
        outlets::Entity::insert(row).exec_without_returning(&**tx).await?;
        id
    };
    known.outlets.insert(key, id);
    Ok(Ok(id))
}

/// Keeps the hash of an enrollment code.
pub(crate) async fn add_code(
    tx: &WriteTx,
    pos_server: PosServerId,
    code_hash: String,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = enrollment_codes::ActiveModel {
        code_hash: Set(code_hash),
        pos_server_id: Set(pos_server.0),
        created_at: Set(now),
        expires_at: Set(expires_at),
        used_at: Set(None),
    };
    enrollment_codes::Entity::insert(row).exec_without_returning(&**tx).await?;
    Ok(())
}

/// The chains that an id or a name means.
pub(crate) async fn named(db: &impl ConnectionTrait, text: &str) -> Result<Vec<ChainId>, StoreError> {
    let mut query = chains::Entity::find();
    query = match text.parse::<Uuid>() {
        Ok(id) => query.filter(chains::Column::Id.eq(id).or(chains::Column::Name.eq(text))),
        Err(_) => query.filter(chains::Column::Name.eq(text)),
    };
    Ok(query.all(db).await?.into_iter().map(|chain| chain.id.into()).collect())
}

/// The outlets that an id or a name means.
pub(crate) async fn named_outlets(
    db: &impl ConnectionTrait,
    text: &str,
) -> Result<Vec<OutletId>, StoreError> {
    let mut query = outlets::Entity::find();
    query = match text.parse::<Uuid>() {
        Ok(id) => query.filter(outlets::Column::Id.eq(id).or(outlets::Column::Name.eq(text))),
        Err(_) => query.filter(outlets::Column::Name.eq(text)),
    };
    Ok(query.all(db).await?.into_iter().map(|outlet| outlet.id.into()).collect())
}

/// Sets the version below which POS servers of a chain need an update. Their statuses change with it.
pub(crate) async fn require_version(
    tx: &mut WriteTx,
    chain: ChainId,
    version: &str,
) -> Result<(), StoreError> {
    chains::Entity::update_many()
        .set(chains::ActiveModel {
            required_pos_version: Set(Some(version.into())),
            required_version_key: Set(version_key(version)),
            ..Default::default()
        })
        .filter(chains::Column::Id.eq(chain.0))
        .exec(&**tx)
        .await?;
    let revision = tx.next_revision().await?;
    pos_servers::Entity::update_many()
        .col_expr(pos_servers::Column::Revision, Expr::value(revision))
        .filter(pos_servers::Column::ChainId.eq(chain.0))
        .exec(&**tx)
        .await?;
    Ok(())
}
