//! What a connector says over HTTPS while its link is down.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::ApiResult;
use crate::gateway::{self, Change};
use crate::http::device::Device;
use crate::http::extract::StoreJson;
use crate::state::AppState;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(heartbeat))
}

/// A sign of life.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Heartbeat {
    /// The connector's version.
    connector_version: String,
    /// Whether the POS server answers.
    pos_answers: bool,
}

/// Tells that the store is there although its link is not.
#[utoipa::path(
    post, path = "/heartbeat", operation_id = "send_heartbeat", tag = "store", security(("device" = [])),
    request_body = Heartbeat, responses((status = 204, description = "It is noted"))
)]
async fn heartbeat(
    State(state): State<AppState>,
    device: Device,
    StoreJson(beat): StoreJson<Heartbeat>,
) -> ApiResult<StatusCode> {
    let Heartbeat { connector_version, pos_answers } = beat;
    let id = device.pos_server_id;
    let heard = gateway::Heartbeat { id, connector_version, pos_answers, at: Utc::now() };
    state.inbox.ask(heard, Change::Heartbeat).await?;
    Ok(StatusCode::NO_CONTENT)
}
