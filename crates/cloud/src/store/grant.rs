//! Grants: what a user may do where. Every query for a user goes through the conditions made here.

pub(crate) mod list;

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query, SelectStatement, SimpleExpr};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set};
use tillwatch_protocol::ids::{ChainId, GrantId, OutletId, UserId};
use tillwatch_protocol::rest::session::Permission;
use uuid::Uuid;

use super::entity::{grants, meta};
use super::{StoreError, WriteTx, from_text};
use crate::domain::permission::{Chains, Reach, Viewer};

/// Where a grant holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    All,
    /// In all outlets of a chain.
    Chain(ChainId),
    /// In one outlet.
    Outlet(OutletId),
}

impl Scope {
    fn columns(self) -> (&'static str, Option<Uuid>, Option<Uuid>) {
        match self {
            Self::All => ("all", None, None),
            Self::Chain(id) => ("chain", Some(id.0), None),
            Self::Outlet(id) => ("outlet", None, Some(id.0)),
        }
    }
}

/// A condition for a query whose table `table` has the columns `chain_id` and `chain_outlet`: true where
/// the viewer has the permission.
pub(crate) fn granted(
    viewer: Viewer,
    permission: Permission,
    chain_id: (&'static str, &'static str),
    outlet_id: (&'static str, &'static str),
) -> SimpleExpr {
    if viewer.admin {
        return Expr::val(true).eq(true);
    }
    let column = |name: grants::Column| Expr::col((grants::Entity, name));
    let here = column(grants::Column::Scope)
        .eq("all")
        .or(column(grants::Column::ChainId).eq(Expr::col(chain_id)))
        .or(column(grants::Column::OutletId).eq(Expr::col(outlet_id)));
    let grant: SelectStatement = Query::select()
        .expr(Expr::val(1))
        .from(grants::Entity)
        .and_where(column(grants::Column::UserId).eq(viewer.user_id.0))
        .and_where(column(grants::Column::Permission).eq(permission.as_str()))
        .and_where(here)
        .take();
    Expr::exists(grant)
}

/// Whether the viewer has a permission for an outlet.
pub(crate) async fn may(
    db: &impl ConnectionTrait,
    viewer: Viewer,
    permission: Permission,
    chain: ChainId,
    outlet: OutletId,
) -> Result<bool, StoreError> {
    if viewer.admin {
        return Ok(true);
    }
    let here = grants::Column::Scope
        .eq("all")
        .or(grants::Column::ChainId.eq(chain.0))
        .or(grants::Column::OutletId.eq(outlet.0));
    let grant = grants::Entity::find()
        .filter(grants::Column::UserId.eq(viewer.user_id.0))
        .filter(grants::Column::Permission.eq(permission.as_str()))
        .filter(here)
        .one(db)
        .await?;
    Ok(grant.is_some())
}

/// Whether the viewer has a permission for a whole chain.
pub(crate) async fn may_in_chain(
    db: &impl ConnectionTrait,
    viewer: Viewer,
    permission: Permission,
    chain: ChainId,
) -> Result<bool, StoreError> {
    if viewer.admin {
        return Ok(true);
    }
    let grant = grants::Entity::find()
        .filter(grants::Column::UserId.eq(viewer.user_id.0))
        .filter(grants::Column::Permission.eq(permission.as_str()))
        .filter(grants::Column::Scope.eq("all").or(grants::Column::ChainId.eq(chain.0)))
        .one(db)
        .await?;
    Ok(grant.is_some())
}

/// The grants of a user, in a fixed order.
pub(crate) async fn of_user(
    db: &impl ConnectionTrait,
    user: UserId,
) -> Result<Vec<(Scope, Permission)>, StoreError> {
    let rows = grants::Entity::find()
        .filter(grants::Column::UserId.eq(user.0))
        .order_by_asc(grants::Column::Id)
        .all(db)
        .await?;
    rows.into_iter()
        .map(|row| {
            let scope = match (row.chain_id, row.outlet_id) {
                (Some(chain), _) => Scope::Chain(chain.into()),
                (_, Some(outlet)) => Scope::Outlet(outlet.into()),
                (None, None) => Scope::All,
            };
            Ok((scope, from_text(&row.permission)?))
        })
        .collect()
}

/// The revision at which the grants of a user last changed.
pub(crate) async fn changed_at(db: &impl ConnectionTrait, user: UserId) -> Result<i64, StoreError> {
    let row = meta::Entity::find_by_id(changed_key(user)).one(db).await?;
    row.map_or(Ok(0), |row| row.value.parse().map_err(|_| StoreError::Damaged(row.value)))
}

fn changed_key(user: UserId) -> String {
    format!("grants_changed:{user}")
}

/// Grants a permission; tells whether it is new.
pub(crate) async fn insert(
    tx: &mut WriteTx,
    user: UserId,
    scope: Scope,
    permission: Permission,
) -> Result<bool, StoreError> {
    if of_user(&**tx, user).await?.contains(&(scope, permission)) {
        return Ok(false);
    }
    let (name, chain_id, outlet_id) = scope.columns();
    let row = grants::ActiveModel {
        id: Set(Uuid::now_v7()),
        user_id: Set(user.0),
        scope: Set(name.into()),
        chain_id: Set(chain_id),
        outlet_id: Set(outlet_id),
        permission: Set(permission.as_str().into()),
    };
    grants::Entity::insert(row).exec_without_returning(&**tx).await?;
    note_change(tx, user).await?;
    Ok(true)
}

/// What a viewer administers.
pub(crate) async fn reach(db: &impl ConnectionTrait, viewer: Viewer) -> Result<Reach, StoreError> {
    if viewer.admin {
        return Ok(Reach { viewer, chains: Chains::All });
    }
    let rows = grants::Entity::find()
        .filter(grants::Column::UserId.eq(viewer.user_id.0))
        .filter(grants::Column::Permission.eq(Permission::Admin.as_str()))
        .all(db)
        .await?;
    let chains = if rows.iter().any(|row| row.scope == "all") {
        Chains::All
    } else {
        Chains::Only(rows.into_iter().filter_map(|row| row.chain_id.map(ChainId::from)).collect())
    };
    Ok(Reach { viewer, chains })
}

/// A condition for a query: true where what `chain_id` names is within reach.
pub(crate) fn within(reach: &Reach, chain_id: Expr) -> SimpleExpr {
    match &reach.chains {
        Chains::All => Expr::val(true).eq(true),
        Chains::Only(chains) => chain_id.is_in(chains.iter().map(|chain| chain.0)),
    }
}

/// Takes away the grants for a chain that is deleted.
pub(super) async fn delete_of_chain(tx: &mut WriteTx, chain: ChainId) -> Result<(), StoreError> {
    delete_where(tx, grants::Column::ChainId.eq(chain.0)).await.map(drop)
}

/// Takes away the grants for an outlet that is deleted.
pub(super) async fn delete_of_outlet(tx: &mut WriteTx, outlet: OutletId) -> Result<(), StoreError> {
    delete_where(tx, grants::Column::OutletId.eq(outlet.0)).await.map(drop)
}

/// Takes away the grants of a user who is deleted.
pub(super) async fn delete_of_user(tx: &mut WriteTx, user: UserId) -> Result<(), StoreError> {
    delete_where(tx, grants::Column::UserId.eq(user.0)).await?;
    meta::Entity::delete_by_id(changed_key(user)).exec(&**tx).await?;
    Ok(())
}

/// Takes a grant away; tells whether it was there.
pub(crate) async fn delete(tx: &mut WriteTx, id: GrantId) -> Result<bool, StoreError> {
    Ok(delete_where(tx, grants::Column::Id.eq(id.0)).await? > 0)
}

async fn delete_where(tx: &mut WriteTx, which: SimpleExpr) -> Result<u64, StoreError> {
    let users: Vec<Uuid> = grants::Entity::find()
        .select_only()
        .column(grants::Column::UserId)
        .distinct()
        .filter(which.clone())
        .into_tuple()
        .all(&**tx)
        .await?;
    let deleted = grants::Entity::delete_many().filter(which).exec(&**tx).await?.rows_affected;
    for user in users {
        note_change(tx, user.into()).await?;
    }
    Ok(deleted)
}

/// Notes that what a user may see has changed: their event streams ask them to load anew.
pub(crate) async fn note_change(tx: &mut WriteTx, user: UserId) -> Result<(), StoreError> {
    let revision = tx.next_revision().await?;
    let row = meta::ActiveModel { key: Set(changed_key(user)), value: Set(revision.to_string()) };
    let replace = OnConflict::column(meta::Column::Key).update_column(meta::Column::Value).to_owned();
    meta::Entity::insert(row).on_conflict(replace).exec_without_returning(&**tx).await?;
    Ok(())
}
