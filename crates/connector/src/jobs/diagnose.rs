//! `diagnose`: the checks of the command line, made by the running connector.

use serde_json::Value;
use tillwatch_protocol::rest::job::DiagnoseResult;

use super::{Ended, Job, checks, json};

pub(super) async fn run(job: &Job) -> Result<Value, Ended> {
    let total = checks::CHECKS.len() as u64;
    let subject = checks::Subject {
        client: &job.tools.client,
        report: job.tools.pos.ask_when_known().await,
        data_dir: &job.tools.data_dir,
    };
    let checks = checks::run(&subject, |done| job.progress("checking", done, Some(total), "checks")).await;
    Ok(json(DiagnoseResult { checks }))
}
