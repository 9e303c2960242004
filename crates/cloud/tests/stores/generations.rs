//! Backups, and jobs that are bound to the database they were meant for.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tillwatch_protocol::ids::{BackupId, JobId};
use tillwatch_protocol::link::frame::{ConnectorFrame, Hello};
use tillwatch_protocol::rest::backup::DatabaseBackup;
use tillwatch_protocol::rest::session::Permission;

use crate::support::{Client, Cloud, TestStore, hello, report};

fn backup(generation: i64) -> DatabaseBackup {
    let (id, made_by) = (BackupId::new(), JobId::new());
    DatabaseBackup { id, generation, created_at: Utc::now(), size_bytes: 4096, made_by }
}

/// The hello of a store with this database and these backups.
fn with(generation: i64, backups: &[DatabaseBackup]) -> Hello {
    let mut report = report();
    report.report.database.generation = Some(generation);
    report.report.database.backups = Some(backups.to_vec());
    Hello { report: Some(report), ..hello() }
}

async fn goes(admin: &Client, store: &TestStore, line: crate::support::Line) {
    drop(line);
    admin.when(store, |status| status["link"]["state"] == "offline").await;
}

fn restore(backup: BackupId) -> Value {
    json!({"kind": "restore_database", "confirm": "Riga", "backup_id": backup, "when_offline": "queue"})
}

fn backups(store: &TestStore) -> String {
    format!("/pos-servers/{}/backups", store.identity.pos_server_id)
}

#[tokio::test]
async fn backups_are_listed_as_the_store_last_told_of_them() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let (old, new) = (backup(1), backup(2));
    assert_eq!(admin.get(&backups(&store)).await.body, json!({"items": [], "as_of": null}));
    // An older connector does not tell of any.
    let line = store.connect().await;
    goes(&admin, &store, line).await;
    assert_eq!(admin.get(&backups(&store)).await.body["as_of"], Value::Null);

    let (mut line, _) = store.connect_with(with(2, std::slice::from_ref(&old))).await;
    assert_eq!(admin.get(&backups(&store)).await.body["items"], json!([old]));
    let mut later = report();
    later.report.database.backups = Some(vec![new.clone(), old.clone()]);
    later.report.pos_version = Some("34.9.9".into());
    line.say(&ConnectorFrame::Report { report: later }).await;
    admin.when(&store, |status| status["pos"]["version"] == "34.9.9").await;
    let told = admin.get(&backups(&store)).await.body;
    assert_eq!(told["items"], json!([new, old]));
    let as_of = |body: &Value| body["as_of"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    goes(&admin, &store, line).await;
    let gone_at: DateTime<Utc> =
        admin.status(&store).await["link"]["since"].as_str().unwrap().parse().unwrap();
    for _ in 0..2 {
        let offline = admin.get(&backups(&store)).await.body;
        assert_eq!(offline["items"], json!([new, old]));
        assert_eq!(as_of(&offline), gone_at, "from then on nobody knows");
    }
    assert!(as_of(&told) <= gone_at);

    cloud.add_user("anna@example.com", false).await;
    let anna = cloud.sign_in("anna@example.com").await;
    assert_eq!(anna.get(&backups(&store)).await.problem(), (404, "not_found"));
    cloud.grant("anna@example.com", "Riga", Permission::OutletSetup).await;
    assert_eq!(anna.get(&backups(&store)).await.status, 200);
}

#[tokio::test]
async fn a_restore_of_what_is_not_kept_is_refused_at_once() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let kept = backup(2);
    let (mut line, _) = store.connect_with(with(3, std::slice::from_ref(&kept))).await;
    let refused = admin.start(&store, &restore(BackupId::new())).await;
    assert_eq!(refused.problem(), (409, "backup_not_found"));
    assert_eq!(refused.body["backups"], json!([kept]));
    let mut wrong = restore(kept.id);
    wrong["confirm"] = json!("riga");
    assert_eq!(admin.start(&store, &wrong).await.problem(), (422, "confirmation_mismatch"));
    let id = admin.started(&store, &restore(kept.id)).await;
    assert_eq!(line.job().await.id, id);
}

#[tokio::test]
async fn a_job_that_waited_dies_with_the_database_it_was_meant_for() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let kept = backup(2);
    let reset = json!({
        "kind": "reset_database", "confirm": "Riga", "expected_generation": 3, "discard_unsent": true,
        "when_offline": "queue",
    });
    let cases = [
        ("another database", reset.clone(), with(4, std::slice::from_ref(&kept)), false),
        ("the same database", reset, with(3, std::slice::from_ref(&kept)), true),
        ("a restore over another database", restore(kept.id), with(4, std::slice::from_ref(&kept)), false),
        ("a backup that is gone", restore(kept.id), with(3, &[]), false),
        ("a backup that is there", restore(kept.id), with(3, std::slice::from_ref(&kept)), true),
        (
            "no matter which database",
            json!({"kind": "restart_pos", "when_offline": "queue"}),
            with(4, &[]),
            true,
        ),
    ];
    let store = cloud.enrolled("Riga").await;
    for (name, body, comes_back, is_sent) in cases {
        let (line, _) = store.connect_with(with(3, std::slice::from_ref(&kept))).await;
        admin.when(&store, |status| status["database"]["generation"] == 3).await;
        goes(&admin, &store, line).await;
        let waiting = admin.started(&store, &body).await;

        let (mut line, _) = store.connect_with(comes_back).await;
        let next = admin.started(&store, &json!({"kind": "diagnose"})).await;
        let first = line.job().await.id;
        if is_sent {
            // Which of the two goes out first is up to who is faster.
            let second = line.job().await.id;
            assert!([first, second].contains(&waiting), "{name}");
            admin.cancel(waiting).await;
            line.hear().await;
            line.say(&ConnectorFrame::JobFinished(tillwatch_protocol::link::frame::JobFinished {
                id: waiting,
                state: tillwatch_protocol::rest::job::JobState::Canceled,
                result: None,
                error: None,
            }))
            .await;
            admin.when_job(waiting, "canceled").await;
        } else {
            assert_eq!(first, next, "{name}: it is not sent");
            let dead = admin.when_job(waiting, "rejected").await;
            assert_eq!(dead["error"]["code"], "generation_changed", "{name}");
        }
        admin.cancel(next).await;
        goes(&admin, &store, line).await;
        // The next one starts afresh.
        let (line, _) = store.connect_with(with(3, std::slice::from_ref(&kept))).await;
        admin.when_job(next, "canceled").await;
        goes(&admin, &store, line).await;
    }
}

#[tokio::test]
async fn a_restore_whose_journal_was_lost_is_not_done_to_another_database() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let kept = backup(2);
    let (mut line, _) = store.connect_with(with(3, std::slice::from_ref(&kept))).await;
    let id = admin.started(&store, &restore(kept.id)).await;
    line.job().await;
    line.say(&ConnectorFrame::JobAccepted { id }).await;
    admin.when_job(id, "in_progress").await;
    goes(&admin, &store, line).await;
    // With the same database it is sent again, as it may not have been begun.
    let (mut line, _) = store.connect_with(with(3, std::slice::from_ref(&kept))).await;
    assert_eq!(line.job().await.id, id);
    goes(&admin, &store, line).await;
    let _line = store.connect_with(with(4, &[kept])).await;
    assert_eq!(admin.when_job(id, "rejected").await["error"]["code"], "generation_changed");
}
