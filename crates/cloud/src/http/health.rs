//! Whether the process lives and whether it can serve: for whoever supervises it.

use axum::extract::State;
use axum::http::StatusCode;
use tillwatch_protocol::error::ErrorCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::{ApiError, ApiResult};
use crate::state::AppState;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", operation_id = "get_healthz", tag = "health", security(()), responses((status = 204, description = "It lives")))]
async fn healthz() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// The process can serve: it is not stopping and its database answers.
#[utoipa::path(
    get, path = "/readyz", operation_id = "get_readyz", tag = "health", security(()),
    responses((status = 204, description = "It can serve")),
    extensions(("x-problems" = json!([ErrorCode::Unavailable])))
)]
async fn readyz(State(state): State<AppState>) -> ApiResult<StatusCode> {
    check(&state).await.map(|()| StatusCode::NO_CONTENT)
}

/// Whether the process can serve, and if not, why.
pub(crate) async fn check(state: &AppState) -> ApiResult<()> {
    if state.shutdown.is_cancelled() {
        return Err(ApiError::new(ErrorCode::Unavailable, "The server is stopping."));
    }
    match state.store.revision().await {
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::error!(%error, "the database does not answer");
            Err(ApiError::new(ErrorCode::Unavailable, "The database does not answer."))
        }
    }
}
