//! What happened to a store, and going back to an earlier database.

use serde_json::json;
use uuid::Uuid;

use super::cloud::FakeCloud;
use super::*;
use crate::ipc::TimelineKind;

fn id() -> String {
    Uuid::from_u128(1).to_string()
}

#[tokio::test]
async fn a_timeline_is_read_page_by_page() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![status(1, json!({}))]).await;
    let desk = Desk::signed_in(&home, &cloud).await;
    *cloud.state.timeline.lock().unwrap() = vec![
        json!({"at": "2026-11-21T10:00:00Z", "until": null, "kind": "link", "code": "online", "params": {}}),
        json!({"at": "2026-11-21T09:00:00Z", "until": "2026-11-21T10:00:00Z", "kind": "link", "code": "offline",
            "params": {"cause": "connection_lost", "confidence": null,
                "evidence": [{"code": "fell_silent", "at": "2026-11-21T09:00:00Z", "params": {"silent_seconds": 40}}]}}),
        json!({"at": "2026-11-21T08:00:00Z", "until": null, "kind": "job", "code": "succeeded",
            "params": {"job": "diagnose", "job_id": "x", "skipped": 3}}),
    ];
    let (from, to) = ("2026-11-20T00:00:00Z".parse().unwrap(), "2026-11-22T00:00:00Z".parse().unwrap());
    let timeline = desk.core.timeline(&id(), from, to).await.unwrap();
    assert!(!timeline.truncated);
    let kinds: Vec<TimelineKind> = timeline.items.iter().map(|item| item.kind).collect();
    assert_eq!(kinds, [TimelineKind::Link, TimelineKind::Link, TimelineKind::Job]);
    let offline = &timeline.items[1];
    assert_eq!(offline.params["cause"], "connection_lost");
    assert!(!offline.params.contains_key("evidence") && !offline.params.contains_key("confidence"));
    assert_eq!(
        (&*offline.evidence[0].code, &*offline.evidence[0].params["silent_seconds"]),
        ("fell_silent", "40")
    );
    assert_eq!(timeline.items[2].params["skipped"], "3");
    let asked = cloud.state.asked_periods.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0]["from"], "2026-11-20T00:00:00.000Z");
    assert_eq!(asked[1]["cursor"], "2");
}

#[tokio::test]
async fn a_period_that_is_none_and_an_id_that_is_none_are_refused_here() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![]).await;
    let desk = Desk::signed_in(&home, &cloud).await;
    let now = chrono::Utc::now();
    for (from, to) in [(now, now), (now - chrono::TimeDelta::days(200), now)] {
        assert_eq!(desk.core.timeline(&id(), from, to).await.unwrap_err().code, "period_invalid");
    }
    let error = desk.core.timeline("../jobs", now - chrono::TimeDelta::days(1), now).await.unwrap_err();
    assert_eq!(error.code, "invalid_request");
    assert_eq!(desk.core.backups("../jobs").await.unwrap_err().code, "invalid_request");
    let error = desk.core.restore_database(&id(), "Riga".into(), "../x").await.unwrap_err();
    assert_eq!(error.code, "invalid_request");
    assert!(cloud.state.asked_periods.lock().unwrap().is_empty());
    assert!(cloud.state.asked_jobs.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_earlier_database_is_chosen_and_put_back() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![status(1, json!({}))]).await;
    let desk = Desk::signed_in(&home, &cloud).await;
    let backup = Uuid::from_u128(5);
    *cloud.state.backups.lock().unwrap() = json!({"as_of": "2026-11-21T10:00:00Z", "items": [{"id": backup,
        "generation": 3, "created_at": "2026-11-20T10:00:00Z", "size_bytes": 4096, "made_by": Uuid::from_u128(6)}]});
    let backups = desk.core.backups(&id()).await.unwrap();
    assert_eq!((backups.items[0].generation, backups.items[0].size_bytes), (3, 4096));
    let chosen = &backups.items[0].id;
    let job = desk.core.restore_database(&id(), "Outlet 00001".into(), chosen).await.unwrap();
    assert_eq!(job.kind, crate::ipc::JobKind::RestoreDatabase);
    let (_, asked) = cloud.state.asked_jobs.lock().unwrap()[0].clone();
    assert_eq!(asked["kind"], "restore_database");
    assert_eq!((&asked["confirm"], &asked["backup_id"]), (&json!("Outlet 00001"), &json!(backup)));

    // The store may have forgotten it meanwhile.
    cloud
        .state
        .job_answers
        .lock()
        .unwrap()
        .push_back((409, json!({"code": "backup_not_found", "backups": []})));
    let error = desk.core.restore_database(&id(), "Outlet 00001".into(), chosen).await.unwrap_err();
    assert_eq!(error.code, "backup_not_found");
}
