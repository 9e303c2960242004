//! What happened to a store, and what a restore of its database can go back to.

use axum::extract::State;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::PosServerId;
use tillwatch_protocol::rest::Page;
use tillwatch_protocol::rest::backup::Backups;
use tillwatch_protocol::rest::pos_server::LinkState;
use tillwatch_protocol::rest::timeline::TimelineItem;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::{ApiError, ApiResult};
use crate::http::extract::{CurrentUser, Path, Query};
use crate::http::params;
use crate::state::AppState;
use crate::store;
use crate::store::timeline::{Cursor, Period};

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(timeline)).routes(routes!(backups))
}

/// How far the timeline goes back when nobody says.
const USUAL: TimeDelta = TimeDelta::days(7);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Params {
    /// From when on; seven days before `to` when not given.
    #[param(value_type = Option<DateTime<Utc>>)]
    from: Option<String>,
    /// Until when, exclusive; now when not given.
    #[param(value_type = Option<DateTime<Utc>>)]
    to: Option<String>,
    /// `next_cursor` of the page before; it carries the period.
    cursor: Option<String>,
    /// How many, 1 to 1000; 100 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
}

/// A page's end, as its cursor holds it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct PageEnd {
    period: Period,
    after: Cursor,
}

/// What happened to link, POS server, exchange, versions, database and jobs, newest first.
///
/// The last page ends with the states that held when the period began: entries of the kinds `link`, `pos` and
/// `exchange` from before `from`, one each. The last 90 days are told entry by entry, what is older by sums of
/// days that are kept for two years. A day that brings more than 50 changes of a kind keeps the first 49 and
/// the last one, with `skipped`.
#[utoipa::path(
    get, path = "/pos-servers/{id}/timeline", operation_id = "get_timeline", tag = "status",
    params(("id" = PosServerId, Path, description = "Which POS server"), Params),
    responses((status = 200, description = "A page of the timeline", body = Page<TimelineItem>)),
    extensions(("x-problems" = json!([ErrorCode::NotFound, ErrorCode::PeriodInvalid])))
)]
async fn timeline(
    State(state): State<AppState>,
    current: CurrentUser,
    Path(id): Path<PosServerId>,
    Query(query): Query<Params>,
) -> ApiResult<axum::Json<Page<TimelineItem>>> {
    let (period, after, limit) = read_params(query, Utc::now())?;
    let db = state.store.read().await?;
    if store::job::visible_pos_server(&db, current.viewer(), id).await?.is_none() {
        return Err(ApiError::not_found());
    }
    let (items, next) = store::timeline::page(&db, id, period, after, limit).await?;
    let next_cursor = next.map(|after| params::to_cursor(&PageEnd { period, after }));
    Ok(axum::Json(Page { items, next_cursor }))
}

/// The databases that a restore can go back to. They lie in the store; what is shown is what it last told, while
/// it is offline too.
#[utoipa::path(
    get, path = "/pos-servers/{id}/backups", operation_id = "list_backups", tag = "status",
    params(("id" = PosServerId, Path, description = "Which POS server")),
    responses((status = 200, description = "The backups, newest first", body = Backups)),
    extensions(("x-problems" = json!([ErrorCode::NotFound])))
)]
async fn backups(
    State(state): State<AppState>,
    current: CurrentUser,
    Path(id): Path<PosServerId>,
) -> ApiResult<axum::Json<Backups>> {
    let db = state.store.read().await?;
    let Some(pos_server) = store::job::visible_pos_server(&db, current.viewer(), id).await? else {
        return Err(ApiError::not_found());
    };
    let Some((items, told_at)) = store::backup::known(&db, id).await? else {
        return Ok(axum::Json(Backups { items: Vec::new(), as_of: None }));
    };
    // A store tells at once when its list changes: as long as there is a link, the list is as it is there.
    let link = store::presence::link(&pos_server)?;
    let until = if link.state == LinkState::Online { Some(Utc::now()) } else { link.since };
    let as_of = until.map_or(told_at, |until| until.max(told_at));
    Ok(axum::Json(Backups { items, as_of: Some(as_of) }))
}

fn read_params(query: Params, now: DateTime<Utc>) -> ApiResult<(Period, Option<Cursor>, u64)> {
    let mut errors = Vec::new();
    let mut time = |field: &str, text: Option<String>| {
        let time = text.map(|text| DateTime::parse_from_rfc3339(&text).map(|time| time.to_utc()));
        time.transpose().unwrap_or_else(|_| {
            errors.push(params::refuse(field, "must be a time such as 2026-11-02T04:10:00Z"));
            None
        })
    };
    let (from, to) = (time("from", query.from), time("to", query.to));
    let limit = params::collect(params::limit(query.limit.as_deref()), &mut errors);
    let end: Option<PageEnd> = params::collect(params::from_cursor(query.cursor.as_deref()), &mut errors);
    if let Some(PageEnd { period, .. }) = end
        && (from.is_some_and(|from| from != period.from) || to.is_some_and(|to| to != period.to))
    {
        errors.push(params::foreign_cursor());
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid(&errors));
    }
    if let Some(PageEnd { period, after }) = end {
        return Ok((period, Some(after), limit));
    }
    let to = to.unwrap_or_else(|| now.trunc_subsecs(3) + TimeDelta::milliseconds(1));
    let from = match from {
        Some(from) => from,
        None => to.checked_sub_signed(USUAL).unwrap_or(DateTime::<Utc>::MIN_UTC),
    };
    if from >= to {
        return Err(ApiError::new(ErrorCode::PeriodInvalid, "`from` must lie before `to`."));
    }
    Ok((Period { from, to }, None, limit))
}
