//! Jobs. Every change of a job's state goes through [`change`].

mod read;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Set,
};
use serde_json::{Value, json};
use tillwatch_protocol::ids::{JobId, PosServerId, UserId};
use tillwatch_protocol::link::frame::JobOrder;
use tillwatch_protocol::rest::job::{JobError, JobKind, JobRef, JobSpec, JobState};
use tillwatch_protocol::rest::pos_server::LinkState;
use tillwatch_protocol::rest::session::Permission;
use tillwatch_protocol::rest::timeline::TimelineKind;
use uuid::Uuid;

use crate::domain::audit::{Actor, Entry as AuditEntry};
use crate::domain::job::{self, Change};
use crate::domain::permission::Viewer;
use crate::domain::timeline::Entry;
use crate::metrics;
use crate::store::entity::{jobs, outlets, pos_servers};
use crate::store::{StoreError, audit, backup, from_text, pos_server, timeline, to_text};

pub(crate) use read::{Filter, changed_since, get, list, to_rest};

/// The states of jobs that have not ended.
const ACTIVE: [JobState; 3] = [JobState::Queued, JobState::InProgress, JobState::CancelRequested];
/// How many ids one statement names.
const CHUNK: usize = 500;

/// A job as it stands in the database, without its archives.
#[derive(Clone, Debug)]
pub(crate) struct StoredJob {
    row: jobs::Model,
    /// What it does.
    pub spec: JobSpec,
    /// How far it is.
    pub state: JobState,
}

impl StoredJob {
    /// The job's id.
    pub(crate) fn id(&self) -> JobId {
        self.row.id.into()
    }

    /// For which POS server.
    pub(crate) fn pos_server_id(&self) -> PosServerId {
        self.row.pos_server_id.into()
    }

    /// The hash of the request that it was made from.
    pub(crate) fn request_hash(&self) -> Option<&str> {
        self.row.request_hash.as_deref()
    }

    /// What goes out to the store; nothing before it was decided to send the job.
    pub(crate) fn order(&self) -> Option<JobOrder> {
        let deadline = self.row.deadline?;
        Some(JobOrder { id: self.id(), deadline, sent_at: None, spec: self.spec.clone() })
    }

    /// Whether it may have reached the store.
    pub(crate) fn was_sent(&self) -> bool {
        self.row.deadline.is_some()
    }

    fn read(row: jobs::Model) -> Result<Self, StoreError> {
        let spec = serde_json::from_value(row.spec.clone())
            .map_err(|_| StoreError::Damaged(format!("spec of job {}", row.id)))?;
        Ok(Self { spec, state: from_text(&row.state)?, row })
    }
}

/// A job to be written down.
pub(crate) struct NewJob {
    /// Its id.
    pub id: JobId,
    /// For which POS server.
    pub pos_server_id: PosServerId,
    /// What it does.
    pub spec: JobSpec,
    /// Who asked.
    pub requested_by: UserId,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// When it goes out at once: by when it must have ended.
    pub deadline: Option<DateTime<Utc>>,
    /// Until when it may wait for its store; none when it may not.
    pub expires_at: Option<DateTime<Utc>>,
    /// Which life of the database is there.
    pub generation: Option<i64>,
    /// The request's idempotency key and hash.
    pub idempotency: Option<(String, String)>,
}

/// Writes down a new job. The status of its POS server changes with it.
pub(crate) async fn insert<C: ConnectionTrait>(
    tx: &C,
    new: NewJob,
    revision: i64,
) -> Result<StoredJob, StoreError> {
    let (key, hash) = new.idempotency.unzip();
    let row = jobs::ActiveModel {
        id: Set(new.id.0),
        pos_server_id: Set(new.pos_server_id.0),
        kind: Set(new.spec.kind().as_str().to_owned()),
        state: Set(JobState::Queued.as_str().to_owned()),
        spec: Set(json!(new.spec)),
        requested_by: Set(new.requested_by.0),
        requested_at: Set(new.requested_at),
        started_at: Set(None),
        finished_at: Set(None),
        deadline: Set(new.deadline),
        expires_at: Set(new.expires_at),
        progress: Set(None),
        result: Set(None),
        error: Set(None),
        idempotency_key: Set(key),
        request_hash: Set(hash),
        revision: Set(revision),
        cancel_requested_at: Set(None),
        generation: Set(new.generation),
    };
    let row = row.insert(tx).await?;
    metrics::job_changed(new.spec.kind(), JobState::Queued);
    touch_status(tx, new.pos_server_id, revision).await?;
    let job = StoredJob::read(row)?;
    tell(tx, &job, "requested", None, new.requested_at).await?;
    Ok(job)
}

/// Moves a job to another state, or within it. Gives the job as it is then, or nothing when the change has no
/// effect: the job is gone, or in a state in which this may not happen.
pub(crate) async fn change<C: ConnectionTrait>(
    tx: &C,
    id: JobId,
    change: &Change,
    now: DateTime<Utc>,
    revision: i64,
) -> Result<Option<StoredJob>, StoreError> {
    let Some(before) = find(tx, id).await? else { return Ok(None) };
    let Some(state) = change.apply(before.state) else { return Ok(None) };
    let mut row = jobs::ActiveModel {
        state: Set(state.as_str().to_owned()),
        revision: Set(revision),
        ..Default::default()
    };
    match change {
        Change::Send { deadline } => row.deadline = Set(Some(*deadline)),
        Change::Progress(progress) => row.progress = Set(Some(json!(progress))),
        Change::AskCancel => row.cancel_requested_at = Set(Some(now)),
        Change::Finish { result, error, .. } => {
            row.result = Set(result.clone().filter(|_| state == JobState::Succeeded).map(without_nul));
            row.error = Set(error.as_ref().map(|error| json!(error)));
        }
        Change::GiveUp => row.error = Set(Some(error("venue_offline", "The venue went offline."))),
        Change::Expire => row.error = Set(Some(error("expired", "The venue did not come back in time."))),
        Change::Outdate => {
            let message = "The POS database, or the backup, is not the one that the job was meant for.";
            row.error = Set(Some(error("generation_changed", message)));
        }
        Change::Abandon => {
            row.error = Set(Some(error("pos_server_removed", "The POS server was removed.")));
        }
        Change::TimeOut => row.error = Set(Some(error("timed_out", "The job took too long."))),
        Change::Accept | Change::Cancel => {}
    }
    let starts = matches!(change, Change::Accept | Change::Progress(_)) || state == JobState::Succeeded;
    if starts && before.row.started_at.is_none() {
        row.started_at = Set(Some(now));
    }
    if state.is_terminal() {
        row.finished_at = Set(Some(now));
    }
    let written = jobs::Entity::update_many()
        .set(row)
        .filter(jobs::Column::Id.eq(id.0))
        .filter(jobs::Column::State.eq(before.state.as_str()))
        .exec_with_returning(tx)
        .await?;
    let Some(after) = written.into_iter().next() else { return Ok(None) };
    let after = StoredJob::read(after)?;
    if *change == Change::Accept
        && before.state == JobState::Queued
        && let Some(deadline) = before.row.deadline
    {
        // Its time is counted from when it was sent.
        let took = now - (deadline - before.spec.kind().time_limit());
        metrics::dispatched(took.to_std().unwrap_or_default());
    }
    if state.is_terminal() {
        tell_end(tx, &before, change, state, now).await?;
    }
    if state == JobState::Succeeded
        && let Change::Finish { result: Some(result), .. } = change
    {
        note_generation(tx, &before, result).await?;
    }
    if state != before.state {
        metrics::job_changed(before.spec.kind(), state);
        touch_status(tx, before.pos_server_id(), revision).await?;
    }
    if state.is_terminal() {
        let code = after.row.error.as_ref().and_then(|error| error.get("code")).cloned();
        tell(tx, &after, state.as_str(), code, now).await?;
    }
    Ok(Some(after))
}

/// Adds what became of a job to the timeline.
async fn tell<C: ConnectionTrait>(
    tx: &C,
    job: &StoredJob,
    code: &str,
    error: Option<Value>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut params = json!({ "job_id": job.id(), "job": job.spec.kind() });
    if let Some(error) = error {
        params["error"] = error;
    }
    let entry = Entry::new(now, TimelineKind::Job, code, params);
    timeline::append(tx, vec![(job.pos_server_id(), entry)], now).await
}

/// Postgres takes no NUL in a text, and the store must not be refused for one.
fn without_nul(value: Value) -> Value {
    match value {
        Value::String(text) => text.replace('\0', "").into(),
        Value::Array(items) => items.into_iter().map(without_nul).collect(),
        Value::Object(members) => {
            let members = members.into_iter();
            members.map(|(key, value)| (key.replace('\0', ""), without_nul(value))).collect()
        }
        other => other,
    }
}

/// Writes down how a job ended, and by whom.
async fn tell_end<C: ConnectionTrait>(
    tx: &C,
    job: &StoredJob,
    change: &Change,
    state: JobState,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let id = job.pos_server_id();
    let actor = if matches!(change, Change::Finish { .. }) { Actor::Store(id) } else { Actor::System };
    let mut entry = AuditEntry::new(now, actor, "job.ended", format!("pos_server:{id}"))
        .with("job_id", json!(job.id()))
        .with("kind", job.spec.kind().as_str())
        .with("state", state.as_str());
    if let Change::Finish { error: Some(error), .. } = change {
        entry = entry.with("error", error.code.as_str());
    }
    audit::append_within(tx, entry).await
}

/// A reset or a restore makes a new generation, which the next report will confirm.
async fn note_generation<C: ConnectionTrait>(
    tx: &C,
    job: &StoredJob,
    result: &Value,
) -> Result<(), StoreError> {
    let member = match job.spec.kind() {
        JobKind::ResetDatabase => "new_generation",
        JobKind::RestoreDatabase => "generation",
        _ => return Ok(()),
    };
    if let Some(generation) = result.get(member).and_then(Value::as_i64) {
        pos_servers::Entity::update_many()
            .col_expr(pos_servers::Column::Generation, Expr::value(generation))
            .filter(pos_servers::Column::Id.eq(job.row.pos_server_id))
            .exec(tx)
            .await?;
    }
    Ok(())
}

/// Raises the revision of a POS server's status, which lists the jobs that have not ended.
async fn touch_status<C: ConnectionTrait>(tx: &C, id: PosServerId, revision: i64) -> Result<(), StoreError> {
    pos_servers::Entity::update_many()
        .col_expr(pos_servers::Column::Revision, Expr::value(revision))
        .filter(pos_servers::Column::Id.eq(id.0))
        .exec(tx)
        .await?;
    Ok(())
}

fn error(code: &str, message: &str) -> Value {
    json!(JobError { code: code.to_owned(), message: message.to_owned() })
}

/// A job.
pub(crate) async fn find<C: ConnectionTrait>(conn: &C, id: JobId) -> Result<Option<StoredJob>, StoreError> {
    jobs::Entity::find_by_id(id.0).one(conn).await?.map(StoredJob::read).transpose()
}

/// The job that a user made with this idempotency key.
pub(crate) async fn by_idempotency_key<C: ConnectionTrait>(
    conn: &C,
    user: UserId,
    key: &str,
) -> Result<Option<StoredJob>, StoreError> {
    jobs::Entity::find()
        .filter(jobs::Column::RequestedBy.eq(user.0))
        .filter(jobs::Column::IdempotencyKey.eq(key))
        .one(conn)
        .await?
        .map(StoredJob::read)
        .transpose()
}

/// Jobs of a POS server that have not ended, oldest first.
pub(crate) async fn active_of<C: ConnectionTrait>(
    conn: &C,
    id: PosServerId,
) -> Result<Vec<StoredJob>, StoreError> {
    jobs::Entity::find()
        .filter(jobs::Column::PosServerId.eq(id.0))
        .filter(is_active())
        .order_by_asc(jobs::Column::Id)
        .all(conn)
        .await?
        .into_iter()
        .map(StoredJob::read)
        .collect()
}

/// Whether a job that is about to go out was meant for another database than the one that is there.
pub(crate) async fn is_outdated<C: ConnectionTrait>(conn: &C, job: &StoredJob) -> Result<bool, StoreError> {
    let Some(pos_server) = pos_servers::Entity::find_by_id(job.row.pos_server_id).one(conn).await? else {
        return Ok(true);
    };
    let kept = backup::known(conn, job.pos_server_id()).await?;
    let kept: Option<Vec<_>> = kept.map(|(items, _)| items.iter().map(|backup| backup.id).collect());
    Ok(job::is_outdated(&job.spec, job.row.generation, pos_server.generation, kept.as_deref()))
}

/// Jobs that have not ended, by POS server, oldest first: what statuses list.
pub(crate) async fn active<C: ConnectionTrait>(
    conn: &C,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<JobRef>>, StoreError> {
    let mut active: HashMap<Uuid, Vec<JobRef>> = HashMap::new();
    for chunk in ids.chunks(CHUNK) {
        let rows: Vec<(Uuid, Uuid, String, String)> = jobs::Entity::find()
            .select_only()
            .columns([jobs::Column::PosServerId, jobs::Column::Id, jobs::Column::Kind, jobs::Column::State])
            .filter(jobs::Column::PosServerId.is_in(chunk.iter().copied()))
            .filter(is_active())
            .order_by_asc(jobs::Column::Id)
            .into_tuple()
            .all(conn)
            .await?;
        for (pos_server, id, kind, state) in rows {
            let job = JobRef { id: id.into(), kind: from_text(&kind)?, state: from_text(&state)? };
            active.entry(pos_server).or_default().push(job);
        }
    }
    Ok(active)
}

/// Something that a job shows has changed besides its state.
pub(crate) async fn touch<C: ConnectionTrait>(conn: &C, id: JobId, revision: i64) -> Result<(), StoreError> {
    jobs::Entity::update_many()
        .col_expr(jobs::Column::Revision, Expr::value(revision))
        .filter(jobs::Column::Id.eq(id.0))
        .exec(conn)
        .await?;
    Ok(())
}

/// A POS server, when the viewer may see it.
pub(crate) async fn visible_pos_server<C: ConnectionTrait>(
    conn: &C,
    viewer: Viewer,
    id: PosServerId,
) -> Result<Option<pos_servers::Model>, StoreError> {
    Ok(pos_servers::Entity::find_by_id(id.0)
        .filter(pos_server::visible(viewer, Permission::OutletSetup))
        .one(conn)
        .await?)
}

/// The name of the outlet where a POS server stands.
pub(crate) async fn outlet_name<C: ConnectionTrait>(
    conn: &C,
    pos_server: &pos_servers::Model,
) -> Result<String, StoreError> {
    let outlet = outlets::Entity::find_by_id(pos_server.outlet_id).one(conn).await?;
    outlet
        .map(|outlet| outlet.name)
        .ok_or_else(|| StoreError::Damaged(format!("outlet of {}", pos_server.id)))
}

/// What the passing of time does to jobs. Those that may not wait are given up when they were requested
/// before `give_up_before` and their store is not there.
pub(crate) async fn overdue<C: ConnectionTrait>(
    conn: &C,
    now: DateTime<Utc>,
    give_up_before: DateTime<Utc>,
) -> Result<Vec<(JobId, Change)>, StoreError> {
    let waits_too_long = Condition::any().add(jobs::Column::ExpiresAt.lte(now)).add(
        Condition::all()
            .add(jobs::Column::ExpiresAt.is_null())
            .add(jobs::Column::RequestedAt.lte(give_up_before)),
    );
    let due = Condition::any()
        .add(jobs::Column::Deadline.lte(now))
        .add(Condition::all().add(jobs::Column::State.eq(JobState::Queued.as_str())).add(waits_too_long));
    let rows = jobs::Entity::find().filter(is_active()).filter(due).all(conn).await?;
    let online = to_text(&LinkState::Online);
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        let pos_server = pos_servers::Entity::find_by_id(row.pos_server_id).one(conn).await?;
        let is_here = pos_server.is_some_and(|pos_server| pos_server.link_state == online);
        let change = if row.state != JobState::Queued.as_str() || (is_here && row.deadline.is_some()) {
            // It runs, or it went out to a store that is there and says nothing: the deadline decides.
            row.deadline.filter(|deadline| *deadline <= now).map(|_| Change::TimeOut)
        } else if let Some(expires_at) = row.expires_at {
            // Its time has not begun: it goes out again with a new deadline.
            (expires_at <= now).then_some(Change::Expire)
        } else {
            (row.requested_at <= give_up_before).then_some(Change::GiveUp)
        };
        changes.extend(change.map(|change| (row.id.into(), change)));
    }
    Ok(changes)
}

/// Jobs that went out, to stores that are there, and were not accepted since.
pub(crate) async fn unaccepted<C: ConnectionTrait>(
    conn: &C,
    requested_before: DateTime<Utc>,
) -> Result<Vec<StoredJob>, StoreError> {
    jobs::Entity::find()
        .filter(jobs::Column::State.eq(JobState::Queued.as_str()))
        .filter(jobs::Column::Deadline.is_not_null())
        .filter(jobs::Column::RequestedAt.lt(requested_before))
        .all(conn)
        .await?
        .into_iter()
        .map(StoredJob::read)
        .collect()
}

/// Jobs whose stores were told before `asked_before` that somebody wants them canceled, with the POS server of each.
pub(crate) async fn uncanceled<C: ConnectionTrait>(
    conn: &C,
    asked_before: DateTime<Utc>,
) -> Result<Vec<(JobId, PosServerId)>, StoreError> {
    let ids: Vec<(Uuid, Uuid)> = jobs::Entity::find()
        .select_only()
        .columns([jobs::Column::Id, jobs::Column::PosServerId])
        .filter(jobs::Column::State.eq(JobState::CancelRequested.as_str()))
        .filter(jobs::Column::CancelRequestedAt.lt(asked_before))
        .into_tuple()
        .all(conn)
        .await?;
    Ok(ids.into_iter().map(|(id, pos_server)| (id.into(), pos_server.into())).collect())
}

/// When a queued job goes out: by when it must have ended.
pub(crate) fn new_deadline(job: &StoredJob, now: DateTime<Utc>) -> DateTime<Utc> {
    job::deadline(job.spec.kind(), now)
}

fn is_active() -> SimpleExpr {
    jobs::Column::State.is_in(ACTIVE.map(JobState::as_str))
}

#[cfg(test)]
mod tests;
