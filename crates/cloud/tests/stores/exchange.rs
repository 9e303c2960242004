//! The exchange, with a POS server that keeps its rows in memory.

use std::collections::BTreeMap;

use chrono::Utc;
use reqwest::Method;
use serde_json::{Value, json};
use tillwatch_protocol::exchange::{
    Amount, ExchangeAnswer, ExchangeRequest, GuestAccount, Program, Row, RowChange, Table, Transaction,
    checksum,
};
use tillwatch_protocol::link::frame::Hello;
use tillwatch_protocol::rest::session::Permission;
use uuid::Uuid;

use crate::support::{Client, Cloud, TestStore, hello, report};

/// The database of a POS server.
#[derive(Clone, Default)]
struct Database {
    rows: BTreeMap<(Table, Uuid), Row>,
    cursor: i64,
}

impl Database {
    fn checksum(&self) -> String {
        checksum(self.rows.values())
    }

    /// Exchanges until there is no more; tells how many changes came, and whether the checksums agree.
    async fn exchange(&mut self, store: &TestStore, transactions: Vec<Transaction>) -> (usize, bool) {
        let mut transactions = Some(transactions);
        let mut count = 0;
        loop {
            let request = ExchangeRequest {
                cursor: self.cursor,
                checksum: Some(self.checksum()),
                transactions: transactions.take().unwrap_or_default(),
            };
            let answer = store.post("/exchange", &json!(request)).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let answer: ExchangeAnswer = serde_json::from_value(answer.body).unwrap();
            assert!(answer.changes.len() <= 500);
            count += answer.changes.len();
            for change in answer.changes {
                match change.row {
                    RowChange::Upsert { row } => self.rows.insert((row.table(), row.id()), row),
                    RowChange::Delete { table, row_id } => self.rows.remove(&(table, row_id)),
                };
            }
            self.cursor = answer.cursor;
            assert_eq!(answer.more, answer.checksum.is_none());
            if let Some(expected) = answer.checksum {
                return (count, expected == self.checksum());
            }
        }
    }

    fn balance(&self, account: Uuid) -> Amount {
        match &self.rows[&(Table::GuestAccounts, account)] {
            Row::GuestAccounts(account) => account.balance,
            other => panic!("{other:?}"),
        }
    }
}

fn program(id: u128, name: &str) -> Program {
    Program { id: Uuid::from_u128(id), name: name.into(), bonus_basis_points: 500, active: true }
}

fn account(id: u128, balance: i64) -> GuestAccount {
    let id = Uuid::from_u128(id);
    GuestAccount { id, guest_id: id, program_id: Uuid::from_u128(1), balance: Amount(balance) }
}

fn transaction(account: u128, amount: i64) -> Transaction {
    let guest_account_id = Uuid::from_u128(account);
    Transaction {
        id: Uuid::now_v7(),
        guest_account_id,
        amount: Amount(amount),
        reason: "bill".into(),
        at: Utc::now(),
    }
}

async fn change(admin: &Client, chain: &str, method: Method, table: &str, items: Value) -> u64 {
    let answer = admin.send(method, &format!("/chains/{chain}/{table}"), &json!({"items": items})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["changes"].as_u64().unwrap()
}

async fn chain_of(admin: &Client, store: &TestStore) -> String {
    admin.status(store).await["chain"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn loyalty_data_reaches_every_store_and_behind_tells_until_when_it_has_not() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let chain = chain_of(&admin, &store).await;
    let mut database = Database::default();
    assert_eq!(database.exchange(&store, vec![]).await, (0, true));

    assert_eq!(
        change(&admin, &chain, Method::PUT, "programs", json!([program(1, "Bonus"), program(2, "Gold")]))
            .await,
        2
    );
    let behind = admin.when(&store, |status| status["exchange"]["behind"]["changes"] == 2).await;
    assert!(!behind["exchange"]["behind"]["oldest_at"].is_null());
    assert_eq!(database.exchange(&store, vec![]).await, (2, true));
    assert_eq!(database.exchange(&store, vec![]).await, (0, true));
    let level = admin.when(&store, |status| status["exchange"]["behind"]["changes"] == 0).await;
    assert_eq!(level["exchange"]["behind"]["oldest_at"], Value::Null);

    // PUT replaces, PATCH merges, and what is equal changes nothing.
    assert_eq!(change(&admin, &chain, Method::PUT, "programs", json!([program(1, "Bonus")])).await, 1);
    assert_eq!(
        change(&admin, &chain, Method::PATCH, "programs", json!([program(3, "New"), program(1, "Bonus")]))
            .await,
        1
    );
    assert_eq!(change(&admin, &chain, Method::PATCH, "programs", json!([program(3, "New")])).await, 0);
    assert_eq!(database.exchange(&store, vec![]).await, (2, true));
    assert_eq!(database.rows.len(), 2);
}

#[tokio::test]
async fn transactions_count_once_and_the_whole_chain_learns_of_them() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let (riga, other) = (cloud.enrolled("Riga").await, cloud.enrolled("Other").await);
    let chain = chain_of(&admin, &riga).await;
    change(&admin, &chain, Method::PUT, "guest-accounts", json!([account(10, 1000), account(11, 0)])).await;
    let (mut here, mut there) = (Database::default(), Database::default());
    there.exchange(&other, vec![]).await;
    there.exchange(&other, vec![]).await;

    let sent = vec![transaction(10, -250), transaction(10, 100), transaction(11, 5), transaction(99, 7)];
    assert!(here.exchange(&riga, sent.clone()).await.1);
    assert_eq!(here.balance(Uuid::from_u128(10)), Amount(850));
    // The answer was lost: they are sent again.
    assert!(here.exchange(&riga, sent).await.1);
    assert_eq!(here.balance(Uuid::from_u128(10)), Amount(850));
    admin.when(&other, |status| status["exchange"]["behind"]["changes"] == 2).await;
    assert_eq!(there.exchange(&other, vec![]).await, (2, true));
    assert_eq!(there.balance(Uuid::from_u128(11)), Amount(5));
}

#[tokio::test]
async fn a_database_that_was_reset_gets_everything_anew_without_its_history() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let chain = chain_of(&admin, &store).await;
    let many: Vec<_> = (1..=1203).map(|id| program(id, "first")).collect();
    change(&admin, &chain, Method::PUT, "programs", json!(many)).await;
    let mut database = Database::default();
    assert_eq!(database.exchange(&store, vec![]).await, (1203, true));
    let renamed: Vec<_> = (1..=700).map(|id| program(id, "second")).collect();
    change(&admin, &chain, Method::PATCH, "programs", json!(renamed)).await;
    assert_eq!(database.exchange(&store, vec![]).await, (700, true));

    let mut anew = Database::default();
    assert_eq!(anew.exchange(&store, vec![]).await, (1203, true), "each row once, in its latest state");
    assert_eq!(anew.checksum(), database.checksum());

    // The cloud notes where the reset one is, not where the old one was.
    let started = Database { cursor: 0, ..Database::default() };
    let request = json!({"cursor": started.cursor, "checksum": started.checksum()});
    assert_eq!(store.post("/exchange", &request).await.status, 200);
    admin.when(&store, |status| status["exchange"]["behind"]["changes"] == 1903).await;
    // One that claims to be ahead of the cloud starts anew.
    let request = json!({"cursor": 1_000_000, "checksum": "x"});
    let answer = store.post("/exchange", &request).await.body;
    assert_eq!(answer["changes"].as_array().unwrap().len(), 500);
    assert_eq!(answer["more"], true);
}

#[tokio::test]
async fn an_inconsistent_database_sees_that_the_checksums_differ() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let chain = chain_of(&admin, &store).await;
    change(&admin, &chain, Method::PUT, "programs", json!([program(1, "a"), program(2, "b")])).await;
    let mut database = Database::default();
    assert!(database.exchange(&store, vec![]).await.1);
    database.rows.pop_first();
    assert_eq!(database.exchange(&store, vec![]).await, (0, false));
}

#[tokio::test]
async fn an_exchange_must_make_sense() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let many: Vec<_> = (0..501).map(|_| transaction(1, 1)).collect();
    for body in [
        json!({"cursor": -1, "checksum": ""}),
        json!({"checksum": ""}),
        json!({"cursor": 0, "checksum": "", "x": 1}),
        json!({"cursor": 0, "checksum": "", "transactions": many}),
    ] {
        assert_eq!(store.post("/exchange", &body).await.problem(), (422, "invalid_request"));
    }
}

#[tokio::test]
async fn a_pos_server_older_than_34_does_not_exchange() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let mut old = report();
    old.report.pos_version = Some("33.1".into());
    let mut line = store.line().await;
    line.say(&tillwatch_protocol::link::frame::ConnectorFrame::Hello(Hello { report: Some(old), ..hello() }))
        .await;
    line.closed().await;
    let refused = store.post("/exchange", &json!({"cursor": 0, "checksum": ""})).await;
    assert_eq!(refused.problem(), (403, "version_unsupported"));
}

#[tokio::test]
async fn only_admins_change_loyalty_data() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let path = format!("/chains/{}/programs", chain_of(&admin, &store).await);
    cloud.add_user("anna@example.com", false).await;
    let anna = cloud.sign_in("anna@example.com").await;
    let body = json!({"items": []});
    assert_eq!(anna.send(Method::PUT, &path, &body).await.problem(), (404, "not_found"));
    cloud.grant("anna@example.com", "Riga", Permission::OutletSetup).await;
    assert_eq!(anna.send(Method::PUT, &path, &body).await.problem(), (403, "permission_denied"));
    let unknown = format!("/chains/{}/programs", Uuid::now_v7());
    assert_eq!(admin.send(Method::PUT, &unknown, &body).await.problem(), (404, "not_found"));
    let wrong = json!({"items": [{"id": Uuid::now_v7(), "name": "x"}]});
    assert_eq!(admin.send(Method::PUT, &path, &wrong).await.problem(), (422, "invalid_request"));
}
