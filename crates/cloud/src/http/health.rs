//! Whether the process lives and whether it can serve: for whoever supervises it.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use tillwatch_protocol::error::ErrorCode;
use tokio::sync::Mutex;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::{ApiError, ApiResult};
use crate::state::AppState;

/// How long the database has to answer a read.
const READ: Duration = Duration::from_secs(1);
/// How long a write has: it waits for the writes before it, of which there may be many.
const WRITE: Duration = Duration::from_secs(5);
/// How long archives have to take an object.
const ARCHIVES: Duration = Duration::from_secs(5);
/// How long it is known whether something can be written: asking often must not become a load.
const KNOWN_FOR: Duration = Duration::from_secs(5);
/// The object that is written to see whether archives can be.
const PROBE: &str = "health/probe";

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", operation_id = "get_healthz", tag = "health", security(()), responses((status = 204, description = "It lives")))]
async fn healthz() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// The process can serve: it is not stopping, and its database can be read and written. The problem's `failing` names
/// what it is that can't: `stopping`, `database_read`, `database_write`. Archives that can't be stored are told by
/// the metric `tillwatch_archives_ready` alone: everything else can be served without, and no node could do better.
#[utoipa::path(
    get, path = "/readyz", operation_id = "get_readyz", tag = "health", security(()),
    responses((status = 204, description = "It can serve")),
    extensions(("x-problems" = json!([ErrorCode::Unavailable])))
)]
async fn readyz(State(state): State<AppState>) -> ApiResult<StatusCode> {
    let failing = Box::pin(failing(&state)).await;
    if failing.is_empty() {
        return Ok(StatusCode::NO_CONTENT);
    }
    let detail = format!("It can't serve now: {}.", failing.join(", "));
    Err(ApiError::new(ErrorCode::Unavailable, detail).with("failing", failing.into()))
}

/// What was last seen of that which takes a write to find out.
#[derive(Default)]
pub(crate) struct Health {
    database: Mutex<Option<(Instant, bool)>>,
    archives: Mutex<Option<(Instant, bool)>>,
}

/// What keeps the process from serving.
pub(crate) async fn failing(state: &AppState) -> Vec<&'static str> {
    if state.shutdown.is_cancelled() {
        return vec!["stopping"];
    }
    let (read, write) = tokio::join!(
        within("database_read", READ, state.store.revision()),
        known(&state.health.database, within("database_write", WRITE, state.store.probe(Utc::now()))),
    );
    let parts = [("database_read", read), ("database_write", write)];
    parts.into_iter().filter(|(_, works)| !works).map(|(part, _)| part).collect()
}

/// Whether archives can be stored.
pub(crate) async fn takes_archives(state: &AppState) -> bool {
    let put = state.blobs.put(PROBE, Bytes::from_static(b"ready"));
    known(&state.health.archives, within("archives", ARCHIVES, put)).await
}

/// Tries something unless it was tried a moment ago. Who comes meanwhile waits for the same try.
async fn known(last: &Mutex<Option<(Instant, bool)>>, attempt: impl Future<Output = bool>) -> bool {
    let mut last = last.lock().await;
    if let Some((at, works)) = *last
        && at.elapsed() < KNOWN_FOR
    {
        return works;
    }
    let works = attempt.await;
    *last = Some((Instant::now(), works));
    works
}

async fn within<T, E: Into<anyhow::Error>>(
    part: &'static str,
    patience: Duration,
    attempt: impl Future<Output = Result<T, E>>,
) -> bool {
    match tokio::time::timeout(patience, attempt).await {
        Ok(Ok(_)) => return true,
        Ok(Err(error)) => {
            tracing::error!(part, error = format!("{:#}", error.into()), "a part of the cloud does not work");
        }
        Err(_) => tracing::error!(part, "a part of the cloud gives no answer in time"),
    }
    false
}
