//! `restart_pos`: stops and starts the POS server; one that is stopped is started.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{Ended, Job, is_running, json};

/// How long a POS server may take from its start to its first answer.
const PATIENCE: Duration = Duration::from_mins(3);

pub(super) async fn run(job: &Job) -> Result<Value, Ended> {
    job.check_interrupted()?;
    let pos = &job.tools.pos;
    job.progress("stopping", 0, Some(2), "steps");
    if let Err(error) = pos.stop().await {
        // Whatever half-stopped it, it must not stay that way.
        let _ = pos.start().await;
        return Err(Ended::failed("pos_not_stopped", error.to_string()));
    }
    job.progress("starting", 1, Some(2), "steps");
    pos.start().await.map_err(|error| Ended::failed("pos_not_started", error.to_string()))?;
    let until = job.until.min(Instant::now() + PATIENCE);
    // An answer from before the stop does not count.
    let answered = async {
        while pos.ask().await.is_none() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    if tokio::time::timeout_at(until, answered).await.is_err() || !pos.wait_until(until, is_running).await {
        let message = "the POS server was started but does not answer".to_owned();
        return Err(job.late_or_failed("pos_not_responding", message));
    }
    Ok(json(job.tools.store_report(pos.latest())))
}
