//! Users and their sessions.

use serde_json::{Value, json};

use crate::admin_places::{fields, id};
use crate::support::{ADMIN, Client, PASSWORD, TestCloud};

const ANNA: &str = "anna@example.com";

/// The path of a user by e-mail.
pub(crate) async fn user(admin: &Client, email: &str) -> String {
    let found = admin.get(&format!("/admin/users?q={email}")).await.body;
    format!("/admin/users/{}", id(&found["items"][0]))
}

async fn sign_in(cloud: &TestCloud, email: &str, password: &str) -> u16 {
    let body = json!({"email": email, "password": password});
    cloud.anonymous().post("/sessions", &body).await.status.as_u16()
}

#[tokio::test]
async fn a_user_is_made_with_a_password_given_or_made_up() {
    let cloud = TestCloud::start().await;
    let admin = cloud.sign_in(ADMIN).await;

    let made = admin.post("/admin/users", &json!({"email": " Anna@Example.com", "name": "Anna"})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!((&made.body["email"], &made.body["admin"]), (&json!(ANNA), &json!(false)));
    assert_eq!(sign_in(&cloud, ANNA, made.body["password"].as_str().unwrap()).await, 200);
    let given = json!({"email": "b@example.com", "name": "Berta", "password": PASSWORD, "admin": true});
    let given = admin.post("/admin/users", &given).await;
    assert_eq!((&given.body["password"], &given.body["admin"]), (&Value::Null, &json!(true)));
    assert_eq!(sign_in(&cloud, "b@example.com", PASSWORD).await, 200);

    let again = admin.post("/admin/users", &json!({"email": ANNA, "name": "Anna"})).await;
    assert_eq!(again.problem(), (409, "already_exists"));
    for (field, body) in [
        ("email", json!({"email": "anna", "name": "Anna"})),
        ("name", json!({"email": "c@example.com", "name": " "})),
        ("password", json!({"email": "c@example.com", "name": "C", "password": "short"})),
        ("password", json!({"email": "c@example.com", "name": "C", "password": "qwertyuiop"})),
        ("password", json!({"email": "celia@example.com", "name": "C", "password": "celia2026"})),
    ] {
        let refused = admin.post("/admin/users", &body).await;
        assert_eq!(refused.problem(), (422, "invalid_request"));
        assert_eq!(fields(&refused.body), [field]);
    }
    assert_eq!(admin.get("/admin/users").await.names(), ["Somebody", "Anna", "Berta"]);
    assert_eq!(admin.get("/admin/users?q=BERT").await.names(), ["Berta"]);
    let first = admin.get("/admin/users?limit=2").await;
    let rest = format!("/admin/users?limit=2&cursor={}", first.body["next_cursor"].as_str().unwrap());
    assert_eq!(admin.get(&rest).await.names(), ["Berta"]);
    let told =
        admin.get("/admin/users").await.body.to_string() + &admin.get("/admin/audit").await.body.to_string();
    for secret in ["argon2", PASSWORD, made.body["password"].as_str().unwrap()] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
}

#[tokio::test]
async fn who_is_disabled_is_out_at_once_and_comes_back_when_enabled() {
    let cloud = TestCloud::start().await;
    cloud.add_user(ANNA, false).await;
    let (admin, anna) = (cloud.sign_in(ADMIN).await, cloud.sign_in(ANNA).await);
    let path = user(&admin, ANNA).await;
    let mut events = anna.events(None).await;

    let disabled = admin.patch(&path, &json!({"disabled": true})).await;

    assert!(disabled.body["disabled_at"].is_string());
    assert_eq!(anna.get("/me").await.problem(), (401, "unauthorized"));
    assert_eq!(events.next().await, None);
    let refresh = json!({"refresh_token": anna.refresh});
    assert_eq!(cloud.anonymous().post("/sessions/refresh", &refresh).await.status, 401);
    assert_eq!(sign_in(&cloud, ANNA, PASSWORD).await, 401);
    assert_eq!(admin.patch(&path, &json!({"disabled": false})).await.body["disabled_at"], Value::Null);
    assert_eq!(sign_in(&cloud, ANNA, PASSWORD).await, 200);
    assert_eq!(anna.get("/me").await.problem(), (401, "unauthorized"), "old sessions stay ended");
}

#[tokio::test]
async fn a_new_password_ends_sessions_and_a_lock_out() {
    let cloud = TestCloud::start().await;
    cloud.add_user(ANNA, false).await;
    let (admin, anna) = (cloud.sign_in(ADMIN).await, cloud.sign_in(ANNA).await);
    let path = user(&admin, ANNA).await;
    for _ in 0..10 {
        assert_eq!(sign_in(&cloud, ANNA, "wrong password").await, 401);
    }
    assert_eq!(sign_in(&cloud, ANNA, PASSWORD).await, 429);
    assert!(admin.get(&path).await.body["locked_until"].is_string());

    let unlocked = admin.post(&format!("{path}/unlock"), &json!({})).await;
    assert_eq!((unlocked.status.as_u16(), &unlocked.body["locked_until"]), (200, &Value::Null));
    assert_eq!(sign_in(&cloud, ANNA, PASSWORD).await, 200);

    let password = format!("{path}/password");
    for bad in ["short", "password1", "anna@example.com"] {
        assert_eq!(admin.put(&password, &json!({"password": bad})).await.status, 422, "{bad}");
    }
    let set = admin.put(&password, &json!({})).await;
    assert_eq!(anna.get("/me").await.status, 401);
    assert_eq!(sign_in(&cloud, ANNA, PASSWORD).await, 401);
    assert_eq!(sign_in(&cloud, ANNA, set.body["password"].as_str().unwrap()).await, 200);
    assert_eq!(admin.put(&password, &json!({"password": PASSWORD})).await.body["password"], Value::Null);
    assert_eq!(sign_in(&cloud, ANNA, PASSWORD).await, 200);
}

#[tokio::test]
async fn the_last_admin_stays() {
    let cloud = TestCloud::start().await;
    let admin = cloud.sign_in(ADMIN).await;
    let path = user(&admin, ADMIN).await;
    cloud.add_user("second@example.com", true).await;
    let second = user(&admin, "second@example.com").await;
    // One who may not sign in helps nobody.
    assert_eq!(admin.patch(&second, &json!({"disabled": true})).await.status, 200);

    for edit in [json!({"admin": false}), json!({"disabled": true})] {
        assert_eq!(admin.patch(&path, &edit).await.problem(), (409, "last_admin"), "{edit}");
    }
    assert_eq!(admin.delete(&path).await.problem(), (409, "last_admin"));

    assert_eq!(admin.patch(&second, &json!({"disabled": false})).await.status, 200);
    assert_eq!(admin.patch(&path, &json!({"admin": false})).await.status, 200);
    assert_eq!(admin.get("/admin/users").await.problem(), (403, "permission_denied"), "no admin any more");
    let second_client = cloud.sign_in("second@example.com").await;
    assert_eq!(second_client.delete(&second).await.problem(), (409, "last_admin"));
    assert_eq!(second_client.delete(&path).await.status, 204);
    assert_eq!(admin.get("/me").await.status, 401);
    assert_eq!(sign_in(&cloud, ADMIN, PASSWORD).await, 401);
}

#[tokio::test]
async fn an_admin_sees_other_rows_at_once() {
    let cloud = TestCloud::start().await;
    cloud.import("Pizza,Riga,1,,Europe/Riga,Main\n").await;
    cloud.add_user(ANNA, false).await;
    let (admin, anna) = (cloud.sign_in(ADMIN).await, cloud.sign_in(ANNA).await);
    let mut events = anna.events(None).await;
    let path = user(&admin, ANNA).await;
    let edit = json!({"admin": true, "name": "Anna", "email": "ANNA.B@example.com"});
    assert_eq!(admin.patch(&path, &edit).await.body["email"], "anna.b@example.com");
    assert_eq!(events.next().await.unwrap().name, "resync");
    assert_eq!(anna.get("/pos-servers").await.names(), ["Main"]);
    assert_eq!(sign_in(&cloud, "anna.b@example.com", PASSWORD).await, 200);
    assert_eq!(admin.patch(&path, &json!({"email": ADMIN})).await.problem(), (409, "already_exists"));
    assert_eq!(admin.patch(&path, &json!({"password_hash": "x"})).await.status, 422);
}

#[tokio::test]
async fn sessions_of_a_user_are_listed_and_ended() {
    let cloud = TestCloud::start().await;
    cloud.add_user(ANNA, false).await;
    let (desk, laptop, tablet) =
        (cloud.sign_in(ANNA).await, cloud.sign_in(ANNA).await, cloud.sign_in(ANNA).await);
    let admin = cloud.sign_in(ADMIN).await;
    let path = format!("{}/sessions", user(&admin, ANNA).await);
    let listed = admin.get(&path).await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
    assert!(listed["items"].as_array().unwrap().iter().all(|session| session["current"] == false));

    let newest = format!("{path}/{}", id(&listed["items"][0]));
    assert_eq!(admin.delete(&newest).await.status, 204);
    assert_eq!(admin.delete(&newest).await.problem(), (404, "not_found"));
    assert_eq!((tablet.get("/me").await.status.as_u16(), desk.get("/me").await.status.as_u16()), (401, 200));
    // A session is ended under its own user.
    let own = format!("{}/sessions/{}", user(&admin, ADMIN).await, id(&listed["items"][1]));
    assert_eq!(admin.delete(&own).await.problem(), (404, "not_found"));
    assert_eq!(admin.delete(&path).await.status, 204);
    for ended in [desk, laptop] {
        assert_eq!(ended.get("/me").await.status, 401);
    }
    assert_eq!(admin.delete(&path).await.status, 204);
}
