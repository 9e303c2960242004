//! Programs, guests and guest accounts of a chain, what changed of them, and the transactions of its stores.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, OnConflict, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set, TryInsertResult,
};
use tillwatch_protocol::exchange::{Change, Checksum, Row, RowChange, Table, Transaction};
use tillwatch_protocol::ids::{ChainId, PosServerId};
use tillwatch_protocol::rest::session::Permission;
use uuid::Uuid;

use crate::domain::exchange;
use crate::domain::permission::Viewer;
use crate::store::entity::{chains, loyalty_changes, loyalty_rows, pos_servers, transactions};
use crate::store::{StoreError, from_text, grant, pos_server};

/// How many rows are read at a time where all are read.
const PAGE: u64 = 1000;
/// How many rows one statement inserts.
const CHUNK: usize = 200;

/// Where a POS server stands.
pub(crate) struct Standing {
    /// Whose it is.
    pub chain: ChainId,
    /// How far it was at its last exchange.
    pub cursor: i64,
    /// Its version, once known.
    pub pos_version: Option<String>,
}

/// Where a POS server stands.
pub(crate) async fn standing<C: ConnectionTrait>(
    conn: &C,
    id: PosServerId,
) -> Result<Option<Standing>, StoreError> {
    let row = pos_servers::Entity::find_by_id(id.0).one(conn).await?;
    Ok(row.map(|row| Standing {
        chain: row.chain_id.into(),
        cursor: row.cursor,
        pos_version: row.pos_version,
    }))
}

/// Whether a chain is there and holds an outlet that the viewer may see, or is the viewer's to manage.
pub(crate) async fn chain_is_visible<C: ConnectionTrait>(
    conn: &C,
    viewer: Viewer,
    chain: ChainId,
) -> Result<bool, StoreError> {
    if chains::Entity::find_by_id(chain.0).one(conn).await?.is_none() {
        return Ok(false);
    }
    if grant::may_in_chain(conn, viewer, Permission::Admin, chain).await? {
        return Ok(true);
    }
    let seen = pos_servers::Entity::find()
        .filter(pos_servers::Column::ChainId.eq(chain.0))
        .filter(pos_server::visible(viewer, Permission::OutletSetup))
        .one(conn)
        .await?;
    Ok(seen.is_some())
}

/// The rows of one table of a chain.
pub(crate) async fn rows<C: ConnectionTrait>(
    conn: &C,
    chain: ChainId,
    table: Table,
) -> Result<BTreeMap<Uuid, Row>, StoreError> {
    let mut rows = BTreeMap::new();
    for_each_row(conn, chain, table, |id, row| {
        rows.insert(id, row);
    })
    .await?;
    Ok(rows)
}

/// The checksum over all rows of a chain.
pub(crate) async fn checksum<C: ConnectionTrait>(conn: &C, chain: ChainId) -> Result<String, StoreError> {
    let mut sum = Checksum::default();
    for table in Table::ALL {
        for_each_row(conn, chain, *table, |_, row| sum.add(&row)).await?;
    }
    Ok(sum.finish())
}

/// Reads a table in the order of its ids, a page at a time.
async fn for_each_row<C: ConnectionTrait>(
    conn: &C,
    chain: ChainId,
    table: Table,
    mut each: impl FnMut(Uuid, Row),
) -> Result<(), StoreError> {
    let mut after: Option<Uuid> = None;
    loop {
        let mut query = loyalty_rows::Entity::find()
            .filter(loyalty_rows::Column::ChainId.eq(chain.0))
            .filter(loyalty_rows::Column::TableName.eq(table.as_str()));
        if let Some(after) = after {
            query = query.filter(loyalty_rows::Column::RowId.gt(after));
        }
        let page = query.order_by_asc(loyalty_rows::Column::RowId).limit(PAGE).all(conn).await?;
        let full = page.len() as u64 == PAGE;
        after = page.last().map(|row| row.row_id);
        for row in page {
            let content = read_row(&row.content)?;
            each(row.row_id, content);
        }
        if !full {
            return Ok(());
        }
    }
}

/// Writes changes of a chain's rows, and notes them for its POS servers.
pub(crate) async fn write<C: ConnectionTrait>(
    tx: &C,
    chain: ChainId,
    changes: Vec<RowChange>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    for chunk in changes.chunks(CHUNK) {
        let mut log = Vec::with_capacity(chunk.len());
        let mut upserts = Vec::new();
        for change in chunk {
            let (table, row_id, content) = match change {
                RowChange::Upsert { row } => {
                    let content = serde_json::to_string(row)
                        .map_err(|_| StoreError::Damaged(format!("row {}", row.id())))?;
                    upserts.push(loyalty_rows::ActiveModel {
                        chain_id: Set(chain.0),
                        table_name: Set(row.table().as_str().to_owned()),
                        row_id: Set(row.id()),
                        content: Set(content.clone()),
                    });
                    (row.table(), row.id(), Some(content))
                }
                RowChange::Delete { table, row_id } => {
                    loyalty_rows::Entity::delete_by_id((chain.0, table.as_str().to_owned(), *row_id))
                        .exec(tx)
                        .await?;
                    (*table, *row_id, None)
                }
            };
            log.push(loyalty_changes::ActiveModel {
                id: Set(Uuid::now_v7()),
                chain_id: Set(chain.0),
                table_name: Set(table.as_str().to_owned()),
                row_id: Set(row_id),
                content: Set(content),
                created_at: Set(now),
                ..Default::default()
            });
        }
        if !upserts.is_empty() {
            let key =
                [loyalty_rows::Column::ChainId, loyalty_rows::Column::TableName, loyalty_rows::Column::RowId];
            let replace = OnConflict::columns(key).update_column(loyalty_rows::Column::Content).to_owned();
            loyalty_rows::Entity::insert_many(upserts)
                .on_conflict(replace)
                .exec_without_returning(tx)
                .await?;
        }
        loyalty_changes::Entity::insert_many(log).exec_without_returning(tx).await?;
    }
    Ok(())
}

/// The statuses of a chain's POS servers tell how far they are behind: their revision is raised.
pub(crate) async fn touch_chain<C: ConnectionTrait>(
    tx: &C,
    chain: ChainId,
    revision: i64,
) -> Result<(), StoreError> {
    pos_servers::Entity::update_many()
        .col_expr(pos_servers::Column::Revision, Expr::value(revision))
        .filter(pos_servers::Column::ChainId.eq(chain.0))
        .exec(tx)
        .await?;
    Ok(())
}

/// Writes down transactions that are new, and what they do to balances. Tells whether a balance changed.
pub(crate) async fn take_transactions<C: ConnectionTrait>(
    tx: &C,
    chain: ChainId,
    pos_server: PosServerId,
    list: &[Transaction],
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut accounts: BTreeMap<Uuid, Row> = BTreeMap::new();
    for transaction in list {
        let row = transactions::ActiveModel {
            id: Set(transaction.id),
            pos_server_id: Set(pos_server.0),
            guest_account_id: Set(transaction.guest_account_id),
            amount: Set(transaction.amount.0),
            // Postgres takes no NUL in a text.
            reason: Set(transaction.reason.replace('\0', "")),
            at: Set(transaction.at),
            received_at: Set(now),
        };
        let inserted = transactions::Entity::insert(row)
            .on_conflict_do_nothing_on([transactions::Column::Id])
            .exec_without_returning(tx)
            .await?;
        if !matches!(inserted, TryInsertResult::Inserted(1..)) {
            continue;
        }
        let id = transaction.guest_account_id;
        if let std::collections::btree_map::Entry::Vacant(entry) = accounts.entry(id) {
            let key = (chain.0, Table::GuestAccounts.as_str().to_owned(), id);
            let Some(row) = loyalty_rows::Entity::find_by_id(key).one(tx).await? else { continue };
            entry.insert(read_row(&row.content)?);
        }
        if let Some(Row::GuestAccounts(account)) = accounts.get_mut(&id) {
            account.balance = exchange::apply(account.balance, transaction);
        }
    }
    let changed = !accounts.is_empty();
    write(tx, chain, accounts.into_values().map(|row| RowChange::Upsert { row }).collect(), now).await?;
    Ok(changed)
}

/// Notes how far a POS server is. Tells whether that is news.
pub(crate) async fn set_cursor<C: ConnectionTrait>(
    tx: &C,
    id: PosServerId,
    cursor: i64,
    revision: i64,
) -> Result<bool, StoreError> {
    let row = pos_servers::ActiveModel { cursor: Set(cursor), revision: Set(revision), ..Default::default() };
    let written = pos_servers::Entity::update_many()
        .set(row)
        .filter(pos_servers::Column::Id.eq(id.0))
        .filter(pos_servers::Column::Cursor.ne(cursor))
        .exec(tx)
        .await?;
    Ok(written.rows_affected == 1)
}

/// The number of a chain's latest change; 0 when there is none.
pub(crate) async fn head<C: ConnectionTrait>(conn: &C, chain: ChainId) -> Result<i64, StoreError> {
    let last: Option<i64> = loyalty_changes::Entity::find()
        .select_only()
        .column(loyalty_changes::Column::Seq)
        .filter(loyalty_changes::Column::ChainId.eq(chain.0))
        .order_by_desc(loyalty_changes::Column::Seq)
        .into_tuple()
        .one(conn)
        .await?;
    Ok(last.unwrap_or(0))
}

/// The changes after `cursor`, the latest of each row only: what it was in between does not matter to a POS
/// server. With each its number.
pub(crate) async fn changes_after<C: ConnectionTrait>(
    conn: &C,
    chain: ChainId,
    cursor: i64,
    limit: u64,
) -> Result<Vec<(i64, Change)>, StoreError> {
    let newer = Alias::new("newer");
    let of = |column: loyalty_changes::Column| Expr::col((newer.clone(), column));
    let own = |column: loyalty_changes::Column| Expr::col((loyalty_changes::Entity, column));
    let overtaken = Query::select()
        .expr(Expr::value(1))
        .from_as(loyalty_changes::Entity, newer.clone())
        .and_where(of(loyalty_changes::Column::ChainId).eq(chain.0))
        .and_where(of(loyalty_changes::Column::TableName).eq(own(loyalty_changes::Column::TableName)))
        .and_where(of(loyalty_changes::Column::RowId).eq(own(loyalty_changes::Column::RowId)))
        .and_where(of(loyalty_changes::Column::Seq).gt(own(loyalty_changes::Column::Seq)))
        .to_owned();
    let rows = loyalty_changes::Entity::find()
        .filter(loyalty_changes::Column::ChainId.eq(chain.0))
        .filter(loyalty_changes::Column::Seq.gt(cursor))
        .filter(Expr::exists(overtaken).not())
        .order_by_asc(loyalty_changes::Column::Seq)
        .limit(limit)
        .all(conn)
        .await?;
    rows.into_iter()
        .map(|row| {
            let change = match row.content {
                Some(content) => RowChange::Upsert { row: read_row(&content)? },
                None => RowChange::Delete { table: from_text(&row.table_name)?, row_id: row.row_id },
            };
            Ok((row.seq, Change { id: row.id, row: change }))
        })
        .collect()
}

fn read_row(content: &str) -> Result<Row, StoreError> {
    serde_json::from_str(content).map_err(|_| StoreError::Damaged("a row of loyalty data".into()))
}
