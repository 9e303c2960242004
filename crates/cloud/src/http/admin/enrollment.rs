//! Codes by which connectors enroll, and the identities that came of them.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::{DeviceId, PosServerId};
use tillwatch_protocol::rest::Page;
use tillwatch_protocol::rest::admin::{EnrollmentCode, NewEnrollmentCode, StoreDevice};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Administrator, pos_server_within};
use crate::admin::enrollment;
use crate::error::{ApiError, ApiResult};
use crate::http::extract::{Path, Query};
use crate::http::params::{self, collect};
use crate::state::AppState;
use crate::store::device;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_codes, create_code, revoke_codes))
        .routes(routes!(list_devices))
        .routes(routes!(revoke_device))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Params {
    /// How many, 1 to 1000; 100 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What became of the codes of a POS server, newest first; never the codes themselves.
#[utoipa::path(
    get, path = "/admin/pos-servers/{id}/enrollment-codes", operation_id = "admin_list_enrollment_codes", tag = "admin",
    params(("id" = PosServerId, Path, description = "The POS server"), Params),
    responses((status = 200, description = "A page of codes", body = Page<EnrollmentCode>)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn list_codes(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<PosServerId>,
    Query(query): Query<Params>,
) -> ApiResult<axum::Json<Page<EnrollmentCode>>> {
    let (limit, before) = read_params::<DateTime<Utc>>(&query)?;
    let (db, reach) = administrator.read(&state).await?;
    pos_server_within(&db, &reach, id).await?;
    let items = device::codes_of(&db, id, before, limit + 1, Utc::now()).await?;
    Ok(axum::Json(params::page(items, limit, |last| last.created_at)))
}

/// Makes a code by which a connector enrolls for this POS server. It is good once, for 24 hours; one that was
/// waiting to be used dies.
#[utoipa::path(
    post, path = "/admin/pos-servers/{id}/enrollment-codes", operation_id = "admin_create_enrollment_code", tag = "admin",
    params(("id" = PosServerId, Path, description = "The POS server")),
    responses((status = 201, description = "The code, told this once", body = NewEnrollmentCode)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn create_code(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<PosServerId>,
) -> ApiResult<(StatusCode, axum::Json<NewEnrollmentCode>)> {
    let (tx, reach) = administrator.write(&state).await?;
    pos_server_within(&*tx, &reach, id).await?;
    let code = enrollment::new_code(&tx, administrator.actor(), id, Utc::now()).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, axum::Json(code)))
}

/// Revokes the code that waits to be used, if there is one.
#[utoipa::path(
    delete, path = "/admin/pos-servers/{id}/enrollment-codes", operation_id = "admin_revoke_enrollment_codes", tag = "admin",
    params(("id" = PosServerId, Path, description = "The POS server")),
    responses((status = 204, description = "No code is good any more")),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn revoke_codes(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<PosServerId>,
) -> ApiResult<StatusCode> {
    let (tx, reach) = administrator.write(&state).await?;
    pos_server_within(&*tx, &reach, id).await?;
    enrollment::revoke_codes(&tx, administrator.actor(), id, Utc::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The identities that connectors of a POS server have had, newest first.
#[utoipa::path(
    get, path = "/admin/pos-servers/{id}/devices", operation_id = "admin_list_devices", tag = "admin",
    params(("id" = PosServerId, Path, description = "The POS server"), Params),
    responses((status = 200, description = "A page of identities", body = Page<StoreDevice>)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn list_devices(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<PosServerId>,
    Query(query): Query<Params>,
) -> ApiResult<axum::Json<Page<StoreDevice>>> {
    let (limit, before) = read_params::<DeviceId>(&query)?;
    let (db, reach) = administrator.read(&state).await?;
    pos_server_within(&db, &reach, id).await?;
    let items = device::of_pos_server(&db, id, before, limit + 1).await?;
    Ok(axum::Json(params::page(items, limit, |last| last.id)))
}

/// Revokes an identity: its link closes within five seconds, and it is let in no more. The store needs a new
/// code.
#[utoipa::path(
    delete, path = "/admin/devices/{id}", operation_id = "admin_revoke_device", tag = "admin", params(("id" = DeviceId, Path, description = "The identity")),
    responses((status = 204, description = "It is revoked")),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn revoke_device(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<DeviceId>,
) -> ApiResult<StatusCode> {
    let (mut tx, reach) = administrator.write(&state).await?;
    let row = device::find(&*tx, id).await?.ok_or_else(ApiError::not_found)?;
    let pos_server = PosServerId::from(row.pos_server_id);
    pos_server_within(&*tx, &reach, pos_server).await?;
    enrollment::revoke_device(&mut tx, administrator.actor(), id, pos_server, Utc::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn read_params<T: serde::de::DeserializeOwned>(query: &Params) -> ApiResult<(u64, Option<T>)> {
    let mut errors = Vec::new();
    let limit = collect(params::limit(query.limit.as_deref()), &mut errors);
    let before = collect(params::from_cursor(query.cursor.as_deref()), &mut errors);
    if errors.is_empty() { Ok((limit, before)) } else { Err(ApiError::invalid(&errors)) }
}
