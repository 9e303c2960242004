//! What a restore can go back to: `GET /pos-servers/{id}/backups`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::{BackupId, JobId};

/// A database that was moved away and is kept in its store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DatabaseBackup {
    /// What `restore_database` names.
    pub id: BackupId,
    /// Which generation it was.
    pub generation: i64,
    /// When it was moved away.
    pub created_at: DateTime<Utc>,
    /// How large it is.
    pub size_bytes: u64,
    /// The reset or restore that moved it away.
    pub made_by: JobId,
}

/// The backups that a store last told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Backups {
    /// Newest first.
    pub items: Vec<DatabaseBackup>,
    /// When the store last told of them; null when it never did. While its link is up the list is as it is there.
    pub as_of: Option<DateTime<Utc>>,
}
