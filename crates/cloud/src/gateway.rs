//! The gateway: where connectors' links end.
//!
//! `admission` keeps a crowd at the door; `session` is the life of one WebSocket; `registry` knows who is here;
//! `dispatch` carries what a frame says about jobs into the database; `relay` takes requests of third parties to a
//! store and back; `inbox` gathers what stores say and writes it together.

mod admission;
mod dispatch;
mod inbox;
mod links;
mod registry;
mod relay;
mod session;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, State};
use axum::http::header::ORIGIN;
use axum::http::request::Parts;
use axum::response::Response;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::link::{MAX_FRAME_BYTES, SUBPROTOCOL};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use admission::Admission;
pub use inbox::write_reports;
pub(crate) use inbox::{Change, Heartbeat, Inbox, Took, write_in_time};
pub(crate) use links::Links;
pub(crate) use registry::Registry;
pub(crate) use relay::{Unanswered, ask};

use admission::Arrival;

use crate::error::{ApiError, ApiResult};
use crate::http::device::Caller;
use crate::metrics;
use crate::state::AppState;

/// What a link holds for reading and for writing. The defaults would cost over 100 KB a link.
const BUFFER_BYTES: usize = 1024;
/// Above this a frame is not even read to its end. Those between [`MAX_FRAME_BYTES`] and this are answered
/// with the close code for large frames; so are larger ones, as far as the sender still listens.
const HARD_LIMIT_BYTES: usize = 2 * MAX_FRAME_BYTES;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(link))
}

/// The wish to become a WebSocket. Looked at before the caller is: a connector that comes through a proxy which
/// takes the wish away learns that, whoever it is.
struct Upgrade(WebSocketUpgrade);

impl FromRequestParts<AppState> for Upgrade {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        // Browsers name the page that asks; connectors have none to name.
        if parts.headers.contains_key(ORIGIN) {
            return Err(ApiError::invalid_field("origin", "no page may open a link"));
        }
        match WebSocketUpgrade::from_request_parts(parts, state).await {
            Ok(upgrade) => Ok(Self(upgrade)),
            Err(rejection) => Err(ApiError::invalid_field("upgrade", rejection.body_text())),
        }
    }
}

/// Becomes the link: a WebSocket of JSON frames.
#[utoipa::path(
    get, path = "/link", operation_id = "open_link", tag = "store", security(("device" = [])),
    params(("Sec-WebSocket-Protocol" = String, Header, pattern = r"^tillwatch\.link\.v1$", description = "`tillwatch.link.v1`")),
    responses((status = 101, description = "The connection is a WebSocket now")),
    extensions(("x-problems" = json!([ErrorCode::InvalidRequest])))
)]
async fn link(
    State(state): State<AppState>,
    arrival: Arrival,
    Upgrade(upgrade): Upgrade,
    caller: Caller,
) -> ApiResult<Response> {
    if state.shutdown.is_cancelled() {
        metrics::link_refused("stopping");
        return Err(ApiError::new(ErrorCode::Unavailable, "The cloud is stopping.")
            .retry_after(std::time::Duration::from_secs(5)));
    }
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(2 * HARD_LIMIT_BYTES)
        .max_message_size(HARD_LIMIT_BYTES)
        .max_frame_size(HARD_LIMIT_BYTES);
    if upgrade.selected_protocol().is_none() {
        let message = format!("must name {SUBPROTOCOL}");
        return Err(ApiError::invalid_field("sec-websocket-protocol", message));
    }
    let tracker = state.registry.tracker();
    Ok(upgrade.on_upgrade(move |socket| {
        tracker.track_future(session::run(Box::new(socket), caller, arrival, state))
    }))
}
