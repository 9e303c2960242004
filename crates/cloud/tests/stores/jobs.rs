//! Jobs from their request to their end.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tillwatch_cloud::config::Patience;
use tillwatch_protocol::ids::JobId;
use tillwatch_protocol::link::frame::{CloudFrame, ConnectorFrame, Hello, JobFinished};
use tillwatch_protocol::rest::job::{JobError, JobProgress, JobState};
use tillwatch_protocol::rest::session::Permission;

use crate::support::{Cloud, Line, answer, hasty, hello};

fn finished(id: JobId, state: JobState, result: Value) -> ConnectorFrame {
    ConnectorFrame::JobFinished(JobFinished { id, state, result: Some(result), error: None })
}

async fn finish(line: &mut Line, id: JobId, state: JobState) {
    line.say(&finished(id, state, json!({}))).await;
    line.acknowledged(id).await;
}

#[tokio::test]
async fn a_job_goes_to_the_store_and_its_progress_and_end_come_back() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let mut line = store.connect().await;

    let answer = admin.start(&store, &json!({"kind": "diagnose"})).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.body["state"], "queued");
    assert_eq!(answer.body["kind"], "diagnose");
    let id: JobId = answer.body["id"].as_str().unwrap().parse().unwrap();
    let order = line.job().await;
    assert_eq!(order.id, id);
    let status = admin.status(&store).await;
    assert_eq!(status["active_jobs"], json!([{"id": id, "kind": "diagnose", "state": "queued"}]));

    line.say(&ConnectorFrame::JobAccepted { id }).await;
    let job = admin.when_job(id, "in_progress").await;
    assert!(!job["started_at"].is_null());
    admin.when(&store, |status| status["active_jobs"][0]["state"] == "in_progress").await;
    let progress = JobProgress { phase: "checking".into(), done: 2, total: Some(8), unit: "checks".into() };
    line.say(&ConnectorFrame::JobProgress { id, progress }).await;
    let checks = json!({"checks": [{"name": "dns", "ok": true, "millis": 3, "detail": "fine"}]});
    line.say(&finished(id, JobState::Succeeded, checks.clone())).await;
    assert_eq!(line.hear().await, CloudFrame::Ack { id });

    let job = admin.when_job(id, "succeeded").await;
    assert_eq!(job["result"], checks);
    assert_eq!(job["progress"]["done"], 2);
    assert!(!job["finished_at"].is_null() && job["error"].is_null());
    assert_eq!(admin.status(&store).await["active_jobs"], json!([]));

    // Told again, it is acknowledged again and stays as it ended.
    line.say(&finished(id, JobState::Failed, Value::Null)).await;
    assert_eq!(line.hear().await, CloudFrame::Ack { id });
    assert_eq!(admin.job(id).await["state"], "succeeded");
}

#[tokio::test]
async fn a_job_that_failed_says_why() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let mut line = store.connect().await;
    let id = admin.started(&store, &json!({"kind": "restart_pos"})).await;
    let error = JobError { code: "service_not_found".into(), message: "no such service".into() };
    let frame = JobFinished { id, state: JobState::Rejected, result: None, error: Some(error) };
    line.job().await;
    line.say(&ConnectorFrame::JobFinished(frame)).await;
    let job = admin.when_job(id, "rejected").await;
    assert_eq!(job["error"], json!({"code": "service_not_found", "message": "no such service"}));
    assert_eq!(job["result"], Value::Null);
}

#[tokio::test]
async fn a_reset_gives_the_status_its_new_generation() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let mut line = store.connect().await;
    let body =
        json!({"kind": "reset_database", "confirm": "Riga", "expected_generation": 3, "collect_logs": false});
    let id = admin.started(&store, &body).await;
    let backup = JobId::new();
    line.job().await;
    let result = json!({"old_generation": 3, "new_generation": 4, "backup_id": backup, "archive_ids": []});
    line.say(&finished(id, JobState::Succeeded, result)).await;
    let job = admin.when_job(id, "succeeded").await;
    let expected = json!({"old_generation": 3, "new_generation": 4, "backup_id": backup, "archives": []});
    assert_eq!(job["result"], expected);
    assert_eq!(admin.status(&store).await["database"]["generation"], 4);
}

#[tokio::test]
async fn a_queued_job_is_canceled_at_once_and_a_sent_one_when_the_store_agrees() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;

    let waiting = admin.started(&store, &json!({"kind": "diagnose", "when_offline": "queue"})).await;
    assert_eq!(admin.cancel(waiting).await.body["state"], "canceled");
    assert_eq!(admin.cancel(waiting).await.problem(), (409, "job_ended"));

    let mut line = store.connect().await;
    let id = admin.started(&store, &json!({"kind": "diagnose"})).await;
    assert_eq!(line.job().await.id, id, "the canceled one was not sent");
    line.say(&ConnectorFrame::JobAccepted { id }).await;
    admin.when_job(id, "in_progress").await;
    assert_eq!(admin.cancel(id).await.body["state"], "cancel_requested");
    assert_eq!(line.hear().await, CloudFrame::Cancel { id });
    assert_eq!(admin.cancel(id).await.status, 200, "asking again is fine");
    assert_eq!(line.hear().await, CloudFrame::Cancel { id });
    finish(&mut line, id, JobState::Canceled).await;
    assert_eq!(admin.when_job(id, "canceled").await["error"], Value::Null);
    assert_eq!(admin.cancel(id).await.problem(), (409, "job_ended"));
}

#[tokio::test]
async fn a_job_that_was_done_before_the_wish_to_cancel_came_is_done() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let mut line = store.connect().await;
    let id = admin.started(&store, &json!({"kind": "diagnose"})).await;
    line.job().await;
    admin.cancel(id).await;
    assert_eq!(line.hear().await, CloudFrame::Cancel { id });
    finish(&mut line, id, JobState::Succeeded).await;
    admin.when_job(id, "succeeded").await;
}

#[tokio::test]
async fn a_waiting_job_is_sent_when_its_store_comes() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let body = json!({"kind": "diagnose", "when_offline": "queue", "queue_for": "PT1H"});
    let id = admin.started(&store, &body).await;

    let mut line = store.connect().await;
    assert_eq!(line.job().await.id, id);
    // Lost before it was accepted, it is sent again.
    drop(line);
    let mut line = store.connect().await;
    assert_eq!(line.job().await.id, id);
    // In the journal, it is not.
    drop(line);
    let journal = Hello { unfinished_jobs: vec![id], ..hello() };
    let (mut line, _) = store.connect_with(journal.clone()).await;
    admin.when_job(id, "in_progress").await;
    finish(&mut line, id, JobState::Succeeded).await;
    // A journal that was not told of the acknowledgement names it still: the store is told that it is over.
    drop(line);
    let (mut line, _) = store.connect_with(journal).await;
    assert_eq!(line.hear().await, CloudFrame::Cancel { id });
}

#[tokio::test]
async fn a_wish_to_cancel_reaches_a_store_that_was_away() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let mut line = store.connect().await;
    let lost = admin.started(&store, &json!({"kind": "diagnose"})).await;
    let taken = admin.started(&store, &json!({"kind": "exchange_now"})).await;
    line.job().await;
    line.job().await;
    line.say(&ConnectorFrame::JobAccepted { id: taken }).await;
    admin.when_job(taken, "in_progress").await;
    drop(line);
    for id in [lost, taken] {
        assert_eq!(admin.cancel(id).await.body["state"], "cancel_requested");
    }

    let (mut line, _) = store.connect_with(Hello { unfinished_jobs: vec![taken], ..hello() }).await;
    assert_eq!(line.hear().await, CloudFrame::Cancel { id: taken });
    admin.when_job(lost, "canceled").await;
    finish(&mut line, taken, JobState::Canceled).await;
}

#[tokio::test]
async fn jobs_outlive_a_restart_of_the_cloud() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let mut line = store.connect().await;
    let (running, lost) = (
        admin.started(&store, &json!({"kind": "diagnose"})).await,
        admin.started(&store, &json!({"kind": "exchange_now"})).await,
    );
    line.job().await;
    line.say(&ConnectorFrame::JobAccepted { id: running }).await;
    admin.when_job(running, "in_progress").await;

    let cloud = cloud.restart(hasty()).await;
    let (admin, store) = (cloud.admin().await, store.moved(&cloud));
    let (mut line, _) = store.connect_with(Hello { unfinished_jobs: vec![running], ..hello() }).await;
    assert_eq!(line.job().await.id, lost, "what is in the journal is not sent again");
    for id in [running, lost] {
        finish(&mut line, id, JobState::Succeeded).await;
        admin.when_job(id, "succeeded").await;
    }
}

#[tokio::test]
async fn time_ends_jobs() {
    let patience = Patience { acceptance: Duration::from_millis(300), ..hasty() };
    let cloud = Cloud::with(patience).await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let past = "'2020-01-01T00:00:00+00:00'";

    // Nobody came for it.
    let waiting = admin.started(&store, &json!({"kind": "diagnose", "when_offline": "queue"})).await;
    cloud.sql(&format!("UPDATE jobs SET expires_at = {past}")).await;
    assert_eq!(admin.when_job(waiting, "expired").await["error"]["code"], "expired");

    // It was sent, and the store went before it took it.
    let mut line = store.connect().await;
    let dropped = admin.started(&store, &json!({"kind": "diagnose"})).await;
    line.job().await;
    drop(line);
    assert_eq!(admin.when_job(dropped, "failed").await["error"]["code"], "venue_offline");

    // It took too long; the store is told, and what it says afterwards changes nothing.
    let mut line = store.connect().await;
    let slow = admin.started(&store, &json!({"kind": "diagnose"})).await;
    line.job().await;
    line.say(&ConnectorFrame::JobAccepted { id: slow }).await;
    admin.when_job(slow, "in_progress").await;
    cloud.sql(&format!("UPDATE jobs SET deadline = {past} WHERE state = 'in_progress'")).await;
    assert_eq!(admin.when_job(slow, "timed_out").await["error"]["code"], "timed_out");
    assert_eq!(line.hear().await, CloudFrame::Cancel { id: slow });
    finish(&mut line, slow, JobState::Succeeded).await;
    assert_eq!(admin.job(slow).await["state"], "timed_out");
    // Accepted too late, it must not run.
    line.say(&ConnectorFrame::JobAccepted { id: slow }).await;
    assert_eq!(line.hear().await, CloudFrame::Cancel { id: slow });
}

#[tokio::test]
async fn a_job_of_another_store_does_not_exist_for_a_store() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let (mine, other) = (cloud.enrolled("Mine").await, cloud.enrolled("Other").await);
    let mut line = mine.connect().await;
    let mut others = other.connect().await;
    let id = admin.started(&mine, &json!({"kind": "diagnose"})).await;
    line.job().await;

    others.say(&finished(id, JobState::Succeeded, json!({"checks": []}))).await;
    assert_eq!(others.hear().await, CloudFrame::Ack { id });
    others.say(&ConnectorFrame::JobAccepted { id }).await;
    assert_eq!(others.hear().await, CloudFrame::Cancel { id });
    assert_eq!(admin.job(id).await["state"], "queued");
}

#[tokio::test]
async fn the_same_key_and_body_give_the_same_job() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let mut line = store.connect().await;
    let path = format!("/pos-servers/{}/jobs", store.identity.pos_server_id);
    let send = |body: Value, key: &str| {
        answer(admin.request(Method::POST, &path).header("idempotency-key", key.to_owned()).json(&body))
    };

    let first = send(json!({"kind": "diagnose"}), "a").await;
    assert_eq!(first.status, 202);
    line.job().await;
    let again = send(json!({"kind": "diagnose", "when_offline": "fail"}), "a").await;
    assert_eq!((again.status.as_u16(), &again.body["id"]), (202, &first.body["id"]));
    let other = send(json!({"kind": "exchange_now"}), "a").await;
    assert_eq!(other.problem(), (422, "idempotency_conflict"));
    let id: JobId = first.body["id"].as_str().unwrap().parse().unwrap();
    finish(&mut line, id, JobState::Succeeded).await;
    let late = send(json!({"kind": "diagnose"}), "a").await;
    assert_eq!((late.status.as_u16(), late.body["state"].as_str()), (202, Some("succeeded")));
    assert_eq!(send(json!({"kind": "diagnose"}), "").await.problem(), (422, "invalid_request"));

    // Keys are a user's own.
    cloud.add_user("anna@example.com", false).await;
    cloud.grant("anna@example.com", "Riga", Permission::OutletSetup).await;
    let anna = cloud.sign_in("anna@example.com").await;
    let request = anna.request(Method::POST, &path).header("idempotency-key", "a");
    let hers = answer(request.json(&json!({"kind": "exchange_now"}))).await;
    assert_eq!(hers.status, 202, "{}", hers.body);
}

#[tokio::test]
async fn jobs_are_listed_newest_first_for_those_who_may_see_the_outlet() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let (riga, other) = (cloud.enrolled("Riga").await, cloud.enrolled("Other").await);
    let mut ids = Vec::new();
    for (store, kind) in [(&riga, "diagnose"), (&riga, "exchange_now"), (&other, "diagnose")] {
        ids.push(admin.started(store, &json!({"kind": kind, "when_offline": "queue"})).await);
    }
    admin.cancel(ids[1]).await;
    let list = async |path: &str| -> Vec<String> {
        let body = admin.get(path).await.body;
        body["items"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    let named = |indexes: &[usize]| indexes.iter().map(|index| ids[*index].to_string()).collect::<Vec<_>>();
    assert_eq!(list("/jobs").await, named(&[2, 1, 0]));
    assert_eq!(list("/jobs?state=canceled").await, named(&[1]));
    assert_eq!(list("/jobs?state=queued,canceled&limit=2").await, named(&[2, 1]));
    let of_riga = format!("/jobs?pos_server_id={}", riga.identity.pos_server_id);
    assert_eq!(list(&of_riga).await, named(&[1, 0]));
    let first = admin.get("/jobs?limit=2").await.body;
    let next = first["next_cursor"].as_str().unwrap();
    assert_eq!(list(&format!("/jobs?limit=2&cursor={next}")).await, named(&[0]));
    for query in ["state=nothing", "limit=0", "limit=1001", "x=1", "cursor=x"] {
        assert_eq!(admin.get(&format!("/jobs?{query}")).await.problem(), (422, "invalid_request"), "{query}");
    }

    cloud.add_user("anna@example.com", false).await;
    cloud.grant("anna@example.com", "Riga", Permission::OutletSetup).await;
    let anna = cloud.sign_in("anna@example.com").await;
    assert_eq!(anna.get("/jobs").await.body["items"].as_array().unwrap().len(), 2);
    assert_eq!(anna.get(&format!("/jobs/{}", ids[2])).await.problem(), (404, "not_found"));
    assert_eq!(anna.cancel(ids[2]).await.problem(), (404, "not_found"));
}
