//! Service tokens, by which programs of third parties sign in.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use sea_orm::ConnectionTrait;
use serde::Deserialize;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::{ChainId, ServiceTokenId};
use tillwatch_protocol::rest::Page;
use tillwatch_protocol::rest::service_token::{
    CreatedServiceToken, NewServiceToken, ServiceToken, TokenScope,
};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Administrator, chain_within, pos_server_within};
use crate::admin::{AdminError, service_tokens};
use crate::domain::permission::Reach;
use crate::error::{ApiError, ApiResult};
use crate::http::extract::{Json, Path, Query};
use crate::http::params::{self, collect};
use crate::state::AppState;
use crate::store::{grant, service_token};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Params {
    /// Only for this chain and its POS servers.
    #[param(value_type = Option<ChainId>)]
    chain_id: Option<String>,
    /// How many, 1 to 1000; 100 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Service tokens, newest first, revoked ones too: all for admins, else those of the chains that one
/// administers.
#[utoipa::path(
    get, path = "/admin/service-tokens", operation_id = "admin_list_service_tokens", tag = "admin", params(Params),
    responses((status = 200, description = "A page of tokens", body = Page<ServiceToken>)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::NotFound])))
)]
async fn list(
    State(state): State<AppState>,
    administrator: Administrator,
    Query(query): Query<Params>,
) -> ApiResult<axum::Json<Page<ServiceToken>>> {
    let mut errors = Vec::new();
    let chain_id: Option<ChainId> = collect(params::id("chain_id", query.chain_id.as_deref()), &mut errors);
    let limit = collect(params::limit(query.limit.as_deref()), &mut errors);
    let before = collect(params::from_cursor(query.cursor.as_deref()), &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::invalid(&errors));
    }
    let (db, reach) = administrator.read(&state).await?;
    if let Some(id) = chain_id {
        chain_within(&db, &reach, id).await?;
    }
    let items = service_token::page(&db, &reach, chain_id, before, limit + 1).await?;
    Ok(axum::Json(params::page(items, limit, |last| last.id)))
}

/// Makes a service token for a POS server, or for all of a chain. The token is told this once.
#[utoipa::path(
    post, path = "/admin/service-tokens", operation_id = "admin_create_service_token", tag = "admin", request_body = NewServiceToken,
    responses((status = 201, description = "The new token with its secret", body = CreatedServiceToken)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::NotFound, ErrorCode::AlreadyExists])))
)]
async fn create(
    State(state): State<AppState>,
    administrator: Administrator,
    Json(new): Json<NewServiceToken>,
) -> ApiResult<(StatusCode, axum::Json<CreatedServiceToken>)> {
    let (tx, reach) = administrator.write(&state).await?;
    may_give(&*tx, &reach, &new).await?;
    let NewServiceToken { name, scope, permission } = new;
    let actor = administrator.actor();
    let (token, secret) = service_tokens::add(&tx, actor, &name, scope, permission, Utc::now()).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, axum::Json(CreatedServiceToken { token, secret })))
}

/// Like a grant: in a place that one administers, and one's own there.
async fn may_give(db: &impl ConnectionTrait, reach: &Reach, new: &NewServiceToken) -> ApiResult<()> {
    let is_ones_own = match new.scope {
        TokenScope::Chain(chain) => {
            chain_within(db, reach, chain).await?;
            grant::may_in_chain(db, reach.viewer, new.permission, chain).await?
        }
        TokenScope::PosServer(id) => {
            let row = pos_server_within(db, reach, id).await?;
            let (chain, outlet) = (row.chain_id.into(), row.outlet_id.into());
            grant::may(db, reach.viewer, new.permission, chain, outlet).await?
        }
    };
    if is_ones_own { Ok(()) } else { Err(AdminError::NotOnesOwn.into()) }
}

/// Revokes a service token: it is refused from the next request on, by other nodes within a second.
#[utoipa::path(
    delete, path = "/admin/service-tokens/{id}", operation_id = "admin_revoke_service_token", tag = "admin",
    params(("id" = ServiceTokenId, Path, description = "The token")),
    responses((status = 204, description = "It is revoked")),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn revoke(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<ServiceTokenId>,
) -> ApiResult<StatusCode> {
    let (tx, reach) = administrator.write(&state).await?;
    let token = service_token::find_within(&*tx, &reach, id).await?.ok_or_else(ApiError::not_found)?;
    if token.revoked_at.is_none() {
        service_tokens::revoke(&tx, administrator.actor(), token, Utc::now()).await?;
        tx.commit().await?;
    }
    state.known_tokens.forget(id);
    Ok(StatusCode::NO_CONTENT)
}
