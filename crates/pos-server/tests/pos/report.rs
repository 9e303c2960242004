//! The loopback interface as a connector, a till and a web page would use it.

use serde_json::{Value, json};
use tillwatch_pos_server::{Options, RunError, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::cloud::{self, Cloud};
use crate::store::Store;

/// Sends a request as written, and gives status and body.
async fn raw(url: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(request.replace('\n', "\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn the_report_has_the_shape_that_connectors_read() {
    let cloud = Cloud::start().await;
    let store = Store::enrolled(&cloud);
    let pos = store.start().await;
    pos.exchange().await;
    let (status, body) = raw(&pos.url, "GET /report HTTP/1.1\nHost: localhost\nConnection: close\n\n").await;
    assert_eq!(status, 200);
    let report: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(report["pos_version"], "34.6.0");
    assert_eq!(report["exchange"]["error"], Value::Null);
    assert_eq!(report["database"]["unsent_transactions"], 0);
    for time in [
        &report["version_updated_at"],
        &report["exchange"]["last_success_at"],
        &report["exchange"]["last_attempt_at"],
        &report["database"]["created_at"],
    ] {
        assert!(time.as_str().unwrap().ends_with('Z'), "{report}");
    }
    assert!(report["database"]["size_bytes"].as_u64().unwrap() > 0);
    pos.stop().await;
}

#[tokio::test]
async fn only_programs_of_this_machine_are_answered() {
    let store = Store::new();
    let pos = store.start().await;
    let json = "Content-Type: application/json\nContent-Length: 2\n\n{}";
    for (request, status, code) in [
        ("GET /report HTTP/1.1\nHost: evil.example\nConnection: close\n\n".into(), 403, "permission_denied"),
        (
            "POST /exchange HTTP/1.1\nHost: 127.0.0.1\nOrigin: https://evil.example\nConnection: close\n\n".into(),
            403,
            "permission_denied",
        ),
        (
            "POST /transactions HTTP/1.1\nHost: 127.0.0.1\nConnection: close\nContent-Type: text/plain\nContent-Length: 2\n\n{}"
                .into(),
            415,
            "unsupported_media_type",
        ),
        (
            "POST /transactions HTTP/1.1\nHost: 127.0.0.1\nConnection: close\nContent-Length: 2\n\n{}".into(),
            415,
            "unsupported_media_type",
        ),
        (format!("POST /transactions HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n{json}"), 422, "invalid_request"),
        ("GET /secrets HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n".into(), 404, "not_found"),
        ("DELETE /report HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n".into(), 405, "method_not_allowed"),
    ] {
        let (got, body) = raw(&pos.url, &request).await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((got, &problem["code"]), (status, &json!(code)), "{request}");
        assert!(problem["request_id"].is_string());
    }
    pos.stop().await;
}

#[tokio::test]
async fn transactions_are_checked() {
    let cloud = Cloud::start().await;
    cloud.fill(1);
    let store = Store::enrolled(&cloud);
    let pos = store.start().await;
    pos.exchange().await;
    let account = json!(cloud::ACCOUNT);
    for (body, status, code) in [
        (
            json!({"guest_account_id": uuid::Uuid::new_v4(), "amount": "1.00", "reason": "Lunch"}),
            404,
            "not_found",
        ),
        (json!({"guest_account_id": account, "amount": "1.001", "reason": "Lunch"}), 422, "invalid_request"),
        (json!({"guest_account_id": account, "amount": "0", "reason": "Lunch"}), 422, "invalid_request"),
        (json!({"guest_account_id": account, "amount": "1.00", "reason": "  "}), 422, "invalid_request"),
        (
            json!({"guest_account_id": account, "amount": "1.00", "reason": "two\nlines"}),
            422,
            "invalid_request",
        ),
        (
            json!({"guest_account_id": account, "amount": "1.00", "reason": "x".repeat(201)}),
            422,
            "invalid_request",
        ),
        (json!({"guest_account_id": account, "amount": "1.00"}), 422, "invalid_request"),
        (
            json!({"guest_account_id": account, "amount": "1.00", "reason": "Lunch", "more": 1}),
            422,
            "invalid_request",
        ),
        (
            json!({"guest_account_id": account, "amount": "1.00", "reason": "x".repeat(70_000)}),
            413,
            "payload_too_large",
        ),
    ] {
        let (got, problem) = pos.post(&body).await;
        assert_eq!((got, &problem["code"]), (status, &json!(code)), "{body}");
    }
    assert_eq!(pos.report().await.database.unsent_transactions, Some(0));
    pos.transact("12.50").await;
    assert_eq!(pos.report().await.database.unsent_transactions, Some(1));
    pos.stop().await;
}

#[tokio::test]
async fn a_client_that_never_finishes_does_not_keep_it_from_stopping() {
    let store = Store::new();
    let pos = store.start().await;
    pos.report().await;
    let mut stuck = TcpStream::connect(pos.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = "POST /transactions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    stuck.write_all(format!("{head}Content-Length: 99\r\n\r\n{{").as_bytes()).await.unwrap();
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(10), pos.stop());
    stopped.await.expect("it stops in time");
}

#[tokio::test]
async fn it_reports_on_loopback_only() {
    let store = Store::new();
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let options =
        Options { data_dir: store.dir.path().to_owned(), cloud: None, pos_version: "34.6.0".into() };
    let refused = run(options, listener, CancellationToken::new()).await;
    assert!(matches!(refused, Err(RunError::NotLoopback(_))), "{refused:?}");
}
