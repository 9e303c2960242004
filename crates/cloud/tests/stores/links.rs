//! Links and what statuses say of them.

use std::time::Duration;

use chrono::Utc;
use futures_util::SinkExt;
use serde_json::{Value, json};
use tillwatch_cloud::config::{Limits, Patience};
use tillwatch_protocol::ids::JobId;
use tillwatch_protocol::link::frame::{ByeReason, CloudFrame, ConnectorFrame, StoreReport};
use tillwatch_protocol::link::{MAX_FRAME_BYTES, close};
use tillwatch_protocol::report::{ExchangeError, Report};
use tillwatch_protocol::rest::pos_server::PosState;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::support::{Cloud, TestStore, hasty, hello, report};

fn link(state: &'static str) -> impl Fn(&Value) -> bool {
    move |status| status["link"]["state"] == state
}

#[tokio::test]
async fn a_store_enrolls_says_hello_and_is_online() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    assert_eq!(admin.status(&store).await["link"]["state"], "never_connected");

    let (_line, epoch) = store.connect_with(hello()).await;

    assert_eq!(epoch, 1);
    let status = admin.when(&store, link("online")).await;
    assert_eq!(status["link"]["connector_version"], "0.1.0");
    assert_eq!(status["link"]["cause"], Value::Null);
    assert_eq!(status["pos"]["state"], "running");
    assert_eq!(status["pos"]["version"], "34.5.2");
    assert_eq!(status["database"]["generation"], 3);
    assert_eq!(status["database"]["size_bytes"], 1 << 20);
    assert!(!status["last_report_at"].is_null() && !status["link"]["since"].is_null());
}

#[tokio::test]
async fn a_report_changes_the_status_and_a_silent_pos_shows() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let mut line = store.connect().await;

    let error = ExchangeError {
        code: "database_inconsistent".into(),
        message: "checksums differ".into(),
        since: Utc::now(),
        consecutive_failures: 3,
    };
    let mut failing = Report { pos_version: Some("34.6.0".into()), ..Report::default() };
    failing.exchange.error = Some(error);
    failing.database.unsent_transactions = Some(7);
    failing.database.generation = Some(4);
    let failing = StoreReport { pos_state: PosState::Running, report: failing };
    line.say(&ConnectorFrame::Report { report: failing }).await;
    let status = admin.when(&store, |status| status["pos"]["version"] == "34.6.0").await;
    assert_eq!(status["exchange"]["error"]["code"], "database_inconsistent");
    assert_eq!(status["exchange"]["error"]["consecutive_failures"], 3);
    assert_eq!(status["highlight"], "error");
    assert_eq!(status["database"]["generation"], 4);
    assert_eq!(status["database"]["unsent_transactions"], 7);

    line.say(&ConnectorFrame::Alive { pos_answers: false }).await;
    let silent = admin.when(&store, |status| status["pos"]["state"] == "not_responding").await;
    assert_eq!(silent["link"]["state"], "online");
    line.say(&ConnectorFrame::Alive { pos_answers: true }).await;
    let well = admin.when(&store, |status| status["pos"]["state"] == "running").await;
    assert!(well["last_report_at"].as_str() > silent["last_report_at"].as_str());
}

#[tokio::test]
async fn goodbye_a_clean_close_and_a_broken_line_are_told_apart() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;

    let mut line = store.connect().await;
    line.say(&ConnectorFrame::Bye { reason: ByeReason::Updating }).await;
    let bye = admin.when(&store, link("offline")).await;
    assert_eq!(bye["link"]["cause"], "service_stopped");
    assert_eq!(bye["link"]["confidence"], "certain");
    assert_eq!(bye["link"]["evidence"][0]["params"]["reason"], "updating");
    assert_eq!(bye["pos"]["state"], "unknown");

    let line = store.connect().await;
    admin.when(&store, link("online")).await;
    line.close(1001).await;
    let closed = admin.when(&store, link("offline")).await;
    assert_eq!(closed["link"]["cause"], "service_stopped");
    assert_eq!(closed["link"]["confidence"], "likely");

    let line = store.connect().await;
    admin.when(&store, link("online")).await;
    drop(line);
    let cut = admin.when(&store, link("offline")).await;
    assert_eq!(cut["link"]["cause"], "connection_lost");
}

#[tokio::test]
async fn a_link_that_falls_silent_is_given_up() {
    let patience =
        Patience { silence: Duration::from_millis(600), ping_every: Duration::from_millis(200), ..hasty() };
    let cloud = Cloud::with(patience).await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    // It is not read, so that it answers no ping; yet it is not closed either.
    let _half_open = store.connect().await;

    let silent = admin.when(&store, link("offline")).await;
    assert_eq!(silent["link"]["cause"], "connection_lost");
    assert_eq!(silent["link"]["confidence"], "likely");
    assert_eq!(silent["link"]["evidence"][0]["code"], "fell_silent");

    // One that answers pings stays, though it says nothing by itself.
    let mut line = store.connect().await;
    let reading = tokio::spawn(async move { line.closed().await });
    tokio::time::timeout(Duration::from_secs(2), reading).await.unwrap_err();
    assert_eq!(admin.status(&store).await["link"]["state"], "online");
}

#[tokio::test]
async fn a_newer_session_takes_over_and_the_old_ones_end_changes_nothing() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;

    let (mut old, first) = store.connect_with(hello()).await;
    let (mut new, second) = store.connect_with(hello()).await;

    assert!(second > first);
    assert_eq!(old.closed().await, close::REPLACED_BY_NEWER_SESSION);
    drop(old);
    // Something that the new session says is written after whatever the old one left behind.
    let mut later = report();
    later.report.pos_version = Some("34.9.9".into());
    new.say(&ConnectorFrame::Report { report: later }).await;
    let status = admin.when(&store, |status| status["pos"]["version"] == "34.9.9").await;
    assert_eq!(status["link"]["state"], "online");
}

#[tokio::test]
async fn of_many_sessions_at_once_the_newest_stays_online() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;

    let mut lines = futures_util::future::join_all((0..20).map(|_| async {
        let mut line = store.line().await;
        line.say(&ConnectorFrame::Hello(hello())).await;
        line
    }))
    .await;
    // Each of them either is told that a newer one took over, or is the newest.
    let mut replaced = 0;
    let mut newest = None;
    for mut line in lines.drain(..) {
        match line.welcome_or_close().await {
            Ok(20) => newest = Some(line),
            Ok(_) => {
                assert_eq!(line.closed().await, close::REPLACED_BY_NEWER_SESSION);
                replaced += 1;
            }
            Err(code) => {
                assert_eq!(code, close::REPLACED_BY_NEWER_SESSION);
                replaced += 1;
            }
        }
    }
    assert_eq!(replaced, 19);
    let mut later = report();
    later.report.pos_version = Some("34.9.9".into());
    let mut newest = newest.unwrap();
    newest.say(&ConnectorFrame::Report { report: later }).await;
    let status = admin.when(&store, |status| status["pos"]["version"] == "34.9.9").await;
    assert_eq!(status["link"]["state"], "online");
}

#[tokio::test]
async fn a_pos_server_older_than_34_is_turned_away() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let with_version = |version: Option<&str>| {
        let mut hello = hello();
        hello.report.as_mut().unwrap().report.pos_version = version.map(ToOwned::to_owned);
        hello
    };

    let mut line = store.line().await;
    line.say(&ConnectorFrame::Hello(with_version(Some("33.9.1")))).await;
    assert_eq!(line.closed().await, close::VERSION_UNSUPPORTED);
    let refused = admin.when(&store, link("offline")).await;
    assert_eq!(refused["link"]["cause"], "version_unsupported");
    assert_eq!(refused["link"]["confidence"], "certain");
    assert_eq!(refused["link"]["evidence"][0]["params"]["pos_version"], "33.9.1");
    assert_eq!(refused["pos"]["version"], "33.9.1");

    let (mut line, _) = store.connect_with(with_version(None)).await;
    admin.when(&store, link("online")).await;
    let mut old = report();
    old.report.pos_version = Some("33.9.2".into());
    line.say(&ConnectorFrame::Report { report: old }).await;
    assert_eq!(line.closed().await, close::VERSION_UNSUPPORTED);
    let refused = admin.when(&store, link("offline")).await;
    assert_eq!(refused["link"]["cause"], "version_unsupported");
}

#[tokio::test]
async fn what_is_no_frame_ends_the_link_and_not_the_cloud() {
    let patience = Patience { hello: Duration::from_millis(300), ..hasty() };
    let cloud = Cloud::with(patience).await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    let second_hello = serde_json::to_string(&ConnectorFrame::Hello(hello())).unwrap();
    let padded = |bytes: usize| {
        let head = r#"{"type":"alive","pos_answers":true,"x":""#;
        format!("{head}{}\"}}", "x".repeat(bytes - head.len() - 2))
    };

    for (message, code) in [
        (Message::text("hello"), close::PROTOCOL_ERROR),
        (Message::text(r#"{"type":"alive"}"#), close::PROTOCOL_ERROR),
        (Message::text(second_hello), close::PROTOCOL_ERROR),
        (Message::binary(vec![1, 2, 3]), 1003),
        (Message::text(padded(MAX_FRAME_BYTES + 1)), close::TOO_LARGE),
        (Message::text(padded(3 * MAX_FRAME_BYTES)), close::TOO_LARGE),
    ] {
        let mut line = store.connect().await;
        line.socket.send(message).await.unwrap();
        assert_eq!(line.closed().await, code);
    }
    let offline = admin.when(&store, link("offline")).await;
    assert_eq!(offline["link"]["evidence"][0]["code"], "protocol_violated");

    // Before a hello nothing else is listened to, nor for ever.
    let mut line = store.line().await;
    line.say(&ConnectorFrame::Alive { pos_answers: true }).await;
    assert_eq!(line.closed().await, close::PROTOCOL_ERROR);
    assert_eq!(store.line().await.closed().await, close::PROTOCOL_ERROR);

    // The largest frame, and one of a newer protocol, are fine.
    let mut line = store.connect().await;
    line.say_text(&padded(MAX_FRAME_BYTES)).await;
    line.say_text(r#"{"type":"weather","sun":true}"#).await;
    line.say(&ConnectorFrame::JobFinished(tillwatch_protocol::link::frame::JobFinished {
        id: JobId::new(),
        state: tillwatch_protocol::rest::job::JobState::Succeeded,
        result: None,
        error: None,
    }))
    .await;
    assert!(matches!(line.hear().await, CloudFrame::Ack { .. }));
    assert_eq!(admin.status(&store).await["link"]["state"], "online");
}

/// Asks for a link as plain HTTP has it, without a protocol.
fn upgrade(store: &TestStore) -> reqwest::RequestBuilder {
    store
        .request(reqwest::Method::GET, "/link")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

#[tokio::test]
async fn a_link_must_name_its_protocol() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let refused = crate::support::answer(upgrade(&store)).await;
    assert_eq!(refused.problem(), (422, "invalid_request"));
}

#[tokio::test]
async fn no_page_opens_a_link() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let upgrade = upgrade(&store)
        .header("sec-websocket-protocol", "tillwatch.link.v1")
        .header("origin", "https://page.example");
    let refused = crate::support::answer(upgrade).await;
    assert_eq!(refused.problem(), (422, "invalid_request"));
    assert_eq!(refused.body["errors"][0]["field"], "origin", "{}", refused.body);
}

#[tokio::test]
async fn whoever_comes_without_its_wish_for_a_websocket_is_told_so() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let asked = store.request(reqwest::Method::GET, "/link").bearer_auth("nobody's");
    let refused = crate::support::answer(asked).await;
    assert_eq!(refused.problem(), (422, "invalid_request"));
    assert_eq!(refused.body["errors"][0]["field"], "upgrade", "{}", refused.body);
}

#[tokio::test]
async fn a_cloud_that_restarts_does_not_blame_the_stores() {
    let cloud = Cloud::start().await;
    let (back, away) = (cloud.enrolled("Back").await, cloud.enrolled("Away").await);
    let (mut line, first) = back.connect_with(hello()).await;
    let _other = away.connect().await;

    cloud.begin_stop();
    assert!(matches!(line.hear().await, CloudFrame::Drain { .. }));
    assert_eq!(line.closed().await, close::RESTART);
    let cloud = cloud.restart(hasty()).await;
    let admin = cloud.admin().await;
    for store in [&back, &away] {
        let status = admin.status(store).await;
        assert_eq!(status["link"]["state"], "unknown");
        assert_eq!(status["link"]["cause"], Value::Null);
        assert_eq!(status["pos"]["state"], "unknown");
    }
    let (_line, second) = back.moved(&cloud).connect_with(hello()).await;
    assert!(second > first);
    admin.when(&back, link("online")).await;

    // Another restart, after which the time to come back ends soon.
    let cloud = cloud.restart(Patience { return_after_start: Duration::from_millis(300), ..hasty() }).await;
    let admin = cloud.admin().await;
    let gone = admin.when(&away, link("offline")).await;
    assert_eq!(gone["link"]["cause"], "connection_lost");
    assert_eq!(gone["link"]["evidence"][0]["code"], "not_back_after_cloud_restart");
}

#[tokio::test]
async fn a_heartbeat_without_a_link_hints_at_a_blocked_websocket() {
    let cloud = Cloud::start().await;
    let admin = cloud.admin().await;
    let store = cloud.enrolled("Riga").await;
    drop(store.connect().await);
    admin.when(&store, link("offline")).await;

    let beat = json!({"connector_version": "0.1.1", "pos_answers": true});
    assert_eq!(store.post("/heartbeat", &beat).await.status, 204);
    assert_eq!(
        admin.status(&store).await["link"]["cause"],
        "connection_lost",
        "it may be about to come back"
    );
    assert_eq!(store.post("/heartbeat", &beat).await.status, 204);
    let status = admin.status(&store).await;
    assert_eq!(status["link"]["state"], "offline");
    assert_eq!(status["link"]["cause"], "websocket_blocked");
    assert_eq!(status["link"]["confidence"], "likely");
    let codes: Vec<_> =
        status["link"]["evidence"].as_array().unwrap().iter().map(|evidence| &evidence["code"]).collect();
    assert_eq!(codes, ["connection_broken", "https_heartbeat"]);
    assert_eq!(status["link"]["connector_version"], "0.1.1");
    let _line = store.connect().await;
    let back = admin.when(&store, link("online")).await;
    assert_eq!((&back["link"]["cause"], &back["link"]["evidence"]), (&Value::Null, &json!([])));

    let refused = store.post("/heartbeat", &json!({"pos_answers": true, "x": 1})).await;
    assert_eq!(refused.problem(), (422, "invalid_request"));
}

#[tokio::test]
async fn a_crowd_is_let_in_a_few_at_a_time() {
    let cloud = Cloud::limited(hasty(), Limits { arrivals: 1, ..Limits::default() }).await;
    let admin = cloud.admin().await;
    let (first, second) = (cloud.enrolled("Riga").await, cloud.enrolled("Jelgava").await);

    // The first one is in the door until it has said hello.
    let mut line = first.line().await;
    let mut next = std::pin::pin!(second.connect());
    assert!(timeout(Duration::from_millis(200), &mut next).await.is_err(), "it waits");
    assert_eq!(admin.status(&second).await["link"]["state"], "never_connected", "the API goes on");
    line.say(&ConnectorFrame::Hello(hello())).await;
    line.welcome_or_close().await.unwrap();
    let _other = next.await;
    admin.when(&second, link("online")).await;
}

#[tokio::test]
async fn of_a_crowd_that_is_too_long_the_rest_is_told_when_to_come_back() {
    let cloud = Cloud::limited(hasty(), Limits { arrivals: 1, queue: 0, ..Limits::default() }).await;
    let admin = cloud.admin().await;
    let (first, second) = (cloud.enrolled("Riga").await, cloud.enrolled("Jelgava").await);

    // The first one is in the door until it has said hello.
    let mut line = first.line().await;
    let refused = second.open(&second.signer.token(Utc::now())).await.err().expect("it is refused");
    assert_eq!(refused.problem(), (503, "unavailable"));
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
    assert_eq!(admin.status(&second).await["link"]["state"], "never_connected", "the API goes on");

    line.say(&ConnectorFrame::Hello(hello())).await;
    line.welcome_or_close().await.unwrap();
    let _other = second.connect().await;
    admin.when(&second, link("online")).await;

    // One that leaves without a hello gives its place back.
    let third = cloud.enrolled("Cēsis").await;
    third.line().await.close(1000).await;
    third.connect().await;
}
