//! Requests of third parties for a store whose link another node holds.

use std::time::Duration;

use futures_util::FutureExt;
use serde_json::json;
use tillwatch_cloud::config::Patience;
use tillwatch_protocol::link::frame::{RelayFailure, RelayOutcome};

use crate::cluster::{Nats, Node};
use crate::relay::{answered, asked, at, balance, reply};
use crate::support::{Cloud, SOON, hasty};

#[tokio::test]
async fn a_store_on_another_node_is_asked_over_nats() {
    let mut nats = Nats::start().await;
    let cloud = Cloud::with_nats(hasty(), nats.url.clone()).await;
    let other = Node::beside(&cloud, hasty(), Some(&nats)).await;
    let store = cloud.enrolled("Riga").await;
    let here = at(&cloud, &store).await;
    let there = here.at(&other.base);
    let mut line = store.connect().await;
    // Until both have found NATS.
    let found = async {
        loop {
            let request = json!({"method": "GET", "path": "/found", "timeout_ms": 300});
            if there.ask(&store, &request).await.problem() == (409, "venue_timeout") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let heard = async {
        let order = asked(&mut line).await;
        assert_eq!(order.path, "/found");
    };
    let ((), ()) = tokio::join!(tokio::time::timeout(SOON, found).map(Result::unwrap), heard);

    let text = "\"".repeat(20_000);
    for (outcome, expected) in [
        (answered(200, json!({"balance": "12.50", "note": text})), (200, "")),
        (RelayOutcome::Failed { error: RelayFailure::RelayRefused }, (403, "relay_refused")),
    ] {
        let request = json!({"method": "POST", "path": "/found", "body": text, "timeout_ms": 20_000});
        let asking = there.ask(&store, &request);
        let answering = async {
            loop {
                let order = asked(&mut line).await;
                if order.body.is_some() {
                    return reply(&mut line, order.id, outcome).await;
                }
            }
        };
        let (answer, ()) = tokio::join!(asking, answering);
        assert_eq!(answer.problem(), expected, "{}", answer.body);
        if expected.0 == 200 {
            assert_eq!(answer.body["body"], json!({"balance": "12.50", "note": text}), "the answer is whole");
        }
    }

    // A link that ends meanwhile is told from there.
    let request = json!({"method": "GET", "path": "/x", "timeout_ms": 30_000});
    let asking = there.ask(&store, &request);
    let ending = async {
        asked(&mut line).await;
        drop(line);
    };
    let (lost, ()) = tokio::join!(asking, ending);
    assert_eq!((lost.problem(), &lost.body["sent"]), ((409, "venue_offline"), &json!(true)));

    // Without NATS there is no way to the other node, which is said at once; here it goes on.
    let mut line = store.connect().await;
    nats.stop();
    let away = async {
        loop {
            let request = json!({"method": "GET", "path": "/x", "timeout_ms": 300});
            let refused = there.ask(&store, &request).await;
            if refused.problem() == (503, "unavailable") {
                return refused;
            }
            assert_eq!(refused.problem().0, 409, "{}", refused.body);
        }
    };
    let away = tokio::time::timeout(SOON, away).await.unwrap();
    assert_eq!(away.header("retry-after"), "1");
    let request = balance();
    let asking = here.ask(&store, &request);
    let answering = async {
        loop {
            let order = asked(&mut line).await;
            if order.path == "/guest-accounts/1" {
                return reply(&mut line, order.id, answered(200, json!("here"))).await;
            }
        }
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!(answer.body["body"], "here");
}

#[tokio::test]
async fn a_store_whose_node_has_just_died_is_offline_at_once() {
    let nats = Nats::start().await;
    // Nobody buries the dead node: what is asked meanwhile has to show by itself.
    let patience = Patience { renew_every: Duration::from_hours(1), ..hasty() };
    let cloud = Cloud::with_nats(patience.clone(), nats.url.clone()).await;
    let other = Node::beside(&cloud, patience, Some(&nats)).await;
    let store = cloud.enrolled("Riga").await;
    let here = at(&cloud, &store).await;
    let there = store.at(&other.base);
    let mut line = there.connect().await;
    let request = json!({"method": "GET", "path": "/found", "timeout_ms": 300});
    // Until both have found NATS.
    let found = async {
        while here.ask(&store, &request).await.problem() != (409, "venue_timeout") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ((), order) = tokio::join!(tokio::time::timeout(SOON, found).map(Result::unwrap), asked(&mut line));
    assert_eq!(order.path, "/found");

    other.kill();
    let offline = async {
        loop {
            let answer = here.ask(&store, &request).await;
            // NATS may not have seen it yet.
            if answer.problem() != (409, "venue_timeout") {
                return answer;
            }
        }
    };
    let offline = tokio::time::timeout(SOON, offline).await.unwrap();
    assert_eq!(offline.problem(), (409, "venue_offline"));
    assert_eq!((&offline.body["sent"], &offline.body["link"]["state"]), (&json!(false), &json!("unknown")));
}
