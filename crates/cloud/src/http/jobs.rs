//! Jobs: starting, following and canceling them.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::Utc;
use serde::Deserialize;
use serde_json::json;
use tillwatch_protocol::error::{ErrorCode, FieldError};
use tillwatch_protocol::ids::{JobId, PosServerId};
use tillwatch_protocol::link::frame::CloudFrame;
use tillwatch_protocol::rest::Page;
use tillwatch_protocol::rest::job::{Job, JobKind, JobRequest, JobSpec, JobState};
use tillwatch_protocol::rest::pos_server::LinkState;
use tillwatch_protocol::rest::session::Permission;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::audit::{Actor, Entry};
use crate::domain::job::{self, Change, Invalid, Refusal, Venue};
use crate::domain::permission::Viewer;
use crate::error::{ApiError, ApiResult};
use crate::http::extract::{CurrentUser, Json, Path, Query, idempotency_key};
use crate::http::params::{self, collect, refuse};
use crate::state::AppState;
use crate::store::entity::pos_servers;
use crate::store::job::{Filter, NewJob, StoredJob};
use crate::store::{self, StoreError, WriteTx, from_text};
use crate::tokens;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(start))
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(cancel))
}

/// Starts a job.
#[utoipa::path(
    post, path = "/pos-servers/{id}/jobs", operation_id = "start_job", tag = "jobs",
    params(
        ("id" = PosServerId, Path, description = "For which POS server"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$",
            description = "The same key and body give the same job, another body `idempotency_conflict`"),
    ),
    request_body = JobRequest,
    responses((status = 202, description = "The job, which has begun or waits", body = Job)),
    extensions(("x-problems" = json!([
        ErrorCode::PermissionDenied, ErrorCode::PeriodInvalid, ErrorCode::SizeOutOfRange,
        ErrorCode::ConfirmationMismatch, ErrorCode::IdempotencyConflict, ErrorCode::VenueOffline,
        ErrorCode::VenueTimeout, ErrorCode::JobInProgress, ErrorCode::GenerationChanged, ErrorCode::BackupNotFound,
        ErrorCode::UnsentTransactions,
    ])))
)]
async fn start(
    State(state): State<AppState>,
    user: CurrentUser,
    Path(id): Path<PosServerId>,
    headers: HeaderMap,
    Json(request): Json<JobRequest>,
) -> ApiResult<(StatusCode, axum::Json<Job>)> {
    let kind = request.spec.kind();
    let db = state.store.lone();
    let pos_server = store::job::visible_pos_server(db, user.viewer(), id).await?;
    demand(db, user.viewer(), kind, &pos_server.ok_or_else(ApiError::not_found)?).await?;
    let now = Utc::now();
    let expires_at = job::validate(&request, now).map_err(invalid)?;
    let idempotency = idempotency(&headers, id, &request)?;

    let mut tx = state.store.write().await?;
    if let Some((key, hash)) = &idempotency
        && let Some(earlier) = store::job::by_idempotency_key(&*tx, user.user.id, key).await?
    {
        if earlier.request_hash() != Some(hash) {
            return Err(ApiError::new(
                ErrorCode::IdempotencyConflict,
                "The key came with another request before.",
            ));
        }
        let job = store::job::to_rest(&*tx, earlier).await?;
        return Ok((StatusCode::ACCEPTED, axum::Json(job)));
    }
    let pos_server =
        store::job::visible_pos_server(&*tx, user.viewer(), id).await?.ok_or_else(ApiError::not_found)?;
    admit(&tx, &request, &pos_server).await?;

    let job_id = JobId::new();
    let entry = Entry::new(now, Actor::User(user.user.id), "job.requested", format!("pos_server:{id}"));
    let entry = entry.in_chain(pos_server.chain_id.into());
    let entry = entry.with("job_id", json!(job_id)).with("request", json!(request));
    store::audit::append(&tx, entry).await?;
    let new = NewJob {
        id: job_id,
        pos_server_id: id,
        requested_by: user.user.id,
        requested_at: now,
        // The time of a job counts from when it goes out.
        deadline: pos_server.node_id.map(|_| job::deadline(kind, now)),
        expires_at,
        generation: pos_server.generation,
        idempotency,
        spec: request.spec,
    };
    let revision = tx.next_revision().await?;
    let stored = store::job::insert(&*tx, new, revision).await?;
    let order = stored.order();
    let job = store::job::to_rest(&*tx, stored).await?;
    tx.commit().await?;
    if let Some(order) = order {
        // Whom this does not reach is sent the job after its next hello.
        state.links.send(id, pos_server.node_id, CloudFrame::Job(order));
    }
    Ok((StatusCode::ACCEPTED, axum::Json(job)))
}

/// What a list of jobs is narrowed down to.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Params {
    /// Only of this POS server.
    #[param(value_type = Option<PosServerId>)]
    pos_server_id: Option<String>,
    /// Only in these states, with commas between them.
    #[param(value_type = Option<Vec<JobState>>, style = Form, explode = false, min_items = 1)]
    state: Option<String>,
    /// How many, 1 to 1000; 100 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Jobs of outlets that the user may see, newest first.
#[utoipa::path(
    get, path = "/jobs", operation_id = "list_jobs", tag = "jobs", params(Params),
    responses((status = 200, description = "A page of jobs", body = Page<Job>))
)]
async fn list(
    State(state): State<AppState>,
    user: CurrentUser,
    Query(query): Query<Params>,
) -> ApiResult<axum::Json<Page<Job>>> {
    let mut errors = Vec::new();
    let pos_server_id = collect(params::id("pos_server_id", query.pos_server_id.as_deref()), &mut errors);
    let states = collect(parse_states(query.state.as_deref()), &mut errors);
    let limit = collect(params::limit(query.limit.as_deref()), &mut errors);
    let before = collect(params::from_cursor(query.cursor.as_deref()), &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::invalid(&errors));
    }
    let db = state.store.read().await?;
    let filter = Filter { pos_server_id, states, before };
    let items = store::job::list(&db, user.viewer(), &filter, limit + 1).await?;
    Ok(axum::Json(params::page(items, limit, |last| last.id)))
}

fn parse_states(text: Option<&str>) -> Result<Vec<JobState>, FieldError> {
    text.into_iter()
        .flat_map(|list| list.split(','))
        .map(|word| {
            from_text(word.trim()).map_err(|_| refuse("state", "names a state that jobs do not have"))
        })
        .collect()
}

/// One job.
#[utoipa::path(
    get, path = "/jobs/{id}", operation_id = "get_job", tag = "jobs", params(("id" = JobId, Path, description = "The job")),
    responses((status = 200, description = "The job as it is now", body = Job))
)]
async fn get(
    State(state): State<AppState>,
    user: CurrentUser,
    Path(id): Path<JobId>,
) -> ApiResult<axum::Json<Job>> {
    let db = state.store.read().await?;
    let job = store::job::get(&db, user.viewer(), id).await?;
    job.map(axum::Json).ok_or_else(ApiError::not_found)
}

/// Cancels a job: at once when it never left, else as soon as the store agrees.
#[utoipa::path(
    post, path = "/jobs/{id}/cancel", operation_id = "cancel_job", tag = "jobs",
    params(("id" = JobId, Path, description = "The job")),
    responses((status = 200, description = "The job, canceled or asked to be", body = Job)),
    extensions(("x-problems" = json!([ErrorCode::PermissionDenied, ErrorCode::JobEnded])))
)]
async fn cancel(
    State(state): State<AppState>,
    user: CurrentUser,
    Path(id): Path<JobId>,
) -> ApiResult<axum::Json<Job>> {
    let viewer = user.viewer();
    let now = Utc::now();
    let mut tx = state.store.write().await?;
    let job = store::job::find(&*tx, id).await?.ok_or_else(ApiError::not_found)?;
    let pos_server = store::job::visible_pos_server(&*tx, viewer, job.pos_server_id())
        .await?
        .ok_or_else(ApiError::not_found)?;
    demand(&*tx, viewer, job.spec.kind(), &pos_server).await?;
    if job.state.is_terminal() {
        let detail = format!("It is {}.", job.state.as_str());
        return Err(ApiError::new(ErrorCode::JobEnded, detail).with("state", json!(job.state)));
    }
    let target = job.pos_server_id();
    let changed = if job.state == JobState::CancelRequested {
        job
    } else {
        let entry = Entry::new(now, Actor::User(user.user.id), "job.cancel_requested", format!("job:{id}"));
        store::audit::append(&tx, entry.with("pos_server_id", json!(target))).await?;
        let change = if job.was_sent() { Change::AskCancel } else { Change::Cancel };
        let revision = tx.next_revision().await?;
        store::job::change(&*tx, id, &change, now, revision).await?.unwrap_or(job)
    };
    let asked = changed.state == JobState::CancelRequested;
    let job = store::job::to_rest(&*tx, changed).await?;
    tx.commit().await?;
    if asked {
        // Whom this does not reach is told after its next hello.
        state.links.send(target, pos_server.node_id, CloudFrame::Cancel { id });
    }
    Ok(axum::Json(job))
}

/// Refuses who may see the outlet but not do this there.
async fn demand(
    db: &impl sea_orm::ConnectionTrait,
    viewer: Viewer,
    kind: JobKind,
    pos_server: &pos_servers::Model,
) -> ApiResult<()> {
    let permission = match kind {
        JobKind::RetrieveLogs => Permission::RetrieveLogs,
        JobKind::ResetDatabase | JobKind::RestoreDatabase | JobKind::RestartPos => Permission::ResetDatabase,
        JobKind::ExchangeNow | JobKind::Diagnose => Permission::OutletSetup,
    };
    let (chain, outlet) = (pos_server.chain_id.into(), pos_server.outlet_id.into());
    if store::grant::may(db, viewer, permission, chain, outlet).await? {
        Ok(())
    } else {
        let detail = format!("This needs the permission {}.", permission.as_str());
        Err(ApiError::new(ErrorCode::PermissionDenied, detail).with("permission", json!(permission)))
    }
}

/// Checks a job against the state of its store.
async fn admit(tx: &WriteTx, request: &JobRequest, pos_server: &pos_servers::Model) -> ApiResult<()> {
    let id = pos_server.id.into();
    let active: Vec<StoredJob> = store::job::active_of(&**tx, id).await?;
    let kinds: Vec<JobKind> = active.iter().map(|job| job.spec.kind()).collect();
    let outlet = match request.spec {
        JobSpec::ResetDatabase { .. } | JobSpec::RestoreDatabase { .. } => {
            Some(store::job::outlet_name(&**tx, pos_server).await?)
        }
        _ => None,
    };
    let kept = match request.spec {
        JobSpec::RestoreDatabase { .. } => store::backup::known(&**tx, id).await?.map(|(items, _)| items),
        _ => None,
    };
    let backups: Option<Vec<_>> = kept.as_ref().map(|kept| kept.iter().map(|backup| backup.id).collect());
    let venue = Venue {
        outlet: outlet.as_deref(),
        link: from_text(&pos_server.link_state)?,
        pos: from_text(&pos_server.pos_state)?,
        generation: pos_server.generation,
        unsent_transactions: pos_server.unsent_transactions.map(i64::cast_unsigned),
        backups: backups.as_deref(),
        active: &kinds,
    };
    let Err(refusal) = job::admit(&request.spec, request.when_offline, &venue) else { return Ok(()) };
    let detail = refusal.to_string();
    Err(match refusal {
        Refusal::Confirmation => ApiError::new(ErrorCode::ConfirmationMismatch, detail),
        Refusal::Generation { current } => {
            ApiError::new(ErrorCode::GenerationChanged, detail).with("generation", json!(current))
        }
        Refusal::Backup => ApiError::new(ErrorCode::BackupNotFound, detail).with("backups", json!(kept)),
        Refusal::Unsent { count } => {
            ApiError::new(ErrorCode::UnsentTransactions, detail).with("unsent_transactions", json!(count))
        }
        Refusal::InProgress(kind) => {
            let other = active.iter().find(|job| job.spec.kind() == kind);
            ApiError::new(ErrorCode::JobInProgress, detail)
                .with("kind", json!(kind))
                .with("job_id", json!(other.map(StoredJob::id)))
        }
        Refusal::Offline => {
            let link = store::presence::link(pos_server)?;
            debug_assert_ne!(link.state, LinkState::Online);
            ApiError::new(ErrorCode::VenueOffline, detail).with("link", json!(link))
        }
        Refusal::PosSilent => ApiError::new(ErrorCode::VenueTimeout, detail),
    })
}

fn invalid(invalid: Invalid) -> ApiError {
    let detail = invalid.to_string();
    match invalid {
        Invalid::Period => ApiError::new(ErrorCode::PeriodInvalid, detail),
        Invalid::Size { min, max } => {
            ApiError::new(ErrorCode::SizeOutOfRange, detail).with("min", json!(min)).with("max", json!(max))
        }
        Invalid::QueueFor(message) => ApiError::invalid_field("queue_for", message),
    }
}

/// The idempotency key of a request, and by what the request is told from others.
fn idempotency(
    headers: &HeaderMap,
    id: PosServerId,
    request: &JobRequest,
) -> ApiResult<Option<(String, String)>> {
    let Some(key) = idempotency_key(headers)? else { return Ok(None) };
    let request = serde_json::to_string(&(id, request))
        .map_err(|_| StoreError::Damaged("a request that was just read".into()))?;
    Ok(Some((key.to_owned(), tokens::hash(&request))))
}
