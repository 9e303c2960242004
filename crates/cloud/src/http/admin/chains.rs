//! Chains.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use serde::Deserialize;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::ChainId;
use tillwatch_protocol::rest::Page;
use tillwatch_protocol::rest::admin::{AdminChain, ChainEdit, NewChain};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Administrator, chain_within, only_admins};
use crate::admin::places;
use crate::error::{ApiError, ApiResult};
use crate::http::extract::{Json, Path, Query};
use crate::http::params::{self, collect};
use crate::state::AppState;
use crate::store::chain;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, edit, delete))
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

/// The chains that one administers, by name.
#[utoipa::path(
    get, path = "/admin/chains", operation_id = "admin_list_chains", tag = "admin", params(Params),
    responses((status = 200, description = "A page of chains", body = Page<AdminChain>)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn list(
    State(state): State<AppState>,
    administrator: Administrator,
    Query(query): Query<Params>,
) -> ApiResult<axum::Json<Page<AdminChain>>> {
    let mut errors = Vec::new();
    let limit = collect(params::limit(query.limit.as_deref()), &mut errors);
    let after = collect(params::from_cursor(query.cursor.as_deref()), &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::invalid(&errors));
    }
    let (db, reach) = administrator.read(&state).await?;
    let (items, next) = chain::page(&db, &reach, after.as_ref(), limit).await?;
    Ok(axum::Json(Page { items, next_cursor: next.as_ref().map(params::to_cursor) }))
}

/// Makes a chain. For admins.
#[utoipa::path(
    post, path = "/admin/chains", operation_id = "admin_create_chain", tag = "admin", request_body = NewChain,
    responses((status = 201, description = "The new chain", body = AdminChain)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::AlreadyExists])))
)]
async fn create(
    State(state): State<AppState>,
    administrator: Administrator,
    Json(new): Json<NewChain>,
) -> ApiResult<(StatusCode, axum::Json<AdminChain>)> {
    let tx = administrator.write_as_admin(&state).await?;
    let id = places::add_chain(&tx, administrator.actor(), &new.name, Utc::now()).await?;
    let row = chain::find(&*tx, id).await?.ok_or_else(ApiError::not_found)?;
    let chain = chain::to_rest(&*tx, row).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, axum::Json(chain)))
}

/// One chain.
#[utoipa::path(
    get, path = "/admin/chains/{id}", operation_id = "admin_get_chain", tag = "admin", params(("id" = ChainId, Path, description = "The chain")),
    responses((status = 200, description = "The chain", body = AdminChain)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn get(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<ChainId>,
) -> ApiResult<axum::Json<AdminChain>> {
    let (db, reach) = administrator.read(&state).await?;
    let row = chain_within(&db, &reach, id).await?;
    Ok(axum::Json(chain::to_rest(&db, row).await?))
}

/// Renames a chain. For admins.
#[utoipa::path(
    patch, path = "/admin/chains/{id}", operation_id = "admin_edit_chain", tag = "admin",
    params(("id" = ChainId, Path, description = "The chain")), request_body = ChainEdit,
    responses((status = 200, description = "The chain as it is now", body = AdminChain)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::AlreadyExists])))
)]
async fn edit(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<ChainId>,
    Json(edit): Json<ChainEdit>,
) -> ApiResult<axum::Json<AdminChain>> {
    let (mut tx, reach) = administrator.write(&state).await?;
    let row = chain_within(&*tx, &reach, id).await?;
    if !reach.is_everything() {
        return Err(only_admins());
    }
    if let Some(name) = &edit.name {
        places::rename_chain(&mut tx, administrator.actor(), &row, name, Utc::now()).await?;
    }
    let row = chain::find(&*tx, id).await?.ok_or_else(ApiError::not_found)?;
    let chain = chain::to_rest(&*tx, row).await?;
    tx.commit().await?;
    Ok(axum::Json(chain))
}

/// Deletes a chain that has neither outlets nor loyalty data. For admins.
#[utoipa::path(
    delete, path = "/admin/chains/{id}", operation_id = "admin_delete_chain", tag = "admin", params(("id" = ChainId, Path, description = "The chain")),
    responses((status = 204, description = "It is gone")),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::NotEmpty])))
)]
async fn delete(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<ChainId>,
) -> ApiResult<StatusCode> {
    let (mut tx, reach) = administrator.write(&state).await?;
    let row = chain_within(&*tx, &reach, id).await?;
    if !reach.is_everything() {
        return Err(only_admins());
    }
    places::delete_chain(&mut tx, administrator.actor(), &row, Utc::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
