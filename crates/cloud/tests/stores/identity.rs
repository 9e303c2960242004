//! Enrollment, and the tokens by which a store shows who it is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use tillwatch_protocol::device::Signer;
use tillwatch_protocol::ids::CloudId;
use tillwatch_protocol::link::close;

use crate::support::{Answer, Cloud, TestStore};

async fn heartbeat(store: &TestStore, token: &str) -> Answer {
    let body = json!({"connector_version": "0.1.0", "pos_answers": true});
    let url = format!("{}/api/v1/heartbeat", store.base);
    crate::support::answer(reqwest::Client::new().post(url).bearer_auth(token).json(&body)).await
}

#[tokio::test]
async fn a_code_is_good_once_and_for_a_day() {
    let cloud = Cloud::start().await;
    let codes = cloud.outlets(&["Riga", "Cēsis"]).await;
    let code = &codes[0].enrollment_code;

    let (_, first) = cloud.enroll(&format!(" {} ", code.to_lowercase())).await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(first.body["outlet"], "Riga");
    assert_eq!(first.body["time_zone"], "Europe/Riga");
    assert_eq!(first.body["pos_server_id"], codes[0].pos_server_id.to_string());

    let (_, second) = cloud.enroll(code).await;
    assert_eq!(second.problem(), (403, "enrollment_code_invalid"));
    let (_, unknown) = cloud.enroll("AAAAA-BBBBB-CCCCC-DDDDD").await;
    assert_eq!(unknown.problem(), (403, "enrollment_code_invalid"));
    cloud.sql("UPDATE enrollment_codes SET expires_at = '2020-01-01T00:00:00+00:00'").await;
    let (_, late) = cloud.enroll(&codes[1].enrollment_code).await;
    assert_eq!(late.problem(), (403, "enrollment_code_invalid"));
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_and_the_code_stays_good() {
    let cloud = Cloud::start().await;
    let code = cloud.outlets(&["Riga"]).await.remove(0).enrollment_code;
    for key in ["", "AAAA", "not base64!"] {
        let body = json!({"code": code, "public_key": key});
        let request = reqwest::Client::new().post(format!("{}/api/v1/enroll", cloud.base)).json(&body);
        let refused = crate::support::answer(request).await;
        assert_eq!(refused.problem(), (422, "invalid_request"), "{key}");
        assert_eq!(refused.body["errors"][0]["field"], "public_key");
    }
    assert_eq!(cloud.enroll(&code).await.1.status, 200);
}

#[tokio::test]
async fn of_ten_who_try_a_code_at_once_one_gets_it() {
    let cloud = Cloud::start().await;
    let code = cloud.outlets(&["Riga"]).await.remove(0).enrollment_code;
    let tries = futures_util::future::join_all((0..10).map(|_| cloud.enroll(&code))).await;
    assert_eq!(tries.iter().filter(|(_, answer)| answer.status == 200).count(), 1);
}

#[tokio::test]
async fn a_token_is_good_once_for_this_cloud_and_in_time() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let now = Utc::now();

    let token = store.signer.token(now);
    assert_eq!(heartbeat(&store, &token).await.status, 204);
    assert_eq!(heartbeat(&store, &token).await.problem(), (401, "unauthorized"));
    assert_eq!(store.open(&token).await.err().unwrap().problem(), (401, "unauthorized"));

    for wrong in [now - TimeDelta::minutes(10), now + TimeDelta::minutes(10)] {
        let skewed = heartbeat(&store, &store.signer.token(wrong)).await;
        assert_eq!(skewed.problem(), (401, "clock_skewed"));
        let server_time: chrono::DateTime<Utc> =
            skewed.body["server_time"].as_str().unwrap().parse().unwrap();
        assert!((server_time - now).abs() < TimeDelta::minutes(1));
    }
    for nonsense in ["", "x", "a.b.c"] {
        assert_eq!(heartbeat(&store, nonsense).await.problem(), (401, "unauthorized"), "{nonsense}");
    }

    let mut elsewhere: Value = serde_json::to_value(&store.identity).unwrap();
    elsewhere["cloud_id"] = json!(CloudId::new());
    let elsewhere = Signer::new(&serde_json::from_value(elsewhere).unwrap()).unwrap();
    assert_eq!(heartbeat(&store, &elsewhere.token(now)).await.problem(), (401, "unauthorized"));
}

#[tokio::test]
async fn a_token_is_good_for_the_key_that_it_names_and_for_no_other_way_of_signing() {
    let cloud = Cloud::start().await;
    let (store, thief) = (cloud.enrolled("Riga").await, cloud.enrolled("Tartu").await);

    // A thief's key does not sign for somebody else.
    let mut stolen: Value = serde_json::to_value(&thief.identity).unwrap();
    stolen["device_id"] = json!(store.identity.device_id);
    let stolen = Signer::new(&serde_json::from_value(stolen).unwrap()).unwrap();
    let now = Utc::now();
    assert_eq!(heartbeat(&store, &stolen.token(now)).await.problem(), (401, "unauthorized"));

    // Nor does a token that says that it needs no signature, or that the public key is a password.
    let good = store.signer.token(now);
    let (_, rest) = good.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    for algorithm in ["none", "None", "HS256", "RS256", "ES256"] {
        let head = URL_SAFE_NO_PAD.encode(json!({"alg": algorithm, "typ": "JWT"}).to_string());
        for signature in ["", signature] {
            let token = format!("{head}.{claims}.{signature}");
            assert_eq!(heartbeat(&store, &token).await.problem(), (401, "unauthorized"), "{algorithm}");
        }
    }
    // Claims that were changed no longer fit their signature.
    let longer = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let mut longer: Value = serde_json::from_slice(&longer).unwrap();
    longer["exp"] = json!(now.timestamp() + 59);
    let longer = URL_SAFE_NO_PAD.encode(longer.to_string());
    let token = format!("{}.{longer}.{signature}", good.split('.').next().unwrap());
    assert_eq!(heartbeat(&store, &token).await.problem(), (401, "unauthorized"));
    // None of them has used up the good one.
    assert_eq!(heartbeat(&store, &good).await.status, 204);
}

#[tokio::test]
async fn a_new_enrollment_revokes_the_old_identity_and_closes_its_link() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let mut line = store.connect().await;
    admin.when(&store, |status| status["link"]["state"] == "online").await;

    // The same code once more stands for a new one.
    cloud.sql("UPDATE enrollment_codes SET used_at = NULL").await;
    assert_eq!(cloud.enroll(&store.code).await.1.status, 200);

    assert_eq!(line.closed().await, close::CREDENTIALS_REVOKED);
    let offline = admin.when(&store, |status| status["link"]["state"] == "offline").await;
    assert_eq!(offline["link"]["cause"], "credentials_revoked");
    assert_eq!(offline["link"]["confidence"], "certain");
    let refused = heartbeat(&store, &store.signer.token(Utc::now())).await;
    assert_eq!(refused.problem(), (401, "credentials_revoked"));
    let audit = admin.get("/admin/audit?action=device.revoked").await.body;
    assert_eq!(
        audit["items"][0]["target"],
        format!("pos_server:{}", store.identity.pos_server_id),
        "{audit}"
    );
}

#[tokio::test]
async fn a_link_is_closed_whatever_the_clock_of_who_revoked_its_identity_said() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let mut line = store.connect().await;
    cloud.sql("UPDATE devices SET revoked_at = '2020-01-01T00:00:00+00:00'").await;
    assert_eq!(line.closed().await, close::CREDENTIALS_REVOKED);
}
