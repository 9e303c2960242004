//! `exchange_now`: asks the POS server for an exchange and tells how it went.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{Ended, Job, is_running, json};
use crate::pos::ExchangeRefused;

/// How long the exchange may take once the POS server has taken the request.
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) async fn run(job: &Job) -> Result<Value, Ended> {
    let pos = &job.tools.pos;
    let silent = || Ended::failed("venue_timeout", "the POS server does not answer");
    let before = pos.ask_when_known().await.ok_or_else(silent)?.exchange.last_attempt_at;
    match pos.exchange().await {
        Ok(()) => {}
        Err(error @ ExchangeRefused::Unsupported) => {
            return Err(Ended::failed("unsupported", error.to_string()));
        }
        Err(ExchangeRefused::Silent(_)) => return Err(silent()),
        Err(error @ ExchangeRefused::Status(_)) => {
            return Err(Ended::failed("exchange_refused", error.to_string()));
        }
    }
    let tried = pos
        .wait_until(Instant::now() + PATIENCE, |seen| {
            is_running(seen) && seen.report.exchange.last_attempt_at != before
        })
        .await;
    if !tried {
        return Err(Ended::failed(
            "exchange_not_tried",
            "the POS server took the request but did not exchange",
        ));
    }
    Ok(json(job.tools.store_report(pos.latest())))
}
