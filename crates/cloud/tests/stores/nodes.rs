//! Several nodes over one database: jobs and sessions find each other, and nodes may die.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tillwatch_cloud::config::Patience;
use tillwatch_protocol::link::close;
use tillwatch_protocol::link::frame::{CloudFrame, ConnectorFrame, Hello, JobFinished};
use tillwatch_protocol::rest::job::JobState;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::cluster::{Nats, Node};
use crate::support::{ADMIN, Cloud, Line, PASSWORD, SOON, answer, hasty, hello, report};

/// Nothing is found by looking again: what happens, happens by a hint.
fn hints_only() -> Patience {
    let never = Duration::from_hours(1);
    Patience { sweep_every: never, renew_every: never, ..hasty() }
}

fn link(state: &'static str) -> impl Fn(&Value) -> bool {
    move |status| status["link"]["state"] == state
}

fn succeeded(id: tillwatch_protocol::ids::JobId) -> ConnectorFrame {
    let result = Some(json!({"checks": []}));
    ConnectorFrame::JobFinished(JobFinished { id, state: JobState::Succeeded, result, error: None })
}

/// Reads a line to its end, so that it answers pings; gives the close code.
fn follow(mut line: Line) -> tokio::task::JoinHandle<u16> {
    tokio::spawn(async move { line.closed().await })
}

#[tokio::test]
async fn a_job_posted_on_one_node_reaches_a_store_on_another_and_its_end_is_seen_on_the_first() {
    let nats = Nats::start().await;
    let a = Cloud::with_nats(hints_only(), nats.url.clone()).await;
    let b = Node::beside(&a, hints_only(), Some(&nats)).await;
    let (admin, admin_b) = (a.admin().await, b.sign_in(ADMIN).await);
    let store = a.enrolled("Riga").await.at(&b.base);
    let mut line = store.connect().await;

    for (here, there) in [(&admin, &admin_b), (&admin_b, &admin)] {
        let id = here.started(&store, &json!({"kind": "diagnose"})).await;
        assert_eq!(line.job().await.id, id);
        line.say(&ConnectorFrame::JobAccepted { id }).await;
        there.when_job(id, "in_progress").await;
        line.say(&succeeded(id)).await;
        assert_eq!(line.hear().await, CloudFrame::Ack { id });
        here.when_job(id, "succeeded").await;
        there.when_job(id, "succeeded").await;
    }
    let id = admin.started(&store, &json!({"kind": "diagnose"})).await;
    assert_eq!(line.job().await.id, id);
    admin.cancel(id).await;
    assert_eq!(line.hear().await, CloudFrame::Cancel { id });
}

#[tokio::test]
async fn one_message_from_node_to_node_brings_a_job() {
    let nats = Nats::start().await;
    let a = Cloud::with_nats(hints_only(), nats.url.clone()).await;
    let b = Node::beside(&a, hints_only(), Some(&nats)).await;
    let admin = a.admin().await;
    let store = a.enrolled("Riga").await.at(&b.base);
    let mut line = store.connect().await;
    let client = async_nats::connect(&nats.url).await.unwrap();
    let mut messages = client.subscribe("tillwatch.>").await.unwrap();
    client.flush().await.unwrap();

    let id = admin.started(&store, &json!({"kind": "diagnose"})).await;
    assert_eq!(line.job().await.id, id);
    // The store has it, so whatever brought it was sent before this.
    client.publish("tillwatch.end", "".into()).await.unwrap();
    let mut told = Vec::new();
    loop {
        let message = timeout(SOON, messages.next()).await.unwrap().unwrap();
        if message.payload.is_empty() {
            break;
        }
        // Behind the code of the sender.
        let hint: Value = serde_json::from_slice(&message.payload[32..]).unwrap();
        // That something was committed is told to everybody, and nobody answers.
        if hint["hint"] != "revision" {
            told.push(hint);
        }
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["hint"], &told[0]["frame"]["id"]), (&json!("frame"), &json!(id)));
}

#[tokio::test]
async fn without_nats_a_job_takes_only_a_little_longer() {
    let a = Cloud::start().await;
    let b = Node::beside(&a, hasty(), None).await;
    let admin = a.admin().await;
    let store = a.enrolled("Riga").await.at(&b.base);
    let mut line = store.connect().await;
    let id = admin.started(&store, &json!({"kind": "diagnose"})).await;
    assert_eq!(line.job().await.id, id);
    line.say(&succeeded(id)).await;
    admin.when_job(id, "succeeded").await;
}

#[tokio::test]
async fn a_store_that_comes_to_another_node_is_closed_where_it_was() {
    for hinted in [true, false] {
        let nats = Nats::start().await;
        let patience = if hinted { hints_only() } else { hasty() };
        let a = Cloud::with_nats(patience.clone(), nats.url.clone()).await;
        // Without the way between them, the node finds out by looking at the database.
        let b = Node::beside(&a, patience, hinted.then_some(&nats)).await;
        let admin = a.admin().await;
        let store = a.enrolled("Riga").await;
        let (old, first) = store.connect_with(hello()).await;
        let old = follow(old);
        let (mut new, second) = store.at(&b.base).connect_with(hello()).await;
        assert!(second > first);
        assert_eq!(timeout(SOON, old).await.unwrap().unwrap(), close::REPLACED_BY_NEWER_SESSION);

        let mut later = report();
        later.report.pos_version = Some("34.9.9".into());
        new.say(&ConnectorFrame::Report { report: later }).await;
        let status = admin.when(&store, |status| status["pos"]["version"] == "34.9.9").await;
        assert_eq!(status["link"]["state"], "online");
    }
}

#[tokio::test]
async fn a_node_that_dies_takes_no_job_with_it() {
    let nats = Nats::start().await;
    let a = Cloud::with_nats(hasty(), nats.url.clone()).await;
    let b = Node::beside(&a, hasty(), Some(&nats)).await;
    let admin = a.admin().await;
    let (back, away) = (a.enrolled("Back").await, a.enrolled("Away").await);
    let mut line = back.at(&b.base).connect().await;
    let _other = away.at(&b.base).connect().await;
    let running = admin.started(&back, &json!({"kind": "diagnose"})).await;
    assert_eq!(line.job().await.id, running);
    line.say(&ConnectorFrame::JobAccepted { id: running }).await;
    admin.when_job(running, "in_progress").await;
    let lost = admin.started(&back, &json!({"kind": "exchange_now"})).await;

    b.kill();
    for store in [&back, &away] {
        let status = admin.when(store, link("unknown")).await;
        assert_eq!(status["link"]["cause"], Value::Null, "the store is not to blame");
    }
    let (mut line, _) = back.connect_with(Hello { unfinished_jobs: vec![running], ..hello() }).await;
    admin.when(&back, link("online")).await;
    assert_eq!(line.job().await.id, lost, "what is in the journal is not sent again");
    for id in [running, lost] {
        line.say(&succeeded(id)).await;
        line.acknowledged(id).await;
        admin.when_job(id, "succeeded").await;
    }
    assert_eq!(admin.status(&away).await["link"]["state"], "unknown");
}

#[tokio::test]
async fn a_node_that_starts_takes_the_place_of_its_earlier_life_at_once() {
    let a = Cloud::with(hints_only()).await;
    let b = Node::beside(&a, hints_only(), None).await;
    let admin = a.admin().await;
    let (on_a, on_b) = (a.enrolled("Riga").await, a.enrolled("Tartu").await);
    let _stays = on_a.connect().await;
    let _line = on_b.at(&b.base).connect().await;
    admin.when(&on_b, link("online")).await;
    b.kill();

    // Nobody's lease runs out here, and the address is another.
    let _c = Node::beside(&a, hints_only(), None).await;
    admin.when(&on_b, link("unknown")).await;
    assert_eq!(admin.status(&on_a).await["link"]["state"], "online");
}

#[tokio::test]
async fn a_store_that_does_not_come_back_from_a_dead_node_is_offline() {
    let patience = Patience { return_after_start: Duration::from_millis(600), ..hasty() };
    let a = Cloud::with(patience.clone()).await;
    let b = Node::beside(&a, patience, None).await;
    let admin = a.admin().await;
    let store = a.enrolled("Riga").await;
    let line = store.at(&b.base).connect().await;
    b.kill();
    drop(line);
    admin.when(&store, link("unknown")).await;
    let gone = admin.when(&store, link("offline")).await;
    assert_eq!(gone["link"]["cause"], "connection_lost");
}

#[tokio::test]
async fn a_node_that_was_taken_for_dead_sends_its_stores_to_come_again() {
    let a = Cloud::start().await;
    let admin = a.admin().await;
    let store = a.enrolled("Riga").await;
    let mut line = store.connect().await;
    admin.when(&store, link("online")).await;
    // What another node does when this one was paused for longer than its lease.
    a.sql("DELETE FROM nodes; UPDATE pos_servers SET link_state = 'unknown', node_id = NULL").await;
    assert!(matches!(line.hear().await, CloudFrame::Drain { .. }));
    assert_eq!(line.closed().await, close::RESTART);
    let mut line = store.connect().await;
    let id = admin.started(&store, &json!({"kind": "diagnose"})).await;
    assert_eq!(line.job().await.id, id);
    admin.when(&store, link("online")).await;
}

#[tokio::test]
async fn nats_may_go_lose_everything_and_come_back() {
    let mut nats = Nats::start().await;
    let a = Cloud::with_nats(hasty(), nats.url.clone()).await;
    let b = Node::beside(&a, hasty(), Some(&nats)).await;
    let admin = a.admin().await;
    let store = a.enrolled("Riga").await.at(&b.base);
    let mut line = store.connect().await;
    let mut finish = async |what: &str| {
        let id = admin.started(&store, &json!({"kind": "diagnose"})).await;
        assert_eq!(line.job().await.id, id, "{what}");
        line.say(&succeeded(id)).await;
        // Sent once more, perhaps, before it was accepted; then its end is acknowledged.
        while line.hear().await != (CloudFrame::Ack { id }) {}
        admin.when_job(id, "succeeded").await;
    };
    finish("NATS is there").await;
    nats.stop();
    finish("NATS is away").await;
    let ready = reqwest::get(format!("{}/readyz", b.base)).await.unwrap();
    assert_eq!(ready.status(), 204, "the cloud serves without it");
    nats.start_again();
    finish("NATS is back").await;

    // Hints travel again; what is none of ours changes nothing.
    let client =
        async_nats::ConnectOptions::new().retry_on_initial_connect().connect(&nats.url).await.unwrap();
    let mut hints = client.subscribe("tillwatch.>").await.unwrap();
    let hint = async {
        loop {
            tokio::select! {
                hint = hints.next() => return hint.unwrap(),
                () = tokio::time::sleep(Duration::from_millis(50)) => {
                    line.say(&ConnectorFrame::Report { report: report() }).await;
                }
            }
        }
    };
    let hint = timeout(SOON, hint).await.expect("a hint, soon");
    let mut forged = hint.payload.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    for payload in [forged, vec![b'x'; 100_000], Vec::new()] {
        client.publish(hint.subject.clone(), payload.into()).await.unwrap();
    }
    client.flush().await.unwrap();
    let id = admin.started(&store, &json!({"kind": "diagnose"})).await;
    assert_eq!(line.job().await.id, id);
}

#[tokio::test]
async fn an_address_that_is_none_is_told_at_the_start_and_a_server_that_is_away_is_not() {
    use tillwatch_cloud::config::Config;
    let cloud = Cloud::start().await;
    let open = async |url: &str| {
        let config = Config { nats_url: Some(url.into()), ..cloud.backends.config() };
        tillwatch_cloud::Cloud::open(config, tokio_util::sync::CancellationToken::new()).await.map(drop)
    };
    let error = open("nats://a b").await.unwrap_err();
    assert!(format!("{error:#}").contains("nats-url"), "{error:#}");
    open("nats://user:secret@127.0.0.1:1,nats://127.0.0.1:2").await.unwrap();
}

#[tokio::test]
async fn an_identity_that_is_revoked_on_one_node_is_closed_on_another() {
    let a = Cloud::start().await;
    let b = Node::beside(&a, hasty(), None).await;
    let store = a.enrolled("Riga").await.at(&b.base);
    let line = follow(store.connect().await);
    let started = tokio::time::Instant::now();
    a.sql("UPDATE devices SET revoked_at = (SELECT max(seen_at) FROM nodes)").await;
    assert_eq!(timeout(SOON, line).await.unwrap().unwrap(), close::CREDENTIALS_REVOKED);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_store_that_wanders_between_nodes_is_online_where_it_came_last() {
    let nats = Nats::start().await;
    let a = Cloud::with_nats(hasty(), nats.url.clone()).await;
    let (b, c) = (Node::beside(&a, hasty(), Some(&nats)).await, Node::beside(&a, hasty(), Some(&nats)).await);
    let admin = a.admin().await;
    let store = a.enrolled("Riga").await;
    let bases = [&a.base, &b.base, &c.base];
    let mut lines = Vec::new();
    for turn in 0..30 {
        let (mut line, epoch) = store.at(bases[turn * 7 % 3]).connect_with(hello()).await;
        assert_eq!(epoch, turn as i64 + 1);
        if turn % 3 == 0 {
            // Some of them are cut before they hear that they were replaced.
            let _ = line.socket.send(Message::Close(None)).await;
        }
        lines.push(line);
    }
    let mut newest = lines.pop().unwrap();
    drop(lines);
    let mut later = report();
    later.report.pos_version = Some("34.9.9".into());
    newest.say(&ConnectorFrame::Report { report: later }).await;
    admin.when(&store, |status| status["pos"]["version"] == "34.9.9").await;
    let id = admin.started(&store, &json!({"kind": "diagnose"})).await;
    assert_eq!(newest.job().await.id, id);
    assert_eq!(admin.status(&store).await["link"]["state"], "online");
}

#[tokio::test]
async fn a_node_that_stops_sends_its_stores_elsewhere_one_after_the_other() {
    let a = Cloud::start().await;
    let b = Node::with_drain(&a, hasty(), None, Duration::from_secs(5)).await;
    let admin = a.admin().await;
    let mut stores = Vec::new();
    for name in ["One", "Two", "Three", "Four", "Five"] {
        let store = a.enrolled(name).await;
        let mut line = store.at(&b.base).connect().await;
        let ended = tokio::spawn(async move {
            let drain = line.hear().await;
            let code = line.closed().await;
            (drain, code, tokio::time::Instant::now())
        });
        stores.push((store, ended));
    }
    let (on_b, base) = (b.sign_in(ADMIN).await, b.base.clone());
    let begun = tokio::time::Instant::now();
    b.begin_stop();

    // It says so at once, and takes nobody in, but answers who asks.
    let readyz = reqwest::get(format!("{}/readyz", b.base)).await.unwrap();
    assert_eq!(readyz.status(), 503);
    let late = a.enrolled("Late").await.at(&b.base);
    let refused = late.open(&late.signer.token(chrono::Utc::now())).await.err().unwrap();
    assert_eq!(refused.problem(), (503, "unavailable"));
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    let me = on_b.get("/me").await;
    assert_eq!((me.status.as_u16(), me.header("connection")), (200, "close"));

    let mut ends = Vec::new();
    for (store, ended) in stores {
        let (drain, code, at) = timeout(SOON, ended).await.unwrap().unwrap();
        assert!(matches!(drain, CloudFrame::Drain { .. }), "{drain:?}");
        assert_eq!(code, close::RESTART);
        ends.push(at - begun);
        let status = admin.when(&store, link("unknown")).await;
        assert_eq!(status["link"]["cause"], Value::Null);
        let _line = store.connect().await;
        admin.when(&store, link("online")).await;
    }
    ends.sort();
    // Five seconds for five: each of them a second after the one before.
    for (turn, end) in (0_u32..).zip(&ends) {
        assert!(*end >= Duration::from_secs(1) * turn, "{ends:?}");
    }
    b.stopped().await;
    assert!(reqwest::get(format!("{base}/healthz")).await.is_err());
}

#[tokio::test]
async fn a_node_without_links_stops_at_once() {
    let a = Cloud::start().await;
    let b = Node::with_drain(&a, hasty(), None, Duration::from_hours(1)).await;
    let request = tokio::spawn({
        let admin = b.sign_in(ADMIN).await;
        async move { admin.get("/me").await.status }
    });
    assert_eq!(request.await.unwrap(), 200);
    b.begin_stop();
    b.stopped().await;
}

#[tokio::test]
async fn a_token_is_used_once_on_all_nodes_and_after_a_restart() {
    let a = Cloud::start().await;
    let b = Node::beside(&a, hasty(), None).await;
    let store = a.enrolled("Riga").await;
    let there = store.at(&b.base);
    let beat = async |base: &str, token: &str| {
        let http = reqwest::Client::new();
        let request = http.post(format!("{base}/api/v1/heartbeat")).bearer_auth(token);
        let body = json!({"connector_version": "0.1.0", "pos_answers": true});
        crate::support::answer(request.json(&body)).await
    };
    let now = chrono::Utc::now();
    let (once, linked) = (store.signer.token(now), store.signer.token(now));
    assert_eq!(beat(&a.base, &once).await.status, 204);
    assert_eq!(beat(&b.base, &once).await.problem(), (401, "unauthorized"));
    let mut line = store.open(&linked).await.unwrap();
    // Two that come at once with the same token: it begins one session.
    let mut twin = there.open(&linked).await.unwrap();
    line.say(&ConnectorFrame::Hello(hello())).await;
    line.welcome_or_close().await.unwrap();
    twin.say(&ConnectorFrame::Hello(hello())).await;
    assert_eq!(twin.welcome_or_close().await, Err(close::REPLACED_BY_NEWER_SESSION));
    assert_eq!(there.open(&linked).await.err().unwrap().problem(), (401, "unauthorized"));

    b.kill();
    let c = Node::beside(&a, hasty(), None).await;
    for token in [&once, &linked] {
        assert_eq!(beat(&c.base, token).await.problem(), (401, "unauthorized"));
    }
    let a = a.restart(hasty()).await;
    for token in [&once, &linked] {
        assert_eq!(beat(&a.base, token).await.problem(), (401, "unauthorized"));
    }
}

#[tokio::test]
async fn a_wish_to_cancel_reaches_a_store_of_another_node_without_nats() {
    let a = Cloud::with(hasty()).await;
    let b = Node::beside(&a, hasty(), None).await;
    let admin = a.admin().await;
    let store = a.enrolled("Riga").await.at(&b.base);
    let mut line = store.connect().await;
    let id = admin.started(&store, &json!({"kind": "diagnose"})).await;
    assert_eq!(line.job().await.id, id);
    line.say(&ConnectorFrame::JobAccepted { id }).await;
    admin.when_job(id, "in_progress").await;

    admin.cancel(id).await;
    // The job may have gone out twice before the store accepted it.
    while line.hear().await != (CloudFrame::Cancel { id }) {}
    let canceled = JobFinished { id, state: JobState::Canceled, result: None, error: None };
    line.say(&ConnectorFrame::JobFinished(canceled)).await;
    admin.when_job(id, "canceled").await;
}

#[tokio::test]
async fn wrong_passwords_are_counted_across_nodes() {
    let a = Cloud::with(hasty()).await;
    let b = Node::beside(&a, hasty(), None).await;
    a.add_user("anna@example.com", false).await;
    let at = async |base: &str, password: &str| {
        let body = json!({"email": "anna@example.com", "password": password});
        let request = reqwest::Client::new().post(format!("{base}/api/v1/sessions")).json(&body);
        crate::support::answer(request).await.status.as_u16()
    };
    for _ in 0..5 {
        assert_eq!(tokio::join!(at(&a.base, "a guess"), at(&b.base, "another guess")), (401, 401));
    }
    assert_eq!(tokio::join!(at(&a.base, PASSWORD), at(&b.base, PASSWORD)), (429, 429));
}

#[tokio::test]
async fn wrong_passwords_count_on_all_nodes_together_for_an_email_that_nobody_has_as_well() {
    let a = Cloud::start().await;
    let b = Node::beside(&a, hasty(), None).await;
    let http = reqwest::Client::new();
    let mut answers = Vec::new();
    for email in [ADMIN, "nobody@example.com"] {
        let guess = async |base: &str, password: &str| {
            let body = json!({"email": email, "password": password});
            answer(http.post(format!("{base}/api/v1/sessions")).json(&body)).await
        };
        let mut of_this = Vec::new();
        for turn in 0..14 {
            let base = if turn % 2 == 0 { &a.base } else { &b.base };
            // After ten wrong ones the right one, if there is one, is as good as any.
            let answer = guess(base, if turn < 12 { "a guess of mine" } else { PASSWORD }).await;
            let expected = if turn < 10 { (401, "invalid_credentials") } else { (429, "rate_limited") };
            assert_eq!(answer.problem(), expected, "try {turn} for {email}");
            of_this.push((answer.status, answer.body["title"].clone(), answer.body["detail"].clone()));
        }
        answers.push(of_this);
    }
    assert_eq!(answers[0], answers[1]);
}
