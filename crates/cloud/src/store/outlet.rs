//! Outlets.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, ExprTrait as _, Order, Query, SimpleExpr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryResult, QuerySelect, Set,
};
use tillwatch_protocol::ids::{ChainId, OutletId};
use tillwatch_protocol::rest::admin::AdminOutlet;
use tillwatch_protocol::rest::outlet::{ChainRef, Outlet, OutletRef};
use tillwatch_protocol::rest::session::Permission;
use uuid::Uuid;

use super::entity::{chains, outlets, pos_servers};
use super::{StoreError, WriteTx, grant};
use crate::domain::permission::{Reach, Viewer};
use crate::domain::pos_server::fold;

use outlets::Column as Col;

/// Where a page of outlets ends: the folded names of chain and outlet, and the outlet's id.
pub(crate) type Position = (String, String, Uuid);

/// Where the viewer has `outlet_setup`: a condition on [`outlets`].
pub(super) fn visible(viewer: Viewer) -> SimpleExpr {
    grant::granted(viewer, Permission::OutletSetup, ("outlets", "chain_id"), ("outlets", "id"))
}

/// Whether a viewer sees an outlet.
pub(crate) async fn is_visible(
    db: &impl ConnectionTrait,
    viewer: Viewer,
    id: OutletId,
) -> Result<bool, StoreError> {
    let mut query = Query::select();
    query
        .expr(Expr::val(1))
        .from(outlets::Entity)
        .and_where(Expr::col((outlets::Entity, Col::Id)).eq(id.0))
        .and_where(visible(viewer));
    Ok(db.query_one(&query).await?.is_some())
}

/// The outlets of a list that a viewer sees, by chain and name.
pub(crate) async fn page(
    db: &impl ConnectionTrait,
    viewer: Viewer,
    chain_id: Option<ChainId>,
    after: Option<&Position>,
    limit: u64,
) -> Result<(Vec<Outlet>, Option<Position>), StoreError> {
    let (rows, next) = rows(db, visible(viewer), chain_id, after, limit).await?;
    Ok((rows.iter().map(to_outlet).collect::<Result<_, _>>()?, next))
}

/// A page of rows under a condition, and where it ends.
async fn rows(
    db: &impl ConnectionTrait,
    which: SimpleExpr,
    chain_id: Option<ChainId>,
    after: Option<&Position>,
    limit: u64,
) -> Result<(Vec<QueryResult>, Option<Position>), StoreError> {
    let outlet = |column: Col| Expr::col((outlets::Entity, column));
    let chain = |column: chains::Column| Expr::col((chains::Entity, column));
    let mut query = Query::select();
    query
        .columns(
            [Col::Id, Col::ChainId, Col::Name, Col::NameFolded, Col::CrmId].map(|c| (outlets::Entity, c)),
        )
        .columns([Col::Address, Col::TimeZone, Col::CreatedAt].map(|c| (outlets::Entity, c)))
        .expr_as(chain(chains::Column::Name), "chain_name")
        .expr_as(chain(chains::Column::NameFolded), "chain_folded")
        .from(outlets::Entity)
        .inner_join(chains::Entity, chain(chains::Column::Id).equals((outlets::Entity, Col::ChainId)))
        .and_where(which)
        .order_by((chains::Entity, chains::Column::NameFolded), Order::Asc)
        .order_by((outlets::Entity, Col::NameFolded), Order::Asc)
        .order_by((outlets::Entity, Col::Id), Order::Asc)
        .limit(limit + 1);
    if let Some(id) = chain_id {
        query.and_where(outlet(Col::ChainId).eq(id.0));
    }
    if let Some((chain_folded, folded, id)) = after {
        let chain_name = || chain(chains::Column::NameFolded);
        let same_chain = chain_name().eq(chain_folded.as_str());
        let later = outlet(Col::NameFolded)
            .gt(folded.as_str())
            .or(outlet(Col::NameFolded).eq(folded.as_str()).and(outlet(Col::Id).gt(*id)));
        query.and_where(chain_name().gt(chain_folded.as_str()).or(same_chain.and(later)));
    }
    let mut rows = db.query_all(&query).await?;
    let more = rows.len() as u64 > limit;
    rows.truncate(limit as usize);
    let next = match rows.last() {
        Some(last) if more => Some((
            last.try_get("", "chain_folded")?,
            last.try_get("", "name_folded")?,
            last.try_get("", "id")?,
        )),
        _ => None,
    };
    Ok((rows, next))
}

fn to_outlet(row: &QueryResult) -> Result<Outlet, StoreError> {
    Ok(Outlet {
        outlet: OutletRef {
            id: row.try_get::<Uuid>("", "id")?.into(),
            name: row.try_get("", "name")?,
            crm_id: row.try_get("", "crm_id")?,
            address: row.try_get("", "address")?,
            time_zone: row.try_get("", "time_zone")?,
        },
        chain: ChainRef {
            id: row.try_get::<Uuid>("", "chain_id")?.into(),
            name: row.try_get("", "chain_name")?,
        },
    })
}

/// What an outlet is made of, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) name: String,
    pub(crate) crm_id: String,
    pub(crate) address: String,
    pub(crate) time_zone: String,
}

/// The outlets that an id or a name means.
pub(crate) async fn named(db: &impl ConnectionTrait, text: &str) -> Result<Vec<OutletId>, StoreError> {
    let mut query = outlets::Entity::find();
    query = match text.parse::<Uuid>() {
        Ok(id) => query.filter(Col::Id.eq(id).or(Col::Name.eq(text))),
        Err(_) => query.filter(Col::Name.eq(text)),
    };
    Ok(query.all(db).await?.into_iter().map(|outlet| outlet.id.into()).collect())
}

/// An outlet.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    id: OutletId,
) -> Result<Option<outlets::Model>, StoreError> {
    Ok(outlets::Entity::find_by_id(id.0).one(db).await?)
}

/// Whether an outlet of the chain has this name already.
pub(crate) async fn is_taken(
    db: &impl ConnectionTrait,
    chain: ChainId,
    name: &str,
) -> Result<bool, StoreError> {
    let found =
        outlets::Entity::find().filter(Col::ChainId.eq(chain.0)).filter(Col::Name.eq(name)).one(db).await?;
    Ok(found.is_some())
}

/// Adds an outlet whose name is not taken.
pub(crate) async fn insert(
    tx: &WriteTx,
    chain: ChainId,
    texts: &Texts,
    now: DateTime<Utc>,
) -> Result<OutletId, StoreError> {
    let id = OutletId::new();
    outlets::Entity::insert(new_row(id, chain, texts, now)).exec_without_returning(&**tx).await?;
    Ok(id)
}

/// The row of a new outlet.
pub(super) fn new_row(
    id: OutletId,
    chain: ChainId,
    texts: &Texts,
    now: DateTime<Utc>,
) -> outlets::ActiveModel {
    outlets::ActiveModel {
        id: Set(id.0),
        chain_id: Set(chain.0),
        created_at: Set(now),
        ..text_columns(texts)
    }
}

/// Gives an outlet other texts; its name is not taken. The statuses of its POS servers change with it.
pub(crate) async fn edit(tx: &mut WriteTx, id: OutletId, texts: &Texts) -> Result<(), StoreError> {
    outlets::Entity::update_many().set(text_columns(texts)).filter(Col::Id.eq(id.0)).exec(&**tx).await?;
    super::pos_server::texts::refresh(tx, pos_servers::Column::OutletId.eq(id.0)).await
}

fn text_columns(texts: &Texts) -> outlets::ActiveModel {
    outlets::ActiveModel {
        name: Set(texts.name.clone()),
        name_folded: Set(fold(&texts.name)),
        crm_id: Set(texts.crm_id.clone()),
        crm_id_folded: Set(fold(&texts.crm_id)),
        address: Set(texts.address.clone()),
        address_folded: Set(fold(&texts.address)),
        time_zone: Set(texts.time_zone.clone()),
        ..Default::default()
    }
}

/// How many POS servers an outlet has.
pub(crate) async fn content(db: &impl ConnectionTrait, id: OutletId) -> Result<u64, StoreError> {
    Ok(pos_servers::Entity::find().filter(pos_servers::Column::OutletId.eq(id.0)).count(db).await?)
}

/// Deletes an outlet without POS servers, and the grants for it.
pub(crate) async fn delete(tx: &mut WriteTx, id: OutletId) -> Result<(), StoreError> {
    grant::delete_of_outlet(tx, id).await?;
    outlets::Entity::delete_many().filter(Col::Id.eq(id.0)).exec(&**tx).await?;
    Ok(())
}

/// The outlets within reach, by chain and name.
pub(crate) async fn administered(
    db: &impl ConnectionTrait,
    reach: &Reach,
    chain_id: Option<ChainId>,
    after: Option<&Position>,
    limit: u64,
) -> Result<(Vec<AdminOutlet>, Option<Position>), StoreError> {
    let within = grant::within(reach, Expr::col((outlets::Entity, Col::ChainId)));
    let (rows, next) = rows(db, within, chain_id, after, limit).await?;
    Ok((to_admin(db, &rows).await?, next))
}

/// An outlet as its administrators see it.
pub(crate) async fn to_rest(db: &impl ConnectionTrait, id: OutletId) -> Result<AdminOutlet, StoreError> {
    let this = Expr::col((outlets::Entity, Col::Id)).eq(id.0);
    let (rows, _) = rows(db, this, None, None, 1).await?;
    to_admin(db, &rows).await?.pop().ok_or_else(|| StoreError::Damaged(format!("outlet {id}")))
}

async fn to_admin(db: &impl ConnectionTrait, rows: &[QueryResult]) -> Result<Vec<AdminOutlet>, StoreError> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?;
    let counts: Vec<(Uuid, i64)> = pos_servers::Entity::find()
        .select_only()
        .column(pos_servers::Column::OutletId)
        .column_as(pos_servers::Column::Id.count(), "count")
        .filter(pos_servers::Column::OutletId.is_in(ids))
        .group_by(pos_servers::Column::OutletId)
        .into_tuple()
        .all(db)
        .await?;
    let counts: HashMap<Uuid, i64> = counts.into_iter().collect();
    rows.iter()
        .map(|row| {
            let outlet = to_outlet(row)?;
            let pos_servers = counts.get(&outlet.outlet.id.0).copied().unwrap_or(0).unsigned_abs();
            Ok(AdminOutlet { outlet, pos_servers, created_at: row.try_get("", "created_at")? })
        })
        .collect()
}
