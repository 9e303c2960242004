//! Changing one's own password, and how often a user may call.

use std::num::NonZeroU32;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tillwatch_cloud::admin::{self, AuditChain};

use crate::support::{ADMIN, Answer, Client, PASSWORD, TestCloud};

const NEW: &str = "three quiet herons at the quay";

/// Asks for another password.
async fn change(client: &Client, current: &str, new: &str) -> Answer {
    client.put("/me/password", &json!({"current_password": current, "password": new})).await
}

async fn signs_in(cloud: &TestCloud, password: &str) -> bool {
    let body = json!({"email": ADMIN, "password": password});
    cloud.anonymous().post("/sessions", &body).await.status == StatusCode::OK
}

#[tokio::test]
async fn one_changes_ones_own_password_and_ones_other_sessions_end() {
    let cloud = TestCloud::start().await;
    let (here, elsewhere) = (cloud.sign_in(ADMIN).await, cloud.sign_in(ADMIN).await);

    let changed = change(&here, PASSWORD, NEW).await;
    assert_eq!(changed.status, StatusCode::NO_CONTENT, "{}", changed.body);

    assert_eq!(here.get("/me").await.status, StatusCode::OK, "one goes on where one is");
    assert_eq!(elsewhere.get("/me").await.problem(), (401, "unauthorized"));
    assert!(!signs_in(&cloud, PASSWORD).await);
    assert!(signs_in(&cloud, NEW).await);
    let audit = here.get("/admin/audit?action=user.password_set").await;
    let entry = &audit.body["items"][0];
    assert_eq!(entry["details"]["sessions_ended"], 1, "{audit:?}", audit = audit.body);
    let me = here.get("/me").await.body["user"]["id"].as_str().unwrap().to_owned();
    assert_eq!(entry["actor"], format!("user:{me}"));
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let cloud = TestCloud::start().await;
    let client = cloud.sign_in(ADMIN).await;
    let field = |answer: &Answer| answer.body["errors"][0]["field"].clone();

    for (current, new, named) in [
        ("not the one", NEW, "current_password"),
        (PASSWORD, "short", "password"),
        (PASSWORD, "password123", "password"),
        (PASSWORD, &"x".repeat(5000), "password"),
        (&"x".repeat(5000), NEW, "current_password"),
    ] {
        let refused = change(&client, current, new).await;
        assert_eq!(refused.problem(), (422, "invalid_request"), "{}", refused.body);
        assert_eq!(field(&refused), Value::from(named));
        assert!(!refused.body.to_string().contains(NEW), "{}", refused.body);
    }
    assert!(signs_in(&cloud, PASSWORD).await);
}

#[tokio::test]
async fn whoever_found_a_session_open_does_not_guess_the_password_there() {
    let cloud = TestCloud::start().await;
    let client = cloud.sign_in(ADMIN).await;
    for number in 0..10 {
        let refused = change(&client, &format!("guess {number}"), NEW).await;
        assert_eq!(refused.problem(), (422, "invalid_request"), "{number}: {}", refused.body);
    }
    let right = change(&client, PASSWORD, NEW).await;
    assert_eq!(right.problem(), (429, "rate_limited"), "{}", right.body);
    assert!(right.header("retry-after").parse::<u64>().unwrap() > 1700);
    let body = json!({"email": ADMIN, "password": PASSWORD});
    assert_eq!(cloud.anonymous().post("/sessions", &body).await.problem(), (429, "rate_limited"));
    assert_eq!(client.get("/me").await.status, StatusCode::OK, "who is in stays in");
    // The session that began, ten refusals, and one lock-out; the user was added before.
    assert_eq!(admin::verify_audit(&cloud.store, None).await.unwrap(), AuditChain::Whole(13));
}

#[tokio::test]
async fn a_password_that_was_made_up_waits_a_week_for_another_one() {
    let cloud = TestCloud::start().await;
    let admin = cloud.sign_in(ADMIN).await;
    assert_eq!(admin.get("/me").await.body["password_ends_at"], Value::Null, "it was chosen");
    let made = admin.post("/admin/users", &json!({"email": "anna@example.com", "name": "Anna"})).await;
    let (id, made_up) = (made.body["id"].as_str().unwrap(), made.body["password"].as_str().unwrap());
    let enter = async |password: &str| {
        let body = json!({"email": "anna@example.com", "password": password});
        cloud.anonymous().post("/sessions", &body).await
    };
    let mut anna = cloud.anonymous();
    anna.take_tokens(&enter(made_up).await.body);
    let ends_at = anna.get("/me").await.body["password_ends_at"].as_str().unwrap().to_owned();
    let left = ends_at.parse::<DateTime<Utc>>().unwrap() - Utc::now();
    assert!((TimeDelta::hours(167)..=TimeDelta::days(7)).contains(&left), "{left}");

    // Eight days later, who guesses learns nothing; who knows it is told, and goes on where they are.
    let at = (Utc::now() - TimeDelta::days(8)).to_rfc3339();
    cloud
        .sql(&format!("UPDATE users SET password_made_up_at = '{at}' WHERE email = 'anna@example.com'"))
        .await;
    assert_eq!(enter(made_up).await.problem(), (403, "password_expired"));
    assert_eq!(enter("a guess of mine").await.problem(), (401, "invalid_credentials"));
    assert_eq!(change(&anna, made_up, NEW).await.status, StatusCode::NO_CONTENT);
    assert_eq!(anna.get("/me").await.body["password_ends_at"], Value::Null);
    assert_eq!(enter(NEW).await.status, StatusCode::OK);

    // Another one that is made up begins another week; one that an administrator was given by the user does not.
    let path = format!("/admin/users/{id}/password");
    let made_up = admin.put(&path, &json!({})).await.body["password"].as_str().unwrap().to_owned();
    anna.take_tokens(&enter(&made_up).await.body);
    assert!(anna.get("/me").await.body["password_ends_at"].is_string());
    assert_eq!(admin.put(&path, &json!({"password": NEW})).await.status, StatusCode::OK);
    anna.take_tokens(&enter(NEW).await.body);
    assert_eq!(anna.get("/me").await.body["password_ends_at"], Value::Null);
}

#[tokio::test]
async fn a_user_who_calls_too_often_waits_and_the_others_do_not() {
    let few = NonZeroU32::new(1).unwrap();
    let cloud = TestCloud::with(|config| config.limits.calls_by_user = few).await;
    cloud.add_user("anna@example.com", false).await;
    let (wild, other) = (cloud.sign_in(ADMIN).await, cloud.sign_in("anna@example.com").await);

    let mut refused = None;
    // Ten at once and one a second: a slow machine earns some more meanwhile.
    for _ in 0..1000 {
        let answer = wild.get("/me").await;
        if answer.status != StatusCode::OK {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a thousand calls are too many");
    assert_eq!(refused.problem(), (429, "rate_limited"));
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(other.get("/me").await.status, StatusCode::OK);
}
