//! Jobs, archives, downloads and the export.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use specta::Type;
use tillwatch_protocol::rest::job as wire;

use crate::error::AppError;

mirror! {
    /// The kinds of work there are.
    JobKind = wire::JobKind {
        /// Fetch logs of a period.
        RetrieveLogs = "retrieve_logs",
        /// Move the POS database away, so that a new one is made.
        ResetDatabase = "reset_database",
        /// Put a moved database back.
        RestoreDatabase = "restore_database",
        /// Stop and start the POS server.
        RestartPos = "restart_pos",
        /// Ask the POS server for an exchange.
        ExchangeNow = "exchange_now",
        /// Find out what is wrong, from the store's side.
        Diagnose = "diagnose",
    }
}

mirror! {
    /// How far a job is.
    JobState = wire::JobState {
        /// Waits for the store.
        Queued = "queued",
        /// The store has accepted it.
        InProgress = "in_progress",
        /// Done.
        Succeeded = "succeeded",
        /// Tried and failed.
        Failed = "failed",
        /// The store refused it.
        Rejected = "rejected",
        /// It took too long.
        TimedOut = "timed_out",
        /// The store did not come back in time.
        Expired = "expired",
        /// Somebody asked to cancel it and the store has not confirmed yet.
        CancelRequested = "cancel_requested",
        /// It was canceled and will not run.
        Canceled = "canceled",
    }
}

/// A job as a row names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ActiveJob {
    /// The job's id.
    pub id: String,
    /// What it does.
    pub kind: JobKind,
    /// How far it is.
    pub state: JobState,
}

/// A job that the user asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub struct Job {
    /// The job's id.
    pub id: String,
    /// What it does.
    pub kind: JobKind,
    /// For which POS server.
    pub pos_server_id: String,
    /// The name of that POS server's outlet; empty when it is not among the rows any more.
    pub organization: String,
    /// How far it is.
    pub state: JobState,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When the store accepted it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// The latest the store told.
    pub progress: Option<JobProgress>,
    /// What it made, in parts, oldest first.
    pub archives: Vec<Archive>,
    /// Whether older log entries were left out to keep to the size.
    pub truncated: bool,
    /// The whole result as JSON text, by kind.
    pub result: Option<String>,
    /// Why it ended without success.
    pub error: Option<JobFailure>,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct JobProgress {
    /// What goes on, such as `compressing`.
    pub phase: String,
    /// How much of it is done.
    #[specta(type = u32)]
    pub done: u64,
    /// How much there is, when known.
    #[specta(type = Option<u32>)]
    pub total: Option<u64>,
    /// What is counted: `bytes`, `files`, `checks`, `steps`.
    pub unit: String,
}

/// Why a job ended without success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct JobFailure {
    /// Stable, `snake_case`.
    pub code: String,
    /// What happened, in English; text from the store.
    pub message: String,
}

/// A zip of log files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Archive {
    /// The archive's id.
    pub id: String,
    /// A name for saving it.
    pub file_name: String,
    /// Its size.
    #[specta(type = u32)]
    pub size_bytes: u64,
    /// SHA-256 of its bytes, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Start of the period it was made for.
    pub from: DateTime<Utc>,
    /// End of that period, exclusive.
    pub to: DateTime<Utc>,
    /// When the cloud deletes it.
    pub expires_at: DateTime<Utc>,
}

/// What to do with a store that is offline when logs are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum WhenOffline {
    /// Its entry carries the error `venue_offline`.
    Fail,
    /// Its entry carries neither a job nor an error.
    Skip,
    /// The job waits for the store.
    Queue,
}

/// What became of one store's part of a request for logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub struct RequestedLogs {
    /// Which POS server.
    pub pos_server_id: String,
    /// The job that fetches them.
    pub job: Option<Job>,
    /// Why there is none.
    pub error: Option<AppError>,
}

/// Jobs that need nothing but the POS server's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum RunnableJob {
    /// Stop and start the POS server.
    RestartPos,
    /// Ask the POS server for an exchange.
    ExchangeNow,
    /// Find out what is wrong, from the store's side.
    Diagnose,
}

/// An archive on its way to a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub struct Download {
    /// The archive's id.
    pub id: String,
    /// Where the file is, or will be.
    pub path: Option<String>,
    /// Bytes that are there.
    #[specta(type = u32)]
    pub done: u64,
    /// Bytes in all.
    #[specta(type = u32)]
    pub total: u64,
    /// How far it is.
    pub state: DownloadState,
    /// Why it failed.
    pub error: Option<AppError>,
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum DownloadState {
    /// Bytes arrive.
    Running,
    /// The file is whole and checked.
    Done,
    /// There is no file; `error` says why.
    Failed,
    /// The user stopped it; there is no file.
    Canceled,
}

/// How the statuses are written to a spreadsheet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ExportRequest {
    /// The title of the save dialog.
    pub dialog_title: String,
    /// The name that the dialog proposes.
    pub file_name: String,
    /// The visible columns in their order.
    pub columns: Vec<ExportColumn>,
    /// Words of the user's language by key, such as `link.online`; English where one is missing.
    pub words: BTreeMap<String, String>,
    /// The language the words are in, such as `en`.
    pub locale: String,
    /// IANA name of the zone that times are written in, or `outlet` for each outlet's own.
    pub time_zone: String,
}

/// A column of a spreadsheet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ExportColumn {
    /// The grid's key for it.
    pub key: String,
    /// What stands above it.
    pub title: String,
}

/// A spreadsheet that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Exported {
    /// Where it is.
    pub path: String,
    /// How many statuses it holds.
    pub rows: u32,
}
