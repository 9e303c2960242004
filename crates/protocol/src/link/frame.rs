//! The frames of a link: JSON text, `{"type": …}`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{BootId, JobId, RelayId};
use crate::relay::Method;
use crate::report::Report;
use crate::rest::job::{JobError, JobProgress, JobSpec, JobState};
use crate::rest::pos_server::PosState;
use crate::rest::relay::RelayAnswer;

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
    /// What became of a third party's request.
    Relayed(Relayed),
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

/// What became of a third party's request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relayed {
    /// Which request.
    pub id: RelayId,
    /// What became of it: `status` and `body`, or `error`.
    #[serde(flatten)]
    pub outcome: RelayOutcome,
}

/// What a store makes of a third party's request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RelayOutcome {
    /// The POS server answered, be it with an error of its own.
    Answered(RelayAnswer),
    /// There is no answer.
    Failed {
        /// Why not.
        error: RelayFailure,
    },
}

/// Why a store gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayFailure {
    /// The store's allow list does not name the request.
    RelayRefused,
    /// The POS server does not answer, or not in time.
    VenueTimeout,
    /// The answer does not fit into a frame.
    RelayAnswerTooLarge,
    /// The answer is neither JSON nor text.
    RelayAnswerUnreadable,
    /// The store carries out as many requests as it may at once.
    Busy,
    /// A reason of a newer connector.
    #[serde(other)]
    Unknown,
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
    /// A third party's request for the POS server.
    Relay(RelayOrder),
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
    /// The cloud's clock when it went out, by which the deadline is to be understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<DateTime<Utc>>,
    /// What to do.
    #[serde(flatten)]
    pub spec: JobSpec,
}

/// A third party's request, as the link carries it. Lost with the link: nobody sends it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RelayOrder {
    /// By which the answer is told from others.
    pub id: RelayId,
    /// The HTTP method.
    pub method: Method,
    /// Path and query in the form of [`crate::relay::Target`].
    pub path: String,
    /// The JSON to send with it; none when null.
    #[serde(default)]
    pub body: Option<Value>,
    /// How long an answer is of use.
    pub timeout_ms: u32,
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
            sent_at: Some(now),
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
    fn relays_survive_the_wire() {
        let id = RelayId::new();
        round_trip(&CloudFrame::Relay(RelayOrder {
            id,
            method: Method::Post,
            path: "/guests?card=77".into(),
            body: Some(serde_json::json!({"a": [1, "ž", null]})),
            timeout_ms: 5000,
        }));
        for (outcome, text) in [
            (
                RelayOutcome::Answered(RelayAnswer { status: 204, body: None }),
                format!(r#"{{"type":"relayed","id":"{id}","status":204,"body":null}}"#),
            ),
            (
                RelayOutcome::Failed { error: RelayFailure::RelayRefused },
                format!(r#"{{"type":"relayed","id":"{id}","error":"relay_refused"}}"#),
            ),
        ] {
            let frame = ConnectorFrame::Relayed(Relayed { id, outcome });
            assert_eq!(serde_json::to_string(&frame).unwrap(), text);
            round_trip(&frame);
        }
        let newer = format!(r#"{{"type":"relayed","id":"{id}","error":"moon_too_close"}}"#);
        let ConnectorFrame::Relayed(relayed) = serde_json::from_str(&newer).unwrap() else { panic!() };
        assert_eq!(relayed.outcome, RelayOutcome::Failed { error: RelayFailure::Unknown });
    }

    #[test]
    fn a_plain_report_is_a_store_report() {
        let text = r#"{"type":"report","report":{"pos_version":"34.5.2","exchange":{"error":null},"database":{"size_bytes":5}}}"#;
        let ConnectorFrame::Report { report } = serde_json::from_str(text).unwrap() else { panic!("{text}") };
        assert_eq!(report.pos_state, PosState::Running);
        assert_eq!(report.report.database.size_bytes, Some(5));
    }
}
