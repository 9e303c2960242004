//! Jobs as REST tells them, to who may see them.

use sea_orm::sea_query::SimpleExpr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};
use serde_json::{Value, json};
use tillwatch_protocol::ids::{JobId, PosServerId};
use tillwatch_protocol::rest::job::{Job, JobKind, JobState};
use tillwatch_protocol::rest::session::Permission;
use uuid::Uuid;

use super::StoredJob;
use crate::domain::permission::Viewer;
use crate::store::entity::{jobs, pos_servers};
use crate::store::{StoreError, archive, from_text, pos_server};

/// What a list of jobs is narrowed down to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Only of this POS server.
    pub pos_server_id: Option<PosServerId>,
    /// Only in these states.
    pub states: Vec<JobState>,
    /// Only older than this one.
    pub before: Option<JobId>,
}

/// Jobs that a user may see, newest first.
pub(crate) async fn list<C: ConnectionTrait>(
    conn: &C,
    viewer: Viewer,
    filter: &Filter,
    limit: u64,
) -> Result<Vec<Job>, StoreError> {
    let mut query = jobs::Entity::find().filter(seen_by(viewer));
    if let Some(id) = filter.pos_server_id {
        query = query.filter(jobs::Column::PosServerId.eq(id.0));
    }
    if !filter.states.is_empty() {
        query = query.filter(jobs::Column::State.is_in(filter.states.iter().map(|state| state.as_str())));
    }
    if let Some(before) = filter.before {
        query = query.filter(jobs::Column::Id.lt(before.0));
    }
    let rows = query.order_by_desc(jobs::Column::Id).limit(limit).all(conn).await?;
    whole(conn, rows).await
}

/// Jobs that a user may see and that changed after `since`, in the order of their last change, each with its
/// revision.
pub(crate) async fn changed_since<C: ConnectionTrait>(
    conn: &C,
    viewer: Viewer,
    since: i64,
    limit: u64,
) -> Result<Vec<(i64, Job)>, StoreError> {
    let rows = jobs::Entity::find()
        .filter(jobs::Column::Revision.gt(since))
        .filter(seen_by(viewer))
        .order_by_asc(jobs::Column::Revision)
        .limit(limit)
        .all(conn)
        .await?;
    let revisions: Vec<i64> = rows.iter().map(|row| row.revision).collect();
    Ok(revisions.into_iter().zip(whole(conn, rows).await?).collect())
}

/// A job as REST tells it, when the user may see it.
pub(crate) async fn get<C: ConnectionTrait>(
    conn: &C,
    viewer: Viewer,
    id: JobId,
) -> Result<Option<Job>, StoreError> {
    let row = jobs::Entity::find_by_id(id.0).filter(seen_by(viewer)).all(conn).await?;
    Ok(whole(conn, row).await?.pop())
}

/// A job as REST tells it.
pub(crate) async fn to_rest<C: ConnectionTrait>(conn: &C, job: StoredJob) -> Result<Job, StoreError> {
    let damaged = StoreError::Damaged(format!("job {}", job.row.id));
    whole(conn, vec![job.row]).await?.pop().ok_or(damaged)
}

/// Jobs as REST tells them.
async fn whole<C: ConnectionTrait>(conn: &C, rows: Vec<jobs::Model>) -> Result<Vec<Job>, StoreError> {
    let done: Vec<Uuid> = rows.iter().filter(|row| row.result.is_some()).map(|row| row.id).collect();
    let mut archives = archive::of_jobs(conn, &done).await?;
    rows.into_iter()
        .map(|row| {
            let damaged = |what: &str| StoreError::Damaged(format!("{what} of job {}", row.id));
            let kind = from_text(&row.kind)?;
            let mut result = row.result;
            if let Some(Value::Object(members)) = &mut result
                && matches!(kind, JobKind::RetrieveLogs | JobKind::ResetDatabase)
            {
                // The store names the uploads; who asks gets the archives that they became.
                members.remove("archive_ids");
                members.insert("archives".into(), json!(archives.remove(&row.id).unwrap_or_default()));
            }
            Ok(Job {
                id: row.id.into(),
                kind,
                pos_server_id: row.pos_server_id.into(),
                state: from_text(&row.state)?,
                requested_by: row.requested_by.into(),
                requested_at: row.requested_at,
                started_at: row.started_at,
                finished_at: row.finished_at,
                progress: row
                    .progress
                    .map(|progress| serde_json::from_value(progress).map_err(|_| damaged("progress")))
                    .transpose()?,
                result,
                error: row
                    .error
                    .map(|error| serde_json::from_value(error).map_err(|_| damaged("error")))
                    .transpose()?,
            })
        })
        .collect()
}

/// Jobs of POS servers that the viewer may see.
fn seen_by(viewer: Viewer) -> SimpleExpr {
    let ids = pos_servers::Entity::find()
        .select_only()
        .column(pos_servers::Column::Id)
        .filter(pos_server::visible(viewer, Permission::OutletSetup))
        .into_query();
    jobs::Column::PosServerId.in_subquery(ids)
}
