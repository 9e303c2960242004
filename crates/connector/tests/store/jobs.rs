//! Jobs: each is done once, whatever happens in between.

use std::io::Write;

use chrono::{TimeDelta, Utc};
use tillwatch_protocol::ids::JobId;
use tillwatch_protocol::link::frame::{CloudFrame, ConnectorFrame, JobOrder, StoreReport};
use tillwatch_protocol::rest::job::{DiagnoseResult, JobSpec, JobState};
use tillwatch_protocol::rest::pos_server::PosState;

use crate::cloud::Cloud;
use crate::eventually;
use crate::store::{Store, names};

#[tokio::test]
async fn an_order_that_comes_twice_is_done_once() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    let order = session.order(JobSpec::RestartPos {});
    session.send(CloudFrame::Job(order.clone()));
    let first = session.finished(order.id).await;
    assert_eq!(first.state, JobState::Succeeded);
    let report: StoreReport = serde_json::from_value(first.result.clone().unwrap()).unwrap();
    assert_eq!(report.pos_state, PosState::Running);

    // Neither after the end, nor after the cloud knew of it, nor in another life.
    session.send(CloudFrame::Job(order.clone()));
    assert_eq!(session.finished(order.id).await, first);
    session.send(CloudFrame::Ack { id: order.id });
    session.cut();
    let (mut session, hello) = cloud.welcome().await;
    assert_eq!(hello.unfinished_jobs, []);
    session.send(CloudFrame::Job(order.clone()));
    assert_eq!(session.finished(order.id).await, first);
    assert_eq!(store.pos.state.lock().unwrap().starts, 2);
}

#[tokio::test]
async fn an_end_that_the_cloud_missed_is_told_again() {
    let mut cloud = Cloud::start().await;
    let mut store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    let order = session.order(JobSpec::ExchangeNow {});
    let first = session.finished(order.id).await;
    store.kill().await;

    store.run();
    let (mut session, hello) = cloud.welcome().await;
    assert_eq!(hello.unfinished_jobs, [order.id]);
    assert_eq!(session.finished(order.id).await, first);
    session.send(CloudFrame::Ack { id: order.id });
    let entry = store.path(&format!("journal/{}.json", order.id));
    eventually("the acknowledgement", || {
        !std::fs::read_to_string(&entry).unwrap().contains("\"acknowledged_at\": null")
    })
    .await;
    session.cut();
    let (_session, hello) = cloud.welcome().await;
    assert_eq!(hello.unfinished_jobs, []);
}

#[tokio::test]
async fn a_cancel_that_comes_too_late_is_answered_with_the_end_alone() {
    let mut cloud = Cloud::start().await;
    let _store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    let order = session.order(JobSpec::ExchangeNow {});
    let end = session.finished(order.id).await;
    // A cloud that knows of the end cancels what it hears was accepted: to say that again would never end.
    session.send(CloudFrame::Cancel { id: order.id });
    let answer = session
        .find(|frame| match frame {
            ConnectorFrame::JobAccepted { .. } | ConnectorFrame::JobFinished(_) => Some(frame),
            _ => None,
        })
        .await;
    assert_eq!(answer, ConnectorFrame::JobFinished(end));
}

#[tokio::test]
async fn an_exchange_is_asked_for_and_its_outcome_told() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    store.pos.change(|pos| pos.sync_error = Some("database_inconsistent"));
    let order = session.order(JobSpec::ExchangeNow {});
    let accepted = session
        .find(|frame| match frame {
            ConnectorFrame::JobAccepted { id } => Some(id),
            _ => None,
        })
        .await;
    assert_eq!(accepted, order.id);
    let finished = session.finished(order.id).await;
    assert_eq!(finished.state, JobState::Succeeded);
    let report: StoreReport = serde_json::from_value(finished.result.unwrap()).unwrap();
    assert_eq!(report.report.exchange.error.unwrap().code, "database_inconsistent");

    store.pos.change(|pos| pos.running = false);
    let order = session.order(JobSpec::ExchangeNow {});
    assert_eq!(session.finished(order.id).await.error.unwrap().code, "venue_timeout");
}

#[tokio::test]
async fn what_comes_too_late_is_not_done() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    let id = JobId::new();
    let deadline = Utc::now() - TimeDelta::seconds(1);
    session.send(CloudFrame::Job(JobOrder { id, deadline, sent_at: None, spec: JobSpec::RestartPos {} }));
    assert_eq!(session.finished(id).await.state, JobState::TimedOut);
    assert_eq!(store.pos.state.lock().unwrap().starts, 1);
}

#[tokio::test]
async fn a_clock_that_was_moved_since_the_welcome_makes_no_order_late() {
    let mut cloud = Cloud::start().await;
    let _store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    for hours in [-1, 1, 0] {
        let id = JobId::new();
        let sent_at = Utc::now() + TimeDelta::hours(hours);
        let deadline = sent_at + TimeDelta::minutes(10);
        let order = JobOrder { id, deadline, sent_at: Some(sent_at), spec: JobSpec::ExchangeNow {} };
        session.send(CloudFrame::Job(order));
        assert_eq!(session.finished(id).await.state, JobState::Succeeded, "{hours}");
    }
}

#[tokio::test]
async fn a_job_ends_at_its_deadline() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    store.pos.change(|pos| pos.hangs = true);
    let id = JobId::new();
    let deadline = Utc::now() + TimeDelta::seconds(1);
    session.send(CloudFrame::Job(JobOrder { id, deadline, sent_at: None, spec: JobSpec::ExchangeNow {} }));
    assert_eq!(session.finished(id).await.state, JobState::TimedOut);
}

#[tokio::test]
async fn a_cancel_that_overtakes_its_order_stands() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    let order = JobOrder {
        id: JobId::new(),
        deadline: Utc::now() + TimeDelta::minutes(1),
        sent_at: None,
        spec: JobSpec::RestartPos {},
    };
    session.send(CloudFrame::Cancel { id: order.id });
    assert_eq!(session.finished(order.id).await.state, JobState::Canceled);
    session.send(CloudFrame::Job(order.clone()));
    assert_eq!(session.finished(order.id).await.state, JobState::Canceled);
    assert_eq!(store.pos.state.lock().unwrap().starts, 1);
}

#[tokio::test]
async fn a_running_job_is_canceled() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    store.pos.change(|pos| pos.hangs = true);
    let order = session.order(JobSpec::ExchangeNow {});
    session.find(|frame| matches!(frame, ConnectorFrame::JobAccepted { .. }).then_some(())).await;
    session.send(CloudFrame::Cancel { id: order.id });
    assert_eq!(session.finished(order.id).await.state, JobState::Canceled);
    assert_eq!(store.pos.state.lock().unwrap().exchanges, 0);
}

#[tokio::test]
async fn jobs_that_exclude_each_other_do_not_meet() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    // The restart waits for an answer that does not come.
    store.pos.change(|pos| pos.hangs = true);
    let restart = session.order(JobSpec::RestartPos {});
    let reset = session.order(reset());
    let refused = session.finished(reset.id).await;
    assert_eq!(refused.state, JobState::Rejected);
    assert_eq!(refused.error.unwrap().code, "job_in_progress");
    store.pos.change(|pos| pos.hangs = false);
    assert_eq!(session.finished(restart.id).await.state, JobState::Succeeded);
}

#[tokio::test]
async fn a_diagnosis_names_what_is_wrong() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    store.pos.change(|pos| pos.sync_error = Some("tls_failed"));
    let order = session.order(JobSpec::Diagnose {});
    let finished = session.finished(order.id).await;
    let result: DiagnoseResult = serde_json::from_value(finished.result.unwrap()).unwrap();
    let failed: Vec<_> = result.checks.iter().filter(|check| !check.ok).map(|check| &*check.name).collect();
    assert_eq!(failed, ["exchange"], "{result:?}");
    assert_eq!(result.checks.len(), 8);
    // The session that ordered it is still the one.
    session.order(JobSpec::ExchangeNow {});
    session.frame().await;
}

#[tokio::test]
async fn logs_are_collected_and_uploaded() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let logs = store.path("pos/logs");
    std::fs::create_dir_all(&logs).unwrap();
    let now = Utc::now();
    std::fs::write(logs.join("pos.log"), format!("{} INFO card 4111111111111111\n", now.to_rfc3339()))
        .unwrap();
    let (mut session, _) = cloud.welcome().await;
    let hour = TimeDelta::hours(1);
    let order =
        session.order(JobSpec::RetrieveLogs { from: now - hour, to: now + hour, max_bytes: 1024 * 1024 });
    let finished = session.finished(order.id).await;
    assert_eq!(finished.state, JobState::Succeeded, "{:?}", finished.error);
    let result = finished.result.unwrap();
    assert_eq!((&result["files"], &result["redactions"]), (&1.into(), &1.into()));
    let id = result["archive_ids"][0].as_str().unwrap().to_owned();
    assert!(cloud.shared.uploads.lock().unwrap()[&id].starts_with(b"PK"));
    eventually("an empty outbox", || names(&store.path("outbox")).is_empty()).await;
}

#[tokio::test]
async fn a_cancel_ends_the_packing_of_logs_and_leaves_nothing() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let logs = store.path("pos/logs");
    std::fs::create_dir_all(&logs).unwrap();
    let now = Utc::now();
    // Gigabytes, packed: more than could be read before the cancel comes.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(format!("{} INFO up\n", now.to_rfc3339()).repeat(100_000).as_bytes()).unwrap();
    std::fs::write(logs.join("pos.log.1.gz"), packed.finish().unwrap().repeat(1000)).unwrap();
    let (mut session, _) = cloud.welcome().await;
    let hour = TimeDelta::hours(1);
    let order =
        session.order(JobSpec::RetrieveLogs { from: now - hour, to: now + hour, max_bytes: 1024 * 1024 });
    session
        .find(|frame| match frame {
            ConnectorFrame::JobProgress { progress, .. } => {
                (progress.phase == "compressing" && progress.done > 0).then_some(())
            }
            _ => None,
        })
        .await;
    session.send(CloudFrame::Cancel { id: order.id });
    assert_eq!(session.finished(order.id).await.state, JobState::Canceled);
    assert!(names(&store.path("outbox")).is_empty(), "nobody writes there any more");
}

#[tokio::test]
async fn a_damaged_journal_is_put_aside_and_work_goes_on() {
    let mut cloud = Cloud::start().await;
    let mut store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    let order = session.order(JobSpec::ExchangeNow {});
    session.finished(order.id).await;
    store.kill().await;
    let file = format!("{}.json", order.id);
    std::fs::write(store.path("journal").join(&file), "{\"order\":").unwrap();

    store.run();
    let (mut session, hello) = cloud.welcome().await;
    assert_eq!(hello.unfinished_jobs, []);
    assert_eq!(names(&store.path("journal")), [format!("{file}.damaged")]);
    let order = session.order(JobSpec::ExchangeNow {});
    assert_eq!(session.finished(order.id).await.state, JobState::Succeeded);
}

#[tokio::test]
async fn a_job_that_can_not_be_written_down_is_not_begun() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    let journal = store.path("journal");
    std::fs::remove_dir(&journal).unwrap();
    std::fs::write(&journal, "in the way").unwrap();
    let order = session.order(JobSpec::RestartPos {});
    let refused = session.finished(order.id).await;
    assert_eq!(refused.state, JobState::Rejected);
    assert_eq!(refused.error.unwrap().code, "journal_unwritable");
    assert_eq!(store.pos.state.lock().unwrap().starts, 1);

    // Nothing but the journal has to be put right.
    std::fs::remove_file(&journal).unwrap();
    std::fs::create_dir(&journal).unwrap();
    let order = session.order(JobSpec::RestartPos {});
    assert_eq!(session.finished(order.id).await.state, JobState::Succeeded);
}

fn reset() -> JobSpec {
    JobSpec::ResetDatabase {
        confirm: "Riga Centrs".into(),
        expected_generation: 1,
        collect_logs: false,
        discard_unsent: false,
    }
}
