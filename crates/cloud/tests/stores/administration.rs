//! What administration means for stores: codes, identities, and links that close.

use chrono::Utc;
use reqwest::Method;
use serde_json::{Value, json};
use tillwatch_protocol::device::DeviceKey;
use tillwatch_protocol::link::close;
use tillwatch_protocol::link::frame::ConnectorFrame;

use crate::support::{Answer, Client, Cloud, TestStore, answer, hello};

fn path(store: &TestStore) -> String {
    format!("/admin/pos-servers/{}", store.identity.pos_server_id)
}

async fn enroll(cloud: &Cloud, code: &str, key: &DeviceKey) -> Answer {
    let body = json!({"code": code, "public_key": key.public_key()});
    answer(reqwest::Client::new().post(format!("{}/api/v1/enroll", cloud.base)).json(&body)).await
}

async fn new_code(admin: &Client, path: &str) -> String {
    let made = admin.send(Method::POST, &format!("{path}/enrollment-codes"), &json!({})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.body["enrollment_code"].as_str().unwrap().to_owned()
}

async fn code_states(admin: &Client, path: &str) -> Vec<String> {
    let list = admin.get(&format!("{path}/enrollment-codes")).await.body;
    let items = list["items"].as_array().unwrap().clone();
    items.iter().map(|code| code["state"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_enrollment_whose_answer_was_lost_is_asked_for_again() {
    let cloud = Cloud::start().await;
    let code = cloud.outlets(&["Riga"]).await.remove(0).enrollment_code;
    let key = DeviceKey::generate();

    let first = enroll(&cloud, &code, &key).await;
    assert_eq!(first.status, 200, "{}", first.body);
    let again = enroll(&cloud, &code, &key).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body), "the same identity");

    // Nobody else gets anything by the code, nor anything by the key with another code.
    let other = enroll(&cloud, &code, &DeviceKey::generate()).await;
    assert_eq!(other.problem(), (403, "enrollment_code_invalid"));
    let elsewhere = cloud.outlets(&["Tartu"]).await.remove(0).enrollment_code;
    assert_eq!(enroll(&cloud, &elsewhere, &key).await.problem(), (422, "invalid_request"));
    // It was written down once.
    let admin = cloud.admin().await;
    let entries = admin.get("/admin/audit?action=device.enrolled").await.body;
    assert_eq!(entries["items"].as_array().unwrap().len(), 1);

    cloud.sql("UPDATE enrollment_codes SET expires_at = '2020-01-01T00:00:00+00:00'").await;
    assert_eq!(enroll(&cloud, &code, &key).await.problem(), (422, "invalid_request"), "its life is over");
}

#[tokio::test]
async fn an_identity_that_was_revoked_is_not_given_again() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let imported = cloud.outlets(&["Riga"]).await.remove(0);
    let key = DeviceKey::generate();
    let enrolled = enroll(&cloud, &imported.enrollment_code, &key).await.body;
    let device = format!("/admin/devices/{}", enrolled["device_id"].as_str().unwrap());
    assert_eq!(admin.send(Method::DELETE, &device, &json!({})).await.status, 204);
    assert_eq!(enroll(&cloud, &imported.enrollment_code, &key).await.status, 422);
}

#[tokio::test]
async fn a_new_code_kills_the_one_that_waits() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let imported = cloud.outlets(&["Riga"]).await.remove(0);
    let path = format!("/admin/pos-servers/{}", imported.pos_server_id);

    let second = new_code(&admin, &path).await;
    assert_eq!(cloud.enroll(&imported.enrollment_code).await.1.problem(), (403, "enrollment_code_invalid"));
    assert!(admin.get(&path).await.body["code_expires_at"].is_string());
    let (_, enrolled) = cloud.enroll(&second).await;
    assert_eq!(enrolled.status, 200);
    let third = new_code(&admin, &path).await;
    assert_eq!(code_states(&admin, &path).await, ["usable", "used", "revoked"]);
    assert_eq!(admin.send(Method::DELETE, &format!("{path}/enrollment-codes"), &json!({})).await.status, 204);
    assert_eq!(cloud.enroll(&third).await.1.problem(), (403, "enrollment_code_invalid"));
    new_code(&admin, &path).await;
    cloud
        .sql("UPDATE enrollment_codes SET expires_at = '2020-01-01T00:00:00+00:00' WHERE revoked_at IS NULL")
        .await;
    assert_eq!(code_states(&admin, &path).await, ["expired", "revoked", "used", "revoked"]);

    let list = admin.get(&format!("{path}/enrollment-codes?limit=1")).await.body;
    let next = format!("{path}/enrollment-codes?cursor={}", list["next_cursor"].as_str().unwrap());
    let rest = admin.get(&next).await.body;
    assert_eq!(rest["items"].as_array().unwrap().len(), 3);
    assert_eq!(rest["items"][1]["device_id"], enrolled.body["device_id"]);
    let told = admin.get(&path).await.body;
    assert!(told["enrolled_at"].is_string() && told["code_expires_at"].is_null());
}

#[tokio::test]
async fn a_revoked_identity_closes_its_link_and_its_store_is_offline_for_that() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let mut line = store.connect().await;
    admin.when(&store, |status| status["link"]["state"] == "online").await;

    let devices = admin.get(&format!("{}/devices", path(&store))).await.body;
    assert_eq!(devices["items"][0]["revoked_at"], Value::Null);
    let device = format!("/admin/devices/{}", devices["items"][0]["id"].as_str().unwrap());
    assert_eq!(admin.send(Method::DELETE, &device, &json!({})).await.status, 204);

    assert_eq!(line.closed().await, close::CREDENTIALS_REVOKED);
    let offline = admin.when(&store, |status| status["link"]["state"] == "offline").await;
    assert_eq!(offline["link"]["cause"], "credentials_revoked");
    let refused = store.post("/heartbeat", &json!({"connector_version": "0.1.0", "pos_answers": true})).await;
    assert_eq!(refused.problem(), (401, "credentials_revoked"));
    assert_eq!(
        admin.send(Method::DELETE, &device, &json!({})).await.status,
        204,
        "once more changes nothing"
    );

    // A new code brings the store back.
    let code = new_code(&admin, &path(&store)).await;
    let (_, again) = cloud.enroll(&code).await;
    assert_eq!(again.body["pos_server_id"], store.identity.pos_server_id.to_string());
}

#[tokio::test]
async fn a_store_that_was_away_is_offline_for_its_revoked_identity() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    drop(store.connect().await);
    let lost = admin.when(&store, |status| status["link"]["cause"] == "connection_lost").await;

    let devices = admin.get(&format!("{}/devices", path(&store))).await.body;
    let device = format!("/admin/devices/{}", devices["items"][0]["id"].as_str().unwrap());
    admin.send(Method::DELETE, &device, &json!({})).await;

    let told = admin.when(&store, |status| status["link"]["cause"] == "credentials_revoked").await;
    assert_eq!(told["link"]["since"], lost["link"]["since"], "it is away since then");

    // Its key is remembered here: it learns of it after its hello, and from then on at the door.
    let mut line = store.line().await;
    line.say(&ConnectorFrame::Hello(hello())).await;
    assert_eq!(line.welcome_or_close().await.unwrap_err(), close::CREDENTIALS_REVOKED);
    let refused = store.open(&store.signer.token(Utc::now())).await.err().expect("it is refused");
    assert_eq!(refused.problem(), (401, "credentials_revoked"));
    assert_eq!(admin.status(&store).await["link"]["cause"], "credentials_revoked");
}

#[tokio::test]
async fn a_removed_pos_server_is_gone_with_link_jobs_and_codes() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let mut line = store.connect().await;
    admin.when(&store, |status| status["link"]["state"] == "online").await;
    let job = admin.started(&store, &json!({"kind": "diagnose"})).await;
    line.job().await;
    let code = new_code(&admin, &path(&store)).await;

    assert_eq!(admin.send(Method::DELETE, &path(&store), &json!({})).await.status, 204);

    assert_eq!(line.closed().await, close::CREDENTIALS_REVOKED);
    assert_eq!(store.open(&store.signer.token(chrono::Utc::now())).await.err().unwrap().status, 401);
    assert_eq!(cloud.enroll(&code).await.1.problem(), (403, "enrollment_code_invalid"));
    for gone in [format!("/pos-servers/{}", store.identity.pos_server_id), format!("/jobs/{job}")] {
        assert_eq!(admin.get(&gone).await.problem(), (404, "not_found"), "{gone}");
    }
    let started = admin.start(&store, &json!({"kind": "diagnose"})).await;
    assert_eq!(started.problem(), (404, "not_found"));
    // Its name is free again.
    let new = cloud.outlets(&["Riga"]).await.remove(0);
    assert_ne!(new.pos_server_id, store.identity.pos_server_id);
}
