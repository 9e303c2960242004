//! Outlets.

use sea_orm::sea_query::{Expr, ExprTrait, Order, Query, SimpleExpr};
use sea_orm::{ConnectionTrait, QueryResult};
use tillwatch_protocol::ids::{ChainId, OutletId};
use tillwatch_protocol::rest::outlet::{ChainRef, Outlet, OutletRef};
use tillwatch_protocol::rest::session::Permission;
use uuid::Uuid;

use super::entity::{chains, outlets};
use super::{StoreError, grant};
use crate::domain::permission::Viewer;

use outlets::Column as Col;

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
    after: Option<&(String, String, Uuid)>,
    limit: u64,
) -> Result<(Vec<Outlet>, Option<(String, String, Uuid)>), StoreError> {
    let outlet = |column: Col| Expr::col((outlets::Entity, column));
    let chain = |column: chains::Column| Expr::col((chains::Entity, column));
    let mut query = Query::select();
    query
        .columns(
            [Col::Id, Col::ChainId, Col::Name, Col::NameFolded, Col::CrmId].map(|c| (outlets::Entity, c)),
        )
        .columns([Col::Address, Col::TimeZone].map(|c| (outlets::Entity, c)))
        .expr_as(chain(chains::Column::Name), "chain_name")
        .expr_as(chain(chains::Column::NameFolded), "chain_folded")
        .from(outlets::Entity)
        .inner_join(chains::Entity, chain(chains::Column::Id).equals((outlets::Entity, Col::ChainId)))
        .and_where(visible(viewer))
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
    Ok((rows.iter().map(to_outlet).collect::<Result<_, _>>()?, next))
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
