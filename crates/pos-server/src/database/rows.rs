//! Rows of the tables that come from the cloud: written, removed, and read in the checksum's order.

use rusqlite::types::Type;
use rusqlite::{Connection, params};
use tillwatch_protocol::exchange::{Amount, Guest, GuestAccount, Program, Row, Table};
use uuid::Uuid;

/// Writes a row, whether or not it was there.
pub(super) fn put(connection: &Connection, row: &Row) -> rusqlite::Result<()> {
    match row {
        Row::Programs(row) => connection
            .prepare_cached(
                "INSERT OR REPLACE INTO programs (id, name, bonus_basis_points, active) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![row.id.to_string(), row.name, row.bonus_basis_points, row.active])?,
        Row::Guests(row) => connection
            .prepare_cached("INSERT OR REPLACE INTO guests (id, name, phone, card) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![row.id.to_string(), row.name, row.phone, row.card])?,
        Row::GuestAccounts(row) => connection
            .prepare_cached(
                "INSERT OR REPLACE INTO guest_accounts (id, guest_id, program_id, balance) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                row.id.to_string(),
                row.guest_id.to_string(),
                row.program_id.to_string(),
                row.balance.0
            ])?,
    };
    Ok(())
}

/// Removes a row, if it is there.
pub(super) fn remove(connection: &Connection, table: Table, id: Uuid) -> rusqlite::Result<()> {
    let sql = match table {
        Table::Programs => "DELETE FROM programs WHERE id = ?1",
        Table::Guests => "DELETE FROM guests WHERE id = ?1",
        Table::GuestAccounts => "DELETE FROM guest_accounts WHERE id = ?1",
    };
    connection.prepare_cached(sql)?.execute([id.to_string()])?;
    Ok(())
}

/// Shows each row of a table, ordered by id: hyphenated lower-case ids sort as their bytes do.
pub(super) fn each(
    connection: &Connection,
    table: Table,
    mut show: impl FnMut(&Row),
) -> rusqlite::Result<()> {
    let sql = match table {
        Table::Programs => "SELECT id, name, bonus_basis_points, active FROM programs ORDER BY id",
        Table::Guests => "SELECT id, name, phone, card FROM guests ORDER BY id",
        Table::GuestAccounts => "SELECT id, guest_id, program_id, balance FROM guest_accounts ORDER BY id",
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        show(&match table {
            Table::Programs => Row::Programs(Program {
                id: id(row, 0)?,
                name: row.get(1)?,
                bonus_basis_points: row.get(2)?,
                active: row.get(3)?,
            }),
            Table::Guests => Row::Guests(Guest {
                id: id(row, 0)?,
                name: row.get(1)?,
                phone: row.get(2)?,
                card: row.get(3)?,
            }),
            Table::GuestAccounts => Row::GuestAccounts(GuestAccount {
                id: id(row, 0)?,
                guest_id: id(row, 1)?,
                program_id: id(row, 2)?,
                balance: Amount(row.get(3)?),
            }),
        });
    }
    Ok(())
}

/// Reads an id.
pub(super) fn id(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    parsed(row, column, str::parse::<Uuid>)
}

/// Reads a text that stands for something.
pub(super) fn parsed<T, E: std::error::Error + Send + Sync + 'static>(
    row: &rusqlite::Row<'_>,
    column: usize,
    parse: impl Fn(&str) -> Result<T, E>,
) -> rusqlite::Result<T> {
    parse(row.get_ref(column)?.as_str()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}
