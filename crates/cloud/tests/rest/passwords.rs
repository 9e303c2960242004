//! Changing one's own password, and how often a user may call.

use std::num::NonZeroU32;

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
    assert_eq!(entry["actor"]["type"], "user");
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
