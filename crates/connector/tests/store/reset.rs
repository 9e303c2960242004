//! Reset and restore: the database is never lost.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use tillwatch_protocol::ids::{BackupId, JobId};
use tillwatch_protocol::link::frame::{CloudFrame, ConnectorFrame, JobFinished, JobOrder};
use tillwatch_protocol::rest::job::{JobSpec, JobState};

use crate::cloud::{Cloud, Session};
use crate::store::{Store, names};

fn reset(expected_generation: i64) -> JobSpec {
    JobSpec::ResetDatabase {
        confirm: "Riga Centrs".into(),
        expected_generation,
        collect_logs: false,
        discard_unsent: false,
    }
}

async fn done(session: &mut Session, spec: JobSpec) -> JobFinished {
    let order = session.order(spec);
    session.finished(order.id).await
}

fn code(finished: &JobFinished) -> &str {
    &finished.error.as_ref().unwrap().code
}

fn backup_id(result: &Value) -> BackupId {
    result["backup_id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_reset_makes_a_new_database_and_a_restore_brings_the_old_one_back() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    let old = store.pos.database().unwrap();

    let finished = done(&mut session, reset(1)).await;
    assert_eq!(finished.state, JobState::Succeeded, "{:?}", finished.error);
    let result = finished.result.unwrap();
    assert_eq!((&result["old_generation"], &result["new_generation"]), (&1.into(), &2.into()));
    let new = store.pos.database().unwrap();
    assert_ne!(new, old);
    let backup_id = backup_id(&result);
    assert_eq!(std::fs::read(store.path(&format!("backups/{backup_id}/0-pos.sqlite3"))).unwrap(), old);

    let restore = JobSpec::RestoreDatabase { confirm: "Riga Centrs".into(), backup_id };
    let finished = done(&mut session, restore).await;
    assert_eq!(finished.state, JobState::Succeeded, "{:?}", finished.error);
    assert_eq!(finished.result.unwrap()["generation"], 3);
    assert_eq!(store.pos.database().unwrap(), old);
    let kept: Vec<_> = names(&store.path("backups"))
        .iter()
        .map(|id| std::fs::read(store.path(&format!("backups/{id}/0-pos.sqlite3"))).unwrap())
        .collect();
    assert!(kept.contains(&new), "the database that the restore replaced is a backup");

    // A database that nobody ordered counts as another life.
    store.pos.change(|pos| {
        std::fs::remove_file(&pos.database).unwrap();
        pos.open();
    });
    session
        .find(|frame| match frame {
            ConnectorFrame::Report { report } if report.report.database.generation == Some(4) => Some(()),
            _ => None,
        })
        .await;
}

#[tokio::test]
async fn a_reset_is_refused_for_what_it_might_destroy() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    let before = store.pos.database();

    let refused = done(&mut session, reset(7)).await;
    assert_eq!((refused.state, code(&refused)), (JobState::Rejected, "generation_changed"));
    for unsent in [Some(3), None] {
        store.pos.change(|pos| pos.unsent = unsent);
        let refused = done(&mut session, reset(1)).await;
        assert_eq!((refused.state, code(&refused)), (JobState::Rejected, "unsent_transactions"));
    }
    store.pos.change(|pos| pos.running = false);
    let refused = done(&mut session, reset(1)).await;
    assert_eq!((refused.state, code(&refused)), (JobState::Rejected, "unsent_transactions"));
    let missing = JobSpec::RestoreDatabase { confirm: "Riga Centrs".into(), backup_id: BackupId::new() };
    let refused = done(&mut session, missing).await;
    assert_eq!((refused.state, code(&refused)), (JobState::Rejected, "backup_not_found"));

    assert_eq!(store.pos.database(), before);
    assert_eq!(names(&store.path("backups")), Vec::<String>::new());
}

#[tokio::test]
async fn the_store_itself_limits_resets() {
    let mut cloud = Cloud::start().await;
    let mut store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    assert_eq!(done(&mut session, reset(1)).await.state, JobState::Succeeded);
    store.kill().await;
    store.run();
    let (mut session, _) = cloud.welcome().await;
    let refused = done(&mut session, reset(2)).await;
    assert_eq!((refused.state, code(&refused)), (JobState::Rejected, "rate_limited"));
}

#[tokio::test]
async fn three_backups_are_kept() {
    let mut cloud = Cloud::start().await;
    let mut store = Store::enroll(&cloud).await;
    store.config.limits.resets_per_hour = 10;
    store.run();
    let (mut session, _) = cloud.welcome().await;
    for generation in 1..=4 {
        let finished = done(&mut session, reset(generation)).await;
        assert_eq!(finished.state, JobState::Succeeded, "{:?}", finished.error);
    }
    assert_eq!(names(&store.path("backups")).len(), 3);
}

#[tokio::test]
async fn a_new_database_that_does_not_exchange_is_told_with_its_backup() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    store.pos.change(|pos| pos.sync_error = Some("server_error"));
    // The wait is cut short by stopping the agent's patience: the deadline comes first, and 30 s after it.
    let id = JobId::new();
    let order = JobOrder { id, deadline: Utc::now() + TimeDelta::seconds(2), sent_at: None, spec: reset(1) };
    session.send(CloudFrame::Job(order));
    session.phase(id, "first_exchange").await;
    session.send(CloudFrame::Cancel { id });
    store.pos.change(|pos| pos.sync_error = None);
    let finished = session.finished(id).await;
    assert_eq!(finished.state, JobState::Succeeded, "too late to cancel: it is finished");
}

#[tokio::test]
async fn a_clock_that_is_set_back_meanwhile_hides_no_exchange() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    store.pos.change(|pos| pos.ahead = TimeDelta::hours(-1));
    let finished = done(&mut session, reset(1)).await;
    assert_eq!(finished.state, JobState::Succeeded, "{:?}", finished.error);
}

#[tokio::test]
async fn a_clock_that_is_ahead_ends_no_job_after_a_restart() {
    let mut cloud = Cloud::start().await;
    let mut store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    store.pos.stuck.send_replace(true);
    let (id, sent_at) = (JobId::new(), Utc::now() - TimeDelta::hours(1));
    let deadline = sent_at + TimeDelta::minutes(10);
    session.send(CloudFrame::Job(JobOrder { id, deadline, sent_at: Some(sent_at), spec: reset(1) }));
    session.phase(id, "stopping").await;
    store.kill().await;
    store.pos.stuck.send_replace(false);

    store.run();
    let (mut session, _) = cloud.welcome().await;
    let finished = session.finished(id).await;
    assert_eq!(finished.state, JobState::Succeeded, "{:?}", finished.error);
}

#[tokio::test]
async fn a_reset_is_canceled_as_long_as_nothing_has_moved() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    let before = store.pos.database();
    store.pos.stuck.send_replace(true);
    let order = session.order(reset(1));
    session.phase(order.id, "stopping").await;
    session.send(CloudFrame::Cancel { id: order.id });
    // Answered in order: the cancel is known when the other reset is refused.
    let other = session.order(reset(1));
    assert_eq!(code(&session.finished(other.id).await), "job_in_progress");
    store.pos.stuck.send_replace(false);

    assert_eq!(session.finished(order.id).await.state, JobState::Canceled);
    assert_eq!(store.pos.database(), before);
    assert_eq!(names(&store.path("backups")), Vec::<String>::new());
    assert_eq!(store.pos.state.lock().unwrap().starts, 2, "the POS server is started again");
    assert_eq!(
        done(&mut session, reset(1)).await.state,
        JobState::Succeeded,
        "a canceled reset does not count"
    );
}

/// Where a reset can be cut off.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Cut {
    BeforeTheStop,
    BeforeTheMove,
    WithinTheMove,
    BeforeTheStart,
}

#[tokio::test]
async fn a_reset_that_was_cut_off_goes_on_where_it_was() {
    for cut in [Cut::BeforeTheStop, Cut::BeforeTheMove, Cut::WithinTheMove, Cut::BeforeTheStart] {
        let mut cloud = Cloud::start().await;
        let mut store = Store::start(&cloud).await;
        let (mut session, _) = cloud.welcome().await;
        let old = store.pos.database().unwrap();
        store.pos.stuck.send_replace(true);
        let order = session.order(reset(1));
        session.phase(order.id, "stopping").await;
        store.kill().await;
        leave_as_if(cut, &store, order.id);
        store.pos.stuck.send_replace(false);

        store.run();
        let (mut session, hello) = cloud.welcome().await;
        assert_eq!(hello.unfinished_jobs, [order.id]);
        let finished = session.finished(order.id).await;
        assert_eq!(finished.state, JobState::Succeeded, "{cut:?}: {:?}", finished.error);
        let result = finished.result.unwrap();
        assert_eq!((&result["old_generation"], &result["new_generation"]), (&1.into(), &2.into()), "{cut:?}");
        let backups = names(&store.path("backups"));
        assert_eq!(backups, [backup_id(&result).to_string()], "{cut:?}");
        let kept = store.path(&format!("backups/{}/0-pos.sqlite3", backups[0]));
        assert_eq!(std::fs::read(kept).unwrap(), old, "{cut:?}");
        assert_ne!(store.pos.database().unwrap(), old, "{cut:?}");
        let known = std::fs::read_to_string(store.path("generation.json")).unwrap();
        assert!(known.contains("\"generation\":2"), "{cut:?}: the new database is ours: {known}");
    }
}

/// Brings the data dir of a killed connector, whose job had not stopped the POS server yet, to where a later
/// kill would have left it.
fn leave_as_if(cut: Cut, store: &Store, job: JobId) {
    let file = store.path(&format!("journal/{job}.json"));
    let mut entry: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let step = &mut entry["state"]["step"]["database"];
    assert_eq!(step["phase"], "stopping");
    let backup = store.path("backups").join(step["backup_id"].as_str().unwrap());
    if cut >= Cut::WithinTheMove {
        std::fs::create_dir_all(&backup).unwrap();
        let original = store.path("pos/pos.sqlite3");
        let about = json!({
            "id": step["backup_id"], "generation": 1, "made_at": Utc::now(), "job_id": job,
            "files": [{"original": original, "name": "0-pos.sqlite3", "size_bytes": 35}],
        });
        std::fs::write(backup.join("backup.json"), about.to_string()).unwrap();
        std::fs::rename(original, backup.join("0-pos.sqlite3")).unwrap();
    }
    if cut >= Cut::BeforeTheMove {
        step["phase"] = "moving_away".into();
    }
    if cut >= Cut::BeforeTheStart {
        step["phase"] = "starting".into();
        let generation = store.path("generation.json");
        let mut known: Value = serde_json::from_slice(&std::fs::read(&generation).unwrap()).unwrap();
        (known["generation"], known["expecting"]) = (2.into(), true.into());
        std::fs::write(generation, known.to_string()).unwrap();
    }
    std::fs::write(file, entry.to_string()).unwrap();
}

#[tokio::test]
async fn a_database_that_is_nowhere_is_not_reset() {
    let mut cloud = Cloud::start().await;
    let mut store = Store::enroll(&cloud).await;
    store.config.pos.database = vec!["elsewhere/*.db".into()];
    store.run();
    let (mut session, _) = cloud.welcome().await;
    let failed = done(&mut session, reset(1)).await;
    assert_eq!((failed.state, code(&failed)), (JobState::Failed, "database_not_found"));
    assert!(store.pos.state.lock().unwrap().running, "the POS server is started again");
}
