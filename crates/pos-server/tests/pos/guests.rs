//! What third parties ask about guests, through the connector.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{ACCOUNT, Cloud, Mood};
use crate::store::{Pos, Store};

async fn filled(cloud: &Cloud) -> (Store, Pos) {
    cloud.fill(3);
    let store = Store::enrolled(cloud);
    let pos = store.start().await;
    pos.exchange().await;
    (store, pos)
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn the_balance_of_an_account_counts_what_was_not_sent_yet() {
    let cloud = Cloud::start().await;
    let (_store, pos) = filled(&cloud).await;
    let (status, before) = pos.get(&format!("/guest-accounts/{ACCOUNT}")).await;
    assert_eq!((status, &before["unsent"]), (200, &json!("0.00")), "{before}");
    assert_eq!(before["id"], json!(ACCOUNT));
    let known: f64 = before["balance"].as_str().unwrap().parse().unwrap();

    pos.transact("12.50").await;
    pos.transact("-2.00").await;
    let (_, after) = pos.get(&format!("/guest-accounts/{ACCOUNT}")).await;
    assert_eq!(after["unsent"], "10.50");
    assert_eq!(after["balance"], json!(format!("{:.2}", known + 10.5)));

    for id in [Uuid::new_v4().to_string(), "1".into(), "%27%20OR%201=1".into()] {
        let answer = pos.get(&format!("/guest-accounts/{id}")).await;
        assert_eq!(code(&answer), (404, "not_found"), "{id}");
    }
    pos.stop().await;
}

#[tokio::test]
async fn a_guest_is_found_by_card_and_by_phone() {
    let cloud = Cloud::start().await;
    let (_store, pos) = filled(&cloud).await;
    cloud.guest_with(100, "Anna", Some("+371 2000-0001"), Some("7700001"));
    cloud.guest_with(101, "Jonas", Some("+37120000002"), None);
    cloud.guest_with(102, "Aino", Some("371 (2000) 0002"), Some("7700002"));
    pos.exchange().await;

    for query in ["card=7700001", "phone=%2B37120000001", "phone=+37120000001", "phone=371%202000%200001"] {
        let (status, guest) = pos.get(&format!("/guests?{query}")).await;
        assert_eq!((status, &guest["name"]), (200, &json!("Anna")), "{query}");
        assert_eq!(guest["accounts"], json!([]));
    }
    for (query, refused) in [
        ("card=770000", (404, "not_found")),
        ("card=", (404, "not_found")),
        ("phone=", (404, "not_found")),
        ("phone=abc", (404, "not_found")),
        ("card=%25", (404, "not_found")),
        ("phone=37120000002", (422, "invalid_request")),
        ("name=Anna", (422, "invalid_request")),
        ("card=1&phone=2", (422, "invalid_request")),
        ("", (422, "invalid_request")),
    ] {
        let answer = pos.get(&format!("/guests?{query}")).await;
        assert_eq!(code(&answer), refused, "{query}");
    }
    pos.stop().await;
}

#[tokio::test]
async fn a_guest_comes_with_all_accounts_and_without_the_cloud() {
    let cloud = Cloud::start().await;
    let (store, pos) = filled(&cloud).await;
    let (_, account) = pos.get(&format!("/guest-accounts/{ACCOUNT}")).await;
    cloud.guest_with(0, "Owner", None, Some("7712345"));
    pos.exchange().await;
    pos.stop().await;
    cloud.set(|inner| inner.mood = Mood::Refuse(503, "unavailable"));
    let pos = store.start().await;
    assert_eq!(pos.exchange_code().await.as_deref(), Some("server_error"));
    let (status, guest) = pos.get("/guests?card=7712345").await;
    assert_eq!((status, &guest["accounts"]), (200, &json!([account])));
    pos.stop().await;
}

#[tokio::test]
async fn a_database_that_can_not_be_read_says_so() {
    let cloud = Cloud::start().await;
    let (store, pos) = filled(&cloud).await;
    std::fs::write(
        store.path("pos.sqlite3"),
        "no database at all, but long enough to be taken for one".repeat(99),
    )
    .unwrap();
    let answer = pos.get(&format!("/guest-accounts/{ACCOUNT}")).await;
    assert_eq!(code(&answer), (503, "unavailable"));
    pos.stop().await;
}
