//! The audit trail.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use tillwatch_protocol::error::{ErrorCode, FieldError};
use tillwatch_protocol::ids::ChainId;
use tillwatch_protocol::rest::Page;
use tillwatch_protocol::rest::admin::{AuditEntry, AuditState};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Administrator, chain_within, only_admins};
use crate::error::{ApiError, ApiResult};
use crate::http::extract::Query;
use crate::http::params::{self, collect, refuse};
use crate::state::AppState;
use crate::store::audit::{self, Chain, Filter};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(verify))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Params {
    /// Only in this chain.
    #[param(value_type = Option<ChainId>)]
    chain_id: Option<String>,
    /// Only by this actor, such as `user:<id>`.
    actor: Option<String>,
    /// Only of this action, such as `job.requested`.
    action: Option<String>,
    /// Only to this target, such as `pos_server:<id>`.
    target: Option<String>,
    /// Only of then or later.
    #[param(value_type = Option<DateTime<Utc>>)]
    from: Option<String>,
    /// Only before then.
    #[param(value_type = Option<DateTime<Utc>>)]
    to: Option<String>,
    /// How many, 1 to 1000; 100 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Audit entries, newest first: all for admins, else those of the chains that one administers.
#[utoipa::path(
    get, path = "/admin/audit", operation_id = "admin_list_audit", tag = "admin", params(Params),
    responses((status = 200, description = "A page of entries", body = Page<AuditEntry>)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::NotFound])))
)]
async fn list(
    State(state): State<AppState>,
    administrator: Administrator,
    Query(query): Query<Params>,
) -> ApiResult<axum::Json<Page<AuditEntry>>> {
    let mut errors = Vec::new();
    let chain_id = collect(params::id("chain_id", query.chain_id.as_deref()), &mut errors);
    let from = collect(time("from", query.from.as_deref()), &mut errors);
    let to = collect(time("to", query.to.as_deref()), &mut errors);
    let limit = collect(params::limit(query.limit.as_deref()), &mut errors);
    let before = collect(params::from_cursor(query.cursor.as_deref()), &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::invalid(&errors));
    }
    let (db, reach) = administrator.read(&state).await?;
    // The entries of a chain outlive it: an admin may ask for those of one that is gone.
    if let Some(id) = chain_id
        && !reach.is_everything()
    {
        chain_within(&db, &reach, id).await?;
    }
    let Params { actor, action, target, .. } = query;
    let filter = Filter { chain_id, actor, action, target, from, to, before };
    let items = audit::list(&db, &reach, &filter, limit + 1).await?;
    Ok(axum::Json(params::page(items, limit, |last| last.seq)))
}

/// Checks that no entry was changed or removed. For admins.
#[utoipa::path(
    post, path = "/admin/audit/verify", operation_id = "admin_verify_audit", tag = "admin",
    responses((status = 200, description = "How the trail stands", body = AuditState)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied])))
)]
async fn verify(
    State(state): State<AppState>,
    administrator: Administrator,
) -> ApiResult<axum::Json<AuditState>> {
    let (db, reach) = administrator.read(&state).await?;
    if !reach.is_everything() {
        return Err(only_admins());
    }
    Ok(axum::Json(match audit::verify(&db, None).await? {
        Chain::Whole(entries) => AuditState { whole: true, entries, broken_at: None },
        Chain::BrokenAt(seq) => broken(seq),
        Chain::CutOffAfter(seq) => broken(seq + 1),
    }))
}

/// The trail up to an entry that is wrong or missing.
fn broken(at: i64) -> AuditState {
    AuditState { whole: false, entries: at.unsigned_abs().saturating_sub(1), broken_at: Some(at) }
}

fn time(field: &str, text: Option<&str>) -> Result<Option<DateTime<Utc>>, FieldError> {
    text.map(|text| {
        let time = DateTime::parse_from_rfc3339(text);
        time.map(|time| time.to_utc()).map_err(|_| refuse(field, "must be a time of RFC 3339"))
    })
    .transpose()
}
