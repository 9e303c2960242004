//! What others may ask about guests: the answers to requests that third parties send through the cloud.

use rusqlite::OptionalExtension;
use serde::Serialize;
use tillwatch_protocol::exchange::Amount;
use uuid::Uuid;

use super::rows::id;
use super::{DatabaseError, OpenDatabase};

/// A guest account with what only this store knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountView {
    /// The account's id.
    pub id: Uuid,
    /// Whose it is.
    pub guest_id: Uuid,
    /// In which program.
    pub program_id: Uuid,
    /// What the guest has: what the cloud knows, with what happened here and was not sent yet.
    pub balance: Amount,
    /// The second part of it.
    pub unsent: Amount,
}

/// A guest with all accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GuestView {
    /// The guest's id.
    pub id: Uuid,
    /// What the guest is called.
    pub name: String,
    /// By which a till finds the guest.
    pub phone: Option<String>,
    /// Number of a loyalty card.
    pub card: Option<String>,
    /// Ordered by id.
    pub accounts: Vec<AccountView>,
}

/// By what a guest is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestKey {
    /// The whole number of a card.
    Card(String),
    /// A phone number, of which only the digits count.
    Phone(String),
}

/// An account with the sum of its transactions that were not sent yet.
const ACCOUNT: &str = "SELECT a.id, a.guest_id, a.program_id, a.balance,
    (SELECT coalesce(sum(o.amount), 0) FROM outbox o WHERE o.guest_account_id = a.id) FROM guest_accounts a";

/// A phone number as people write it, without what they put between its digits.
const PHONE: &str = "replace(replace(replace(replace(replace(replace(replace(replace(
    phone, '+', ''), ' ', ''), '-', ''), '(', ''), ')', ''), '.', ''), '/', ''), char(160), '')";

impl OpenDatabase {
    /// A guest account.
    pub fn account(&self, account: Uuid) -> Result<Option<AccountView>, DatabaseError> {
        let sql = format!("{ACCOUNT} WHERE a.id = ?1");
        Ok(self.connection.query_row(&sql, [account.to_string()], to_account).optional()?)
    }

    /// The guests that a key means, at most two: more than one are as good as none.
    pub fn guests(&mut self, key: &GuestKey) -> Result<Vec<GuestView>, DatabaseError> {
        let (column, value) = match key {
            GuestKey::Card(card) => ("card", card.clone()),
            GuestKey::Phone(phone) => (PHONE, phone.chars().filter(char::is_ascii_digit).collect()),
        };
        if value.is_empty() {
            return Ok(Vec::new());
        }
        // Of one moment: an exchange may be writing.
        let moment = self.connection.transaction()?;
        let sql = format!("SELECT id, name, phone, card FROM guests WHERE {column} = ?1 ORDER BY id LIMIT 2");
        let mut found = moment
            .prepare(&sql)?
            .query_map([value], |row| {
                Ok(GuestView {
                    id: id(row, 0)?,
                    name: row.get(1)?,
                    phone: row.get(2)?,
                    card: row.get(3)?,
                    accounts: Vec::new(),
                })
            })?
            .collect::<Result<Vec<_>, _>>()?;
        let mut accounts = moment.prepare(&format!("{ACCOUNT} WHERE a.guest_id = ?1 ORDER BY a.id"))?;
        for guest in &mut found {
            let rows = accounts.query_map([guest.id.to_string()], to_account)?;
            guest.accounts = rows.collect::<Result<_, _>>()?;
        }
        Ok(found)
    }
}

fn to_account(row: &rusqlite::Row<'_>) -> rusqlite::Result<AccountView> {
    let (known, unsent): (i64, i64) = (row.get(3)?, row.get(4)?);
    Ok(AccountView {
        id: id(row, 0)?,
        guest_id: id(row, 1)?,
        program_id: id(row, 2)?,
        balance: Amount(known.saturating_add(unsent)),
        unsent: Amount(unsent),
    })
}
