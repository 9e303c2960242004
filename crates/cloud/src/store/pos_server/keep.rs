//! Adding, renaming and removing POS servers, and how their administrators see them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, ExprTrait as _, Order, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryResult, Set};
use serde_json::json;
use tillwatch_protocol::ids::{ChainId, OutletId, PosServerId};
use tillwatch_protocol::rest::admin::AdminPosServer;
use tillwatch_protocol::rest::outlet::{ChainRef, OutletRef};
use tillwatch_protocol::rest::pos_server::{LinkState, PosState};
use uuid::Uuid;

use super::{Pos, pos, texts};
use crate::domain::job::Change;
use crate::domain::permission::Reach;
use crate::domain::pos_server::fold;
use crate::store::entity::{archives, chains, outlets, pos_servers, removals};
use crate::store::{StoreError, WriteTx, backup, device, grant, job, timeline, to_text};

/// Where a page of POS servers ends: the folded names of chain, outlet and POS server, and its id.
pub(crate) type Position = (String, String, String, Uuid);

/// A POS server.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    id: PosServerId,
) -> Result<Option<pos_servers::Model>, StoreError> {
    Ok(pos_servers::Entity::find_by_id(id.0).one(db).await?)
}

/// Whether a POS server of the outlet has this name already.
pub(crate) async fn is_taken(
    db: &impl ConnectionTrait,
    outlet: OutletId,
    name: &str,
) -> Result<bool, StoreError> {
    let found = pos_servers::Entity::find()
        .filter(Pos::OutletId.eq(outlet.0))
        .filter(Pos::Name.eq(name))
        .one(db)
        .await?;
    Ok(found.is_some())
}

/// Adds a POS server whose name is not taken.
pub(crate) async fn insert(
    tx: &mut WriteTx,
    outlet: &outlets::Model,
    name: &str,
    now: DateTime<Utc>,
) -> Result<PosServerId, StoreError> {
    let chain = chains::Entity::find_by_id(outlet.chain_id).one(&**tx).await?;
    let chain = chain.ok_or_else(|| StoreError::Damaged(format!("chain {}", outlet.chain_id)))?;
    let search =
        texts::search(name, &outlet.name, &chain.name, &outlet.crm_id, &outlet.address, &outlet.time_zone);
    let id = PosServerId::new();
    let place = (chain.id.into(), outlet.id.into());
    let row = new_row(id, place, name, search, tx.next_revision().await?, now);
    pos_servers::Entity::insert(row).exec_without_returning(&**tx).await?;
    Ok(id)
}

/// The row of a new POS server, which has never connected.
pub(in crate::store) fn new_row(
    id: PosServerId,
    (chain, outlet): (ChainId, OutletId),
    name: &str,
    search: String,
    revision: i64,
    now: DateTime<Utc>,
) -> pos_servers::ActiveModel {
    pos_servers::ActiveModel {
        id: Set(id.0),
        outlet_id: Set(outlet.0),
        chain_id: Set(chain.0),
        name: Set(name.into()),
        name_folded: Set(fold(name)),
        search: Set(search),
        created_at: Set(now),
        revision: Set(revision),
        link_state: Set(to_text(&LinkState::NeverConnected)),
        session_epoch: Set(0),
        evidence: Set(json!([])),
        pos_state: Set(to_text(&PosState::Unknown)),
        cursor: Set(0),
        ..Default::default()
    }
}

/// Gives a POS server another name, which is not taken. Its status changes with it.
pub(crate) async fn rename(tx: &mut WriteTx, id: PosServerId, name: &str) -> Result<(), StoreError> {
    pos_servers::Entity::update_many()
        .set(pos_servers::ActiveModel {
            name: Set(name.into()),
            name_folded: Set(fold(name)),
            ..Default::default()
        })
        .filter(Pos::Id.eq(id.0))
        .exec(&**tx)
        .await?;
    texts::refresh(tx, Pos::Id.eq(id.0)).await
}

/// Removes a POS server: its jobs end, its archives expire, its connector is nobody any more, and those who
/// saw it are told.
pub(crate) async fn remove(
    tx: &mut WriteTx,
    row: &pos_servers::Model,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let id = PosServerId::from(row.id);
    let revision = tx.next_revision().await?;
    for active in job::active_of(&**tx, id).await? {
        job::change(&**tx, active.id(), &Change::Abandon, now, revision).await?;
    }
    archives::Entity::update_many()
        .col_expr(archives::Column::ExpiresAt, Expr::value(now))
        .filter(archives::Column::PosServerId.eq(row.id))
        .filter(archives::Column::ExpiresAt.gt(now))
        .exec(&**tx)
        .await?;
    device::revoke_all(&**tx, id, now).await?;
    device::forget_codes(&**tx, id).await?;
    timeline::forget(&**tx, id).await?;
    backup::forget(&**tx, id).await?;
    let removal = removals::ActiveModel {
        pos_server_id: Set(row.id),
        outlet_id: Set(row.outlet_id),
        chain_id: Set(row.chain_id),
        revision: Set(revision),
    };
    removals::Entity::insert(removal).exec_without_returning(&**tx).await?;
    pos_servers::Entity::delete_many().filter(Pos::Id.eq(row.id)).exec(&**tx).await?;
    Ok(())
}

/// Which POS servers an administrator's list holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) chain_id: Option<ChainId>,
    pub(crate) outlet_id: Option<OutletId>,
    pub(crate) id: Option<PosServerId>,
}

/// The POS servers within reach, by chain, outlet and name.
pub(crate) async fn administered(
    db: &impl ConnectionTrait,
    reach: &Reach,
    place: Place,
    after: Option<&Position>,
    limit: u64,
) -> Result<(Vec<AdminPosServer>, Option<Position>), StoreError> {
    let outlet = |column: outlets::Column| Expr::col((outlets::Entity, column));
    let chain = |column: chains::Column| Expr::col((chains::Entity, column));
    let mut query = Query::select();
    query
        .columns(
            [Pos::Id, Pos::Name, Pos::NameFolded, Pos::CreatedAt, Pos::ChainId, Pos::OutletId]
                .map(|column| (pos_servers::Entity, column)),
        )
        .expr_as(outlet(outlets::Column::Name), "outlet_name")
        .expr_as(outlet(outlets::Column::NameFolded), "outlet_folded")
        .expr_as(outlet(outlets::Column::CrmId), "crm_id")
        .expr_as(outlet(outlets::Column::Address), "address")
        .expr_as(outlet(outlets::Column::TimeZone), "time_zone")
        .expr_as(chain(chains::Column::Name), "chain_name")
        .expr_as(chain(chains::Column::NameFolded), "chain_folded")
        .from(pos_servers::Entity)
        .inner_join(outlets::Entity, outlet(outlets::Column::Id).equals((pos_servers::Entity, Pos::OutletId)))
        .inner_join(chains::Entity, chain(chains::Column::Id).equals((pos_servers::Entity, Pos::ChainId)))
        .and_where(grant::within(reach, pos(Pos::ChainId)))
        .and_where_option(place.chain_id.map(|id| pos(Pos::ChainId).eq(id.0)))
        .and_where_option(place.outlet_id.map(|id| pos(Pos::OutletId).eq(id.0)))
        .and_where_option(place.id.map(|id| pos(Pos::Id).eq(id.0)))
        .order_by((chains::Entity, chains::Column::NameFolded), Order::Asc)
        .order_by((outlets::Entity, outlets::Column::NameFolded), Order::Asc)
        .order_by((pos_servers::Entity, Pos::NameFolded), Order::Asc)
        .order_by((pos_servers::Entity, Pos::Id), Order::Asc)
        .limit(limit + 1);
    if let Some((chain_folded, outlet_folded, folded, id)) = after {
        let later = [
            (chain(chains::Column::NameFolded), chain_folded),
            (outlet(outlets::Column::NameFolded), outlet_folded),
            (pos(Pos::NameFolded), folded),
        ]
        .into_iter()
        .rev()
        .fold(pos(Pos::Id).gt(*id), |rest, (column, value)| {
            column.clone().gt(value.as_str()).or(column.eq(value.as_str()).and(rest))
        });
        query.and_where(later);
    }
    let mut rows = db.query_all(&query).await?;
    let more = rows.len() as u64 > limit;
    rows.truncate(limit as usize);
    let next = match rows.last() {
        Some(last) if more => Some((
            last.try_get("", "chain_folded")?,
            last.try_get("", "outlet_folded")?,
            last.try_get("", "name_folded")?,
            last.try_get("", "id")?,
        )),
        _ => None,
    };
    let ids: Vec<Uuid> = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?;
    let enrolled = device::enrolled_at(db, &ids).await?;
    let waiting = device::codes_waiting(db, &ids, Utc::now()).await?;
    let items = rows.iter().map(|row| to_admin(row, &enrolled, &waiting)).collect::<Result<_, _>>()?;
    Ok((items, next))
}

type Times = HashMap<Uuid, DateTime<Utc>>;

fn to_admin(row: &QueryResult, enrolled: &Times, waiting: &Times) -> Result<AdminPosServer, StoreError> {
    let id: Uuid = row.try_get("", "id")?;
    Ok(AdminPosServer {
        id: id.into(),
        name: row.try_get("", "name")?,
        chain: ChainRef {
            id: row.try_get::<Uuid>("", "chain_id")?.into(),
            name: row.try_get("", "chain_name")?,
        },
        outlet: OutletRef {
            id: row.try_get::<Uuid>("", "outlet_id")?.into(),
            name: row.try_get("", "outlet_name")?,
            crm_id: row.try_get("", "crm_id")?,
            address: row.try_get("", "address")?,
            time_zone: row.try_get("", "time_zone")?,
        },
        created_at: row.try_get("", "created_at")?,
        enrolled_at: enrolled.get(&id).copied(),
        code_expires_at: waiting.get(&id).copied(),
    })
}
