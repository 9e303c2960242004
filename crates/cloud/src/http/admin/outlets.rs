//! Outlets.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use serde::Deserialize;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::{ChainId, OutletId};
use tillwatch_protocol::rest::Page;
use tillwatch_protocol::rest::admin::{AdminOutlet, NewOutlet, OutletEdit};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Administrator, chain_within, outlet_within};
use crate::admin::places;
use crate::error::{ApiError, ApiResult};
use crate::http::extract::{Json, Path, Query};
use crate::http::params::{self, collect};
use crate::state::AppState;
use crate::store::outlet;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, edit, delete))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Params {
    /// Only of this chain.
    #[param(value_type = Option<ChainId>)]
    chain_id: Option<String>,
    /// How many, 1 to 1000; 100 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The outlets that one administers, by chain and name.
#[utoipa::path(
    get, path = "/admin/outlets", operation_id = "admin_list_outlets", tag = "admin", params(Params),
    responses((status = 200, description = "A page of outlets", body = Page<AdminOutlet>)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::NotFound])))
)]
async fn list(
    State(state): State<AppState>,
    administrator: Administrator,
    Query(query): Query<Params>,
) -> ApiResult<axum::Json<Page<AdminOutlet>>> {
    let mut errors = Vec::new();
    let chain_id = collect(params::id("chain_id", query.chain_id.as_deref()), &mut errors);
    let limit = collect(params::limit(query.limit.as_deref()), &mut errors);
    let after = collect(params::from_cursor(query.cursor.as_deref()), &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::invalid(&errors));
    }
    let (db, reach) = administrator.read(&state).await?;
    if let Some(id) = chain_id {
        chain_within(&db, &reach, id).await?;
    }
    let (items, next) = outlet::administered(&db, &reach, chain_id, after.as_ref(), limit).await?;
    Ok(axum::Json(Page { items, next_cursor: next.as_ref().map(params::to_cursor) }))
}

/// Makes an outlet.
#[utoipa::path(
    post, path = "/admin/outlets", operation_id = "admin_create_outlet", tag = "admin", request_body = NewOutlet,
    responses((status = 201, description = "The new outlet", body = AdminOutlet)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::NotFound, ErrorCode::AlreadyExists])))
)]
async fn create(
    State(state): State<AppState>,
    administrator: Administrator,
    Json(new): Json<NewOutlet>,
) -> ApiResult<(StatusCode, axum::Json<AdminOutlet>)> {
    let (tx, reach) = administrator.write(&state).await?;
    chain_within(&*tx, &reach, new.chain_id).await?;
    let id = places::add_outlet(&tx, administrator.actor(), &new, Utc::now()).await?;
    let outlet = outlet::to_rest(&*tx, id).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, axum::Json(outlet)))
}

/// One outlet.
#[utoipa::path(
    get, path = "/admin/outlets/{id}", operation_id = "admin_get_outlet", tag = "admin", params(("id" = OutletId, Path, description = "The outlet")),
    responses((status = 200, description = "The outlet", body = AdminOutlet)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn get(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<OutletId>,
) -> ApiResult<axum::Json<AdminOutlet>> {
    let (db, reach) = administrator.read(&state).await?;
    outlet_within(&db, &reach, id).await?;
    Ok(axum::Json(outlet::to_rest(&db, id).await?))
}

/// Changes what is given of an outlet. Statuses of its POS servers change with it.
#[utoipa::path(
    patch, path = "/admin/outlets/{id}", operation_id = "admin_edit_outlet", tag = "admin",
    params(("id" = OutletId, Path, description = "The outlet")), request_body = OutletEdit,
    responses((status = 200, description = "The outlet as it is now", body = AdminOutlet)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::AlreadyExists])))
)]
async fn edit(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<OutletId>,
    Json(edit): Json<OutletEdit>,
) -> ApiResult<axum::Json<AdminOutlet>> {
    let (mut tx, reach) = administrator.write(&state).await?;
    let row = outlet_within(&*tx, &reach, id).await?;
    places::edit_outlet(&mut tx, administrator.actor(), &row, &edit, Utc::now()).await?;
    let outlet = outlet::to_rest(&*tx, id).await?;
    tx.commit().await?;
    Ok(axum::Json(outlet))
}

/// Deletes an outlet that has no POS servers.
#[utoipa::path(
    delete, path = "/admin/outlets/{id}", operation_id = "admin_delete_outlet", tag = "admin", params(("id" = OutletId, Path, description = "The outlet")),
    responses((status = 204, description = "It is gone")),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::NotEmpty])))
)]
async fn delete(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<OutletId>,
) -> ApiResult<StatusCode> {
    let (mut tx, reach) = administrator.write(&state).await?;
    let row = outlet_within(&*tx, &reach, id).await?;
    places::delete_outlet(&mut tx, administrator.actor(), &row, Utc::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
