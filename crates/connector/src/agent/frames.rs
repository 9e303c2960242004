//! What is said on the link, and what the cloud's frames do.

use std::time::Duration;

use chrono::Utc;
use jiff::tz::TimeZone;
use tillwatch_protocol::ids::JobId;
use tillwatch_protocol::link::frame::{CloudFrame, ConnectorFrame, Hello, JobOrder};
use tillwatch_protocol::rest::pos_server::PosState;
use tokio::time::Instant;

use super::{Agent, REMEMBERED_CANCELS};
use crate::jobs;
use crate::journal::{Entry, State, Step};

impl Agent {
    pub(super) fn say_hello(&mut self) {
        let seen = self.seen.borrow().clone();
        // Nothing is known yet: what the cloud knew stands.
        let report = (seen.state != PosState::Unknown).then(|| self.tools.store_report(seen));
        self.told.clone_from(&report);
        self.told_at = Instant::now();
        self.report_changed = false;
        let unfinished_jobs =
            self.tools.journal.unacknowledged().iter().map(|entry| entry.order.id).collect();
        self.send(ConnectorFrame::Hello(Hello {
            connector_version: env!("CARGO_PKG_VERSION").into(),
            boot_id: self.boot_id,
            started_at: self.started_at,
            report,
            unfinished_jobs,
            drops: self.drops,
        }));
    }

    pub(super) async fn on_frame(&mut self, frame: CloudFrame) {
        match frame {
            CloudFrame::Welcome { session_epoch, heartbeat_seconds, server_time, time_zone } => {
                tracing::info!(session_epoch, "the link is up");
                self.tools.client.hear_clock(server_time);
                let zone = time_zone.and_then(|zone| TimeZone::get(&zone).ok());
                if let (None, Some(zone)) = (&self.tools.config.pos.time_zone, zone) {
                    self.time_zone = zone;
                }
                self.on_welcome(Duration::from_secs(heartbeat_seconds));
                self.tell_of_jobs();
                self.on_observed();
            }
            CloudFrame::Job(order) => self.on_order(order).await,
            CloudFrame::Cancel { id } => self.on_cancel(id),
            CloudFrame::Ack { id } => {
                if let Err(error) = self.tools.journal.acknowledge(id, self.cloud_now()).await {
                    // It is told again after the next start, which does no harm.
                    tracing::warn!(%id, %error, "could not write down that the cloud knows how the job ended");
                }
            }
            CloudFrame::Relay(order) => self.on_relay(order),
            CloudFrame::Drain { reconnect_within_seconds } => {
                tracing::info!(reconnect_within_seconds, "the cloud asks to connect again");
                self.on_drain(Duration::from_secs(reconnect_within_seconds));
            }
        }
    }

    /// Whatever the cloud may have missed of jobs while there was no link.
    fn tell_of_jobs(&mut self) {
        for entry in self.tools.journal.unacknowledged() {
            self.tell_of_job(&entry);
        }
        for job in self.at_work.values_mut() {
            job.progress.mark_changed();
        }
    }

    fn tell_of_job(&mut self, entry: &Entry) {
        // Said before the end too: the cloud may have missed it.
        self.send(ConnectorFrame::JobAccepted { id: entry.order.id });
        if let Some(outcome) = entry.outcome() {
            self.send(ConnectorFrame::JobFinished(outcome.clone()));
        }
    }

    async fn on_order(&mut self, order: JobOrder) {
        let id = order.id;
        // Either clock may have been moved since the welcome; how long the job has is told by this one.
        if let Some(sent_at) = order.sent_at {
            self.tools.client.hear_clock(sent_at);
        }
        if let Some(known) = self.tools.journal.get(id) {
            self.tell_of_job(&known);
            return;
        }
        let now = self.cloud_now();
        let kind = order.spec.kind();
        let refused = if self.canceled.contains(&id) {
            Some(jobs::canceled(id))
        } else if order.deadline <= now {
            Some(jobs::too_late(id))
        } else if self.at_work.values().any(|other| jobs::exclude_each_other(kind, other.kind)) {
            Some(jobs::rejected(id, "job_in_progress", "the store is busy with a job that excludes this one"))
        } else {
            None
        };
        if let Some(outcome) = refused {
            let outcome = jobs::finish(&self.tools.journal, order, Utc::now(), outcome).await;
            self.send(ConnectorFrame::JobFinished(outcome));
            return;
        }
        let entry = Entry { order, accepted_at: Utc::now(), state: State::Running { step: Step::default() } };
        if let Err(error) = self.tools.journal.put(entry.clone()).await {
            let code = jobs::io_code(&error, "journal_unwritable");
            if code != "disk_full" || !jobs::may_be_repeated(kind) {
                tracing::error!(%id, %error, "a job is refused: the journal can't be written");
                let message = format!("the store's journal can't be written: {error}");
                self.send(ConnectorFrame::JobFinished(jobs::rejected(id, code, &message)));
                return;
            }
            // These are how one finds out that the disk is full. After a crash the cloud orders them once more.
            tracing::warn!(%id, %error, "a job is done that could not be written down");
            self.tools.journal.remember(entry.clone());
        }
        self.send(ConnectorFrame::JobAccepted { id });
        self.put_to_work(&entry, now);
    }

    fn on_cancel(&mut self, id: JobId) {
        if let Some(job) = self.at_work.get(&id) {
            // The job says how it ends: past a certain point it is finished rather than canceled.
            job.cancel.cancel();
        } else if let Some(known) = self.tools.journal.get(id) {
            // Only how it ended: a cloud that hears of its acceptance would ask to cancel it once more, without end.
            if let Some(outcome) = known.outcome() {
                self.send(ConnectorFrame::JobFinished(outcome.clone()));
            }
        } else {
            if self.canceled.len() >= REMEMBERED_CANCELS {
                self.canceled.pop_first();
            }
            self.canceled.insert(id);
            self.send(ConnectorFrame::JobFinished(jobs::canceled(id)));
        }
    }

    pub(super) fn refuse_unknown(&mut self, id: JobId) {
        tracing::warn!(%id, "the cloud orders a job that this version does not know");
        let message = "this version of the connector does not know this kind of job";
        self.send(ConnectorFrame::JobFinished(jobs::rejected(id, "unsupported", message)));
    }
}
