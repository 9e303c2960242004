//! Why a store is offline, where one socket alone does not show it.

use std::time::Duration;

use chrono::Utc;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tillwatch_cloud::config::Patience;
use tillwatch_protocol::ids::BootId;
use tillwatch_protocol::link::close;
use tillwatch_protocol::link::frame::{ByeReason, ConnectorFrame, Hello};

use crate::support::{Client, Cloud, TestStore, hasty, hello};

fn link(state: &'static str) -> impl Fn(&Value) -> bool {
    move |status| status["link"]["state"] == state
}

fn cause(cause: &'static str) -> impl Fn(&Value) -> bool {
    move |status| status["link"]["cause"] == cause
}

fn codes(status: &Value) -> Vec<&str> {
    let evidence = status["link"]["evidence"].as_array().unwrap();
    evidence.iter().map(|evidence| evidence["code"].as_str().unwrap()).collect()
}

/// The causes of a store's outages as its timeline tells them, newest first.
async fn outages(client: &Client, store: &TestStore) -> Vec<Value> {
    let path = format!("/pos-servers/{}/timeline", store.identity.pos_server_id);
    let items = client.get(&path).await.body["items"].as_array().unwrap().clone();
    items
        .into_iter()
        .filter(|item| item["code"] == "offline")
        .map(|item| item["params"]["cause"].clone())
        .collect()
}

async fn stores(cloud: &Cloud, count: usize) -> Vec<TestStore> {
    let mut stores = Vec::new();
    for n in 0..count {
        stores.push(cloud.enrolled(&format!("Outlet {n}")).await);
    }
    stores
}

#[tokio::test]
async fn many_outlets_that_fall_silent_together_are_one_outage() {
    let patience =
        Patience { silence: Duration::from_secs(6), ping_every: Duration::from_millis(500), ..hasty() };
    let cloud = Cloud::with(patience).await;
    let admin = cloud.admin().await;
    let stores = stores(&cloud, 8).await;
    let [silent @ .., well, polite, first] = &stores[..] else { unreachable!() };
    let mut reading = well.connect().await;
    let reading = tokio::spawn(async move { reading.closed().await });
    let mut leaving = polite.connect().await;
    let going = first.connect().await;
    // They answer no ping, yet they are not closed either.
    let _half_open = join_all(silent.iter().map(TestStore::connect)).await;

    drop(going);
    admin.when(first, cause("connection_lost")).await;
    leaving.say(&ConnectorFrame::Bye { reason: ByeReason::Stopping }).await;
    admin.when(polite, link("offline")).await;
    for store in silent {
        let status = admin.when(store, cause("outage_nearby")).await;
        assert_eq!(status["link"]["confidence"], "likely");
        assert_eq!(codes(&status), ["fell_silent", "outage_nearby"]);
        let params = &status["link"]["evidence"][1]["params"];
        assert_eq!((&params["scope"], &params["of"]), (&json!("chain"), &json!(7)));
        assert!(params["outlets"].as_u64().unwrap() >= 5, "{params}");
    }
    // The one that fell first is put right; those that went by themselves, or not at all, are not.
    let corrected = admin.when(first, cause("outage_nearby")).await;
    assert_eq!(codes(&corrected), ["connection_broken", "outage_nearby"]);
    assert_eq!(outages(&admin, first).await, ["outage_nearby"]);
    assert_eq!(admin.status(polite).await["link"]["cause"], "service_stopped");
    assert_eq!(admin.status(well).await["link"]["state"], "online");
    assert_eq!(outages(&admin, well).await, [Value::Null; 0]);
    reading.abort();
}

#[tokio::test]
async fn four_that_go_at_once_have_each_their_own_trouble() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let stores = stores(&cloud, 4).await;
    drop(join_all(stores.iter().map(TestStore::connect)).await);
    for store in &stores {
        assert_eq!(admin.when(store, link("offline")).await["link"]["cause"], "connection_lost");
    }
}

#[tokio::test]
async fn the_clouds_own_absence_never_looks_like_an_outage_nearby() {
    let cloud = Cloud::start().await;
    let stores = stores(&cloud, 7).await;
    let lines = join_all(stores.iter().map(TestStore::connect)).await;
    let hurried = Patience { return_after_start: Duration::from_millis(300), ..hasty() };
    let cloud = cloud.restart(hurried).await;
    drop(lines);
    let admin = cloud.admin().await;
    for store in &stores {
        let given_up = admin.when(store, link("offline")).await;
        assert_eq!(given_up["link"]["cause"], "connection_lost");
        assert_eq!(codes(&given_up), ["not_back_after_cloud_restart"]);
    }
    // One comes back and is lost by itself: those that the cloud gave up do not count.
    let back = stores[0].moved(&cloud);
    let line = back.connect().await;
    admin.when(&back, link("online")).await;
    drop(line);
    let lost = admin.when(&back, link("offline")).await;
    assert_eq!(lost["link"]["cause"], "connection_lost");
    assert_eq!(codes(&lost), ["connection_broken"]);
}

#[tokio::test]
async fn a_cloned_disk_shows_by_the_boot_that_comes_back() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let boot = || Hello { boot_id: BootId::new(), ..hello() };
    let (one, other) = (boot(), boot());

    let (mut first, _) = store.connect_with(one.clone()).await;
    let (mut second, _) = store.connect_with(other.clone()).await;
    assert_eq!(first.closed().await, close::REPLACED_BY_NEWER_SESSION);
    assert_eq!(codes(&admin.when(&store, link("online")).await), [""; 0], "it may have been restarted");

    let (_third, _) = store.connect_with(one.clone()).await;
    assert_eq!(second.closed().await, close::REPLACED_BY_NEWER_SESSION);
    let twice = admin.when(&store, |status| !codes(status).is_empty()).await;
    assert_eq!((&twice["link"]["state"], &twice["link"]["cause"]), (&json!("online"), &Value::Null));
    assert_eq!(codes(&twice), ["duplicate_identity"]);
    let params = &twice["link"]["evidence"][0]["params"];
    assert_eq!(params, &json!({"boots": [other.boot_id, one.boot_id], "returns": 1}));

    let (line, _) = store.connect_with(other.clone()).await;
    admin.when(&store, |status| status["link"]["evidence"][0]["params"]["returns"] == 2).await;
    drop(line);
    let lost = admin.when(&store, link("offline")).await;
    assert_eq!(lost["link"]["cause"], "duplicate_identity");
    assert_eq!(lost["link"]["confidence"], "certain");
    assert_eq!(codes(&lost), ["connection_broken", "duplicate_identity"]);
    assert_eq!(outages(&admin, &store).await, ["duplicate_identity"]);

    // The clone was switched off: after an hour nothing speaks for it any more.
    let _line = store.connect_with(other).await;
    admin.when(&store, link("online")).await;
    cloud.sql("UPDATE boots SET returned_at = '2020-01-01T00:00:00+00:00'").await;
    admin.when(&store, |status| codes(status).is_empty()).await;
}

#[tokio::test]
async fn a_store_that_restarts_over_and_over_is_no_clone() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    for _ in 0..4 {
        let hello = Hello { boot_id: BootId::new(), started_at: Utc::now(), ..hello() };
        let (line, _) = store.connect_with(hello).await;
        assert_eq!(codes(&admin.when(&store, link("online")).await), [""; 0]);
        drop(line);
        assert_eq!(admin.when(&store, link("offline")).await["link"]["cause"], "connection_lost");
    }
}

#[tokio::test]
async fn a_blocked_websocket_is_taken_back_when_https_falls_silent_too() {
    let cloud = Cloud::with(Patience { https_silence: Duration::from_secs(3), ..hasty() }).await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    drop(store.connect().await);
    admin.when(&store, link("offline")).await;
    let beat = json!({"connector_version": "0.1.0", "pos_answers": true});
    for _ in 0..2 {
        assert_eq!(store.post("/heartbeat", &beat).await.status, 204);
    }
    admin.when(&store, cause("websocket_blocked")).await;
    let silent = admin.when(&store, cause("connection_lost")).await;
    assert_eq!(codes(&silent), ["connection_broken", "https_heartbeat", "https_heartbeat_stopped"]);
    assert_eq!(outages(&admin, &store).await, ["connection_lost"]);
    assert_eq!(store.post("/heartbeat", &beat).await.status, 204);
    admin.when(&store, cause("websocket_blocked")).await;
}

#[tokio::test]
async fn a_websocket_that_is_blocked_from_the_first_day_shows() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let beat = json!({"connector_version": "0.1.0", "pos_answers": true});
    assert_eq!(store.post("/heartbeat", &beat).await.status, 204);
    let blocked = admin.when(&store, cause("websocket_blocked")).await;
    assert_eq!(blocked["link"]["state"], "offline");
    assert_eq!(codes(&blocked), ["https_heartbeat"]);
    assert_eq!(outages(&admin, &store).await, ["websocket_blocked"]);
}

#[tokio::test]
async fn a_cloud_that_stood_still_does_not_take_stores_for_silent() {
    let patience =
        Patience { silence: Duration::from_secs(2), ping_every: Duration::from_millis(500), ..hasty() };
    let cloud = Cloud::with(patience).await;
    let admin = cloud.admin().await;
    let stores = stores(&cloud, 6).await;
    let mut reading = tokio::task::JoinSet::new();
    for store in &stores {
        let mut line = store.connect().await;
        reading.spawn(async move { line.closed().await });
    }
    #[expect(clippy::disallowed_methods, reason = "the cloud runs on this thread, and is to stand still")]
    std::thread::sleep(Duration::from_secs(4));
    let later = tokio::time::timeout(Duration::from_secs(3), reading.join_next()).await;
    assert!(later.is_err(), "{later:?}: a link was given up");
    for store in &stores {
        assert_eq!(outages(&admin, store).await, [Value::Null; 0]);
    }
}
