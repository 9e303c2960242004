//! How many there are of what, for those who watch the cloud.

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};
use tillwatch_protocol::rest::job::JobState;

use super::StoreError;
use super::entity::{jobs, pos_servers};

/// Jobs that have not ended, by kind and state.
pub(crate) async fn active_jobs(db: &impl ConnectionTrait) -> Result<Vec<(String, String, i64)>, StoreError> {
    let active = [JobState::Queued, JobState::InProgress, JobState::CancelRequested].map(JobState::as_str);
    Ok(jobs::Entity::find()
        .select_only()
        .columns([jobs::Column::Kind, jobs::Column::State])
        .column_as(jobs::Column::Id.count(), "count")
        .filter(jobs::Column::State.is_in(active))
        .group_by(jobs::Column::Kind)
        .group_by(jobs::Column::State)
        .into_tuple()
        .all(db)
        .await?)
}

/// POS servers by the state of their link.
pub(crate) async fn by_link(db: &impl ConnectionTrait) -> Result<Vec<(String, i64)>, StoreError> {
    Ok(pos_servers::Entity::find()
        .select_only()
        .column(pos_servers::Column::LinkState)
        .column_as(pos_servers::Column::Id.count(), "count")
        .group_by(pos_servers::Column::LinkState)
        .into_tuple()
        .all(db)
        .await?)
}

/// POS servers whose last exchange failed, by the code of the error.
pub(crate) async fn by_error(db: &impl ConnectionTrait) -> Result<Vec<(String, i64)>, StoreError> {
    Ok(pos_servers::Entity::find()
        .select_only()
        .column(pos_servers::Column::ErrorCode)
        .column_as(pos_servers::Column::Id.count(), "count")
        .filter(pos_servers::Column::ErrorCode.is_not_null())
        .group_by(pos_servers::Column::ErrorCode)
        .into_tuple()
        .all(db)
        .await?)
}
