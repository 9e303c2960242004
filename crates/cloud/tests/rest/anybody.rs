//! What may be asked without signing in holds up nobody, and waits for nobody, when there is nothing to do.

use serde_json::{Value, json};
use tillwatch_cloud::config::SsoProvider;
use tillwatch_protocol::device::DeviceKey;
use tokio::time::timeout;

use crate::support::{ADMIN, PASSWORD, SOON, TestCloud};

#[tokio::test]
async fn who_changes_nothing_does_not_wait_for_those_who_write() {
    let provider = SsoProvider {
        id: "work".into(),
        name: "Work".into(),
        issuer: "http://localhost:9".into(),
        client_id: "tillwatch".into(),
        client_secret: None,
        scopes: Vec::new(),
        domains: Vec::new(),
    };
    let cloud = TestCloud::with_sso(vec![provider]).await;
    let anybody = cloud.anonymous();
    let (user, ended) = (cloud.sign_in(ADMIN).await, cloud.sign_in(ADMIN).await);
    assert!(ended.delete("/sessions/current").await.status.is_success());
    let guess = json!({"email": "nobody@example.com", "password": "a guess of mine"});
    for _ in 0..10 {
        anybody.post("/sessions", &guess).await;
    }
    let codes = cloud.import("Pizza,Riga,,,Europe/Riga,Main\nPizza,Liepāja,,,Europe/Riga,Main\n").await;
    let (key, code) = (DeviceKey::generate().public_key(), &codes[0].enrollment_code);
    let enroll = |code: &str, key: &str| json!({"code": code, "public_key": key});
    let enrolled = anybody.post("/enroll", &enroll(code, &key)).await;
    assert_eq!(enrolled.status, 200, "{}", enrolled.body);

    let writing = cloud.writing().await;
    // One that goes on: whoever names it without its token learns nothing.
    let session = user.refresh.split('.').next().unwrap().to_owned();
    let body = json!({"refresh_token": user.refresh});
    let refreshed = tokio::spawn(async move { user.post("/sessions/refresh", &body).await });
    let new = DeviceKey::generate().public_key();
    let ask = async |path: &str, body: Value| timeout(SOON, anybody.post(path, &body)).await.expect(path);
    for (path, body, expected) in [
        ("/sessions", guess, (429, "rate_limited")),
        ("/sessions", json!({"email": ADMIN, "password": "x".repeat(2000)}), (401, "invalid_credentials")),
        ("/sessions/refresh", json!({"refresh_token": "nonsense"}), (401, "unauthorized")),
        ("/sessions/refresh", json!({"refresh_token": ended.refresh}), (401, "unauthorized")),
        ("/sessions/refresh", json!({"refresh_token": format!("{session}.guess")}), (401, "unauthorized")),
        ("/enroll", enroll("AAAAA-BBBBB-CCCCC-DDDDD", &new), (403, "enrollment_code_invalid")),
        ("/enroll", enroll(code, &new), (403, "enrollment_code_invalid")),
        ("/enroll", enroll(&codes[1].enrollment_code, &key), (422, "invalid_request")),
        ("/sso/work/finish", json!({"secret": "s", "state": "s", "code": "c"}), (410, "sso_expired")),
    ] {
        let answer = ask(path, body.clone()).await;
        assert_eq!(answer.problem(), expected, "{path} {body}");
    }
    // A store whose answer was lost learns the same again.
    let again = ask("/enroll", enroll(code, &key)).await;
    assert_eq!((again.status, again.body), (enrolled.status, enrolled.body));
    assert!(!refreshed.is_finished(), "nothing held up the writes");

    writing.end().await;
    assert_eq!(timeout(SOON, refreshed).await.unwrap().unwrap().status, 200);
    let sign_in = json!({"email": ADMIN, "password": PASSWORD});
    assert_eq!(anybody.post("/sessions", &sign_in).await.status, 200);
}
