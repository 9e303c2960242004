//! What the cloud knows of one store beyond its status.

use chrono::{DateTime, Utc};

use super::{Answer, CoreState};
use crate::ipc::{Backups, Timeline};

/// What happened to a POS server in `from ≤ t < to`, at most 93 days, newest first.
#[tauri::command]
#[specta::specta]
pub(crate) async fn timeline(
    core: CoreState<'_>,
    id: String,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Answer<Timeline> {
    core.timeline(&id, from, to).await
}

/// The databases that a restore of this POS server can go back to.
#[tauri::command]
#[specta::specta]
pub(crate) async fn backups(core: CoreState<'_>, id: String) -> Answer<Backups> {
    core.backups(&id).await
}
