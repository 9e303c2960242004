//! POS servers.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use sea_orm::ConnectionTrait;
use serde::Deserialize;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::{ChainId, OutletId, PosServerId};
use tillwatch_protocol::rest::Page;
use tillwatch_protocol::rest::admin::{AdminPosServer, NewPosServer, PosServerEdit};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Administrator, chain_within, outlet_within, pos_server_within};
use crate::admin::places;
use crate::domain::permission::Reach;
use crate::error::{ApiError, ApiResult};
use crate::http::extract::{Json, Path, Query};
use crate::http::params::{self, collect};
use crate::state::AppState;
use crate::store::pos_server::keep::{self, Place};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, edit, remove))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Params {
    /// Only of this chain.
    #[param(value_type = Option<ChainId>)]
    chain_id: Option<String>,
    /// Only of this outlet.
    #[param(value_type = Option<OutletId>)]
    outlet_id: Option<String>,
    /// How many, 1 to 1000; 100 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The POS servers that one administers, by chain, outlet and name. How they fare is in their statuses.
#[utoipa::path(
    get, path = "/admin/pos-servers", operation_id = "admin_list_pos_servers", tag = "admin", params(Params),
    responses((status = 200, description = "A page of POS servers", body = Page<AdminPosServer>)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::NotFound])))
)]
async fn list(
    State(state): State<AppState>,
    administrator: Administrator,
    Query(query): Query<Params>,
) -> ApiResult<axum::Json<Page<AdminPosServer>>> {
    let mut errors = Vec::new();
    let chain_id = collect(params::id("chain_id", query.chain_id.as_deref()), &mut errors);
    let outlet_id = collect(params::id("outlet_id", query.outlet_id.as_deref()), &mut errors);
    let limit = collect(params::limit(query.limit.as_deref()), &mut errors);
    let after = collect(params::from_cursor(query.cursor.as_deref()), &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::invalid(&errors));
    }
    let (db, reach) = administrator.read(&state).await?;
    if let Some(id) = chain_id {
        chain_within(&db, &reach, id).await?;
    }
    if let Some(id) = outlet_id {
        outlet_within(&db, &reach, id).await?;
    }
    let place = Place { chain_id, outlet_id, id: None };
    let (items, next) = keep::administered(&db, &reach, place, after.as_ref(), limit).await?;
    Ok(axum::Json(Page { items, next_cursor: next.as_ref().map(params::to_cursor) }))
}

/// Makes a POS server. Its connector enrolls by a code, which is asked for with another call.
#[utoipa::path(
    post, path = "/admin/pos-servers", operation_id = "admin_create_pos_server", tag = "admin", request_body = NewPosServer,
    responses((status = 201, description = "The new POS server", body = AdminPosServer)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::NotFound, ErrorCode::AlreadyExists])))
)]
async fn create(
    State(state): State<AppState>,
    administrator: Administrator,
    Json(new): Json<NewPosServer>,
) -> ApiResult<(StatusCode, axum::Json<AdminPosServer>)> {
    let (mut tx, reach) = administrator.write(&state).await?;
    let outlet = outlet_within(&*tx, &reach, new.outlet_id).await?;
    let id = places::add_pos_server(&mut tx, administrator.actor(), &outlet, &new.name, Utc::now()).await?;
    let pos_server = one(&*tx, &reach, id).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, axum::Json(pos_server)))
}

/// One POS server.
#[utoipa::path(
    get, path = "/admin/pos-servers/{id}", operation_id = "admin_get_pos_server", tag = "admin", params(("id" = PosServerId, Path, description = "The POS server")),
    responses((status = 200, description = "The POS server", body = AdminPosServer)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn get(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<PosServerId>,
) -> ApiResult<axum::Json<AdminPosServer>> {
    let (db, reach) = administrator.read(&state).await?;
    pos_server_within(&db, &reach, id).await?;
    Ok(axum::Json(one(&db, &reach, id).await?))
}

/// Renames a POS server. Its status changes with it.
#[utoipa::path(
    patch, path = "/admin/pos-servers/{id}", operation_id = "admin_edit_pos_server", tag = "admin",
    params(("id" = PosServerId, Path, description = "The POS server")), request_body = PosServerEdit,
    responses((status = 200, description = "The POS server as it is now", body = AdminPosServer)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::AlreadyExists])))
)]
async fn edit(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<PosServerId>,
    Json(edit): Json<PosServerEdit>,
) -> ApiResult<axum::Json<AdminPosServer>> {
    let (mut tx, reach) = administrator.write(&state).await?;
    let row = pos_server_within(&*tx, &reach, id).await?;
    if let Some(name) = &edit.name {
        places::rename_pos_server(&mut tx, administrator.actor(), &row, name, Utc::now()).await?;
    }
    let pos_server = one(&*tx, &reach, id).await?;
    tx.commit().await?;
    Ok(axum::Json(pos_server))
}

/// Removes a POS server: its link closes, its jobs end, its archives expire, its connector has to enroll
/// anew elsewhere.
#[utoipa::path(
    delete, path = "/admin/pos-servers/{id}", operation_id = "admin_remove_pos_server", tag = "admin", params(("id" = PosServerId, Path, description = "The POS server")),
    responses((status = 204, description = "It is gone")),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn remove(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<PosServerId>,
) -> ApiResult<StatusCode> {
    let (mut tx, reach) = administrator.write(&state).await?;
    let row = pos_server_within(&*tx, &reach, id).await?;
    places::remove_pos_server(&mut tx, administrator.actor(), &row, Utc::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn one(db: &impl ConnectionTrait, reach: &Reach, id: PosServerId) -> ApiResult<AdminPosServer> {
    let place = Place { id: Some(id), ..Place::default() };
    let (mut items, _) = keep::administered(db, reach, place, None, 1).await?;
    items.pop().ok_or_else(ApiError::not_found)
}
