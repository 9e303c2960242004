//! What a reset and a restore have in common: stop, move the database away, maybe put another in its place,
//! start. Each step is in the journal before it is taken, and taking it again does what is left of it.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Ended, Job, blocking, io_code};
use crate::backups::{Backup, Backups};
use crate::files;
use crate::journal::{DatabasePhase, DatabaseStep};

/// Room that must be left besides what the job itself needs.
const SPARE_BYTES: u64 = 32 * 1024 * 1024;

/// How often a stop is tried where there is no way back.
const STOP_TRIES: u32 = 6;
/// The wait between such tries.
const STOP_RETRY: Duration = Duration::from_secs(5);

/// Goes on with `step` until the POS server is started on the database that comes after it. Up to
/// `Stopping` the job may be canceled; later it is finished whatever comes. Gives the time from which on
/// everything that the POS server does is done to the new database.
pub(super) async fn replace(
    job: &Job,
    step: &DatabaseStep,
    put_back: Option<&Backup>,
) -> Result<DateTime<Utc>, Ended> {
    let last = if put_back.is_some() { 3 } else { 2 };
    let steps = Some(last + 1);
    if step.phase == DatabasePhase::Stopping {
        job.progress("stopping", 0, steps, "steps");
        stop(job).await?;
        reach(job, DatabasePhase::MovingAway).await?;
    } else if step.phase < DatabasePhase::Starting {
        // The connector was killed in between; something may have started the POS server since.
        stop_for_sure(job, step).await?;
    }
    if step.phase <= DatabasePhase::MovingAway {
        job.progress("moving_away", 1, steps, "steps");
        move_away(job, step, put_back.is_some()).await?;
        let next = if put_back.is_some() { DatabasePhase::PuttingBack } else { DatabasePhase::Starting };
        reach_late(job, next).await;
    }
    if let Some(backup) = put_back
        && step.phase <= DatabasePhase::PuttingBack
    {
        job.progress("putting_back", 2, steps, "steps");
        put(job, step, backup).await?;
        reach_late(job, DatabasePhase::Starting).await;
    }
    job.progress("starting", last, steps, "steps");
    job.tools.pos.start().await.map_err(|error| {
        Ended::failed(
            "pos_not_started",
            format!("{error}. The database that was there is kept as backup {}", step.backup_id),
        )
    })?;
    let moved_at = Backups::new(&job.tools.data_dir).get(step.backup_id).map(|backup| backup.made_at);
    Ok(moved_at.unwrap_or(job.accepted_at))
}

/// An error when the volume lacks room for `needed` bytes more.
pub(super) async fn check_room(job: &Job, needed: u64) -> Result<(), Ended> {
    let dir = job.tools.data_dir.clone();
    let free = blocking(move || Ok(files::free_bytes(&dir))).await.ok().flatten();
    let needed = needed + SPARE_BYTES;
    match free {
        Some(free) if free < needed => Err(Ended::rejected(
            "disk_full",
            format!("{} MiB are free, {} MiB are needed", free / 1024 / 1024, needed.div_ceil(1024 * 1024)),
        )),
        // A system that does not tell is no reason to refuse.
        _ => Ok(()),
    }
}

/// The size of the database's files.
pub(super) fn database_bytes(job: &Job) -> u64 {
    job.tools.database_files().iter().filter_map(|path| Some(path.metadata().ok()?.len())).sum()
}

async fn stop(job: &Job) -> Result<(), Ended> {
    let pos = &job.tools.pos;
    let interrupted = match job.check_interrupted() {
        Ok(()) => match pos.stop().await {
            Ok(()) => job.check_interrupted(),
            Err(error) => Err(Ended::failed("pos_not_stopped", error.to_string())),
        },
        interrupted => interrupted,
    };
    if interrupted.is_err() {
        start_again(job).await;
    }
    interrupted
}

/// With the database half moved there is no way but forward, and none with a POS server running.
async fn stop_for_sure(job: &Job, step: &DatabaseStep) -> Result<(), Ended> {
    let mut tries = 0;
    while let Err(error) = job.tools.pos.stop().await {
        tries += 1;
        if tries == STOP_TRIES {
            let id = step.backup_id;
            let message =
                format!("{error}. The database lies in part in backup {id}; stop the POS server by hand");
            return Err(Ended::failed("pos_not_stopped", message));
        }
        tokio::time::sleep(STOP_RETRY).await;
    }
    Ok(())
}

async fn move_away(job: &Job, step: &DatabaseStep, may_be_none: bool) -> Result<(), Ended> {
    let backups = Backups::new(&job.tools.data_dir);
    let originals = job.tools.database_files();
    let begun = backups.list().iter().any(|backup| backup.id == step.backup_id);
    if originals.is_empty() && !begun && !may_be_none {
        start_again(job).await;
        let globs = job.tools.config.pos.database.join(", ");
        return Err(Ended::failed("database_not_found", format!("no file matches `database` ({globs})")));
    }
    let (id, generation, job_id) = (step.backup_id, step.old_generation, job.order.id);
    let (moving, generations, new_generation) =
        (backups.clone(), job.tools.generation.clone(), step.new_generation);
    let now = Utc::now();
    let moved = blocking(move || {
        moving.move_away(id, generation, job_id, &originals, now)?;
        generations.advance_to(new_generation)
    })
    .await;
    if let Err(error) = moved {
        let undone = blocking(move || backups.undo(id)).await;
        start_again(job).await;
        let kept = match undone {
            Ok(()) => "It was left as it is".to_owned(),
            Err(undo) => format!("A part of it lies in backup {id} ({undo})"),
        };
        let code = io_code(&error, "database_not_moved");
        return Err(Ended::failed(code, format!("the database could not be moved: {error}. {kept}")));
    }
    Ok(())
}

async fn put(job: &Job, step: &DatabaseStep, backup: &Backup) -> Result<(), Ended> {
    let backups = Backups::new(&job.tools.data_dir);
    let (putting, copy) = (backups.clone(), backup.clone());
    let Err(error) = blocking(move || putting.put_back(&copy)).await else { return Ok(()) };
    let (id, copy, generation) = (step.backup_id, backup.clone(), job.tools.generation.clone());
    let undone = blocking(move || {
        Backups::remove_copies(&copy)?;
        backups.undo(id)?;
        if let Err(error) = generation.expect_no_more() {
            tracing::warn!(%error, "could not write down that no other database comes");
        }
        Ok(())
    })
    .await;
    start_again(job).await;
    let kept = match undone {
        Ok(()) => "The database that was there is back".to_owned(),
        Err(undo) => format!("The database that was there is kept as backup {id} ({undo})"),
    };
    let code = io_code(&error, "database_not_restored");
    Err(Ended::failed(code, format!("the backup could not be put back: {error}. {kept}")))
}

async fn start_again(job: &Job) {
    if let Err(error) = job.tools.pos.start().await {
        tracing::error!(id = %job.order.id, %error, "could not start the POS server again");
    }
}

async fn reach(job: &Job, phase: DatabasePhase) -> Result<(), Ended> {
    let saved = job.save(|step| set_phase(step.database.as_mut(), phase)).await;
    if saved.is_err() {
        start_again(job).await;
    }
    saved
}

/// Past the point of return a journal that can't be written stops nothing: repeating a step is harmless, a
/// store without a POS server is not.
async fn reach_late(job: &Job, phase: DatabasePhase) {
    if let Err(error) = job.save(|step| set_phase(step.database.as_mut(), phase)).await {
        tracing::error!(id = %job.order.id, ?error, "the job goes on without its journal");
    }
}

fn set_phase(step: Option<&mut DatabaseStep>, phase: DatabasePhase) {
    if let Some(step) = step {
        step.phase = phase;
    }
}
