//! The link: it comes back, tells what changed, and goes with a word.

use axum::http::StatusCode;
use chrono::TimeDelta;
use tillwatch_protocol::link::close;
use tillwatch_protocol::link::frame::{ByeReason, CloudFrame, ConnectorFrame, StoreReport};
use tillwatch_protocol::rest::job::{JobSpec, JobState};
use tillwatch_protocol::rest::pos_server::PosState;

use crate::cloud::{Cloud, Session};
use crate::soon;
use crate::store::Store;

async fn report(session: &mut Session, mut wanted: impl FnMut(&StoreReport) -> bool) -> StoreReport {
    session
        .find(|frame| match frame {
            ConnectorFrame::Report { report } if wanted(&report) => Some(report),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn what_changes_at_the_pos_server_is_told() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, hello) = cloud.welcome().await;
    assert_eq!((hello.drops, hello.unfinished_jobs.len()), (0, 0));

    store.pos.change(|pos| pos.sync_error = Some("database_inconsistent"));
    let seen = report(&mut session, |report| report.report.exchange.error.is_some()).await;

    assert_eq!(seen.pos_state, PosState::Running);
    assert_eq!(seen.report.database.generation, Some(1));
    assert_eq!(seen.report.pos_version.as_deref(), Some("34.5.2"));
    assert_eq!(seen.report.exchange.error.unwrap().code, "database_inconsistent");
}

#[tokio::test]
async fn a_pos_server_that_hangs_does_not_respond() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    store.pos.change(|pos| pos.hangs = true);
    let seen = report(&mut session, |report| report.pos_state != PosState::Running).await;
    assert_eq!(seen.pos_state, PosState::NotResponding);
    assert_eq!(seen.report.pos_version.as_deref(), Some("34.5.2"), "the last report stands");
    store.pos.change(|pos| pos.hangs = false);
    report(&mut session, |report| report.pos_state == PosState::Running).await;
}

#[tokio::test]
async fn a_lost_link_comes_back_and_says_how_often_it_was_lost() {
    let mut cloud = Cloud::start().await;
    let _store = Store::start(&cloud).await;
    let (session, first) = cloud.welcome().await;
    session.cut();
    let (session, second) = cloud.welcome().await;
    assert_eq!((second.drops, second.boot_id), (1, first.boot_id));
    session.close(close::RESTART);
    let (_session, third) = cloud.welcome().await;
    assert_eq!(third.drops, 2);
}

#[tokio::test]
async fn a_stop_is_said_before_the_link_goes() {
    let mut cloud = Cloud::start().await;
    let mut store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    store.stop().await;
    let frames = session.rest().await;
    assert_eq!(frames.last(), Some(&ConnectorFrame::Bye { reason: ByeReason::Stopping }));
}

#[tokio::test]
async fn a_clock_that_is_off_is_no_obstacle() {
    let mut cloud = Cloud::start().await;
    let mut store = Store::enroll(&cloud).await;
    cloud.shared.settings.lock().unwrap().ahead = TimeDelta::minutes(10);
    store.run();
    cloud.welcome().await;
}

#[tokio::test]
async fn a_busy_cloud_is_tried_again_when_it_said() {
    let mut cloud = Cloud::start().await;
    cloud.shared.settings.lock().unwrap().refusals =
        vec![(StatusCode::SERVICE_UNAVAILABLE, Some(1)), (StatusCode::BAD_GATEWAY, None)];
    let _store = Store::start(&cloud).await;
    cloud.welcome().await;
    assert_eq!(cloud.shared.settings.lock().unwrap().upgrades, 3);
}

#[tokio::test]
async fn an_old_pos_server_is_tried_again_when_it_was_updated() {
    let mut cloud = Cloud::start().await;
    let store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    store.pos.change(|pos| pos.version = "33.9".into());
    let old = |report: &StoreReport| report.report.pos_version.as_deref() == Some("33.9");
    report(&mut session, old).await;
    session.close(close::VERSION_UNSUPPORTED);
    session.rest().await;

    store.pos.change(|pos| pos.version = "34.6.0".into());
    let (_session, hello) = cloud.welcome().await;
    assert_eq!(hello.report.unwrap().report.pos_version.as_deref(), Some("34.6.0"));
}

#[tokio::test]
async fn a_node_that_drains_is_left_for_another() {
    let mut cloud = Cloud::start().await;
    let _store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    session.send(CloudFrame::Drain { reconnect_within_seconds: 1 });
    let (_next, hello) = cloud.welcome().await;
    assert_eq!(hello.drops, 0, "it was not lost");
    assert!(!session.rest().await.iter().any(|frame| matches!(frame, ConnectorFrame::Bye { .. })));
}

#[tokio::test]
async fn a_frame_from_a_newer_cloud_breaks_nothing() {
    let mut cloud = Cloud::start().await;
    let _store = Store::start(&cloud).await;
    let (mut session, _) = cloud.welcome().await;
    session.send_text(r#"{"type":"sing","song":"x"}"#);
    session.send_text("no json");
    let id = tillwatch_protocol::ids::JobId::new();
    session.send_text(&format!(
        r#"{{"type":"job","id":"{id}","deadline":"2030-01-01T00:00:00Z","kind":"dance"}}"#
    ));
    let finished = session.finished(id).await;
    assert_eq!(finished.state, JobState::Rejected);
    assert_eq!(finished.error.unwrap().code, "unsupported");
    let order = session.order(JobSpec::ExchangeNow {});
    assert_eq!(session.finished(order.id).await.state, JobState::Succeeded);
}

#[tokio::test]
async fn a_refusal_without_words_is_asked_about_over_https() {
    let mut cloud = Cloud::start().await;
    cloud.shared.settings.lock().unwrap().refusals = vec![(StatusCode::UNAUTHORIZED, None)];
    let _store = Store::start(&cloud).await;
    let heartbeat = soon("a heartbeat", cloud.heartbeats.recv()).await.unwrap();
    assert_eq!(heartbeat["connector_version"], env!("CARGO_PKG_VERSION"));
    cloud.welcome().await;
}
