//! Work for a store.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{BackupId, JobId, PosServerId, UserId};
use crate::rest::archive::Archive;

/// The kinds of work there are; the cloud can order a store nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Fetch logs of a period.
    RetrieveLogs,
    /// Move the POS database away, so that a new one is made.
    ResetDatabase,
    /// Put a moved database back.
    RestoreDatabase,
    /// Stop and start the POS server; start it when it is stopped.
    RestartPos,
    /// Ask the POS server for an exchange.
    ExchangeNow,
    /// Find out what is wrong, from the store's side.
    Diagnose,
}

impl JobKind {
    /// The kind as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RetrieveLogs => "retrieve_logs",
            Self::ResetDatabase => "reset_database",
            Self::RestoreDatabase => "restore_database",
            Self::RestartPos => "restart_pos",
            Self::ExchangeNow => "exchange_now",
            Self::Diagnose => "diagnose",
        }
    }

    /// How long a job of this kind may take, counted from its start.
    pub fn time_limit(self) -> std::time::Duration {
        let minutes = match self {
            Self::RetrieveLogs => 60,
            Self::ResetDatabase | Self::RestoreDatabase => 15,
            Self::RestartPos | Self::ExchangeNow | Self::Diagnose => 10,
        };
        std::time::Duration::from_secs(minutes * 60)
    }
}

/// The smallest `max_bytes` of `retrieve_logs`.
pub const MIN_LOG_BYTES: u64 = 64 * 1024;
/// The largest `max_bytes` of `retrieve_logs`.
pub const MAX_LOG_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// What is to be done; the same in a request and in the frame that carries it to the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum JobSpec {
    /// Fetch the log entries with `from ≤ time < to`.
    RetrieveLogs {
        /// Start of the period.
        from: DateTime<Utc>,
        /// End of the period, exclusive.
        to: DateTime<Utc>,
        /// Total size of the archives as downloaded.
        #[cfg_attr(feature = "openapi", schema(minimum = 65_536, maximum = 2_147_483_648_u64))]
        max_bytes: u64,
    },
    /// Move the POS database away, so that a new one is made.
    ResetDatabase {
        /// The outlet's name, typed by a person.
        confirm: String,
        /// The database that the person meant.
        expected_generation: i64,
        /// Fetch the logs first.
        #[serde(default = "yes")]
        collect_logs: bool,
        /// Go on although transactions that were not sent are lost.
        #[serde(default)]
        discard_unsent: bool,
    },
    /// Put a moved database back.
    RestoreDatabase {
        /// The outlet's name, typed by a person.
        confirm: String,
        /// Which one.
        backup_id: BackupId,
    },
    /// Stop and start the POS server.
    RestartPos {},
    /// Ask the POS server for an exchange.
    ExchangeNow {},
    /// Find out what is wrong, from the store's side.
    Diagnose {},
}

fn yes() -> bool {
    true
}

impl JobSpec {
    /// The kind of work this is.
    pub fn kind(&self) -> JobKind {
        match self {
            Self::RetrieveLogs { .. } => JobKind::RetrieveLogs,
            Self::ResetDatabase { .. } => JobKind::ResetDatabase,
            Self::RestoreDatabase { .. } => JobKind::RestoreDatabase,
            Self::RestartPos {} => JobKind::RestartPos,
            Self::ExchangeNow {} => JobKind::ExchangeNow,
            Self::Diagnose {} => JobKind::Diagnose,
        }
    }
}

/// What to do when the store is offline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhenOffline {
    /// Refuse with `venue_offline`.
    #[default]
    Fail,
    /// Wait for the store, at most `queue_for`.
    Queue,
}

/// How long a job waits for an offline store when the request does not say.
pub const DEFAULT_QUEUE_FOR: &str = "PT8H";

/// `POST /pos-servers/{id}/jobs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Map<String, Value>")]
pub struct JobRequest {
    /// What to do when the store is offline.
    pub when_offline: WhenOffline,
    /// ISO 8601; how long to wait for an offline store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_for: Option<String>,
    /// What is to be done.
    #[serde(flatten)]
    pub spec: JobSpec,
}

/// `flatten` and `deny_unknown_fields` exclude each other, so the two common fields are taken out by hand.
impl TryFrom<serde_json::Map<String, Value>> for JobRequest {
    type Error = serde_json::Error;

    fn try_from(mut fields: serde_json::Map<String, Value>) -> Result<Self, Self::Error> {
        let when_offline = fields.remove("when_offline").map(serde_json::from_value).transpose()?;
        let queue_for = fields.remove("queue_for").map(serde_json::from_value).transpose()?;
        let spec = serde_json::from_value(Value::Object(fields))?;
        Ok(Self { when_offline: when_offline.unwrap_or_default(), queue_for: queue_for.flatten(), spec })
    }
}

#[cfg(feature = "openapi")]
mod schema {
    use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Type};
    use utoipa::openapi::{RefOr, Schema};
    use utoipa::{PartialSchema, ToSchema};

    use super::{DEFAULT_QUEUE_FOR, JobRequest, JobSpec, WhenOffline};
    use crate::time::DURATION_PATTERN;

    impl ToSchema for JobRequest {
        fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            schemas.push((WhenOffline::name().into(), WhenOffline::schema()));
            JobSpec::schemas(schemas);
        }
    }
    impl PartialSchema for JobRequest {
        /// Each kind of work with the two fields that all have in common: as a kind refuses what it does not know, the
        /// schemas of both can't just be put side by side.
        fn schema() -> RefOr<Schema> {
            let mut schema = JobSpec::schema();
            let RefOr::T(Schema::OneOf(kinds)) = &mut schema else { return schema };
            kinds.description = Some("What is to be done, and what if the store is offline.".into());
            for kind in &mut kinds.items {
                let RefOr::T(Schema::Object(kind)) = kind else { continue };
                let queue_for = ObjectBuilder::new()
                    .schema_type(Type::String)
                    .pattern(Some(DURATION_PATTERN))
                    .default(Some(DEFAULT_QUEUE_FOR.into()))
                    .description(Some(
                        "ISO 8601, a second to 30 days; how long to wait for an offline store.",
                    ));
                kind.properties.insert("queue_for".into(), queue_for.build().into());
                kind.properties.insert("when_offline".into(), WhenOffline::schema());
                kind.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            }
            schema
        }
    }
}

/// The states of a job. All but the first two and `cancel_requested` are terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for the store.
    Queued,
    /// The store has accepted it.
    InProgress,
    /// Done.
    Succeeded,
    /// Tried and failed; `error` says why.
    Failed,
    /// The store refused it; `error` says why.
    Rejected,
    /// It took too long.
    TimedOut,
    /// The store did not come back in time.
    Expired,
    /// Somebody asked to cancel it and the store has not confirmed yet.
    CancelRequested,
    /// It was canceled and will not run.
    Canceled,
}

impl JobState {
    /// The state as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::TimedOut => "timed_out",
            Self::Expired => "expired",
            Self::CancelRequested => "cancel_requested",
            Self::Canceled => "canceled",
        }
    }

    /// Whether the job has ended.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::InProgress | Self::CancelRequested)
    }
}

/// A job as a status names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobRef {
    /// The job's id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// How far it is.
    pub state: JobState,
}

/// A whole job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Job {
    /// The job's id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// For which POS server.
    pub pos_server_id: PosServerId,
    /// How far it is.
    pub state: JobState,
    /// Who asked for it.
    pub requested_by: UserId,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// When the store accepted it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// The latest the store told, null before it did.
    pub progress: Option<JobProgress>,
    /// One of the result types of this module, by kind; null unless it succeeded.
    pub result: Option<Value>,
    /// Why it ended without success.
    pub error: Option<JobError>,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobProgress {
    /// What goes on: `finding`, `compressing`, `uploading`, `collecting_logs`, `stopping`, `moving_away`,
    /// `starting`, `first_exchange`, `putting_back`, `checking`.
    pub phase: String,
    /// How much of it is done.
    pub done: u64,
    /// How much there is, when known.
    pub total: Option<u64>,
    /// What is counted: `bytes`, `files`, `checks`, `steps`.
    pub unit: String,
}

/// Why a job ended without success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobError {
    /// Stable, `snake_case`.
    pub code: String,
    /// What happened, in English; text from the store.
    pub message: String,
}

/// What `retrieve_logs` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RetrieveLogsResult {
    /// The parts, oldest first; none when nothing was logged in the period.
    pub archives: Vec<Archive>,
    /// Whether older entries were left out to keep to the size.
    pub truncated: bool,
    /// How many log files are in the archives.
    pub files: u64,
    /// How many card numbers were masked.
    pub redactions: u64,
}

/// What `reset_database` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResetDatabaseResult {
    /// The database that was moved away.
    pub old_generation: i64,
    /// The one made anew.
    pub new_generation: i64,
    /// By which the old one can be put back.
    pub backup_id: BackupId,
    /// The logs that were collected first.
    pub archives: Vec<Archive>,
}

/// What `restore_database` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoreDatabaseResult {
    /// The generation that the restored database has now.
    pub generation: i64,
}

/// What `diagnose` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DiagnoseResult {
    /// In the order in which they were made.
    pub checks: Vec<Check>,
}

/// One check of `diagnose`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Check {
    /// What was checked: `dns`, `tcp`, `tls`, `clock`, `link`, `exchange`, `pos_server`, `disk`.
    pub name: String,
    /// Whether it is well.
    pub ok: bool,
    /// How long the check took.
    pub millis: u64,
    /// What was found, in English.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_with_its_defaults() {
        let body = r#"{"kind":"reset_database","confirm":"Riga","expected_generation":3}"#;
        let request: JobRequest = serde_json::from_str(body).unwrap();
        assert_eq!(request.when_offline, WhenOffline::Fail);
        assert_eq!(
            request.spec,
            JobSpec::ResetDatabase {
                confirm: "Riga".into(),
                expected_generation: 3,
                collect_logs: true,
                discard_unsent: false,
            }
        );
    }

    #[test]
    fn unknown_fields_and_kinds_are_refused() {
        for body in [
            r#"{"kind":"restart_pos","shell":"rm"}"#,
            r#"{"kind":"run_shell"}"#,
            r#"{"kind":"diagnose","when_offline":"never"}"#,
            r#"{"when_offline":"fail"}"#,
            r#"{"kind":"retrieve_logs","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z","max_bytes":-1}"#,
        ] {
            assert!(serde_json::from_str::<JobRequest>(body).is_err(), "{body}");
        }
    }
}
