//! The outlets that a user may choose from.

use axum::extract::State;
use serde::Deserialize;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::ChainId;
use tillwatch_protocol::rest::Page;
use tillwatch_protocol::rest::outlet::Outlet;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::{ApiError, ApiResult};
use crate::http::extract::{CurrentUser, Query};
use crate::http::params::{self, collect};
use crate::state::AppState;
use crate::store::{outlet, pos_server};

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
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
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

/// Outlets with `outlet_setup`, by chain and name.
#[utoipa::path(
    get, path = "/outlets", operation_id = "list_outlets", tag = "status", params(Params),
    responses((status = 200, description = "A page of outlets", body = Page<Outlet>)),
    extensions(("x-problems" = json!([ErrorCode::NotFound])))
)]
async fn list(
    State(state): State<AppState>,
    current: CurrentUser,
    Query(query): Query<Params>,
) -> ApiResult<axum::Json<Page<Outlet>>> {
    let mut errors = Vec::new();
    let chain_id: Option<ChainId> = collect(params::id("chain_id", query.chain_id.as_deref()), &mut errors);
    let limit = collect(params::limit(query.limit.as_deref()), &mut errors);
    let after = collect(params::from_cursor(query.cursor.as_deref()), &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::invalid(&errors));
    }
    let db = state.store.read().await?;
    if let Some(id) = chain_id
        && !pos_server::chain_is_visible(&db, current.viewer(), id).await?
    {
        return Err(ApiError::not_found());
    }
    let (items, next) = outlet::page(&db, current.viewer(), chain_id, after.as_ref(), limit).await?;
    Ok(axum::Json(Page { items, next_cursor: next.as_ref().map(params::to_cursor) }))
}
