//! What frames say about jobs, carried into the database; and what the database says a store must be told.

use chrono::Utc;
use tillwatch_protocol::ids::{JobId, PosServerId};
use tillwatch_protocol::link::frame::{CloudFrame, ConnectorFrame, JobFinished};
use tillwatch_protocol::rest::job::{JobError, JobProgress, JobState};

use super::inbox::{Change, JobChange};
use crate::domain::job;
use crate::state::AppState;
use crate::store::job::StoredJob;
use crate::store::{self, StoreError};

/// The longest code of a job's error that is kept, in characters.
const MAX_CODE: usize = 64;
/// The longest text of a store's that is kept with a job, in characters.
const MAX_TEXT: usize = 4000;

/// Whose jobs are spoken of.
#[derive(Clone, Copy)]
pub(super) struct Dispatch<'a> {
    /// The cloud.
    pub state: &'a AppState,
    /// The POS server at the other end. Jobs of others do not exist for it.
    pub id: PosServerId,
}

impl Dispatch<'_> {
    /// What a store says of a job; gives what it is to be answered.
    pub(super) async fn said(self, frame: ConnectorFrame) -> Result<Option<CloudFrame>, StoreError> {
        match frame {
            ConnectorFrame::JobAccepted { id } => self.accepted(id).await,
            ConnectorFrame::JobProgress { id, progress } => self.progress(id, progress).await.map(|()| None),
            ConnectorFrame::JobFinished(finished) => self.finished(finished).await,
            _ => Ok(None),
        }
    }

    /// A job stands in the connector's journal. One that has ended meanwhile must not run.
    async fn accepted(self, id: JobId) -> Result<Option<CloudFrame>, StoreError> {
        let changed = self.change(id, job::Change::Accept).await?;
        Ok(changed.is_none().then_some(CloudFrame::Cancel { id }))
    }

    /// How far a job is.
    async fn progress(self, id: JobId, mut progress: JobProgress) -> Result<(), StoreError> {
        progress.phase = clip(&progress.phase, MAX_CODE);
        progress.unit = clip(&progress.unit, MAX_CODE);
        self.change(id, job::Change::Progress(progress)).await.map(drop)
    }

    /// How a job ended. The connector may forget it, whatever the cloud made of it.
    async fn finished(self, finished: JobFinished) -> Result<Option<CloudFrame>, StoreError> {
        let JobFinished { id, state, result, error } = finished;
        if !state.is_terminal() || state == JobState::Expired {
            tracing::warn!(job = %id, state = state.as_str(), "a connector told of an end that is none");
            return Ok(None);
        }
        let error = error.map(|error| JobError {
            code: clip(&error.code, MAX_CODE),
            message: clip(&error.message, MAX_TEXT),
        });
        self.change(id, job::Change::Finish { state, result, error }).await?;
        Ok(Some(CloudFrame::Ack { id }))
    }

    /// What a connector that just came must be told, given the jobs in its journal.
    pub(super) async fn after_hello(self, journal: &[JobId]) -> Result<Vec<CloudFrame>, StoreError> {
        let (active, outdated) = {
            let db = self.state.store.read().await?;
            let active = store::job::active_of(&db, self.id).await?;
            let mut outdated = Vec::new();
            for job in active.iter().filter(|job| !journal.contains(&job.id())) {
                if store::job::is_outdated(&db, job).await? {
                    outdated.push(job.id());
                }
            }
            (active, outdated)
        };
        let mut frames = Vec::new();
        for job in &active {
            let (id, known) = (job.id(), journal.contains(&job.id()));
            match (job.state, known) {
                // Somebody confirmed it for another database than the store has by now.
                (JobState::Queued | JobState::InProgress, false) if outdated.contains(&id) => {
                    self.change(id, job::Change::Outdate).await?;
                }
                (JobState::Queued, true) => {
                    self.change(id, job::Change::Accept).await?;
                }
                // It never got there, and its time begins now.
                (JobState::Queued, false) => {
                    let deadline = store::job::new_deadline(job, Utc::now());
                    let sent = self.change(id, job::Change::Send { deadline }).await?;
                    frames.extend(sent.and_then(|job| job.order()).map(CloudFrame::Job));
                }
                (JobState::InProgress, false) => frames.extend(job.order().map(CloudFrame::Job)),
                (JobState::CancelRequested, true) => frames.push(CloudFrame::Cancel { id }),
                (JobState::CancelRequested, false) => {
                    self.change(id, job::Change::Cancel).await?;
                }
                _ => {}
            }
        }
        // What the cloud has written off must not go on in the store; what ended there is told again.
        let ended = journal.iter().filter(|id| active.iter().all(|job| job.id() != **id));
        frames.extend(ended.map(|id| CloudFrame::Cancel { id: *id }));
        Ok(frames)
    }

    async fn change(self, id: JobId, change: job::Change) -> Result<Option<StoredJob>, StoreError> {
        let change = JobChange { of: self.id, id, change, at: Utc::now() };
        self.state.inbox.ask(change, Change::Job).await
    }
}

fn clip(text: &str, max: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(max).collect()
}
