//! Requests of third parties: to a store and back, and everything that may come between.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use chrono::Utc;
use reqwest::Method;
use serde_json::{Value, json};
use tillwatch_cloud::admin::{self, TokenScopeName};
use tillwatch_cloud::config::Limits;
use tillwatch_protocol::ids::RelayId;
use tillwatch_protocol::link::MAX_FRAME_BYTES;
use tillwatch_protocol::link::frame::{
    CloudFrame, ConnectorFrame, RelayFailure, RelayOrder, RelayOutcome, Relayed,
};
use tillwatch_protocol::rest::relay::RelayAnswer;
use tillwatch_protocol::rest::session::Permission;

use crate::support::{Answer, Cloud, Line, TestStore, answer, hasty};

/// A third party's program.
#[derive(Clone)]
pub(crate) struct Integrator {
    base: String,
    token: String,
    http: reqwest::Client,
}

impl Integrator {
    /// The same program, which asks another node.
    pub(crate) fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    fn new(cloud: &Cloud, token: String) -> Self {
        Self { base: cloud.base.clone(), token, http: reqwest::Client::new() }
    }

    pub(crate) async fn ask(&self, store: &TestStore, body: &Value) -> Answer {
        let path = format!("/pos-servers/{}/relay", store.identity.pos_server_id);
        self.call(Method::POST, &path, body).await
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Answer {
        let url = format!("{}/api/v1{path}", self.base);
        answer(self.http.request(method, url).bearer_auth(&self.token).json(body)).await
    }
}

async fn integrator(cloud: &Cloud, name: &str, scope: TokenScopeName) -> Integrator {
    let (_, token) =
        admin::add_token(&cloud.store, name, &scope, Permission::Relay, Utc::now()).await.unwrap();
    assert!(token.starts_with("tws_"));
    Integrator::new(cloud, token)
}

pub(crate) async fn at(cloud: &Cloud, store: &TestStore) -> Integrator {
    let scope = TokenScopeName::PosServer(store.identity.pos_server_id.to_string());
    integrator(cloud, &format!("At {}", store.identity.pos_server_id), scope).await
}

pub(crate) async fn asked(line: &mut Line) -> RelayOrder {
    match line.hear().await {
        CloudFrame::Relay(order) => order,
        other => panic!("{other:?} is no request"),
    }
}

pub(crate) async fn reply(line: &mut Line, id: RelayId, outcome: RelayOutcome) {
    line.say(&ConnectorFrame::Relayed(Relayed { id, outcome })).await;
}

pub(crate) fn answered(status: u16, body: Value) -> RelayOutcome {
    RelayOutcome::Answered(RelayAnswer { status, body: Some(body) })
}

pub(crate) fn balance() -> Value {
    json!({"method": "GET", "path": "/guest-accounts/1"})
}

#[tokio::test]
async fn a_request_goes_to_the_store_and_its_answer_comes_back() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let integrator = at(&cloud, &store).await;
    let mut line = store.connect().await;

    let body = json!({"items": [{"name": "Soļanka", "price": "7.50"}]});
    let request = json!({"method": "POST", "path": "/%6Frders?table=5", "body": body, "timeout_ms": 20_000});
    let asking = integrator.ask(&store, &request);
    let answering = async {
        let order = asked(&mut line).await;
        assert_eq!(
            (order.method.as_str(), &*order.path, order.timeout_ms),
            ("POST", "/orders?table=5", 20_000)
        );
        assert_eq!(order.body.as_ref(), Some(&body));
        reply(&mut line, order.id, answered(409, json!({"why": "closed"}))).await;
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!(answer.status, 200, "what the POS server says of the request is no failure of the relay");
    assert_eq!(answer.body, json!({"status": 409, "body": {"why": "closed"}}));
}

#[tokio::test]
async fn answers_find_who_asked_whatever_their_order() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let integrator = at(&cloud, &store).await;
    let mut line = store.connect().await;
    let ask = |number: usize| {
        let (integrator, store) = (integrator.clone(), store.clone());
        async move {
            let path = format!("/guest-accounts/{number}");
            integrator.ask(&store, &json!({"method": "GET", "path": path})).await.body["body"].clone()
        }
    };
    let answering = async {
        let mut orders = Vec::new();
        for _ in 0..20 {
            orders.push(asked(&mut line).await);
        }
        orders.reverse();
        for order in orders {
            reply(&mut line, order.id, answered(200, json!(order.path))).await;
        }
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all((0..20).map(ask)), answering);
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer, &json!(format!("/guest-accounts/{number}")));
    }
}

#[tokio::test]
async fn a_store_without_a_link_is_offline_at_once() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let integrator = at(&cloud, &store).await;
    let never = integrator.ask(&store, &balance()).await;
    assert_eq!(never.problem(), (409, "venue_offline"));
    assert_eq!(never.body["link"]["state"], "never_connected");
    assert_eq!(never.body["sent"], false);

    let admin = cloud.admin().await;
    store.connect().await.close(1001).await;
    admin.when(&store, |status| status["link"]["state"] == "offline").await;
    let began = Instant::now();
    let gone = integrator.ask(&store, &json!({"method": "GET", "path": "/x", "timeout_ms": 30_000})).await;
    assert_eq!(gone.problem(), (409, "venue_offline"));
    assert_eq!(gone.body["link"]["cause"], "service_stopped");
    assert!(began.elapsed() < Duration::from_secs(15), "it was not waited for");
}

#[tokio::test]
async fn a_link_that_ends_meanwhile_says_so_at_once() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let integrator = at(&cloud, &store).await;
    let mut line = store.connect().await;
    let request = json!({"method": "GET", "path": "/x", "timeout_ms": 30_000});
    let asking = integrator.ask(&store, &request);
    let ending = async {
        asked(&mut line).await;
        drop(line);
    };
    let began = Instant::now();
    let (lost, ()) = tokio::join!(asking, ending);
    assert_eq!(lost.problem(), (409, "venue_offline"));
    assert_eq!(lost.body["sent"], true, "{}", lost.body);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_silent_store_times_out_and_its_late_answer_reaches_nobody() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let integrator = at(&cloud, &store).await;
    let mut line = store.connect().await;

    let request = json!({"method": "GET", "path": "/guest-accounts/1", "timeout_ms": 300});
    let began = Instant::now();
    let silent = integrator.ask(&store, &request).await;
    assert_eq!(silent.problem(), (409, "venue_timeout"));
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());

    let late = asked(&mut line).await;
    let request = json!({"method": "GET", "path": "/guest-accounts/2"});
    let asking = integrator.ask(&store, &request);
    let answering = async {
        let next = asked(&mut line).await;
        reply(&mut line, late.id, answered(200, json!("late"))).await;
        reply(&mut line, RelayId::new(), answered(200, json!("never asked for"))).await;
        reply(&mut line, next.id, answered(200, json!("in time"))).await;
        reply(&mut line, next.id, answered(200, json!("twice"))).await;
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!(answer.body["body"], "in time");
    let admin = cloud.admin().await;
    assert_eq!(admin.status(&store).await["link"]["state"], "online", "none of it did the link harm");
}

#[tokio::test]
async fn what_the_store_makes_of_a_request_has_a_code() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let integrator = at(&cloud, &store).await;
    let mut line = store.connect().await;
    for (error, problem) in [
        (RelayFailure::RelayRefused, (403, "relay_refused")),
        (RelayFailure::VenueTimeout, (409, "venue_timeout")),
        (RelayFailure::RelayAnswerTooLarge, (502, "relay_answer_too_large")),
        (RelayFailure::RelayAnswerUnreadable, (502, "relay_answer_unreadable")),
        (RelayFailure::Busy, (429, "rate_limited")),
    ] {
        let request = balance();
        let asking = integrator.ask(&store, &request);
        let answering = async {
            let order = asked(&mut line).await;
            reply(&mut line, order.id, RelayOutcome::Failed { error }).await;
        };
        let (answer, ()) = tokio::join!(asking, answering);
        assert_eq!(answer.problem(), problem);
    }
    // A connector of the future.
    let request = balance();
    let asking = integrator.ask(&store, &request);
    let answering = async {
        let id = asked(&mut line).await.id;
        line.say_text(&format!(r#"{{"type":"relayed","id":"{id}","error":"moon_too_close"}}"#)).await;
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!(answer.problem(), (403, "relay_refused"));
}

#[tokio::test]
async fn requests_that_can_not_be_are_refused_before_the_store_hears_of_them() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let integrator = at(&cloud, &store).await;
    let mut line = store.connect().await;
    for (request, field) in [
        (json!({"method": "GET", "path": "guests"}), "path"),
        (json!({"method": "GET", "path": "/guest-accounts/../report"}), "path"),
        (json!({"method": "GET", "path": "/guest-accounts/%2e%2e/report"}), "path"),
        (json!({"method": "GET", "path": "//evil.example/"}), "path"),
        (json!({"method": "GET", "path": "/a%00"}), "path"),
        (json!({"method": "GET", "path": "/a", "body": {}}), "body"),
        (json!({"method": "GET", "path": "/a", "timeout_ms": 0}), "timeout_ms"),
        (json!({"method": "GET", "path": "/a", "timeout_ms": 30_001}), "timeout_ms"),
        (json!({"method": "GET", "path": "/a", "timeout_ms": -1}), "timeout_ms"),
        (json!({"method": "get", "path": "/a"}), "method"),
        (json!({"method": "CONNECT", "path": "/a"}), "method"),
        (json!({"method": "GET", "path": "/a", "headers": {"Host": "b"}}), "headers"),
    ] {
        let refused = integrator.ask(&store, &request).await;
        assert_eq!(refused.problem(), (422, "invalid_request"), "{request}");
        assert_eq!(refused.body["errors"][0]["field"], field, "{request}: {}", refused.body);
    }
    let large = json!({"method": "POST", "path": "/a", "body": "x".repeat(MAX_FRAME_BYTES - 50)});
    assert_eq!(integrator.ask(&store, &large).await.problem(), (413, "payload_too_large"));
    let huge = json!({"method": "POST", "path": "/a", "body": "x".repeat(4 * MAX_FRAME_BYTES)});
    assert_eq!(integrator.ask(&store, &huge).await.problem(), (413, "payload_too_large"));

    // What just fits is sent, and nothing before it was.
    let text = "x".repeat(MAX_FRAME_BYTES - 200);
    let request = json!({"method": "POST", "path": "/fits", "body": text});
    let asking = integrator.ask(&store, &request);
    let answering = async {
        let order = asked(&mut line).await;
        assert_eq!(
            (&*order.path, order.body.as_ref().unwrap().as_str().unwrap().len()),
            ("/fits", text.len())
        );
        reply(&mut line, order.id, answered(200, json!(text))).await;
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!(answer.body["body"], json!(text));
}

#[tokio::test]
async fn a_token_reaches_its_stores_and_nothing_else() {
    let cloud = Cloud::start().await;
    let (riga, liepaja) = (cloud.enrolled("Riga").await, cloud.enrolled("Liepaja").await);
    let (mut at_riga, mut at_liepaja) = (riga.connect().await, liepaja.connect().await);
    let one = at(&cloud, &riga).await;
    let all = integrator(&cloud, "Everywhere", TokenScopeName::Chain("Pizza".into())).await;
    let mut file = "chain,outlet,crm_id,address,time_zone,pos_server\n".to_owned();
    file.push_str("Burger,Tartu,1,,Europe/Tallinn,Main\n");
    let foreign = admin::import_fleet(&cloud.store, file.as_bytes(), Utc::now()).await.unwrap().remove(0);

    let refused = one.ask(&liepaja, &balance()).await;
    assert_eq!(refused.problem(), (404, "not_found"));
    let elsewhere = format!("/pos-servers/{}/relay", foreign.pos_server_id);
    assert_eq!(all.call(Method::POST, &elsewhere, &balance()).await.problem(), (404, "not_found"));
    assert_eq!(
        all.call(Method::POST, "/pos-servers/x/relay", &balance()).await.problem(),
        (404, "not_found")
    );
    for (integrator, store) in [(&one, &riga), (&all, &riga), (&all, &liepaja)] {
        let line = if store.code == riga.code { &mut at_riga } else { &mut at_liepaja };
        let request = balance();
        let asking = integrator.ask(store, &request);
        let answering = async {
            let order = asked(line).await;
            reply(line, order.id, answered(200, json!(1))).await;
        };
        let (answer, ()) = tokio::join!(asking, answering);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    let path = format!("/pos-servers/{}", riga.identity.pos_server_id);
    let body = json!({"kind": "exchange_now"});
    for (method, path) in [
        (Method::GET, "/me".to_owned()),
        (Method::GET, "/pos-servers".to_owned()),
        (Method::GET, path.clone()),
        (Method::POST, format!("{path}/jobs")),
        (Method::GET, "/jobs".to_owned()),
        (Method::GET, "/outlets".to_owned()),
        (Method::GET, "/events".to_owned()),
        (Method::GET, "/sessions".to_owned()),
        (Method::POST, "/heartbeat".to_owned()),
        (Method::POST, "/exchange".to_owned()),
        (Method::POST, "/uploads".to_owned()),
    ] {
        assert_eq!(all.call(method.clone(), &path, &body).await.problem(), (401, "unauthorized"), "{path}");
    }
    for token in ["", "tws_", "tws_unknown", &one.token[..20], &one.token.replace("tws_", "")] {
        let stranger = Integrator::new(&cloud, token.to_owned());
        assert_eq!(stranger.ask(&riga, &balance()).await.problem(), (401, "unauthorized"), "{token}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_within_a_second() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let integrator = at(&cloud, &store).await;
    let name = format!("At {}", store.identity.pos_server_id);
    assert_eq!(integrator.ask(&store, &balance()).await.problem(), (409, "venue_offline"));
    let listed = admin::list_tokens(&cloud.store).await.unwrap().remove(0);
    assert_eq!((&*listed.name, listed.revoked_at), (&*name, None));

    // As the command line does, in a process of its own: this one may remember that the token was good.
    admin::revoke_token(&cloud.store, &name, Utc::now()).await.unwrap();
    let revoked = Instant::now();
    while integrator.ask(&store, &balance()).await.status != 401 {
        assert!(revoked.elapsed() < Duration::from_secs(2), "it is still good");
    }
    let again = admin::revoke_token(&cloud.store, &name, Utc::now()).await;
    assert!(again.is_err());
    assert!(admin::list_tokens(&cloud.store).await.unwrap()[0].revoked_at.is_some());
    // Its name is free again, and it stays revoked.
    let another = at(&cloud, &store).await;
    assert_eq!(integrator.ask(&store, &balance()).await.problem(), (401, "unauthorized"));

    // Revoked through this process, it is not good for a moment longer.
    assert_eq!(another.ask(&store, &balance()).await.problem(), (409, "venue_offline"));
    let id = admin::list_tokens(&cloud.store).await.unwrap()[0].id;
    let admin = cloud.admin().await;
    let revoked = admin.request(Method::DELETE, &format!("/admin/service-tokens/{id}"));
    assert_eq!(answer(revoked).await.status, 204);
    assert_eq!(another.ask(&store, &balance()).await.problem(), (401, "unauthorized"));
}

#[tokio::test]
async fn it_is_noted_that_a_token_is_in_use_but_not_each_time() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let integrator = at(&cloud, &store).await;
    let used = || async { admin::list_tokens(&cloud.store).await.unwrap()[0].last_used_at };
    assert_eq!(used().await, None);
    integrator.ask(&store, &balance()).await;
    let noted = async {
        loop {
            if let Some(at) = used().await {
                return at;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let first = tokio::time::timeout(crate::support::SOON, noted).await.unwrap();
    integrator.ask(&store, &balance()).await;
    integrator.ask(&store, &balance()).await;
    assert_eq!(used().await, Some(first));
}

#[tokio::test]
async fn users_need_the_permission() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    for (email, permission, problem) in [
        ("sees@example.com", Some(Permission::OutletSetup), (403, "permission_denied")),
        ("asks@example.com", Some(Permission::Relay), (409, "venue_offline")),
        ("nobody@example.com", None, (404, "not_found")),
    ] {
        cloud.add_user(email, false).await;
        if let Some(permission) = permission {
            cloud.grant(email, "Riga", permission).await;
        }
        let user = cloud.sign_in(email).await;
        let path = format!("/pos-servers/{}/relay", store.identity.pos_server_id);
        let refused = user.send(Method::POST, &path, &balance()).await;
        assert_eq!(refused.problem(), problem, "{email}");
    }
}

#[tokio::test]
async fn too_many_requests_are_told_to_wait() {
    let limits = Limits { relays_by_caller: NonZeroU32::new(3).unwrap(), ..Limits::default() };
    let cloud = Cloud::limited(hasty(), limits).await;
    let store = cloud.enrolled("Riga").await;
    let integrator = at(&cloud, &store).await;
    let mut problems = Vec::new();
    for _ in 0..12 {
        let refused = integrator.ask(&store, &balance()).await;
        if refused.problem() == (429, "rate_limited") {
            assert_eq!(refused.header("retry-after"), "1");
        }
        problems.push(refused.problem().0);
    }
    assert_eq!(problems[..3], [409, 409, 409]);
    assert!(problems.contains(&429), "{problems:?}");
    let other = integrator_for_chain(&cloud).await;
    assert_eq!(other.ask(&store, &balance()).await.problem(), (409, "venue_offline"), "others go on");
}

async fn integrator_for_chain(cloud: &Cloud) -> Integrator {
    integrator(cloud, "Another", TokenScopeName::Chain("Pizza".into())).await
}

#[tokio::test]
async fn a_store_that_has_enough_to_answer_is_left_alone_until_somebody_gives_up() {
    let cloud = Cloud::start().await;
    let store = cloud.enrolled("Riga").await;
    let integrator = at(&cloud, &store).await;
    let mut line = store.connect().await;
    let patient = json!({"method": "GET", "path": "/slow", "timeout_ms": 30_000});
    let mut waiting = Vec::new();
    for _ in 0..32 {
        let (integrator, store, patient) = (integrator.clone(), store.clone(), patient.clone());
        waiting.push(tokio::spawn(async move { integrator.ask(&store, &patient).await }));
        asked(&mut line).await;
    }
    let refused = integrator.ask(&store, &balance()).await;
    assert_eq!(refused.problem(), (429, "rate_limited"));
    assert_eq!(refused.header("retry-after"), "1");

    // A caller that hangs up gives its place to the next.
    waiting.pop().unwrap().abort();
    let next = async {
        loop {
            let answer = integrator.ask(&store, &balance()).await;
            if answer.status == 200 {
                return answer;
            }
            assert_eq!(answer.problem(), (429, "rate_limited"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answering = async {
        let order = asked(&mut line).await;
        reply(&mut line, order.id, answered(200, json!("at last"))).await;
    };
    let (answer, ()) = tokio::join!(tokio::time::timeout(crate::support::SOON, next), answering);
    assert_eq!(answer.unwrap().body["body"], "at last");
}
