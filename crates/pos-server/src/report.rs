//! The loopback HTTP interface: the report that the connector reads, exchanges on demand, transactions, and
//! what third parties ask about guests.
//!
//! Only programs of this machine may use it. A browser is none of them: requests that name another host
//! (DNS rebinding) or an origin are refused, and so is any body but JSON.

mod guests;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Value, json};
use tillwatch_protocol::error::{ErrorCode, FieldError, Problem};
use tillwatch_protocol::exchange::{Amount, Transaction};
use tillwatch_protocol::report::Report;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::database::{Database, DatabaseError};
use crate::exchange::Ask;
use crate::log::PosLog;
use crate::state::StateFile;

/// A transaction is small.
const MAX_BODY_BYTES: usize = 64 << 10;
/// How long a transaction's reason may be, in characters.
const MAX_REASON_CHARS: usize = 200;

/// How long a stop waits for requests that have begun: a client may never finish its own.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// What the interface answers from.
#[derive(Clone)]
pub struct Reporter {
    /// The POS database.
    pub database: Database,
    /// What outlives it.
    pub state: Arc<StateFile>,
    /// Asks for an exchange.
    pub ask: mpsc::Sender<Ask>,
    /// Where transactions are noted.
    pub log: PosLog,
}

impl Reporter {
    /// The report as of now.
    pub async fn report(&self) -> Report {
        let database = self.database.clone();
        let facts = tokio::task::spawn_blocking(move || database.facts()).await.unwrap_or_default();
        let state = self.state.get();
        Report {
            pos_version: Some(state.pos_version),
            version_updated_at: Some(state.version_updated_at),
            exchange: state.exchange,
            database: facts,
        }
    }
}

/// Serves the interface until `shutdown`. Requests that have begun are answered, for a while.
pub async fn serve(
    listener: TcpListener,
    reporter: Reporter,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let serving =
        axum::serve(listener, router(reporter)).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let given_up = async {
        shutdown.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        served = serving.into_future() => served,
        () = given_up => Ok(()),
    }
}

fn router(reporter: Reporter) -> Router {
    Router::new()
        .route("/report", get(report))
        .route("/exchange", post(exchange))
        .route("/transactions", post(keep_transaction))
        .route("/guest-accounts/{id}", get(guests::account))
        .route("/guests", get(guests::guest))
        .fallback(async || {
            let calls =
                "GET /report, POST /exchange, POST /transactions, GET /guest-accounts/{id} and GET /guests";
            Refused::new(ErrorCode::NotFound, format!("There is {calls}."))
        })
        .method_not_allowed_fallback(async || {
            Refused::new(ErrorCode::MethodNotAllowed, "This path takes another method.")
        })
        .layer(middleware::from_fn(only_this_machine))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(reporter)
}

async fn report(State(reporter): State<Reporter>) -> Json<Report> {
    Json(reporter.report().await)
}

async fn exchange(State(reporter): State<Reporter>) -> Result<Json<Report>, Refused> {
    let stopping = || Refused::new(ErrorCode::Unavailable, "The POS server is stopping.");
    let (done, exchanged) = oneshot::channel();
    reporter.ask.send(done).await.map_err(|_| stopping())?;
    exchanged.await.map_err(|_| stopping())?;
    Ok(Json(reporter.report().await))
}

/// `POST /transactions`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTransaction {
    guest_account_id: Uuid,
    amount: Amount,
    reason: String,
}

async fn keep_transaction(
    State(reporter): State<Reporter>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<(StatusCode, Json<Transaction>), Refused> {
    if !is_json(&headers) {
        return Err(Refused::new(ErrorCode::UnsupportedMediaType, "Send application/json."));
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Refused::new(ErrorCode::PayloadTooLarge, "A transaction takes 64 KiB at most.")
        }
        _ => Refused::new(ErrorCode::MalformedBody, "The body did not arrive whole."),
    })?;
    let new: NewTransaction = serde_json::from_slice(&body).map_err(|error| {
        let code = if error.is_data() { ErrorCode::InvalidRequest } else { ErrorCode::MalformedBody };
        Refused::new(code, error.to_string())
    })?;
    let reason = new.reason.trim();
    if new.amount == Amount(0) {
        return Err(Refused::field("amount", "must not be zero"));
    }
    if reason.is_empty() || reason.chars().count() > MAX_REASON_CHARS || reason.contains(char::is_control) {
        return Err(Refused::field("reason", "must be 1 to 200 characters in one line"));
    }
    let transaction = Transaction {
        id: Uuid::now_v7(),
        guest_account_id: new.guest_account_id,
        amount: new.amount,
        reason: reason.to_owned(),
        at: Utc::now(),
    };
    let (database, kept) = (reporter.database.clone(), transaction.clone());
    let known = tokio::task::spawn_blocking(move || {
        let open = database.open_in_turn()?;
        let known = open.has_guest_account(kept.guest_account_id)?;
        if known {
            open.keep(&kept)?;
        }
        Ok::<_, DatabaseError>(known)
    })
    .await
    .map_err(|_| Refused::new(ErrorCode::Internal, "The transaction could not be kept."))?
    .map_err(|error| {
        Refused::new(ErrorCode::Unavailable, format!("The transaction was not kept: {}", error.chain()))
    })?;
    if !known {
        return Err(Refused::new(ErrorCode::NotFound, "There is no such guest account."));
    }
    reporter.log.info(format_args!(
        "Transaction {} kept: account={} amount={}",
        transaction.id, transaction.guest_account_id, transaction.amount
    ));
    Ok((StatusCode::CREATED, Json(transaction)))
}

/// Lets in what can only come from a program of this machine.
async fn only_this_machine(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_loopback_host) {
        return Refused::new(ErrorCode::PermissionDenied, "Ask under a loopback address.").into_response();
    }
    if headers.contains_key(ORIGIN) {
        return Refused::new(ErrorCode::PermissionDenied, "Web pages have no business here.").into_response();
    }
    if headers.contains_key(CONTENT_TYPE) && !is_json(headers) {
        return Refused::new(ErrorCode::UnsupportedMediaType, "Send application/json.").into_response();
    }
    next.run(request).await
}

/// Whether a Host header names this machine, with or without a port.
fn is_loopback_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "127.0.0.1" | "[::1]") || name.eq_ignore_ascii_case("localhost")
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

/// A refusal as the RFC 9457 document that it becomes.
struct Refused(Box<Problem>);

impl Refused {
    fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem {
            code,
            title: code.title().to_owned(),
            detail: detail.into(),
            status: code.status(),
            request_id: Uuid::now_v7().to_string(),
            extra: serde_json::Map::new(),
        }))
    }

    fn field(field: &str, message: &str) -> Self {
        let mut refused = Self::new(ErrorCode::InvalidRequest, format!("`{field}` {message}."));
        let error = FieldError { field: field.to_owned(), message: message.to_owned() };
        refused.0.extra.insert("errors".to_owned(), json!([error]));
        refused
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let problem = *self.0;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::warn!(
                code = problem.code.as_str(),
                request_id = problem.request_id,
                detail = problem.detail,
                "a request failed"
            );
        }
        let body = serde_json::to_vec(&problem).unwrap_or_else(|_| Value::Null.to_string().into_bytes());
        (status, [(CONTENT_TYPE, "application/problem+json")], Body::from(body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_hosts_of_this_machine() {
        for host in ["127.0.0.1", "127.0.0.1:9434", "localhost:1", "LocalHost", "[::1]:80", "[::1]"] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:9434",
            "127.0.0.1:x",
            "::1",
            "0.0.0.0",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}
