//! Following changes.

use chrono::Utc;
use serde_json::json;
use tillwatch_cloud::admin::{self, ScopeName};
use tillwatch_protocol::rest::session::Permission;

use crate::support::{ADMIN, TestCloud};

const LINE: &str = "Pizza,Riga 1,1,,Europe/Riga,Main\n";

#[tokio::test]
async fn a_change_arrives_as_a_whole_status() {
    let cloud = TestCloud::start().await;
    let admin = cloud.sign_in(ADMIN).await;
    let mut events = admin.events(None).await;
    let imported = cloud.import(LINE).await;

    let event = events.next().await.unwrap();

    assert_eq!(event.name, "status");
    assert_eq!(event.data["id"], imported[0].pos_server_id.to_string());
    assert_eq!(event.id.unwrap(), event.data["revision"].to_string());
    let listed = admin.get("/pos-servers").await.body["items"][0].clone();
    assert_eq!(event.data, listed);
}

#[tokio::test]
async fn a_job_arrives_whole_and_its_status_lists_it() {
    let cloud = TestCloud::start().await;
    let imported = cloud.import(LINE).await;
    cloud.add_user("anna@example.com", false).await;
    let (admin, anna) = (cloud.sign_in(ADMIN).await, cloud.sign_in("anna@example.com").await);
    let (mut events, mut nothing) = (admin.events(None).await, anna.events(None).await);
    // Of now: an older one may be given up at any moment.
    let sql = "UPDATE revision SET value = value + 1;
         INSERT INTO jobs (id, pos_server_id, kind, state, spec, requested_by, requested_at, revision)
             SELECT NEW_ID, pos_servers.id, 'diagnose', 'queued', '{\"kind\":\"diagnose\"}', users.id,
                 'NOW', (SELECT value FROM revision)
             FROM pos_servers, users WHERE users.admin";
    cloud.sql(&sql.replace("NOW", &Utc::now().to_rfc3339())).await;

    let event = events.next().await.unwrap();

    assert_eq!(event.name, "job");
    assert_eq!(event.data["pos_server_id"], imported[0].pos_server_id.to_string());
    assert_eq!((&event.data["kind"], &event.data["state"]), (&json!("diagnose"), &json!("queued")));
    let status = admin.get("/pos-servers").await.body["items"][0].clone();
    assert_eq!(
        status["active_jobs"],
        json!([{"id": event.data["id"], "kind": "diagnose", "state": "queued"}])
    );
    // Who does not see the POS server hears nothing of its jobs: the first news are the new grants.
    cloud.grant("anna@example.com", ScopeName::All, Permission::OutletSetup).await;
    assert_eq!(nothing.next().await.unwrap().name, "resync");
}

#[tokio::test]
async fn who_comes_back_is_told_the_present_state_of_what_changed() {
    let cloud = TestCloud::start().await;
    cloud.import(LINE).await;
    let admin = cloud.sign_in(ADMIN).await;
    let revision = admin.get("/pos-servers").await.body["revision"].to_string();
    cloud.import("Pizza,Riga 2,2,,Europe/Riga,Main\nPizza,Riga 3,3,,Europe/Riga,Main\n").await;
    for version in ["34.1", "34.2"] {
        admin::require_version(&cloud.store, "Pizza", version, Utc::now()).await.unwrap();
    }

    let mut events = admin.events(Some(&revision)).await;

    // One revision for all three of the chain: only the last event of it moves the client on.
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(events.next().await.unwrap());
    }
    assert!(told.iter().all(|event| event.data["pos"]["required_version"] == "34.2"));
    assert_eq!(told.iter().filter(|event| event.id.is_some()).count(), 1);
    let last = told[2].id.clone().unwrap();

    let mut events = admin.events(Some(&last)).await;
    cloud.import("Pizza,Riga 4,4,,Europe/Riga,Main\n").await;
    assert_eq!(events.next().await.unwrap().data["outlet"]["name"], "Riga 4");
}

#[tokio::test]
async fn one_hears_only_of_what_one_sees() {
    let cloud = TestCloud::start().await;
    cloud.import("Pizza,Riga 1,1,,Europe/Riga,Main\nBurger,Riga 2,2,,Europe/Riga,Main\n").await;
    cloud.add_user("anna@example.com", false).await;
    cloud.grant("anna@example.com", ScopeName::Chain("Pizza".into()), Permission::OutletSetup).await;
    let anna = cloud.sign_in("anna@example.com").await;
    let mut events = anna.events(None).await;

    admin::require_version(&cloud.store, "Burger", "35", Utc::now()).await.unwrap();
    admin::require_version(&cloud.store, "Pizza", "35", Utc::now()).await.unwrap();
    assert_eq!(events.next().await.unwrap().data["chain"]["name"], "Pizza");
}

#[tokio::test]
async fn a_removed_pos_server_is_told_by_its_id() {
    let cloud = TestCloud::start().await;
    let imported = cloud.import(LINE).await;
    let admin = cloud.sign_in(ADMIN).await;
    let mut events = admin.events(None).await;
    cloud
        .sql(
            "UPDATE revision SET value = value + 1;
             INSERT INTO removals SELECT id, outlet_id, chain_id, (SELECT value FROM revision) FROM pos_servers;
             DELETE FROM pos_servers",
        )
        .await;
    let event = events.next().await.unwrap();
    assert_eq!(event.name, "pos_server_removed");
    assert_eq!(event.data, json!({"id": imported[0].pos_server_id}));
}

#[tokio::test]
async fn an_id_from_elsewhere_and_changed_grants_ask_for_a_new_list() {
    let cloud = TestCloud::start().await;
    cloud.import(LINE).await;
    cloud.add_user("anna@example.com", false).await;
    let anna = cloud.sign_in("anna@example.com").await;
    for id in ["999999", "nonsense", "-1"] {
        let mut events = anna.events(Some(id)).await;
        assert_eq!(events.next().await.unwrap().name, "resync", "{id}");
    }

    let before = anna.get("/pos-servers").await.body["revision"].to_string();
    let mut events = anna.events(None).await;
    cloud.grant("anna@example.com", ScopeName::All, Permission::OutletSetup).await;
    assert_eq!(events.next().await.unwrap().name, "resync");
    // So does who was away meanwhile.
    let resync = anna.events(Some(&before)).await.next().await.unwrap();
    assert_eq!(resync.name, "resync");
    let mut quiet = anna.events(resync.id.as_deref()).await;
    admin::require_version(&cloud.store, "Pizza", "34", Utc::now()).await.unwrap();
    assert_eq!(quiet.next().await.unwrap().name, "status");
    assert_eq!(events.next().await.unwrap().name, "status");
    admin::require_version(&cloud.store, "Pizza", "35", Utc::now()).await.unwrap();
    assert_eq!(events.next().await.unwrap().name, "status");
}

#[tokio::test]
async fn a_stream_ends_with_its_session_and_with_the_cloud() {
    let cloud = TestCloud::start().await;
    let (desk, laptop) = (cloud.sign_in(ADMIN).await, cloud.sign_in(ADMIN).await);
    let (mut at_desk, mut at_laptop) = (desk.events(None).await, laptop.events(None).await);

    desk.delete("/sessions/current").await;
    assert_eq!(at_desk.next().await, None);

    cloud.stop().await;
    assert_eq!(at_laptop.next().await, None);
}

#[tokio::test]
async fn a_stream_ends_when_its_access_expires() {
    let cloud = TestCloud::start().await;
    let admin = cloud.sign_in(ADMIN).await;
    let mut events = admin.events(None).await;
    cloud.sql("UPDATE sessions SET access_expires_at = '2020-01-01T00:00:00+00:00'").await;
    assert_eq!(events.next().await, None);
}
