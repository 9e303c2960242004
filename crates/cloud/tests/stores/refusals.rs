//! Jobs that are not started, each with its reason.

use serde_json::{Value, json};
use tillwatch_protocol::link::frame::{ConnectorFrame, Hello, StoreReport};
use tillwatch_protocol::rest::pos_server::PosState;
use tillwatch_protocol::rest::session::Permission;

use crate::support::{Answer, Client, Cloud, Line, TestStore, hello, report};

fn reset(changes: &Value) -> Value {
    let mut body = json!({"kind": "reset_database", "confirm": "Riga", "expected_generation": 3});
    for (key, value) in changes.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

async fn connected(cloud: &Cloud, change: impl FnOnce(&mut StoreReport)) -> (Client, TestStore, Line) {
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let mut report = report();
    change(&mut report);
    let (line, _) = store.connect_with(Hello { report: Some(report), ..hello() }).await;
    (admin, store, line)
}

#[tokio::test]
async fn what_a_request_says_must_make_sense() {
    let cloud = Cloud::start().await;
    let (admin, store, _line) = connected(&cloud, |_| {}).await;
    let logs = |from: &str, to: &str, max_bytes: i64| json!({"kind": "retrieve_logs", "from": from, "to": to, "max_bytes": max_bytes});
    let (early, late) = ("2026-11-20T05:00:00Z", "2026-11-20T06:00:00Z");
    for (body, code) in [
        (logs(late, early, 1 << 20), "period_invalid"),
        (logs(early, early, 1 << 20), "period_invalid"),
        (logs(early, late, 65_535), "size_out_of_range"),
        (logs(early, late, 2_147_483_649), "size_out_of_range"),
        (logs(early, late, -1), "invalid_request"),
        (logs("yesterday", late, 1 << 20), "invalid_request"),
        (json!({"kind": "diagnose", "when_offline": "queue", "queue_for": "8h"}), "invalid_request"),
        (json!({"kind": "diagnose", "queue_for": "PT0S"}), "invalid_request"),
        (json!({"kind": "diagnose", "shell": "rm"}), "invalid_request"),
        (json!({"kind": "shell"}), "invalid_request"),
        (json!({}), "invalid_request"),
        (reset(&json!({"confirm": "riga"})), "confirmation_mismatch"),
        (reset(&json!({"confirm": ""})), "confirmation_mismatch"),
    ] {
        let refused = admin.start(&store, &body).await;
        assert_eq!(refused.problem(), (422, code), "{body}");
    }
    let size = admin.start(&store, &logs(early, late, 0)).await.body;
    assert_eq!((&size["min"], &size["max"]), (&json!(65_536), &json!(2_147_483_648_u64)));
    assert_eq!(admin.get("/jobs").await.body["items"], json!([]));
}

#[tokio::test]
async fn an_offline_venue_is_refused_with_its_link() {
    let cloud = Cloud::start().await;
    let (admin, store, line) = connected(&cloud, |_| {}).await;
    drop(line);
    admin.when(&store, |status| status["link"]["state"] == "offline").await;
    let refused = admin.start(&store, &json!({"kind": "exchange_now"})).await;
    assert_eq!(refused.problem(), (409, "venue_offline"));
    assert_eq!(refused.body["link"], admin.status(&store).await["link"]);
    assert_eq!(refused.body["link"]["cause"], "connection_lost");
}

#[tokio::test]
async fn a_silent_pos_can_be_restarted_and_reset_but_not_asked() {
    let cloud = Cloud::start().await;
    let (admin, store, _line) = connected(&cloud, |report| report.pos_state = PosState::NotResponding).await;
    assert_eq!(admin.start(&store, &json!({"kind": "exchange_now"})).await.problem(), (409, "venue_timeout"));
    let unknown = admin.start(&store, &reset(&json!({}))).await;
    assert_eq!(unknown.problem(), (409, "unsent_transactions"));
    assert_eq!(unknown.body["unsent_transactions"], Value::Null);
    assert_eq!(admin.start(&store, &reset(&json!({"discard_unsent": true}))).await.status, 202);
}

#[tokio::test]
async fn a_reset_spares_what_it_was_not_meant_for() {
    let cloud = Cloud::start().await;
    let unsent = |report: &mut StoreReport| report.report.database.unsent_transactions = Some(7);
    let (admin, store, mut line) = connected(&cloud, unsent).await;
    let other = admin.start(&store, &reset(&json!({"expected_generation": 2}))).await;
    assert_eq!(other.problem(), (409, "generation_changed"));
    assert_eq!(other.body["generation"], 3);
    let known = admin.start(&store, &reset(&json!({}))).await;
    assert_eq!(known.problem(), (409, "unsent_transactions"));
    assert_eq!(known.body["unsent_transactions"], 7);
    line.say(&ConnectorFrame::Report { report: report() }).await;
    admin.when(&store, |status| status["database"]["unsent_transactions"] == 0).await;
    assert_eq!(admin.start(&store, &reset(&json!({}))).await.status, 202);
}

#[tokio::test]
async fn jobs_that_would_get_in_each_others_way_are_refused() {
    let cloud = Cloud::start().await;
    let (admin, store, _line) = connected(&cloud, |_| {}).await;
    let restart = admin.started(&store, &json!({"kind": "restart_pos"})).await;
    for body in [
        json!({"kind": "restart_pos"}),
        reset(&json!({})),
        json!({"kind": "restore_database", "confirm": "Riga", "backup_id": restart}),
    ] {
        let refused = admin.start(&store, &body).await;
        assert_eq!(refused.problem(), (409, "job_in_progress"), "{body}");
        assert_eq!(refused.body["job_id"], restart.to_string());
    }
    assert_eq!(admin.start(&store, &json!({"kind": "diagnose"})).await.status, 202);
    // Of many who ask at once, one gets it.
    let body = json!({"kind": "exchange_now"});
    let asked = futures_util::future::join_all((0..8).map(|_| admin.start(&store, &body))).await;
    assert_eq!(asked.iter().filter(|answer| answer.status == 202).count(), 1);
}

#[tokio::test]
async fn permissions_decide_who_may_do_what() {
    let cloud = Cloud::start().await;
    let (_, store, _line) = connected(&cloud, |_| {}).await;
    cloud.add_user("anna@example.com", false).await;
    let anna = cloud.sign_in("anna@example.com").await;
    let logs = json!({"kind": "retrieve_logs", "from": "2026-11-20T05:00:00Z", "to": "2026-11-20T06:00:00Z",
        "max_bytes": 1 << 20});
    let outcome = async |body: &Value| -> (u16, String) {
        let answer: Answer = anna.start(&store, body).await;
        (answer.status.as_u16(), answer.problem().1.to_owned())
    };
    let (hidden, denied) = ((404, "not_found".to_owned()), (403, "permission_denied".to_owned()));

    cloud.grant("anna@example.com", "Riga", Permission::RetrieveLogs).await;
    assert_eq!(outcome(&logs).await, hidden, "what cannot be seen does not exist");
    cloud.grant("anna@example.com", "Riga", Permission::OutletSetup).await;
    assert_eq!(outcome(&logs).await.0, 202);
    assert_eq!(outcome(&json!({"kind": "diagnose"})).await.0, 202);
    assert_eq!(outcome(&json!({"kind": "restart_pos"})).await, denied);
    assert_eq!(outcome(&reset(&json!({}))).await, denied);
    cloud.grant("anna@example.com", "Riga", Permission::ResetDatabase).await;
    assert_eq!(outcome(&json!({"kind": "restart_pos"})).await.0, 202);
}
