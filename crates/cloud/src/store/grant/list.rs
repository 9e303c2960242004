//! Grants as administrators see them.

use std::collections::{BTreeSet, HashMap};

use sea_orm::sea_query::{Expr, ExprTrait as _, SimpleExpr};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};
use tillwatch_protocol::ids::{ChainId, GrantId, UserId};
use tillwatch_protocol::rest::admin::{Grant, GrantScope, UserRef};
use tillwatch_protocol::rest::outlet::{ChainRef, OutletRef};
use tillwatch_protocol::rest::session::Permission;
use uuid::Uuid;

use super::Scope;
use crate::domain::permission::{Chains, Reach};
use crate::store::entity::{chains, grants, outlets, users};
use crate::store::{StoreError, from_text, to_text};

use grants::Column as Col;

/// A grant as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) id: GrantId,
    pub(crate) user: UserId,
    pub(crate) scope: Scope,
    pub(crate) permission: Permission,
}

/// Which grants a list holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) user_id: Option<UserId>,
    /// Those for the chain or one of its outlets.
    pub(crate) chain_id: Option<ChainId>,
    pub(crate) permission: Option<Permission>,
    pub(crate) after: Option<GrantId>,
}

/// A grant within reach.
pub(crate) async fn find_within(
    db: &impl ConnectionTrait,
    reach: &Reach,
    id: GrantId,
) -> Result<Option<Stored>, StoreError> {
    let row = grants::Entity::find_by_id(id.0).filter(within(reach)).one(db).await?;
    row.map(|row| {
        Ok(Stored {
            id: row.id.into(),
            user: row.user_id.into(),
            scope: scope(&row),
            permission: from_text(&row.permission)?,
        })
    })
    .transpose()
}

/// The grant of a permission to a user, as it is told.
pub(crate) async fn of(
    db: &impl ConnectionTrait,
    user: UserId,
    scope: Scope,
    permission: Permission,
) -> Result<Option<Grant>, StoreError> {
    let rows = grants::Entity::find()
        .filter(Col::UserId.eq(user.0))
        .filter(Col::Permission.eq(to_text(&permission)))
        .all(db)
        .await?;
    let row: Vec<_> = rows.into_iter().filter(|row| self::scope(row) == scope).take(1).collect();
    Ok(whole(db, row).await?.pop())
}

/// Grants within reach, oldest first.
pub(crate) async fn page(
    db: &impl ConnectionTrait,
    reach: &Reach,
    filter: Filter,
    limit: u64,
) -> Result<Vec<Grant>, StoreError> {
    let condition = Condition::all()
        .add(within(reach))
        .add_option(filter.user_id.map(|id| Col::UserId.eq(id.0)))
        .add_option(filter.chain_id.map(|id| in_chains(&[id])))
        .add_option(filter.permission.map(|permission| Col::Permission.eq(to_text(&permission))))
        .add_option(filter.after.map(|id| Col::Id.gt(id.0)));
    let rows = grants::Entity::find().filter(condition).order_by_asc(Col::Id).limit(limit).all(db).await?;
    whole(db, rows).await
}

fn scope(row: &grants::Model) -> Scope {
    match (row.chain_id, row.outlet_id) {
        (Some(chain), _) => Scope::Chain(chain.into()),
        (_, Some(outlet)) => Scope::Outlet(outlet.into()),
        (None, None) => Scope::All,
    }
}

/// Grants that an administrator sees: those inside of their chains.
fn within(reach: &Reach) -> SimpleExpr {
    match &reach.chains {
        Chains::All => Expr::val(true).eq(true),
        Chains::Only(chains) => in_chains(chains),
    }
}

fn in_chains(chains: &[ChainId]) -> SimpleExpr {
    let ids = || chains.iter().map(|chain| chain.0);
    let theirs = outlets::Entity::find()
        .select_only()
        .column(outlets::Column::Id)
        .filter(outlets::Column::ChainId.is_in(ids()))
        .into_query();
    Col::ChainId.is_in(ids()).or(Col::OutletId.in_subquery(theirs))
}

async fn whole(db: &impl ConnectionTrait, rows: Vec<grants::Model>) -> Result<Vec<Grant>, StoreError> {
    let outlet_ids: BTreeSet<Uuid> = rows.iter().filter_map(|row| row.outlet_id).collect();
    let outlets: HashMap<Uuid, outlets::Model> = outlets::Entity::find()
        .filter(outlets::Column::Id.is_in(outlet_ids))
        .all(db)
        .await?
        .into_iter()
        .map(|row| (row.id, row))
        .collect();
    let chain_ids: BTreeSet<Uuid> =
        rows.iter().filter_map(|row| row.chain_id).chain(outlets.values().map(|row| row.chain_id)).collect();
    let chains: HashMap<Uuid, String> = chains::Entity::find()
        .filter(chains::Column::Id.is_in(chain_ids))
        .all(db)
        .await?
        .into_iter()
        .map(|row| (row.id, row.name))
        .collect();
    let user_ids: BTreeSet<Uuid> = rows.iter().map(|row| row.user_id).collect();
    let users: HashMap<Uuid, users::Model> = users::Entity::find()
        .filter(users::Column::Id.is_in(user_ids))
        .all(db)
        .await?
        .into_iter()
        .map(|row| (row.id, row))
        .collect();
    rows.into_iter()
        .map(|row| {
            let damaged = || StoreError::Damaged(format!("grant {}", row.id));
            let user = users.get(&row.user_id).ok_or_else(damaged)?;
            let outlet = row.outlet_id.map(|id| outlets.get(&id).ok_or_else(damaged)).transpose()?;
            let chain_id = row.chain_id.or(outlet.map(|outlet| outlet.chain_id));
            let chain = chain_id
                .map(|id| {
                    let name = chains.get(&id).ok_or_else(damaged)?.clone();
                    Ok::<_, StoreError>(ChainRef { id: id.into(), name })
                })
                .transpose()?;
            Ok(Grant {
                id: row.id.into(),
                user: UserRef { id: user.id.into(), email: user.email.clone(), name: user.name.clone() },
                permission: from_text(&row.permission)?,
                scope: match scope(&row) {
                    Scope::All => GrantScope::All,
                    Scope::Chain(_) => GrantScope::Chain,
                    Scope::Outlet(_) => GrantScope::Outlet,
                },
                chain,
                outlet: outlet.map(|outlet| OutletRef {
                    id: outlet.id.into(),
                    name: outlet.name.clone(),
                    crm_id: outlet.crm_id.clone(),
                    address: outlet.address.clone(),
                    time_zone: outlet.time_zone.clone(),
                }),
            })
        })
        .collect()
}
