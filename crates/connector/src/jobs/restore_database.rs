//! `restore_database`: a database that was moved away comes back, byte for byte; the present one becomes a
//! backup.

use std::time::Duration;

use serde_json::Value;
use tillwatch_protocol::ids::BackupId;
use tillwatch_protocol::rest::job::RestoreDatabaseResult;
use tokio::time::Instant;

use super::{Ended, Job, database, is_running, json};
use crate::backups::{Backup, Backups};
use crate::journal::{DatabasePhase, DatabaseStep};

/// How long the POS server may take to answer with the restored database.
const PATIENCE: Duration = Duration::from_mins(3);
/// A restore that comes back after its deadline still looks this long whether all is well.
const LEAST_PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn run(job: &Job, backup_id: BackupId) -> Result<Value, Ended> {
    let backups = Backups::new(&job.tools.data_dir);
    let backup = backups
        .get(backup_id)
        .ok_or_else(|| Ended::rejected("backup_not_found", format!("there is no backup {backup_id}")));
    let (backup, begun) = match (backup, job.step().database) {
        (Ok(backup), Some(begun)) => (backup, begun),
        (Ok(backup), None) => {
            let begun = prepare(job, &backup).await?;
            (backup, begun)
        }
        (Err(error), _) => {
            // The job may have been cut off with the POS server stopped.
            let _ = job.tools.pos.start().await;
            return Err(error);
        }
    };
    database::replace(job, &begun, Some(&backup)).await?;
    job.progress("checking", 0, None, "steps");
    let pos = &job.tools.pos;
    let now = Instant::now();
    let until = (now + PATIENCE).min(job.until.max(now + LEAST_PATIENCE));
    let answered = async {
        while pos.ask().await.is_none() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let answers =
        tokio::time::timeout_at(until, answered).await.is_ok() && pos.wait_until(until, is_running).await;
    backups.prune(&[begun.backup_id, backup_id]);
    if !answers {
        let message = format!(
            "The backup was put back, but the POS server does not answer. The database that was there is kept as \
             backup {}.",
            begun.backup_id
        );
        return Err(job.late_or_failed("pos_not_responding", message));
    }
    if let Err(error) = job.tools.generation.settle(pos.latest().report.database.created_at) {
        tracing::warn!(%error, "could not write down the restored database");
    }
    Ok(json(RestoreDatabaseResult { generation: begun.new_generation }))
}

async fn prepare(job: &Job, backup: &Backup) -> Result<DatabaseStep, Ended> {
    job.check_interrupted()?;
    database::check_room(job, backup.files.iter().map(|file| file.size_bytes).sum()).await?;
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
