//! What changes, as it changes: server-sent events.
//!
//! A stream reads what changed from the database, with the viewer's grants in the query, each time the bus
//! says that something did. Events carry the revision as their id, so that a client which comes back is
//! told the present state of everything that changed meanwhile.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use chrono::Utc;
use futures_util::Stream;
use serde::Serialize;
use tillwatch_protocol::ids::SessionId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::permission::Viewer;
use crate::error::ApiResult;
use crate::http::extract::CurrentUser;
use crate::metrics::EventStream;
use crate::state::AppState;
use crate::store::{StoreError, grant, job, pos_server, revision_of, session};

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(events))
}

/// How many changes are told one by one; after more than that a client loads the list anew.
const MAX_CHANGES: u64 = 5000;
/// How often a stream looks whether its session goes on and what its user may see.
const CHECK: Duration = Duration::from_secs(1);
/// How often a quiet stream says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// One event of the stream.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "a shape for the document; axum writes events")]
struct Told {
    /// The revision; left out by all but the last event of one.
    #[schema(pattern = "^[0-9]+$")]
    id: Option<String>,
    event: ToldOf,
    /// A status, a job, `{"id"}` or `{}`, as JSON.
    data: String,
}

/// What an event tells.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "a shape for the document")]
enum ToldOf {
    Status,
    Job,
    PosServerRemoved,
    Resync,
}

/// Follows changes: `status` (a whole status), `job` (a whole job), `pos_server_removed` (`{"id"}`) and
/// `resync` (load the list anew). `Last-Event-ID`, or the `revision` of a list, tells where to go on.
#[utoipa::path(
    get, path = "/events", operation_id = "follow_events", tag = "status",
    params(("Last-Event-ID" = Option<String>, Header,
        description = "The last id received, or a list's `revision`; any other text gives `resync`")),
    responses((status = 200, description = "Server-sent events", body = Told, content_type = "text/event-stream"))
)]
async fn events(
    State(state): State<AppState>,
    current: CurrentUser,
    headers: HeaderMap,
) -> ApiResult<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    let head = state.store.revision().await?;
    let asked = headers.get("last-event-id").map(|value| value.to_str().ok()?.trim().parse::<i64>().ok());
    let (since, lost) = match asked {
        None => (head, false),
        Some(Some(id)) if (0..=head).contains(&id) => (id, false),
        // Not an id of ours: of another database, or of one that was put back from a copy.
        Some(_) => (head, true),
    };
    let follower = Follower { state, session_id: current.session_id, since };
    Ok(Sse::new(stream(follower, lost)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn stream(mut follower: Follower, lost: bool) -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        let _open = EventStream::open();
        let closing = follower.state.closing.clone();
        let mut news = follower.state.store.bus().subscribe();
        let mut checks = tokio::time::interval(CHECK);
        yield Ok(Event::default().comment("following"));
        if lost {
            yield Ok(resync(follower.since));
        }
        loop {
            match follower.news().await {
                Ok(Some(events)) => for event in events {
                    yield Ok(event);
                },
                // The session has ended: so does the stream, and the client learns why when it comes back.
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "a stream of events failed");
                    break;
                }
            }
            tokio::select! {
                () = closing.cancelled() => break,
                changed = news.changed() => if changed.is_err() { break },
                _ = checks.tick() => {}
            }
        }
    }
}

/// One client that follows changes.
struct Follower {
    state: AppState,
    session_id: SessionId,
    /// Everything up to this revision was told.
    since: i64,
}

impl Follower {
    /// What changed since the last time, in the order of the revisions; none when the session has ended.
    ///
    /// Grants that changed meanwhile, if only while the client was away, may have taken rows from it: it
    /// has to load the list anew. Grants and changes are those of one moment.
    async fn news(&mut self) -> Result<Option<Vec<Event>>, StoreError> {
        let db = self.state.store.read().await?;
        let Some(user) = session::live_user(&db, self.session_id, Utc::now()).await? else {
            return Ok(None);
        };
        let viewer = Viewer { user_id: user.id, admin: user.admin };
        let head = revision_of(&db).await?;
        if head <= self.since {
            return Ok(Some(Vec::new()));
        }
        if grant::changed_at(&db, user.id).await? > self.since {
            self.since = head;
            return Ok(Some(vec![resync(head)]));
        }
        let limit = MAX_CHANGES + 1;
        let statuses = pos_server::changed_since(&db, viewer, self.since, limit).await?;
        let jobs = job::changed_since(&db, viewer, self.since, limit).await?;
        let removed = pos_server::removed_since(&db, viewer, self.since, limit).await?;
        drop(db);
        self.since = head;
        if (statuses.len() + jobs.len() + removed.len()) as u64 > MAX_CHANGES {
            return Ok(Some(vec![resync(head)]));
        }
        let mut events = Vec::new();
        let mut changes: Vec<(i64, Event)> = Vec::new();
        changes.extend(statuses.iter().map(|status| (status.revision, event("status", status))));
        changes.extend(jobs.iter().map(|(revision, job)| (*revision, event("job", job))));
        changes.extend(removed.iter().map(|(revision, id)| {
            (*revision, event("pos_server_removed", &serde_json::json!({ "id": id })))
        }));
        changes.sort_by_key(|(revision, _)| *revision);
        // One write may change many rows under one revision. Only the last of them carries it: a client
        // that lost the stream between two is told both again.
        let mut rest = changes.into_iter().peekable();
        while let Some((revision, event)) = rest.next() {
            let last = rest.peek().is_none_or(|(next, _)| *next != revision);
            events.push(if last { event.id(revision.to_string()) } else { event });
        }
        Ok(Some(events))
    }
}

fn resync(revision: i64) -> Event {
    event("resync", &serde_json::json!({})).id(revision.to_string())
}

fn event(name: &str, data: &impl Serialize) -> Event {
    let json = serde_json::to_string(data).unwrap_or_default();
    Event::default().event(name).data(json)
}
