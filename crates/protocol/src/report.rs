//! What a POS server tells its connector by `GET /report` or in a status file.
//!
//! Read leniently: a vendor's POS may know less, so every field may be missing.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::rest::backup::DatabaseBackup;

/// The report of a POS server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Such as `34.5.2`.
    pub pos_version: Option<String>,
    /// When that version was installed.
    pub version_updated_at: Option<DateTime<Utc>>,
    /// The last exchanges.
    pub exchange: ExchangeReport,
    /// The database.
    pub database: DatabaseReport,
}

/// How the last exchanges went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExchangeReport {
    /// When one last succeeded.
    pub last_success_at: Option<DateTime<Utc>>,
    /// When one was last tried.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// Why the last one failed, if it did.
    pub error: Option<ExchangeError>,
}

/// Why exchanges fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExchangeError {
    /// One of [`SyncError`], or a code of a vendor's own.
    pub code: String,
    /// What happened, in English; text from the store.
    pub message: String,
    /// Since when each exchange failed with this code.
    pub since: DateTime<Utc>,
    /// How many failed in a row.
    pub consecutive_failures: u64,
}

/// What a POS server tells of its database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DatabaseReport {
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// How large it is.
    pub size_bytes: Option<u64>,
    /// Transactions that were not sent yet.
    pub unsent_transactions: Option<u64>,
    /// Which life of the database this is. The connector's to say, on the link; a POS server leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// The databases that a restore can go back to, newest first. The connector's to say, as the generation is;
    /// an older one does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backups: Option<Vec<DatabaseBackup>>,
}

/// The reasons for which our POS server's exchange fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncError {
    /// After applying the changes the checksums differ. Only a reset heals it.
    DatabaseInconsistent,
    /// The database file can't be read.
    DatabaseCorrupt,
    /// No connection to the cloud.
    CloudUnreachable,
    /// The cloud's certificate is not trusted.
    TlsFailed,
    /// The store's clock is off.
    ClockSkewed,
    /// The store's identity was revoked.
    CredentialsRevoked,
    /// The POS server is too old.
    VersionUnsupported,
    /// The cloud answered something else.
    ServerError,
    /// No room for the changes.
    DiskFull,
}

impl SyncError {
    /// The code as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DatabaseInconsistent => "database_inconsistent",
            Self::DatabaseCorrupt => "database_corrupt",
            Self::CloudUnreachable => "cloud_unreachable",
            Self::TlsFailed => "tls_failed",
            Self::ClockSkewed => "clock_skewed",
            Self::CredentialsRevoked => "credentials_revoked",
            Self::VersionUnsupported => "version_unsupported",
            Self::ServerError => "server_error",
            Self::DiskFull => "disk_full",
        }
    }
}
