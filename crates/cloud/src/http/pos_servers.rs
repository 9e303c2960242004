//! Statuses: the list with its filters, and single ones.

use axum::extract::State;
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use tillwatch_protocol::error::{ErrorCode, FieldError};
use tillwatch_protocol::ids::{ChainId, OutletId, PosServerId};
use tillwatch_protocol::rest::pos_server::{Status, StatusPage};
use tillwatch_protocol::time::parse_duration;
use utoipa::IntoParams;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::{ApiError, ApiResult};
use crate::http::extract::{CurrentUser, Path, Query};
use crate::http::params::{self, IsoDuration, collect, refuse};
use crate::state::AppState;
use crate::store::outlet;
use crate::store::pos_server::sort::{Position, Sort, SortKey};
use crate::store::pos_server::{self, Filter};

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get))
}

/// The longest text to search for, in characters.
const MAX_Q_CHARS: usize = 200;
/// The most columns to sort by.
const MAX_SORT: usize = 8;

/// Texts as they came, so that everything wrong with them can be told at once.
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
    /// Only those that reported within this time before `as_of`, ISO 8601 such as `PT5H`; inclusive.
    #[param(inline, value_type = Option<IsoDuration>)]
    reported_within: Option<String>,
    /// Leave out those that are well: `highlight` none, online and running.
    #[param(value_type = Option<bool>)]
    problems_only: Option<String>,
    /// Only those with a text that contains this, in any case.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Columns with commas between; `-` before one descends. Nulls come last, the id breaks ties.
    /// `name`, `chain`, `outlet`, `crm_id`, `address`, `time_zone`, `link`, `link_since`, `last_seen_at`,
    /// `connector_version`, `cause`, `pos`, `pos_version`, `required_version`, `version_updated_at`,
    /// `last_exchange_at`, `last_attempt_at`, `error`, `error_since`, `generation`,
    /// `database_created_at`, `database_size_bytes`, `unsent_transactions`, `last_report_at`, `highlight`.
    #[param(inline, value_type = Option<Vec<SortColumn>>, style = Form, explode = false, min_items = 1, max_items = 8)]
    sort: Option<String>,
    /// `next_cursor` of the page before, with the same filter and order.
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
    /// How many, 1 to 1000; 100 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
}

/// A column to sort by, with or without its minus.
struct SortColumn;

impl utoipa::ToSchema for SortColumn {}
impl utoipa::PartialSchema for SortColumn {
    fn schema() -> RefOr<Schema> {
        let names = SortKey::NAMES.iter().flat_map(|name| [(*name).to_owned(), format!("-{name}")]);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
    }
}

/// A page's end, as its cursor holds it.
#[derive(Debug, Serialize, Deserialize)]
struct PageEnd {
    as_of: DateTime<Utc>,
    sort: String,
    position: Position,
}

/// A request for a page that makes sense.
struct PageRequest {
    filter: Filter,
    sort: Vec<Sort>,
    /// The order as the cursor names it.
    sort_text: String,
    after: Option<Position>,
    as_of: DateTime<Utc>,
    limit: u64,
}

/// Statuses of the POS servers that the user sees.
#[utoipa::path(
    get, path = "/pos-servers", operation_id = "list_pos_servers", tag = "status", params(Params),
    responses((status = 200, description = "A page of statuses", body = StatusPage)),
    extensions(("x-problems" = json!([ErrorCode::NotFound])))
)]
async fn list(
    State(state): State<AppState>,
    current: CurrentUser,
    Query(query): Query<Params>,
) -> ApiResult<axum::Json<StatusPage>> {
    let request = read_params(query, &current, Utc::now()).map_err(|errors| ApiError::invalid(&errors))?;
    let filter = &request.filter;
    let view = state.index.view(&state.store).await?;
    let db = &view.db;
    if let Some(id) = filter.chain_id
        && !pos_server::chain_is_visible(db, filter.viewer, id).await?
    {
        return Err(ApiError::not_found());
    }
    if let Some(id) = filter.outlet_id
        && !outlet::is_visible(db, filter.viewer, id).await?
    {
        return Err(ApiError::not_found());
    }
    let revision = view.revision;
    let (items, next) = view.page(request.filter, request.sort, request.after, request.limit).await?;
    let as_of = request.as_of;
    let next_cursor =
        next.map(|position| params::to_cursor(&PageEnd { as_of, sort: request.sort_text, position }));
    Ok(axum::Json(StatusPage { items, next_cursor, as_of, revision }))
}

/// One status.
#[utoipa::path(
    get, path = "/pos-servers/{id}", operation_id = "get_pos_server", tag = "status",
    params(("id" = PosServerId, Path, description = "The POS server")),
    responses((status = 200, description = "The status", body = Status))
)]
async fn get(
    State(state): State<AppState>,
    current: CurrentUser,
    Path(id): Path<PosServerId>,
) -> ApiResult<axum::Json<Status>> {
    let db = state.store.read().await?;
    let status = pos_server::get(&db, current.viewer(), id).await?;
    status.map(axum::Json).ok_or_else(ApiError::not_found)
}

fn read_params(
    query: Params,
    current: &CurrentUser,
    now: DateTime<Utc>,
) -> Result<PageRequest, Vec<FieldError>> {
    let mut errors = Vec::new();
    let chain_id = collect(params::id("chain_id", query.chain_id.as_deref()), &mut errors);
    let outlet_id = collect(params::id("outlet_id", query.outlet_id.as_deref()), &mut errors);
    let within = collect(parse_within(query.reported_within.as_deref()), &mut errors);
    let problems_only = collect(parse_bool("problems_only", query.problems_only.as_deref()), &mut errors);
    let q = collect(parse_q(query.q), &mut errors);
    let sort_text = query.sort.unwrap_or_default();
    let sort = collect(parse_sort(&sort_text), &mut errors);
    let limit = collect(params::limit(query.limit.as_deref()), &mut errors);
    let end: Option<PageEnd> = collect(params::from_cursor(query.cursor.as_deref()), &mut errors);
    if end.as_ref().is_some_and(|end| end.sort != sort_text || !end.position.fits(&sort)) {
        errors.push(params::foreign_cursor());
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let (as_of, after) = end.map_or((now.trunc_subsecs(3), None), |end| (end.as_of, Some(end.position)));
    let filter = Filter {
        viewer: current.viewer(),
        chain_id,
        outlet_id,
        reported_since: within.map(|within| as_of - within),
        problems_only,
        q,
    };
    Ok(PageRequest { filter, sort, sort_text, after, as_of, limit })
}

fn parse_bool(field: &str, text: Option<&str>) -> Result<bool, FieldError> {
    match text {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(refuse(field, "must be true or false")),
    }
}

fn parse_within(text: Option<&str>) -> Result<Option<std::time::Duration>, FieldError> {
    text.map(|text| parse_duration(text).map_err(|error| refuse("reported_within", error.to_string())))
        .transpose()
}

fn parse_q(q: Option<String>) -> Result<Option<String>, FieldError> {
    let q = q.map(|q| q.trim().to_owned()).filter(|q| !q.is_empty());
    if q.as_ref().is_some_and(|q| q.chars().count() > MAX_Q_CHARS) {
        return Err(refuse("q", format!("must have at most {MAX_Q_CHARS} characters")));
    }
    Ok(q)
}

fn parse_sort(text: &str) -> Result<Vec<Sort>, FieldError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut sort: Vec<Sort> = Vec::new();
    for name in text.split(',') {
        let (name, descending) = name.strip_prefix('-').map_or((name, false), |name| (name, true));
        let key = SortKey::from_name(name).ok_or_else(|| {
            let name: String = name.chars().take(40).collect();
            refuse("sort", format!("`{name}` is none of {}", SortKey::NAMES.join(", ")))
        })?;
        if sort.iter().any(|sort| sort.key == key) {
            return Err(refuse("sort", format!("`{name}` comes twice")));
        }
        sort.push(Sort { key, descending });
    }
    if sort.len() > MAX_SORT {
        return Err(refuse("sort", format!("must name at most {MAX_SORT} columns")));
    }
    Ok(sort)
}
