//! Updates of many POS servers in one statement, each with values of its own from a list.

use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{
    Alias, Expr, ExprTrait, Func, IntoIden, Query, TableRef, UpdateStatement, Value, ValueTuple,
};
use tillwatch_protocol::ids::PosServerId;

use crate::store::StoreError;
use crate::store::entity::pos_servers::{self, Column};

/// The name of the list.
const LIST: &str = "listed";
/// How many rows a statement lists. Connections keep each size prepared, with a thousand values in the largest, so that
/// there are only these.
const SIZES: [usize; 3] = [64, 8, 1];
/// Where in the list the values begin: the id and the session epoch come before them.
const FIRST: usize = 3;

/// A row of the list: whose, in which session, and values for the columns.
pub(super) fn row(id: PosServerId, epoch: i64, values: impl IntoIterator<Item = Value>) -> ValueTuple {
    ValueTuple::Many([id.0.into(), epoch.into()].into_iter().chain(values).collect())
}

/// Sets the columns of those POS servers whose session is the listed one, where `also` holds; tells how many they are.
/// Of `kept` columns, whose values come first, one stays as it is where the list says nothing.
pub(super) async fn update<C: ConnectionTrait>(
    tx: &C,
    rows: Vec<ValueTuple>,
    (kept, columns): (&[Column], &[Column]),
    revision: i64,
    also: impl Fn(&mut UpdateStatement),
) -> Result<u64, StoreError> {
    let mut written = 0;
    let mut rows = rows;
    while !rows.is_empty() {
        let size = SIZES.into_iter().find(|size| *size <= rows.len()).unwrap_or(1);
        let later = rows.split_off(size);
        let mut update = statement(rows, kept, columns, revision);
        also(&mut update);
        written += tx.execute(&update).await?.rows_affected();
        rows = later;
    }
    Ok(written)
}

fn statement(rows: Vec<ValueTuple>, kept: &[Column], columns: &[Column], revision: i64) -> UpdateStatement {
    // Both databases call the columns of such a list so.
    let listed = |number: usize| Expr::col((LIST, Alias::new(format!("column{number}"))));
    let column = |column: Column| Expr::col((pos_servers::Entity, column));
    let mut update = Query::update();
    update.table(pos_servers::Entity).value(Column::Revision, revision);
    let mut numbers = FIRST..;
    for (name, number) in kept.iter().zip(&mut numbers) {
        update.value(*name, Func::coalesce([listed(number), column(*name)]));
    }
    for (name, number) in columns.iter().zip(numbers) {
        update.value(*name, listed(number));
    }
    update
        .from(TableRef::ValuesList(rows, LIST.into_iden()))
        .and_where(column(Column::Id).eq(listed(1)))
        .and_where(column(Column::SessionEpoch).eq(listed(2)));
    update
}
