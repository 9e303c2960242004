//! The frames of a link: JSON text, `{"type": …}`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{BootId, JobId};
use crate::report::Report;
use crate::rest::job::{JobError, JobProgress, JobSpec, JobState};
use crate::rest::pos_server::PosState;

/// What a connector says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ConnectorFrame {
    /// The first frame of a session.
    Hello(Hello),
    /// The store's state; sent when it changed.
    Report {
        /// The state.
        report: StoreReport,
    },
    /// Sent at every heartbeat.
    Alive {
        /// Whether the POS server answers.
        pos_answers: bool,
    },
    /// The job stands in the connector's journal and will be done.
    JobAccepted {
        /// Which.
        id: JobId,
    },
    /// How far a job is.
    JobProgress {
        /// Which.
        id: JobId,
        /// How far.
        progress: JobProgress,
    },
    /// A job has ended; said again after each reconnect until the cloud acknowledges it.
    JobFinished(JobFinished),
    /// The link is about to be closed cleanly.
    Bye {
        /// Why.
        reason: ByeReason,
    },
}

/// The first frame of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The connector's version.
    pub connector_version: String,
    /// Which life of the connector process this is.
    pub boot_id: BootId,
    /// When that life began.
    pub started_at: DateTime<Utc>,
    /// The store's state.
    #[serde(default)]
    pub report: Option<StoreReport>,
    /// Jobs in the journal whose end the cloud has not acknowledged. The cloud sends other jobs again.
    #[serde(default)]
    pub unfinished_jobs: Vec<JobId>,
    /// How often the link was lost since the process began.
    #[serde(default)]
    pub drops: u64,
}

/// A POS server's report, and what the connector itself knows of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreReport {
    /// Whether the POS server answers; a report without this field comes from one that does.
    #[serde(default = "running")]
    pub pos_state: PosState,
    /// The last report that the POS server gave, with the database's generation put in by the connector.
    #[serde(flatten)]
    pub report: Report,
}

fn running() -> PosState {
    PosState::Running
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobFinished {
    /// Which.
    pub id: JobId,
    /// A terminal state: `succeeded`, `failed`, `rejected`, `timed_out` or `canceled`.
    pub state: JobState,
    /// What the kind of job gives; archives are named by `archive_ids` of the uploads instead.
    #[serde(default)]
    pub result: Option<Value>,
    /// Why it did not succeed.
    #[serde(default)]
    pub error: Option<JobError>,
}

/// Why a connector goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByeReason {
    /// Its service is stopped.
    Stopping,
    /// Its service, or the machine, restarts.
    Restarting,
    /// It makes place for a newer version.
    Updating,
}

/// What the cloud says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CloudFrame {
    /// Answers a hello.
    Welcome {
        /// Orders the sessions of one identity.
        session_epoch: i64,
        /// How often the connector says `alive`.
        heartbeat_seconds: u64,
        /// The cloud's clock.
        server_time: DateTime<Utc>,
        /// The outlet's IANA time zone, for log lines that state none.
        #[serde(default)]
        time_zone: Option<String>,
    },
    /// Work to do.
    Job(JobOrder),
    /// Stop doing it.
    Cancel {
        /// Which.
        id: JobId,
    },
    /// The end of a job has been written down; the connector may forget it.
    Ack {
        /// Which.
        id: JobId,
    },
    /// The node goes away; connect again within this time.
    Drain {
        /// Spreads the reconnections.
        reconnect_within_seconds: u64,
    },
}

/// Work for a store, as the link carries it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobOrder {
    /// The job's id; a connector does each at most once.
    pub id: JobId,
    /// When it must have ended.
    pub deadline: DateTime<Utc>,
    /// What to do.
    #[serde(flatten)]
    pub spec: JobSpec,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug>(frame: &T) {
        let text = serde_json::to_string(frame).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), frame, "{text}");
    }

    #[test]
    fn frames_survive_the_wire() {
        let now = Utc::now();
        round_trip(&CloudFrame::Job(JobOrder {
            id: JobId::new(),
            deadline: now,
            spec: JobSpec::RetrieveLogs { from: now, to: now, max_bytes: 1 << 20 },
        }));
        round_trip(&ConnectorFrame::Hello(Hello {
            connector_version: "0.1.0".into(),
            boot_id: BootId::new(),
            started_at: now,
            report: Some(StoreReport {
                pos_state: PosState::NotResponding,
                report: Report { pos_version: Some("34.5.2".into()), ..Report::default() },
            }),
            unfinished_jobs: vec![JobId::new()],
            drops: 2,
        }));
    }

    #[test]
    fn a_plain_report_is_a_store_report() {
        let text = r#"{"type":"report","report":{"pos_version":"34.5.2","exchange":{"error":null},"database":{"size_bytes":5}}}"#;
        let ConnectorFrame::Report { report } = serde_json::from_str(text).unwrap() else { panic!("{text}") };
        assert_eq!(report.pos_state, PosState::Running);
        assert_eq!(report.report.database.size_bytes, Some(5));
    }
}
