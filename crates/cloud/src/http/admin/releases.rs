//! The POS version that a chain requires.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::ChainId;
use tillwatch_protocol::rest::admin::{Release, RequireRelease};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Administrator, chain_within};
use crate::admin::places;
use crate::error::ApiResult;
use crate::http::extract::{Json, Path};
use crate::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(get, require, clear))
}

/// The version below which the POS servers of a chain need an update.
#[utoipa::path(
    get, path = "/admin/chains/{id}/release", operation_id = "admin_get_release", tag = "admin", params(("id" = ChainId, Path, description = "The chain")),
    responses((status = 200, description = "The version", body = Release)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn get(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<ChainId>,
) -> ApiResult<axum::Json<Release>> {
    let (db, reach) = administrator.read(&state).await?;
    let row = chain_within(&db, &reach, id).await?;
    Ok(axum::Json(Release { pos_version: row.required_pos_version }))
}

/// Requires a version of the POS servers of a chain.
#[utoipa::path(
    put, path = "/admin/chains/{id}/release", operation_id = "admin_require_release", tag = "admin",
    params(("id" = ChainId, Path, description = "The chain")), request_body = RequireRelease,
    responses((status = 200, description = "The version", body = Release)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn require(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<ChainId>,
    Json(release): Json<RequireRelease>,
) -> ApiResult<axum::Json<Release>> {
    let version = places::check_version(&release.pos_version)?;
    let (mut tx, reach) = administrator.write(&state).await?;
    chain_within(&*tx, &reach, id).await?;
    places::require_version(&mut tx, administrator.actor(), id, Some(version), Utc::now()).await?;
    tx.commit().await?;
    Ok(axum::Json(Release { pos_version: Some(version.to_owned()) }))
}

/// Requires no version any more.
#[utoipa::path(
    delete, path = "/admin/chains/{id}/release", operation_id = "admin_clear_release", tag = "admin", params(("id" = ChainId, Path, description = "The chain")),
    responses((status = 204, description = "None is required")),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn clear(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<ChainId>,
) -> ApiResult<StatusCode> {
    let (mut tx, reach) = administrator.write(&state).await?;
    chain_within(&*tx, &reach, id).await?;
    places::require_version(&mut tx, administrator.actor(), id, None, Utc::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
