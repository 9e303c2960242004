//! Requests of third parties: asked of a real POS server, as far as the store allows.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method as HttpMethod, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use serde_json::{Value, json};
use tillwatch_connector::config::Config;
use tillwatch_connector::pos::{Control, Pos, ReportSource};
use tillwatch_protocol::ids::RelayId;
use tillwatch_protocol::link::MAX_FRAME_BYTES;
use tillwatch_protocol::link::frame::{CloudFrame, ConnectorFrame, RelayFailure, RelayOrder, RelayOutcome};
use tillwatch_protocol::relay::Method;
use tillwatch_protocol::rest::job::{JobSpec, JobState};
use tillwatch_protocol::rest::relay::RelayAnswer;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::cloud::{Cloud, Session};
use crate::soon;
use crate::store::Store;

/// What the POS server was asked.
type Asked = (HttpMethod, Uri, HeaderMap, Vec<u8>);

/// A POS server of a vendor with calls of its own.
#[derive(Clone, Default)]
struct Vendor {
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Lets slow answers go.
    go: Arc<Notify>,
}

impl Vendor {
    fn routes(&self) -> Router {
        let text = |text: &'static str| any(move || async move { text });
        Router::new()
            .route("/echo/{part}", any(echo))
            .route("/text", text("zwölf"))
            .route("/nothing", any(|| async { StatusCode::NO_CONTENT }))
            .route("/broken", any(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "broken") }))
            .route("/moved", any(|| async { Redirect::temporary("http://127.0.0.1:9/elsewhere") }))
            .route(
                "/picture",
                any(|| async { ([(header::CONTENT_TYPE, "image/png")], b"\x89PNG\r\n\x1a\n".to_vec()) }),
            )
            .route("/fits", any(|| async { axum::Json("x".repeat(MAX_FRAME_BYTES - 200)) }))
            .route("/large", any(|| async { axum::Json("x".repeat(MAX_FRAME_BYTES)) }))
            // Small on this side, large once it stands in a frame.
            .route("/quoted", any(|| async { "\"".repeat(MAX_FRAME_BYTES - 1000) }))
            .route("/slow/{part}", any(slow))
            .route("/secret", get(|| async { "secret" }))
            .with_state(self.clone())
    }
}

async fn echo(State(vendor): State<Vendor>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    vendor.asked.lock().unwrap().push((parts.method, parts.uri.clone(), parts.headers, body.to_vec()));
    axum::Json(json!({"path": parts.uri.to_string()})).into_response()
}

async fn slow(State(vendor): State<Vendor>, uri: Uri, _: Bytes) -> String {
    vendor.go.notified().await;
    uri.path().to_owned()
}

const ALLOWED: &[&str] = &[
    "GET /echo/*",
    "POST /echo/*",
    "GET /text",
    "DELETE /nothing",
    "GET /broken",
    "GET /moved",
    "GET /picture",
    "GET /fits",
    "GET /large",
    "GET /quoted",
    "GET /slow/*",
];

fn allow(rules: &[&str]) -> Config {
    let mut config = Config::default();
    config.relay.allow = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    config
}

/// A store of such a vendor, its connector running.
async fn running(cloud: &Cloud, rules: &[&str]) -> (Vendor, Store) {
    let vendor = Vendor::default();
    let mut store = Store::enroll_with(cloud, vendor.routes()).await;
    store.config = allow(rules);
    store.run();
    (vendor, store)
}

fn order(method: Method, path: &str) -> RelayOrder {
    RelayOrder { id: RelayId::new(), method, path: path.into(), body: None, timeout_ms: 20_000 }
}

async fn outcome(session: &mut Session, order: RelayOrder) -> RelayOutcome {
    let id = order.id;
    session.send(CloudFrame::Relay(order));
    answer(session, id).await
}

async fn answer(session: &mut Session, id: RelayId) -> RelayOutcome {
    session
        .find(|frame| match frame {
            ConnectorFrame::Relayed(relayed) if relayed.id == id => Some(relayed.outcome),
            _ => None,
        })
        .await
}

fn answered(status: u16, body: Option<Value>) -> RelayOutcome {
    RelayOutcome::Answered(RelayAnswer { status, body })
}

fn failed(error: RelayFailure) -> RelayOutcome {
    RelayOutcome::Failed { error }
}

#[tokio::test]
async fn the_pos_server_is_asked_and_nothing_from_outside_goes_along() {
    let mut cloud = Cloud::start().await;
    let (vendor, _store) = running(&cloud, ALLOWED).await;
    let (mut session, _) = cloud.welcome().await;

    let body = json!({"items": ["Soļanka", 7.5]});
    let path = "/echo/a%20b?x=%2e%2e/;&y";
    let asked = RelayOrder { body: Some(body.clone()), ..order(Method::Post, path) };
    assert_eq!(outcome(&mut session, asked).await, answered(200, Some(json!({"path": path}))));
    let (method, uri, headers, sent) = vendor.asked.lock().unwrap().pop().unwrap();
    assert_eq!((method, uri.to_string().as_str()), (HttpMethod::POST, path));
    assert_eq!(serde_json::from_slice::<Value>(&sent).unwrap(), body);
    let mut names: Vec<_> = headers.keys().map(header::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "content-length", "content-type", "host"]);

    for (method, path, expected) in [
        (Method::Get, "/text", answered(200, Some(json!("zwölf")))),
        (Method::Delete, "/nothing", answered(204, None)),
        (Method::Get, "/broken", answered(500, Some(json!("broken")))),
        (Method::Get, "/moved", answered(307, None)),
        (Method::Get, "/fits", answered(200, Some(json!("x".repeat(MAX_FRAME_BYTES - 200))))),
        (Method::Get, "/picture", failed(RelayFailure::RelayAnswerUnreadable)),
        (Method::Get, "/large", failed(RelayFailure::RelayAnswerTooLarge)),
        (Method::Get, "/quoted", failed(RelayFailure::RelayAnswerTooLarge)),
    ] {
        assert_eq!(outcome(&mut session, order(method, path)).await, expected, "{path}");
    }
}

#[tokio::test]
async fn what_the_store_does_not_list_never_reaches_the_pos_server() {
    let mut cloud = Cloud::start().await;
    let (vendor, _store) = running(&cloud, ALLOWED).await;
    let (mut session, _) = cloud.welcome().await;
    for (method, path) in [
        (Method::Get, "/secret"),
        (Method::Get, "/report"),
        (Method::Put, "/echo/1"),
        (Method::Get, "/echo"),
        (Method::Get, "/echo/1/2"),
        (Method::Get, "/ECHO/1"),
        (Method::Get, "/echo/../secret"),
        (Method::Get, "/echo/%2e%2e"),
        (Method::Get, "/echo/..%2Fsecret"),
        (Method::Get, "//echo/1"),
        (Method::Get, "http://127.0.0.1/echo/1"),
        (Method::Get, "@127.0.0.1/echo/1"),
        (Method::Get, "/echo/1\r\nHost: evil"),
        (Method::Get, "/echo/1#/secret"),
        (Method::Get, ""),
    ] {
        let refused = outcome(&mut session, order(method, path)).await;
        assert_eq!(refused, failed(RelayFailure::RelayRefused), "{path}");
    }
    assert!(vendor.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn without_a_list_nothing_is_allowed() {
    let mut cloud = Cloud::start().await;
    let (_vendor, _store) = running(&cloud, &[]).await;
    let (mut session, _) = cloud.welcome().await;
    for path in ["/", "/text", "/report"] {
        let refused = outcome(&mut session, order(Method::Get, path)).await;
        assert_eq!(refused, failed(RelayFailure::RelayRefused), "{path}");
    }
}

#[tokio::test]
async fn a_pos_server_that_is_silent_or_away_is_told_apart_from_one_that_refuses() {
    let mut cloud = Cloud::start().await;
    let mut store = Store::enroll(&cloud).await;
    store.config = allow(&["GET /slow/*"]);
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    store.run_with(Pos {
        source: ReportSource::Http(format!("http://{gone}").parse().unwrap()),
        control: Control::Hosted(store.pos.control.clone()),
        poll_every: Duration::from_mins(1),
    });
    let (mut session, _) = cloud.welcome().await;
    let away = outcome(&mut session, order(Method::Get, "/slow/1")).await;
    assert_eq!(away, failed(RelayFailure::VenueTimeout));
    drop(store);

    let (_vendor, _store) = running(&cloud, ALLOWED).await;
    let (mut session, _) = cloud.welcome().await;
    let brief = RelayOrder { timeout_ms: 200, ..order(Method::Get, "/slow/1") };
    assert_eq!(outcome(&mut session, brief).await, failed(RelayFailure::VenueTimeout));
}

#[tokio::test]
async fn many_at_once_are_bounded_and_leave_jobs_alone() {
    let mut cloud = Cloud::start().await;
    let (vendor, _store) = running(&cloud, ALLOWED).await;
    let (mut session, _) = cloud.welcome().await;
    let waiting: Vec<_> = (0..16).map(|number| order(Method::Get, &format!("/slow/{number}"))).collect();
    for order in &waiting {
        session.send(CloudFrame::Relay(order.clone()));
    }
    let one_more = outcome(&mut session, order(Method::Get, "/text")).await;
    assert_eq!(one_more, failed(RelayFailure::Busy));
    let job = session.order(JobSpec::ExchangeNow {});
    assert_eq!(session.finished(job.id).await.state, JobState::Succeeded);

    let mut left: Vec<_> = waiting.iter().map(|order| (order.id, order.path.clone())).collect();
    let everything = async {
        while !left.is_empty() {
            vendor.go.notify_waiters();
            let answer = session.find(|frame| match frame {
                ConnectorFrame::Relayed(relayed) => Some(relayed),
                _ => None,
            });
            let Ok(relayed) = tokio::time::timeout(Duration::from_millis(50), answer).await else { continue };
            let at = left.iter().position(|(id, _)| *id == relayed.id).unwrap();
            let (_, path) = left.remove(at);
            assert_eq!(relayed.outcome, answered(200, Some(json!(path))));
        }
    };
    soon("the slow answers", everything).await;
    assert_eq!(outcome(&mut session, order(Method::Get, "/text")).await, answered(200, Some(json!("zwölf"))));
}

#[tokio::test]
async fn an_answer_that_comes_after_the_session_goes_to_nobody() {
    let mut cloud = Cloud::start().await;
    let (vendor, _store) = running(&cloud, ALLOWED).await;
    let (session, _) = cloud.welcome().await;
    session.send(CloudFrame::Relay(order(Method::Get, "/slow/old")));
    session.cut();
    let (mut session, _) = cloud.welcome().await;
    let next = order(Method::Get, "/slow/new");
    let id = next.id;
    session.send(CloudFrame::Relay(next));
    let first = async {
        loop {
            vendor.go.notify_waiters();
            let answer = session.find(|frame| match frame {
                ConnectorFrame::Relayed(relayed) => Some(relayed),
                _ => None,
            });
            if let Ok(relayed) = tokio::time::timeout(Duration::from_millis(50), answer).await {
                return relayed;
            }
        }
    };
    assert_eq!(soon("an answer", first).await.id, id, "the old one has nobody to go to");
}
