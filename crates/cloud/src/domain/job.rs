//! Jobs: which are allowed, and how they move from state to state until they end in exactly one way.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tillwatch_protocol::ids::BackupId;
use tillwatch_protocol::rest::job::{
    DEFAULT_QUEUE_FOR, JobError, JobKind, JobProgress, JobRequest, JobSpec, JobState, MAX_LOG_BYTES,
    MIN_LOG_BYTES, WhenOffline,
};
use tillwatch_protocol::rest::pos_server::{LinkState, PosState};
use tillwatch_protocol::time::parse_duration;

/// How long the logs reach back that a reset collects first.
pub const RESET_LOGS_PERIOD: TimeDelta = TimeDelta::hours(24);
/// How large the archives may be that a reset collects, in bytes.
pub const RESET_LOGS_BYTES: u64 = 50 * 1024 * 1024;
/// The longest that a job may wait for an offline store.
const MAX_QUEUE_FOR: Duration = Duration::from_hours(30 * 24);

/// Something that moves a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It goes out to the store; says by when it must have ended.
    Send {
        /// By when.
        deadline: DateTime<Utc>,
    },
    /// The store has it in its journal.
    Accept,
    /// The store told how far it is.
    Progress(JobProgress),
    /// Somebody asked to cancel a job that may have reached the store.
    AskCancel,
    /// Somebody canceled a job that never left the cloud, or the store proved that it never got it.
    Cancel,
    /// The store told how it ended.
    Finish {
        /// A terminal state.
        state: JobState,
        /// What the job gave.
        result: Option<Value>,
        /// Why it did not succeed.
        error: Option<JobError>,
    },
    /// The store did not come back in time.
    Expire,
    /// The store went away before it accepted a job that was not to wait.
    GiveUp,
    /// It took too long.
    TimeOut,
    /// Its POS server is removed.
    Abandon,
    /// The database that it was meant for is gone.
    Outdate,
}

impl Change {
    /// The states in which this change may happen. Everywhere else it is without effect, so that a job
    /// which has ended stays as it ended.
    pub fn from(&self) -> &'static [JobState] {
        use JobState::{CancelRequested, InProgress, Queued};
        match self {
            Self::Send { .. } | Self::Expire | Self::GiveUp => &[Queued],
            Self::Accept | Self::Progress(_) | Self::Finish { .. } | Self::TimeOut | Self::Abandon => {
                &[Queued, InProgress, CancelRequested]
            }
            Self::AskCancel | Self::Outdate => &[Queued, InProgress],
            Self::Cancel => &[Queued, CancelRequested],
        }
    }

    /// The state in which `state` ends up, or nothing when the change has no effect there.
    pub fn apply(&self, state: JobState) -> Option<JobState> {
        if !self.from().contains(&state) {
            return None;
        }
        Some(match self {
            Self::Send { .. } => JobState::Queued,
            // A wish to cancel stays until the store has answered it.
            Self::Accept | Self::Progress(_) if state == JobState::CancelRequested => state,
            Self::Accept | Self::Progress(_) => JobState::InProgress,
            Self::AskCancel => JobState::CancelRequested,
            Self::Cancel => JobState::Canceled,
            Self::Finish { state, .. } => *state,
            Self::Expire => JobState::Expired,
            Self::GiveUp | Self::Abandon => JobState::Failed,
            Self::TimeOut => JobState::TimedOut,
            Self::Outdate => JobState::Rejected,
        })
    }
}

/// Why a request for a job is not even looked at against the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// `from` is not before `to`.
    #[error("`from` must lie before `to`")]
    Period,
    /// `max_bytes` is out of range.
    #[error("`max_bytes` must be between {min} and {max}")]
    Size {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// `queue_for` is no duration that a job may wait.
    #[error("{0}")]
    QueueFor(String),
}

/// Checks what a request says by itself; gives until when the job may wait for its store, or nothing when it
/// may not wait.
pub fn validate(request: &JobRequest, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Invalid> {
    if let JobSpec::RetrieveLogs { from, to, max_bytes } = &request.spec {
        if from >= to {
            return Err(Invalid::Period);
        }
        if !(MIN_LOG_BYTES..=MAX_LOG_BYTES).contains(max_bytes) {
            return Err(Invalid::Size { min: MIN_LOG_BYTES, max: MAX_LOG_BYTES });
        }
    }
    let queue_for = parse_duration(request.queue_for.as_deref().unwrap_or(DEFAULT_QUEUE_FOR))
        .map_err(|error| Invalid::QueueFor(error.to_string()))?;
    if queue_for.is_zero() || queue_for > MAX_QUEUE_FOR {
        return Err(Invalid::QueueFor(
            "a job waits for its store for at least a second and at most 30 days".into(),
        ));
    }
    Ok(match request.when_offline {
        WhenOffline::Fail => None,
        WhenOffline::Queue => Some(now + queue_for),
    })
}

/// What is known of the store that a job is for.
#[derive(Clone, Debug)]
pub struct Venue<'a> {
    /// The outlet's name, which a person types to confirm; none for jobs that need no confirmation.
    pub outlet: Option<&'a str>,
    /// Whether its link is up.
    pub link: LinkState,
    /// Whether its POS server answers.
    pub pos: PosState,
    /// Which life of the POS database this is.
    pub generation: Option<i64>,
    /// Transactions that were not sent yet, as the last report said.
    pub unsent_transactions: Option<u64>,
    /// The backups that it keeps; none when its connector never told, or the job takes none.
    pub backups: Option<&'a [BackupId]>,
    /// Kinds of the jobs that have not ended.
    pub active: &'a [JobKind],
}

/// Why a job is refused for the state the store is in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The typed name is not the outlet's.
    #[error("the typed name is not the outlet's")]
    Confirmation,
    /// The database is another one than was meant.
    #[error("the POS database is another one by now")]
    Generation {
        /// Which one it is.
        current: Option<i64>,
    },
    /// The store does not keep the backup.
    #[error("the store does not keep this backup")]
    Backup,
    /// A reset would lose transactions.
    #[error("transactions would be lost")]
    Unsent {
        /// How many; none when nobody knows.
        count: Option<u64>,
    },
    /// A job that excludes this one has not ended.
    #[error("a job of kind {} has not ended", .0.as_str())]
    InProgress(JobKind),
    /// There is no link to the store.
    #[error("there is no link to the store")]
    Offline,
    /// The link is up and the POS server is silent.
    #[error("the POS server does not answer its connector")]
    PosSilent,
}

/// Checks a job against the state that its store is in.
pub fn admit(spec: &JobSpec, when_offline: WhenOffline, venue: &Venue<'_>) -> Result<(), Refusal> {
    if let JobSpec::ResetDatabase { confirm, .. } | JobSpec::RestoreDatabase { confirm, .. } = spec
        && Some(confirm.as_str()) != venue.outlet
    {
        return Err(Refusal::Confirmation);
    }
    if let Some(other) = venue.active.iter().find(|other| excludes(spec.kind(), **other)) {
        return Err(Refusal::InProgress(*other));
    }
    if venue.link != LinkState::Online && when_offline == WhenOffline::Fail {
        return Err(Refusal::Offline);
    }
    match spec {
        JobSpec::ExchangeNow {}
            if venue.link == LinkState::Online
                && matches!(venue.pos, PosState::NotResponding | PosState::Stopped) =>
        {
            Err(Refusal::PosSilent)
        }
        JobSpec::RestoreDatabase { backup_id, .. } => match venue.backups {
            Some(kept) if !kept.contains(backup_id) => Err(Refusal::Backup),
            // The store itself looks whether it is there.
            _ => Ok(()),
        },
        JobSpec::ResetDatabase { expected_generation, discard_unsent, .. } => {
            if venue.generation != Some(*expected_generation) {
                return Err(Refusal::Generation { current: venue.generation });
            }
            // What a silent POS server last said may be out of date.
            let unsent = venue.unsent_transactions.filter(|_| venue.pos == PosState::Running);
            if unsent != Some(0) && !discard_unsent {
                return Err(Refusal::Unsent { count: unsent });
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether a job that is about to go out was meant for another database than the one that is there: what it
/// would take away, or bring back, is not what somebody confirmed. `meant` is the generation when the job was
/// asked for, and `current` the present one, each as far as it is known.
///
/// Only what replaces the database is bound to it. To fetch logs, restart, exchange or diagnose means the store
/// as it is.
pub fn is_outdated(
    spec: &JobSpec,
    meant: Option<i64>,
    current: Option<i64>,
    backups: Option<&[BackupId]>,
) -> bool {
    let another = meant.is_some() && current.is_some() && meant != current;
    match spec {
        JobSpec::ResetDatabase { expected_generation, .. } => {
            current.is_some_and(|current| current != *expected_generation)
        }
        JobSpec::RestoreDatabase { backup_id, .. } => {
            another || backups.is_some_and(|kept| !kept.contains(backup_id))
        }
        _ => false,
    }
}

/// Whether two jobs must not run for the same POS server at once: those of one kind, and those that stop the
/// POS server.
fn excludes(one: JobKind, other: JobKind) -> bool {
    let stops =
        |kind| matches!(kind, JobKind::ResetDatabase | JobKind::RestoreDatabase | JobKind::RestartPos);
    one == other || (stops(one) && stops(other))
}

/// By when a job that goes out now must have ended.
pub fn deadline(kind: JobKind, now: DateTime<Utc>) -> DateTime<Utc> {
    now + kind.time_limit()
}

/// How many bytes of archives a job may upload; none for kinds that make no archives.
pub fn upload_limit(spec: &JobSpec) -> Option<u64> {
    match spec {
        JobSpec::RetrieveLogs { max_bytes, .. } => Some(*max_bytes),
        JobSpec::ResetDatabase { collect_logs: true, .. } => Some(RESET_LOGS_BYTES),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [JobState; 9] = [
        JobState::Queued,
        JobState::InProgress,
        JobState::Succeeded,
        JobState::Failed,
        JobState::Rejected,
        JobState::TimedOut,
        JobState::Expired,
        JobState::CancelRequested,
        JobState::Canceled,
    ];

    fn progress() -> JobProgress {
        JobProgress { phase: "finding".into(), done: 1, total: None, unit: "files".into() }
    }

    #[test]
    fn a_job_that_has_ended_stays_as_it_ended() {
        let changes = [
            Change::Send { deadline: Utc::now() },
            Change::Accept,
            Change::Progress(progress()),
            Change::AskCancel,
            Change::Cancel,
            Change::Finish { state: JobState::Failed, result: None, error: None },
            Change::Expire,
            Change::GiveUp,
            Change::TimeOut,
            Change::Abandon,
            Change::Outdate,
        ];
        for state in ALL.into_iter().filter(|state| state.is_terminal()) {
            for change in &changes {
                assert_eq!(change.apply(state), None, "{change:?} in {state:?}");
            }
        }
    }

    #[test]
    fn a_wish_to_cancel_survives_acceptance_and_progress() {
        let state = Change::AskCancel.apply(JobState::Queued).unwrap();
        assert_eq!(Change::Accept.apply(state), Some(JobState::CancelRequested));
        assert_eq!(Change::Progress(progress()).apply(state), Some(JobState::CancelRequested));
        let done = Change::Finish { state: JobState::Succeeded, result: None, error: None };
        assert_eq!(done.apply(state), Some(JobState::Succeeded));
    }

    #[test]
    fn an_accepted_job_neither_expires_nor_is_given_up() {
        assert_eq!(Change::Expire.apply(JobState::InProgress), None);
        assert_eq!(Change::GiveUp.apply(JobState::InProgress), None);
        assert_eq!(Change::TimeOut.apply(JobState::InProgress), Some(JobState::TimedOut));
    }

    fn venue() -> Venue<'static> {
        Venue {
            outlet: Some("Riga Centrs"),
            link: LinkState::Online,
            pos: PosState::Running,
            generation: Some(3),
            unsent_transactions: Some(0),
            backups: None,
            active: &[],
        }
    }

    fn reset(discard_unsent: bool) -> JobSpec {
        JobSpec::ResetDatabase {
            confirm: "Riga Centrs".into(),
            expected_generation: 3,
            collect_logs: true,
            discard_unsent,
        }
    }

    #[test]
    fn a_reset_is_admitted_only_for_the_database_that_was_meant() {
        let check = |spec: &JobSpec, venue: Venue<'_>| admit(spec, WhenOffline::Fail, &venue);
        assert_eq!(check(&reset(false), venue()), Ok(()));
        assert_eq!(
            check(&reset(false), Venue { outlet: Some("Riga"), ..venue() }),
            Err(Refusal::Confirmation)
        );
        assert_eq!(
            check(&reset(true), Venue { generation: Some(4), ..venue() }),
            Err(Refusal::Generation { current: Some(4) })
        );
        for (unsent, pos, count) in [
            (Some(2), PosState::Running, Some(2)),
            (None, PosState::Running, None),
            (Some(0), PosState::NotResponding, None),
            (Some(0), PosState::Stopped, None),
        ] {
            let venue = Venue { unsent_transactions: unsent, pos, ..venue() };
            assert_eq!(check(&reset(false), venue.clone()), Err(Refusal::Unsent { count }));
            assert_eq!(check(&reset(true), venue), Ok(()));
        }
    }

    #[test]
    fn a_restore_needs_a_backup_that_the_store_keeps() {
        let (kept, gone) = (BackupId::new(), BackupId::new());
        let all = [kept];
        let restore = |backup_id| JobSpec::RestoreDatabase { confirm: "Riga Centrs".into(), backup_id };
        let check = |spec: &JobSpec, backups| admit(spec, WhenOffline::Queue, &Venue { backups, ..venue() });
        assert_eq!(check(&restore(kept), Some(&all)), Ok(()));
        assert_eq!(check(&restore(gone), Some(&all)), Err(Refusal::Backup));
        assert_eq!(check(&restore(gone), Some(&[])), Err(Refusal::Backup));
        assert_eq!(check(&restore(gone), None), Ok(()), "an older connector looks itself");
        let wrong = Venue { outlet: Some("Riga"), backups: Some(&[kept]), ..venue() };
        assert_eq!(admit(&restore(kept), WhenOffline::Fail, &wrong), Err(Refusal::Confirmation));
    }

    #[test]
    fn what_replaces_a_database_is_meant_for_one() {
        let (kept, gone) = (BackupId::new(), BackupId::new());
        let restore = |backup_id| JobSpec::RestoreDatabase { confirm: String::new(), backup_id };
        let outdated = |spec: &JobSpec, meant, current| is_outdated(spec, meant, current, Some(&[kept]));
        for (spec, meant, current, expected) in [
            (reset(true), Some(3), Some(3), false),
            (reset(true), Some(3), Some(4), true),
            (reset(true), Some(3), None, false),
            (restore(kept), Some(3), Some(3), false),
            (restore(kept), Some(3), Some(4), true),
            (restore(kept), None, Some(4), false),
            (restore(gone), Some(3), Some(3), true),
            (JobSpec::RestartPos {}, Some(3), Some(4), false),
            (JobSpec::ExchangeNow {}, Some(3), Some(4), false),
            (JobSpec::Diagnose {}, Some(3), Some(4), false),
        ] {
            assert_eq!(outdated(&spec, meant, current), expected, "{spec:?} {meant:?} {current:?}");
        }
        assert!(!is_outdated(&restore(gone), Some(3), Some(3), None));
    }

    #[test]
    fn jobs_that_stop_the_pos_exclude_each_other() {
        let check =
            |spec: &JobSpec, active: &[JobKind]| admit(spec, WhenOffline::Fail, &Venue { active, ..venue() });
        let refused = |kind| Err(Refusal::InProgress(kind));
        assert_eq!(
            check(&JobSpec::RestartPos {}, &[JobKind::ResetDatabase]),
            refused(JobKind::ResetDatabase)
        );
        assert_eq!(check(&reset(true), &[JobKind::RestoreDatabase]), refused(JobKind::RestoreDatabase));
        assert_eq!(check(&JobSpec::Diagnose {}, &[JobKind::Diagnose]), refused(JobKind::Diagnose));
        assert_eq!(check(&JobSpec::Diagnose {}, &[JobKind::ResetDatabase]), Ok(()));
    }

    #[test]
    fn an_offline_store_refuses_unless_the_job_may_wait() {
        for link in [LinkState::Offline, LinkState::Unknown, LinkState::NeverConnected] {
            let venue = Venue { link, pos: PosState::Unknown, ..venue() };
            assert_eq!(admit(&JobSpec::Diagnose {}, WhenOffline::Fail, &venue), Err(Refusal::Offline));
            assert_eq!(admit(&JobSpec::Diagnose {}, WhenOffline::Queue, &venue), Ok(()));
        }
    }

    #[test]
    fn an_exchange_needs_a_pos_server_that_answers() {
        let venue = Venue { pos: PosState::NotResponding, ..venue() };
        assert_eq!(admit(&JobSpec::ExchangeNow {}, WhenOffline::Fail, &venue), Err(Refusal::PosSilent));
        assert_eq!(admit(&JobSpec::RestartPos {}, WhenOffline::Fail, &venue), Ok(()));
    }

    #[test]
    fn requests_are_checked_by_themselves() {
        let now = Utc::now();
        let logs = |from, to, max_bytes| JobRequest {
            when_offline: WhenOffline::Queue,
            queue_for: Some("PT1H".into()),
            spec: JobSpec::RetrieveLogs { from, to, max_bytes },
        };
        let hour_ago = now - TimeDelta::hours(1);
        assert_eq!(validate(&logs(hour_ago, now, 1 << 20), now), Ok(Some(now + TimeDelta::hours(1))));
        assert_eq!(validate(&logs(now, now, 1 << 20), now), Err(Invalid::Period));
        for size in [0, MIN_LOG_BYTES - 1, MAX_LOG_BYTES + 1] {
            let size = validate(&logs(hour_ago, now, size), now);
            assert_eq!(size, Err(Invalid::Size { min: MIN_LOG_BYTES, max: MAX_LOG_BYTES }));
        }
        for queue_for in ["PT0S", "P31D", "8h"] {
            let request = JobRequest { queue_for: Some(queue_for.into()), ..logs(hour_ago, now, 1 << 20) };
            assert!(matches!(validate(&request, now), Err(Invalid::QueueFor(_))), "{queue_for}");
        }
    }
}
