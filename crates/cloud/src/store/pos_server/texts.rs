//! The texts by which POS servers are found: those of chain and outlet are kept with each.

use sea_orm::sea_query::{BinOper, Expr, ExprTrait, Func, Query, SimpleExpr};
use sea_orm::{EntityTrait, QueryFilter};

use super::Pos;
use crate::domain::pos_server::fold;
use crate::store::entity::{chains, outlets, pos_servers};
use crate::store::{StoreError, WriteTx};

/// What `q` looks through. Lines between the texts, so that nothing is found across two of them.
pub(crate) fn search(
    name: &str,
    outlet: &str,
    chain: &str,
    crm_id: &str,
    address: &str,
    time_zone: &str,
) -> String {
    [name, outlet, chain, crm_id, address, time_zone].map(fold).join("\n")
}

/// Makes the texts anew of POS servers whose chain, outlet or own name changed, in one statement however many
/// they are; their statuses change with it. The same as [`search`], by the database.
pub(crate) async fn refresh(tx: &mut WriteTx, which: SimpleExpr) -> Result<(), StoreError> {
    let revision = tx.next_revision().await?;
    let outlet = |column: outlets::Column| Expr::col((outlets::Entity, column));
    let lines = [
        Expr::col((pos_servers::Entity, Pos::NameFolded)),
        outlet(outlets::Column::NameFolded),
        Expr::col((chains::Entity, chains::Column::NameFolded)),
        outlet(outlets::Column::CrmIdFolded),
        outlet(outlets::Column::AddressFolded),
        // Names of time zones are ASCII, which every database folds.
        Expr::expr(Func::lower(outlet(outlets::Column::TimeZone))),
    ];
    let joined = lines
        .into_iter()
        .reduce(|text, line| text.binary(CONCAT, Expr::val("\n")).binary(CONCAT, line))
        .unwrap_or_else(|| Expr::val(""));
    let text = Query::select()
        .expr(joined)
        .from(outlets::Entity)
        .inner_join(
            chains::Entity,
            Expr::col((chains::Entity, chains::Column::Id))
                .equals((outlets::Entity, outlets::Column::ChainId)),
        )
        .and_where(outlet(outlets::Column::Id).equals((pos_servers::Entity, Pos::OutletId)))
        .take();
    let update = pos_servers::Entity::update_many()
        .col_expr(Pos::Search, Expr::SubQuery(None, Box::new(text.into())))
        .col_expr(Pos::Revision, Expr::value(revision))
        .filter(which);
    update.exec(&**tx).await?;
    Ok(())
}

/// Joins two texts.
const CONCAT: BinOper = BinOper::Custom("||");
