//! The rules of the exchange: what a change is, what a transaction does, what an upload of loyalty data
//! changes.

use std::collections::{BTreeMap, BTreeSet};

use tillwatch_protocol::exchange::{
    Amount, ExchangeRequest, MAX_TRANSACTIONS, Row, RowChange, Table, Transaction,
};
use uuid::Uuid;

/// The longest reason of a transaction, in characters.
const MAX_REASON: usize = 1000;

/// Why an exchange is refused as it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A cursor below zero.
    #[error("a cursor is not below zero")]
    Cursor,
    /// Too many transactions at once.
    #[error("an exchange carries at most {MAX_TRANSACTIONS} transactions")]
    TooManyTransactions,
    /// A reason that goes on and on.
    #[error("a reason has at most {MAX_REASON} characters")]
    Reason,
}

/// Checks what a request says by itself.
pub fn validate(request: &ExchangeRequest) -> Result<(), Invalid> {
    if request.cursor < 0 {
        return Err(Invalid::Cursor);
    }
    if request.transactions.len() > MAX_TRANSACTIONS {
        return Err(Invalid::TooManyTransactions);
    }
    if request.transactions.iter().any(|transaction| transaction.reason.chars().count() > MAX_REASON) {
        return Err(Invalid::Reason);
    }
    Ok(())
}

/// Where to go on for a POS server that says it is at `cursor`. One that is ahead of the cloud has seen changes
/// that the cloud no longer knows of: it starts anew.
pub fn start(cursor: i64, head: i64) -> i64 {
    if cursor > head { 0 } else { cursor }
}

/// What a transaction makes of a balance. It stops at the ends of what an amount can hold: refusing it would
/// keep the store's outbox from ever moving on.
pub fn apply(balance: Amount, transaction: &Transaction) -> Amount {
    Amount(balance.0.saturating_add(transaction.amount.0))
}

/// The changes that turn the rows of one table into those that were uploaded. Rows that are equal make none.
/// With `replace`, rows that were not uploaded are deleted. Of two uploaded rows with one id the last counts.
pub fn difference(
    table: Table,
    present: &BTreeMap<Uuid, Row>,
    uploaded: Vec<Row>,
    replace: bool,
) -> Vec<RowChange> {
    let uploaded: BTreeMap<Uuid, Row> = uploaded.into_iter().map(|row| (row.id(), row)).collect();
    let mut changes = Vec::new();
    if replace {
        let kept: BTreeSet<Uuid> = uploaded.keys().copied().collect();
        let gone = present.keys().filter(|id| !kept.contains(id));
        changes.extend(gone.map(|id| RowChange::Delete { table, row_id: *id }));
    }
    let differing = uploaded.into_iter().filter(|(id, row)| present.get(id) != Some(row));
    changes.extend(differing.map(|(_, row)| RowChange::Upsert { row }));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;
    use tillwatch_protocol::exchange::Program;

    fn program(id: u128, name: &str) -> Row {
        let id = Uuid::from_u128(id);
        Row::Programs(Program { id, name: name.into(), bonus_basis_points: 500, active: true })
    }

    fn table(rows: Vec<Row>) -> BTreeMap<Uuid, Row> {
        rows.into_iter().map(|row| (row.id(), row)).collect()
    }

    #[test]
    fn only_what_differs_changes() {
        let present = table(vec![program(1, "a"), program(2, "b"), program(3, "c")]);
        let uploaded = vec![program(1, "a"), program(2, "B"), program(4, "d")];
        let upserts =
            vec![RowChange::Upsert { row: program(2, "B") }, RowChange::Upsert { row: program(4, "d") }];
        assert_eq!(difference(Table::Programs, &present, uploaded.clone(), false), upserts);
        let mut replaced = vec![RowChange::Delete { table: Table::Programs, row_id: Uuid::from_u128(3) }];
        replaced.extend(upserts);
        assert_eq!(difference(Table::Programs, &present, uploaded, true), replaced);
    }

    #[test]
    fn of_two_rows_with_one_id_the_last_counts() {
        let uploaded = vec![program(1, "a"), program(1, "b")];
        let changes = difference(Table::Programs, &BTreeMap::new(), uploaded, true);
        assert_eq!(changes, [RowChange::Upsert { row: program(1, "b") }]);
    }

    #[test]
    fn a_transaction_moves_a_balance_and_never_overflows() {
        let transaction = |amount| Transaction {
            id: Uuid::nil(),
            guest_account_id: Uuid::nil(),
            amount: Amount(amount),
            reason: "bill".into(),
            at: Utc::now(),
        };
        assert_eq!(apply(Amount(1000), &transaction(-250)), Amount(750));
        assert_eq!(apply(Amount(i64::MAX), &transaction(1)), Amount(i64::MAX));
    }

    #[test]
    fn a_pos_server_ahead_of_the_cloud_starts_anew() {
        assert_eq!(start(5, 10), 5);
        assert_eq!(start(10, 10), 10);
        assert_eq!(start(11, 10), 0);
    }
}
