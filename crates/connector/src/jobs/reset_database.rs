//! `reset_database`: logs first, then the database is moved away so that the POS server makes a new one, and
//! the first good exchange shows that it is well.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tillwatch_protocol::ids::BackupId;
use tokio::time::Instant;

use super::{Ended, Job, database, is_running, retrieve_logs};
use crate::backups::Backups;
use crate::journal::{DatabasePhase, DatabaseStep};

/// How many hours of logs are collected first.
const LOG_HOURS: i64 = 24;
/// How large they may be.
const LOG_BYTES: u64 = 50 * 1024 * 1024;
/// How long the first good exchange may take.
const PATIENCE: Duration = Duration::from_mins(5);
/// A reset that comes back after its deadline still looks this long whether all is well.
const LEAST_PATIENCE: Duration = Duration::from_secs(30);
/// How often an exchange is asked for until one is good.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// What the order says.
pub(super) struct Wanted {
    pub(super) expected_generation: i64,
    pub(super) collect_logs: bool,
    pub(super) discard_unsent: bool,
}

pub(super) async fn run(job: &Job, wanted: &Wanted) -> Result<Value, Ended> {
    let begun = match job.step().database {
        Some(begun) => begun,
        None => prepare(job, wanted).await?,
    };
    let replaced_at = database::replace(job, &begun, None).await?;
    job.progress("first_exchange", 0, None, "steps");
    let good = first_exchange(job, replaced_at).await;
    let seen = job.tools.pos.latest();
    if is_running(&seen)
        && let Err(error) = job.tools.generation.settle(seen.report.database.created_at)
    {
        tracing::warn!(%error, "could not write down the new database");
    }
    Backups::new(&job.tools.data_dir).prune(&[begun.backup_id]);
    if good {
        return Ok(json!({
            "old_generation": begun.old_generation,
            "new_generation": begun.new_generation,
            "backup_id": begun.backup_id,
            "archive_ids": retrieve_logs::archive_ids(job.step().logs.as_ref()),
        }));
    }
    let why = match &seen.report.exchange.error {
        Some(error) => format!("its last exchange failed with {}: {}", error.code, error.message),
        None if is_running(&seen) => "it did not exchange".to_owned(),
        None => "the POS server does not answer".to_owned(),
    };
    let message = format!(
        "The database was reset, but {why}. The old one is kept as backup {}. Find the reason with a diagnosis and \
         ask for an exchange, or restore the backup.",
        begun.backup_id
    );
    Err(job.late_or_failed("first_exchange_failed", message))
}

/// Everything that may still be refused or canceled.
async fn prepare(job: &Job, wanted: &Wanted) -> Result<DatabaseStep, Ended> {
    job.check_interrupted()?;
    check_allowed(job, wanted)?;
    job.interruptible(check_unsent(job, wanted)).await?;
    let logs = if wanted.collect_logs { LOG_BYTES } else { 0 };
    database::check_room(job, database::database_bytes(job) + logs).await?;
    if wanted.collect_logs {
        job.progress("collecting_logs", 0, None, "bytes");
        // By the clock that the lines are written by, right or wrong.
        let to = Utc::now();
        retrieve_logs::collect_and_upload(job, to - TimeDelta::hours(LOG_HOURS), to, LOG_BYTES).await?;
        // That took a while: the tills went on, and somebody may have replaced the database.
        check_allowed(job, wanted)?;
        job.interruptible(check_unsent(job, wanted)).await?;
    }
    let old_generation = job.tools.generation.current();
    let step = DatabaseStep {
        phase: DatabasePhase::Stopping,
        old_generation,
        new_generation: old_generation + 1,
        backup_id: BackupId::new(),
    };
    job.save(|saved| saved.database = Some(step.clone())).await?;
    Ok(step)
}

fn check_allowed(job: &Job, wanted: &Wanted) -> Result<(), Ended> {
    let generation = job.tools.generation.current();
    if generation != wanted.expected_generation {
        return Err(Ended::rejected(
            "generation_changed",
            format!("the database is generation {generation}, not {}", wanted.expected_generation),
        ));
    }
    let allowed = job.tools.config.limits.resets_per_hour;
    let done = job.tools.journal.resets_within(TimeDelta::hours(1), Utc::now());
    if done >= allowed as usize {
        return Err(Ended::rejected(
            "rate_limited",
            format!("the store allows {allowed} resets an hour and has done {done}"),
        ));
    }
    Ok(())
}

/// A POS server that does not answer may have anything to send.
async fn check_unsent(job: &Job, wanted: &Wanted) -> Result<(), Ended> {
    if wanted.discard_unsent {
        return Ok(());
    }
    let unsent = job.tools.pos.ask_when_known().await.and_then(|report| report.database.unsent_transactions);
    match unsent {
        Some(0) => Ok(()),
        Some(unsent) => Err(Ended::rejected(
            "unsent_transactions",
            format!("{unsent} transactions were not sent yet and would be lost"),
        )),
        None => Err(Ended::rejected(
            "unsent_transactions",
            "it is not known whether there are transactions that were not sent yet",
        )),
    }
}

async fn first_exchange(job: &Job, replaced_at: DateTime<Utc>) -> bool {
    let pos = &job.tools.pos;
    let now = Instant::now();
    let until = (now + PATIENCE).min(job.until.max(now + LEAST_PATIENCE));
    // A clock that was set back tells of each exchange that it was before: that it is another one shows all the same.
    pos.wait_until(until, is_running).await;
    let before = pos.latest().report.exchange.last_success_at;
    let good = pos.wait_until(until, |seen| {
        let exchange = &seen.report.exchange;
        let is_new = exchange.last_success_at.is_some_and(|at| at >= replaced_at || Some(at) != before);
        is_running(seen) && exchange.error.is_none() && is_new
    });
    let asking = async {
        loop {
            if pos.wait_until(until, is_running).await
                && let Err(error) = pos.exchange().await
            {
                tracing::debug!(%error, "the POS server took no request for an exchange");
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    tokio::select! {
        good = good => good,
        () = asking => false,
    }
}
