//! Grants: who may do what where.
//!
//! One gives only what one has: whoever administers a chain grants in it, to users that have a permission in
//! it already, permissions that they have there themselves; and takes away any permission in it. Everything
//! else is for admins.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use sea_orm::ConnectionTrait;
use serde::Deserialize;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::{ChainId, GrantId, UserId};
use tillwatch_protocol::rest::Page;
use tillwatch_protocol::rest::admin::{Grant, NewGrant};
use tillwatch_protocol::rest::session::Permission;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Administrator, chain_within, only_admins, outlet_within};
use crate::admin::{AdminError, Scope, grants};
use crate::domain::permission::Reach;
use crate::error::{ApiError, ApiResult};
use crate::http::extract::{Json, Path, Query};
use crate::http::params::{self, collect};
use crate::state::AppState;
use crate::store::grant::list::{self, Filter};
use crate::store::{from_text, grant, user};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_grants, create)).routes(routes!(remove))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Params {
    /// Only of this user.
    #[param(value_type = Option<UserId>)]
    user_id: Option<String>,
    /// Only for this chain and its outlets.
    #[param(value_type = Option<ChainId>)]
    chain_id: Option<String>,
    /// Only of this permission.
    #[param(value_type = Option<Permission>)]
    permission: Option<String>,
    /// How many, 1 to 1000; 100 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Grants, oldest first: all for admins, else those in the chains that one administers.
#[utoipa::path(
    get, path = "/admin/grants", operation_id = "admin_list_grants", tag = "admin", params(Params),
    responses((status = 200, description = "A page of grants", body = Page<Grant>)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::NotFound])))
)]
async fn list_grants(
    State(state): State<AppState>,
    administrator: Administrator,
    Query(query): Query<Params>,
) -> ApiResult<axum::Json<Page<Grant>>> {
    let mut errors = Vec::new();
    let user_id: Option<UserId> = collect(params::id("user_id", query.user_id.as_deref()), &mut errors);
    let chain_id: Option<ChainId> = collect(params::id("chain_id", query.chain_id.as_deref()), &mut errors);
    let permission = query.permission.as_deref().map(from_text::<Permission>).transpose().map_err(|_| {
        let known: Vec<&str> = Permission::ALL.iter().map(|permission| permission.as_str()).collect();
        params::refuse("permission", format!("must be one of {}", known.join(", ")))
    });
    let permission = collect(permission, &mut errors);
    let limit = collect(params::limit(query.limit.as_deref()), &mut errors);
    let after = collect(params::from_cursor(query.cursor.as_deref()), &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::invalid(&errors));
    }
    let (db, reach) = administrator.read(&state).await?;
    if let Some(id) = chain_id {
        chain_within(&db, &reach, id).await?;
    }
    if let Some(id) = user_id {
        user::find_within(&db, &reach, id).await?.ok_or_else(ApiError::not_found)?;
    }
    let filter = Filter { user_id, chain_id, permission, after };
    let items = list::page(&db, &reach, filter, limit + 1).await?;
    Ok(axum::Json(params::page(items, limit, |last| last.id)))
}

/// Grants a permission. 200 when it was granted already.
#[utoipa::path(
    post, path = "/admin/grants", operation_id = "admin_create_grant", tag = "admin", request_body = NewGrant,
    responses(
        (status = 201, description = "The new grant", body = Grant),
        (status = 200, description = "It was granted already", body = Grant),
    ),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::NotFound])))
)]
async fn create(
    State(state): State<AppState>,
    administrator: Administrator,
    Json(new): Json<NewGrant>,
) -> ApiResult<(StatusCode, axum::Json<Grant>)> {
    let scope = match (new.everywhere, new.chain_id, new.outlet_id) {
        (true, None, None) => Scope::All,
        (false, Some(chain), None) => Scope::Chain(chain),
        (false, None, Some(outlet)) => Scope::Outlet(outlet),
        _ => {
            let message = "give exactly one of everywhere, chain_id and outlet_id";
            return Err(ApiError::invalid_field("everywhere", message));
        }
    };
    let (mut tx, reach) = administrator.write(&state).await?;
    user::find_within(&*tx, &reach, new.user_id).await?.ok_or_else(ApiError::not_found)?;
    may_grant(&*tx, &reach, scope, new.permission).await?;
    let actor = administrator.actor();
    let is_new = grants::add(&mut tx, actor, new.user_id, scope, new.permission, Utc::now()).await?;
    let grant = list::of(&*tx, new.user_id, scope, new.permission).await?;
    tx.commit().await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(grant.ok_or_else(ApiError::not_found)?)))
}

/// Whether a permission is one's to give: in a place that one administers, and one's own there.
async fn may_grant(
    db: &impl ConnectionTrait,
    reach: &Reach,
    scope: Scope,
    permission: Permission,
) -> ApiResult<()> {
    let is_ones_own = match scope {
        Scope::All if reach.is_everything() => true,
        Scope::All => return Err(only_admins()),
        Scope::Chain(chain) => {
            chain_within(db, reach, chain).await?;
            grant::may_in_chain(db, reach.viewer, permission, chain).await?
        }
        Scope::Outlet(outlet) => {
            let row = outlet_within(db, reach, outlet).await?;
            grant::may(db, reach.viewer, permission, row.chain_id.into(), outlet).await?
        }
    };
    if is_ones_own { Ok(()) } else { Err(AdminError::NotOnesOwn.into()) }
}

/// Takes a permission away.
#[utoipa::path(
    delete, path = "/admin/grants/{id}", operation_id = "admin_remove_grant", tag = "admin", params(("id" = GrantId, Path, description = "The grant")),
    responses((status = 204, description = "It is taken away")),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn remove(
    State(state): State<AppState>,
    administrator: Administrator,
    Path(id): Path<GrantId>,
) -> ApiResult<StatusCode> {
    let (mut tx, reach) = administrator.write(&state).await?;
    let stored = list::find_within(&*tx, &reach, id).await?.ok_or_else(ApiError::not_found)?;
    if stored.scope == Scope::All && !reach.is_everything() {
        return Err(only_admins());
    }
    grants::remove(&mut tx, administrator.actor(), &stored, Utc::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
