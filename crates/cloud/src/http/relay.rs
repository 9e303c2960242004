//! Requests of third parties for a store's POS server: who may ask, how often, and what came of it.

mod caller;
mod known;
mod rates;

use std::time::{Duration, Instant};

use axum::extract::{DefaultBodyLimit, State};
use chrono::Utc;
use serde_json::json;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::{PosServerId, UserId};
use tillwatch_protocol::link::MAX_FRAME_BYTES;
use tillwatch_protocol::link::frame::{CloudFrame, RelayFailure, RelayOrder};
use tillwatch_protocol::rest::pos_server::LinkState;
use tillwatch_protocol::rest::relay::{RelayAnswer, RelayRequest};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use known::KnownTokens;
pub(crate) use rates::Rates;

use crate::domain;
use crate::domain::audit::{Actor, Entry};
use crate::error::{ApiError, ApiResult};
use crate::gateway::{self, Unanswered};
use crate::http::extract::Json;
use crate::metrics;
use crate::state::AppState;
use crate::store;
use crate::store::entity::pos_servers;
use caller::{Caller, CallerId};

/// A body that becomes a frame: as large, and some room for blanks between its words.
const MAX_BODY_BYTES: usize = 2 * MAX_FRAME_BYTES;
/// When who found the store busy may try again.
const BUSY_WAIT: Duration = Duration::from_secs(1);

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(relay)).layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

/// Asks the store's POS server, and gives its answer. For service tokens, and users with the permission
/// `relay`. Only what the store's own allow list names is asked.
#[utoipa::path(
    post, path = "/pos-servers/{id}/relay", operation_id = "relay_request", tag = "relay",
    params(("id" = PosServerId, Path, description = "Which POS server")), request_body = RelayRequest,
    responses((status = 200, description = "The POS server answered, be it with an error of its own", body = RelayAnswer)),
    security(("service" = []), ("user" = [])),
    extensions(("x-problems" = json!([
        ErrorCode::PermissionDenied, ErrorCode::RelayRefused, ErrorCode::VenueOffline, ErrorCode::VenueTimeout,
        ErrorCode::RateLimited, ErrorCode::RelayAnswerTooLarge, ErrorCode::RelayAnswerUnreadable,
    ])))
)]
async fn relay(
    State(state): State<AppState>,
    caller: Caller,
    Json(request): Json<RelayRequest>,
) -> ApiResult<axum::Json<RelayAnswer>> {
    let started = Instant::now();
    let answer = carry(&state, &caller, request).await;
    let outcome = answer.as_ref().map(drop).map_err(ApiError::code);
    metrics::relayed(outcome, started.elapsed());
    answer.map(axum::Json)
}

async fn carry(state: &AppState, caller: &Caller, request: RelayRequest) -> ApiResult<RelayAnswer> {
    let to = caller.pos_server_id;
    state.relay_rates.check(caller.id, to).map_err(|wait| {
        ApiError::new(ErrorCode::RateLimited, "Too many requests are relayed.").retry_after(wait)
    })?;
    let order = domain::relay::order(request).map_err(|errors| ApiError::invalid(&errors))?;
    let RelayOrder { id, timeout_ms, .. } = order;
    let frame = CloudFrame::Relay(order);
    let text =
        serde_json::to_string(&frame).map_err(|error| ApiError::internal(anyhow::Error::from(error)))?;
    if text.len() > MAX_FRAME_BYTES {
        let detail = "Path and body do not fit into the 64 KiB of a frame.";
        return Err(ApiError::new(ErrorCode::PayloadTooLarge, detail));
    }
    if let CallerId::User(user) = caller.id {
        note(state, user, to, &frame).await?;
    }
    let patience = Duration::from_millis(timeout_ms.into());
    let mut answer = gateway::ask(&state.registry, to, id, text, patience).await;
    if let (Err(Unanswered::NoLink), CloudFrame::Relay(order)) = (&answer, frame) {
        // Here is no link. Whether one is elsewhere, the database knows.
        let held_by = row(state, to).await?.node_id;
        answer = state.links.ask_elsewhere(held_by, to, order).await;
    }
    let unanswered = match answer {
        Ok(answer) => return Ok(answer),
        Err(unanswered) => unanswered,
    };
    Err(match unanswered {
        Unanswered::NoLink => offline(state, to, false).await?,
        Unanswered::Lost => offline(state, to, true).await?,
        Unanswered::Unreachable => {
            let detail = "The node that holds the store's link can't be reached now; nothing was sent.";
            ApiError::new(ErrorCode::Unavailable, detail).retry_after(BUSY_WAIT)
        }
        Unanswered::Busy | Unanswered::Failed(RelayFailure::Busy) => {
            let detail = "The store has as many relayed requests under way as it takes.";
            ApiError::new(ErrorCode::RateLimited, detail).retry_after(BUSY_WAIT)
        }
        Unanswered::Silent | Unanswered::Failed(RelayFailure::VenueTimeout) => {
            let detail = "There was no answer in time; the request may have been carried out.";
            ApiError::new(ErrorCode::VenueTimeout, detail)
        }
        Unanswered::Failed(RelayFailure::RelayRefused) => {
            let detail = "The allow list in the store's connector.toml does not name the request.";
            ApiError::new(ErrorCode::RelayRefused, detail)
        }
        Unanswered::Failed(RelayFailure::RelayAnswerTooLarge) => {
            let detail = "The answer does not fit into the 64 KiB of a frame; the request was carried out.";
            ApiError::new(ErrorCode::RelayAnswerTooLarge, detail)
        }
        Unanswered::Failed(RelayFailure::RelayAnswerUnreadable) => {
            let detail = "The answer is neither JSON nor text in UTF-8; the request was carried out.";
            ApiError::new(ErrorCode::RelayAnswerUnreadable, detail)
        }
        Unanswered::Failed(RelayFailure::Unknown) => {
            let detail = "The store refuses the request for a reason that this cloud does not know.";
            ApiError::new(ErrorCode::RelayRefused, detail)
        }
    })
}

/// Writes down that a person asks a store. Programs of third parties ask many times a minute, and what each may ask
/// is written down with its token.
async fn note(state: &AppState, user: UserId, to: PosServerId, frame: &CloudFrame) -> ApiResult<()> {
    let CloudFrame::Relay(order) = frame else { return Ok(()) };
    // A query may name guests.
    let path = order.path.split('?').next().unwrap_or_default();
    let entry = Entry::new(Utc::now(), Actor::User(user), "relay.sent", format!("pos_server:{to}"))
        .with("method", json!(order.method))
        .with("path", path);
    let tx = state.store.write().await?;
    store::audit::append(&tx, entry).await?;
    tx.commit().await?;
    Ok(())
}

/// Why a store without a link can't be asked, with what is known of the link.
async fn offline(state: &AppState, to: PosServerId, sent: bool) -> ApiResult<ApiError> {
    let mut link = store::presence::link(&row(state, to).await?)?;
    if link.state == LinkState::Online {
        // It ended a moment ago, which is not written down yet.
        link.state = LinkState::Unknown;
    }
    let detail = if sent {
        "The link was lost before the answer; the request may have been carried out."
    } else {
        "There is no link to the store; nothing was sent."
    };
    Ok(ApiError::new(ErrorCode::VenueOffline, detail).with("link", json!(link)).with("sent", json!(sent)))
}

/// What is known of a POS server that the caller may ask.
async fn row(state: &AppState, id: PosServerId) -> ApiResult<pos_servers::Model> {
    let db = state.store.read().await?;
    store::pos_server::row(&db, id).await?.ok_or_else(ApiError::not_found)
}
