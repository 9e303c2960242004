//! Archives of logs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::ArchiveId;

/// A zip of log files that a job made; a large one comes in parts, each an archive of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Archive {
    /// The archive's id.
    pub id: ArchiveId,
    /// A name for saving it, made by the cloud.
    pub file_name: String,
    /// Its size as downloaded.
    pub size_bytes: u64,
    /// SHA-256 of its bytes, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Start of the period it was made for.
    pub from: DateTime<Utc>,
    /// End of that period, exclusive.
    pub to: DateTime<Utc>,
    /// When it will be deleted.
    pub expires_at: DateTime<Utc>,
}
