//! Service tokens over REST.

use reqwest::Method;
use serde_json::{Value, json};
use tillwatch_cloud::admin::ScopeName;
use tillwatch_protocol::rest::session::Permission::{Admin, OutletSetup, Relay};

use crate::admin_places::{fields, id};
use crate::support::{ADMIN, Answer, TestCloud, answer};

/// What a third party gets for its request to a store that is offline, or that its token does not reach.
async fn relay(cloud: &TestCloud, secret: &str, pos_server: &str) -> Answer {
    let request = cloud.anonymous().request(Method::POST, &format!("/pos-servers/{pos_server}/relay"));
    answer(request.bearer_auth(secret).json(&json!({"method": "GET", "path": "/guest-accounts/1"}))).await
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|token| token["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_token_is_told_once_works_where_it_is_good_and_ends() {
    let cloud = TestCloud::start().await;
    cloud.import("Pizza,Riga,1,,Europe/Riga,P\nSushi,Tartu,1,,Europe/Riga,S\n").await;
    let admin = cloud.sign_in(ADMIN).await;
    let stores = admin.get("/admin/pos-servers").await.body;
    let (pizza, sushi) = (id(&stores["items"][0]), id(&stores["items"][1]));
    let chain = id(&stores["items"][0]["chain"]);

    let new = json!({"name": "Loyalty Ltd", "scope": {"chain_id": chain}, "permission": "relay"});
    let made = admin.post("/admin/service-tokens", &new).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let secret = made.body["secret"].as_str().unwrap();
    assert_eq!(admin.post("/admin/service-tokens", &new).await.problem(), (409, "already_exists"));
    let list = admin.get("/admin/service-tokens").await.body;
    assert_eq!(list["items"][0]["scope"], json!({"chain_id": chain}));
    let audit = admin.get(&format!("/admin/audit?chain_id={chain}&action=token.added")).await.body;
    assert_eq!(audit["items"].as_array().unwrap().len(), 1);
    assert!(!(list.to_string() + &audit.to_string()).contains(secret));

    assert_eq!(relay(&cloud, secret, &pizza).await.problem(), (409, "venue_offline"));
    assert_eq!(relay(&cloud, secret, &sushi).await.problem(), (404, "not_found"));
    let path = format!("/admin/service-tokens/{}", id(&made.body));
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.delete(&path).await.status, 204, "it stays revoked");
    assert_eq!(relay(&cloud, secret, &pizza).await.problem(), (401, "unauthorized"));

    // One that was made for a POS server ends with it.
    let new = json!({"name": "Till Ltd", "scope": {"pos_server_id": sushi}, "permission": "relay"});
    let made = admin.post("/admin/service-tokens", &new).await.body;
    assert_eq!(admin.delete(&format!("/admin/pos-servers/{sushi}")).await.status, 204);
    assert_eq!(relay(&cloud, made["secret"].as_str().unwrap(), &sushi).await.status, 401);
    let list = admin.get("/admin/service-tokens?limit=1").await.body;
    assert_eq!(names(&list), ["Till Ltd"]);
    assert!(list["items"][0]["revoked_at"].is_string());
    let next = format!("/admin/service-tokens?cursor={}", list["next_cursor"].as_str().unwrap());
    assert_eq!(names(&admin.get(&next).await.body), ["Loyalty Ltd"]);

    for (field, body) in [
        ("name", json!({"name": " ", "scope": {"chain_id": chain}, "permission": "relay"})),
        ("permission", json!({"name": "x", "scope": {"chain_id": chain}, "permission": "admin"})),
    ] {
        let refused = admin.post("/admin/service-tokens", &body).await;
        assert_eq!(refused.problem(), (422, "invalid_request"));
        assert_eq!(fields(&refused.body), [field]);
    }
}

#[tokio::test]
async fn who_administers_a_chain_gives_tokens_for_it_if_they_may_relay_themselves() {
    let cloud = TestCloud::start().await;
    cloud.import("Pizza,Riga,1,,Europe/Riga,P\nSushi,Tartu,1,,Europe/Riga,S\n").await;
    let chief = "chief@example.com";
    cloud.add_user(chief, false).await;
    for permission in [Admin, OutletSetup] {
        cloud.grant(chief, ScopeName::Chain("Pizza".into()), permission).await;
    }
    let (admin, client) = (cloud.sign_in(ADMIN).await, cloud.sign_in(chief).await);
    let stores = admin.get("/admin/pos-servers").await.body;
    let (pizza, sushi) = (id(&stores["items"][0]), id(&stores["items"][1]));
    let new = |name: &str, pos_server: &str| json!({"name": name, "scope": {"pos_server_id": pos_server}, "permission": "relay"});
    let foreign = admin.post("/admin/service-tokens", &new("Foreign", &sushi)).await.body;

    let refused = client.post("/admin/service-tokens", &new("Own", &pizza)).await;
    assert_eq!(refused.problem(), (403, "permission_denied"), "they may not relay themselves");
    cloud.grant(chief, ScopeName::Chain("Pizza".into()), Relay).await;
    assert_eq!(client.post("/admin/service-tokens", &new("Own", &pizza)).await.status, 201);
    assert_eq!(
        client.post("/admin/service-tokens", &new("Mine", &sushi)).await.problem(),
        (404, "not_found")
    );
    assert_eq!(names(&client.get("/admin/service-tokens").await.body), ["Own"]);
    let path = format!("/admin/service-tokens/{}", id(&foreign));
    assert_eq!(client.delete(&path).await.problem(), (404, "not_found"));
    let of_foreign = format!("/admin/service-tokens?chain_id={}", id(&stores["items"][1]["chain"]));
    assert_eq!(client.get(&of_foreign).await.problem(), (404, "not_found"));
    assert_eq!(relay(&cloud, foreign["secret"].as_str().unwrap(), &sushi).await.status, 409, "it goes on");
}
