//! Exchanges with a small cloud, and what becomes of the database.

use rusqlite::Connection;
use serde_json::{Value, json};
use tillwatch_protocol::exchange::Table;
use uuid::Uuid;

use crate::cloud::{self, Cloud, Mood};
use crate::store::Store;

/// How many rows a table, or a part of it, has in the store's database.
pub(crate) fn count(store: &Store, table: &str) -> i64 {
    let database = Connection::open(store.path("pos.sqlite3")).unwrap();
    database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn the_first_exchange_fills_the_database_and_later_ones_bring_what_changed() {
    let cloud = Cloud::start().await;
    cloud.set(|inner| inner.page_size = 7);
    cloud.fill(30);
    let store = Store::enrolled(&cloud);
    let pos = store.start().await;

    let report = pos.exchange().await;
    assert_eq!(report.exchange.error, None);
    assert!(report.exchange.last_success_at.is_some());
    assert_eq!(
        (count(&store, "programs"), count(&store, "guests"), count(&store, "guest_accounts")),
        (1, 30, 1)
    );

    cloud.guest(3, "Renamed");
    cloud.guest(99, "New");
    cloud.delete(Table::Guests, Uuid::from_u128(0x1000));
    assert_eq!(pos.exchange_code().await, None);
    assert_eq!(count(&store, "guests"), 30);
    assert_eq!(count(&store, "guests WHERE name = 'Renamed'"), 1);
    // The cloud knows at once that the store has everything.
    assert_eq!(cloud.inner.lock().unwrap().cursor, 35);
    pos.stop().await;
    assert!(store.log().contains("Exchange done: changes=3"), "{}", store.log());
}

#[tokio::test]
async fn a_row_changed_behind_its_back_stays_an_error_until_the_database_is_new() {
    let cloud = Cloud::start().await;
    cloud.fill(5);
    let store = Store::enrolled(&cloud);
    let pos = store.start().await;
    assert_eq!(pos.exchange_code().await, None);

    let behind = Connection::open(store.path("pos.sqlite3")).unwrap();
    behind.execute("UPDATE guest_accounts SET balance = balance + 1", []).unwrap();
    let error = pos.exchange().await.exchange.error.unwrap();
    assert_eq!(error.code, "database_inconsistent");
    // Neither another exchange, nor the row put right, nor a restart heals it; a transaction still goes out.
    behind.execute("UPDATE guest_accounts SET balance = balance - 1", []).unwrap();
    drop(behind);
    let again = pos.exchange().await.exchange.error.unwrap();
    assert_eq!((again.since, again.consecutive_failures), (error.since, error.consecutive_failures + 1));
    pos.transact("-3.50").await;
    let report = pos.exchange().await;
    assert_eq!(report.exchange.error.unwrap().code, "database_inconsistent");
    assert_eq!(report.database.unsent_transactions, Some(0));
    assert_eq!(cloud.inner.lock().unwrap().received.len(), 1);
    pos.stop().await;
    let pos = store.start().await;
    assert_eq!(pos.exchange_code().await.as_deref(), Some("database_inconsistent"));
    pos.stop().await;

    store.move_database_away();
    let pos = store.start().await;
    let report = pos.exchange().await;
    assert_eq!(report.exchange.error, None);
    assert_eq!(count(&store, "guests"), 5);
    pos.stop().await;
}

#[tokio::test]
async fn a_cloud_that_was_put_back_to_an_earlier_time_is_followed() {
    let cloud = Cloud::start().await;
    cloud.fill(5);
    let store = Store::enrolled(&cloud);
    let pos = store.start().await;
    let before = cloud.inner.lock().unwrap().changes.len();
    cloud.guest(2, "Renamed");
    assert_eq!(pos.exchange_code().await, None);
    cloud.set(|inner| inner.changes.truncate(before));
    assert_eq!(pos.exchange_code().await, None);
    assert_eq!(count(&store, "guests WHERE name = 'Renamed'"), 0);
    pos.stop().await;
}

#[tokio::test]
async fn a_corrupt_file_is_told_and_kept() {
    let cloud = Cloud::start().await;
    cloud.fill(200);
    let store = Store::enrolled(&cloud);
    let pos = store.start().await;
    assert_eq!(pos.exchange_code().await, None);
    pos.stop().await;
    // Pages in the middle are overwritten, as by a dying disk.
    let mut bytes = std::fs::read(store.path("pos.sqlite3")).unwrap();
    let length = bytes.len();
    bytes[4096 * 2..length].fill(0xa5);
    std::fs::write(store.path("pos.sqlite3"), &bytes).unwrap();

    let pos = store.start().await;
    assert_eq!(pos.exchange_code().await.as_deref(), Some("database_corrupt"));
    let report = pos.report().await;
    assert_eq!(report.database.size_bytes, Some(length as u64));
    let (status, problem) =
        pos.post(&json!({"guest_account_id": cloud::ACCOUNT, "amount": "1.00", "reason": "Lunch"})).await;
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")));
    pos.stop().await;
    assert_eq!(std::fs::read(store.path("pos.sqlite3")).unwrap(), bytes, "it is evidence");

    store.move_database_away();
    let pos = store.start().await;
    assert_eq!(pos.exchange_code().await, None);
    pos.stop().await;
}

#[tokio::test]
async fn transactions_count_once_though_the_answer_was_lost() {
    let cloud = Cloud::start().await;
    cloud.fill(1);
    let store = Store::enrolled(&cloud);
    let pos = store.start().await;
    assert_eq!(pos.exchange_code().await, None);
    let ids = [pos.transact("-12.50").await, pos.transact("3.00").await];
    assert_eq!(pos.report().await.database.unsent_transactions, Some(2));

    cloud.set(|inner| inner.mood = Mood::LoseAnswer);
    assert_eq!(pos.exchange_code().await.as_deref(), Some("server_error"));
    assert_eq!(pos.report().await.database.unsent_transactions, Some(2));
    cloud.set(|inner| inner.mood = Mood::Well);
    assert_eq!(pos.exchange().await.database.unsent_transactions, Some(0));
    assert_eq!(pos.exchange_code().await, None);

    // They arrived twice, under the same ids in the same order, and not a third time.
    let received: Vec<Value> =
        cloud.inner.lock().unwrap().received.iter().map(|transaction| json!(transaction.id)).collect();
    assert_eq!(received, [&ids[..], &ids[..]].concat());
    pos.stop().await;
}

#[tokio::test]
async fn an_outbox_of_many_pages_is_emptied_in_one_exchange() {
    let cloud = Cloud::start().await;
    cloud.fill(1);
    let store = Store::enrolled(&cloud);
    let pos = store.start().await;
    assert_eq!(pos.exchange_code().await, None);
    let mut database = Connection::open(store.path("pos.sqlite3")).unwrap();
    let all = database.transaction().unwrap();
    for _ in 0..1200 {
        let values = [Uuid::new_v4().to_string(), cloud::ACCOUNT.to_string()];
        let sql = "INSERT INTO outbox (id, guest_account_id, amount, reason, at)
                   VALUES (?1, ?2, 100, 'Lunch', '2026-11-21T10:00:00+00:00')";
        all.execute(sql, values).unwrap();
    }
    all.commit().unwrap();
    assert_eq!(pos.exchange().await.database.unsent_transactions, Some(0));
    assert_eq!(cloud.inner.lock().unwrap().received.len(), 1200);
    pos.stop().await;
}

#[tokio::test]
async fn each_refusal_has_its_code_and_success_clears_it() {
    let cloud = Cloud::start().await;
    let store = Store::enrolled(&cloud);
    let pos = store.start().await;
    assert_eq!(pos.exchange_code().await, None);
    for (mood, code) in [
        (Mood::Refuse(401, "credentials_revoked"), "credentials_revoked"),
        (Mood::Refuse(401, "unauthorized"), "server_error"),
        (Mood::Refuse(403, "version_unsupported"), "version_unsupported"),
        (Mood::Refuse(500, "internal"), "server_error"),
        (Mood::Babble, "server_error"),
    ] {
        cloud.set(|inner| inner.mood = mood);
        assert_eq!(pos.exchange_code().await.as_deref(), Some(code));
    }
    assert_eq!(pos.report().await.exchange.error.unwrap().consecutive_failures, 5);
    cloud.set(|inner| inner.mood = Mood::Well);
    assert_eq!(pos.exchange_code().await, None);
    pos.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_off_is_made_up_for() {
    let cloud = Cloud::start().await;
    cloud.set(|inner| inner.clock_offset_seconds = 86_400 * 365);
    let store = Store::enrolled(&cloud);
    let pos = store.start().await;
    assert_eq!(pos.exchange_code().await, None);
    let before = cloud.inner.lock().unwrap().requests;
    assert_eq!(pos.exchange_code().await, None);
    assert_eq!(cloud.inner.lock().unwrap().requests, before + 1, "it was learnt once");
    cloud.set(|inner| inner.never_content = true);
    assert_eq!(pos.exchange_code().await.as_deref(), Some("clock_skewed"));
    pos.stop().await;
}

#[tokio::test]
async fn a_cloud_that_is_away_and_one_that_speaks_no_tls_are_told_apart() {
    let mut cloud = Cloud::start().await;
    let store = Store::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    cloud.identity.cloud = format!("http://{nobody}").parse().unwrap();
    store.enroll(&cloud.identity);
    let pos = store.start().await;
    assert_eq!(pos.exchange_code().await.as_deref(), Some("cloud_unreachable"));
    // The identity is followed while it runs.
    cloud.identity.cloud.set_scheme("https").unwrap();
    cloud.identity.cloud.set_port(cloud.url.port()).unwrap();
    store.enroll(&cloud.identity);
    assert_eq!(pos.exchange_code().await.as_deref(), Some("tls_failed"));
    cloud.identity.cloud = cloud.url.clone();
    store.enroll(&cloud.identity);
    assert_eq!(pos.exchange_code().await, None);
    pos.stop().await;
}

#[tokio::test]
async fn a_certificate_of_the_clouds_own_is_trusted_once_enrollment_left_it() {
    let mut cloud = Cloud::start().await;
    let (url, certificate) = cloud.with_tls().await;
    cloud.identity.cloud = url;
    let store = Store::enrolled(&cloud);
    let pos = store.start().await;
    assert_eq!(pos.exchange_code().await.as_deref(), Some("tls_failed"));
    store.trust(&certificate);
    assert_eq!(pos.exchange_code().await, None);
    pos.stop().await;
}

#[tokio::test]
async fn without_an_identity_it_reports_and_waits_for_one() {
    let cloud = Cloud::start().await;
    cloud.fill(2);
    let store = Store::new();
    let pos = store.start().await;
    let report = pos.exchange().await;
    assert_eq!((report.exchange.last_attempt_at, report.exchange.error), (None, None));
    assert!(report.database.created_at.is_some());
    assert!(store.log().contains("No identity yet"));
    store.enroll(&cloud.identity);
    assert_eq!(pos.exchange_code().await, None);
    assert_eq!(count(&store, "guests"), 2);
    pos.stop().await;
}
