//! What this process counts and measures, for Prometheus to fetch from a listener of its own.
//!
//! Every metric is named and described in [`ALL`], and counted by a function here, called where the thing
//! happens. Labels come from closed sets: never an id, an e-mail or a path with an id in it. Without
//! `--metrics-listen` nothing is kept. `docs/metrics.md` tells operators what each means.

mod listener;
mod process;

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use metrics::{counter, gauge, histogram};
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::report::SyncError;
use tillwatch_protocol::rest::job::{JobKind, JobState};

pub(crate) use listener::Exposition;

/// What a metric is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Only ever grows.
    Counter,
    /// As it is now.
    Gauge,
    /// How often it was within which bounds.
    Histogram,
}

/// Every metric: its name, its kind and what it tells.
const ALL: &[(&str, Kind, &str)] = &[
    ("tillwatch_build_info", Kind::Gauge, "1, with the version as a label"),
    ("tillwatch_ready", Kind::Gauge, "1 when this node can serve, else 0"),
    ("tillwatch_archives_ready", Kind::Gauge, "1 when archives can be stored, else 0"),
    ("tillwatch_links", Kind::Gauge, "Links of stores that end in this node"),
    ("tillwatch_hellos_total", Kind::Counter, "Links that were upgraded, by what their hello led to"),
    ("tillwatch_links_refused_total", Kind::Counter, "Links that were sent away before their upgrade"),
    ("tillwatch_link_ends_total", Kind::Counter, "Sessions that were welcomed and ended, by cause"),
    ("tillwatch_dispatch_seconds", Kind::Histogram, "From sending a job to its acceptance by the store"),
    ("tillwatch_job_changes_total", Kind::Counter, "Changes of jobs' states, by the new state"),
    ("tillwatch_jobs", Kind::Gauge, "Jobs of the whole cloud that have not ended"),
    ("tillwatch_pos_servers", Kind::Gauge, "POS servers of the whole cloud, by the state of their link"),
    ("tillwatch_pos_servers_failing", Kind::Gauge, "POS servers whose last exchange failed, by error"),
    ("tillwatch_relays_total", Kind::Counter, "Requests of third parties, by outcome"),
    ("tillwatch_relay_seconds", Kind::Histogram, "From a third party's request to its answer or refusal"),
    ("tillwatch_exchanges_total", Kind::Counter, "Exchange calls, by outcome"),
    ("tillwatch_exchange_errors_reported_total", Kind::Counter, "Failed exchanges that stores reported"),
    ("tillwatch_store_write_wait_seconds", Kind::Histogram, "How long a write waited for its turn"),
    ("tillwatch_store_write_seconds", Kind::Histogram, "How long a write held its turn until its commit"),
    ("tillwatch_inbox_batch_rows", Kind::Histogram, "Changes that stores brought about, in one write"),
    ("tillwatch_inbox_waiting", Kind::Gauge, "What stores told and is not written yet"),
    ("tillwatch_http_requests_total", Kind::Counter, "Answered requests, by route and class of status"),
    ("tillwatch_http_request_seconds", Kind::Histogram, "From a request's head to its answer's head"),
    ("tillwatch_event_streams", Kind::Gauge, "Streams of events that are open"),
    ("tillwatch_upload_bytes_total", Kind::Counter, "Bytes of archives that came in"),
    ("tillwatch_archives_stored_total", Kind::Counter, "Archives that came in whole"),
    ("tillwatch_sign_ins_total", Kind::Counter, "Tries to sign in, by method and outcome"),
    ("tillwatch_bus_connected", Kind::Gauge, "1 when hints between nodes pass, else 0"),
    ("tillwatch_process_resident_memory_bytes", Kind::Gauge, "Memory in use (Linux)"),
    ("tillwatch_process_cpu_seconds_total", Kind::Counter, "CPU time used (Linux)"),
    ("tillwatch_process_open_fds", Kind::Gauge, "Open file descriptors (Linux)"),
    ("tillwatch_process_max_fds", Kind::Gauge, "How many there may be (Linux)"),
    ("tillwatch_process_start_time_seconds", Kind::Gauge, "When the process started, in Unix time"),
];

/// Bounds of durations, in seconds: from a commit without a disk to a request that somebody gives up.
const SECONDS: &[f64] =
    &[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
/// Bounds of numbers of rows.
const ROWS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0, 5000.0, 20_000.0];

/// Codes of failed exchanges that get a series of their own; a vendor's own codes are `other`.
const SYNC_ERRORS: [SyncError; 9] = [
    SyncError::DatabaseInconsistent,
    SyncError::DatabaseCorrupt,
    SyncError::CloudUnreachable,
    SyncError::TlsFailed,
    SyncError::ClockSkewed,
    SyncError::CredentialsRevoked,
    SyncError::VersionUnsupported,
    SyncError::ServerError,
    SyncError::DiskFull,
];

/// The label for a code that a store sent.
fn known_code(code: &str) -> &'static str {
    SYNC_ERRORS.into_iter().map(SyncError::as_str).find(|known| *known == code).unwrap_or("other")
}

/// What a link's hello led to.
pub(crate) fn hello(outcome: &'static str) {
    counter!("tillwatch_hellos_total", "outcome" => outcome).increment(1);
}

/// A link was sent away before its upgrade.
pub(crate) fn link_refused(reason: &'static str) {
    counter!("tillwatch_links_refused_total", "reason" => reason).increment(1);
}

/// A session that had been welcomed ended.
pub(crate) fn link_ended(cause: &'static str) {
    counter!("tillwatch_link_ends_total", "cause" => cause).increment(1);
}

/// A store has accepted a job that was sent so long ago.
pub(crate) fn dispatched(took: Duration) {
    histogram!("tillwatch_dispatch_seconds").record(took);
}

/// A job came into a state.
pub(crate) fn job_changed(kind: JobKind, state: JobState) {
    counter!("tillwatch_job_changes_total", "kind" => kind.as_str(), "state" => state.as_str()).increment(1);
}

/// A third party's request was answered by its store, or refused.
pub(crate) fn relayed(outcome: Result<(), ErrorCode>, took: Duration) {
    let outcome = outcome.map_or_else(ErrorCode::as_str, |()| "answered");
    counter!("tillwatch_relays_total", "outcome" => outcome).increment(1);
    histogram!("tillwatch_relay_seconds").record(took);
}

/// An exchange call was answered.
pub(crate) fn exchanged(outcome: Result<(), ErrorCode>) {
    let outcome = outcome.map_or_else(ErrorCode::as_str, |()| "ok");
    counter!("tillwatch_exchanges_total", "outcome" => outcome).increment(1);
}

/// A store reported that its exchange failed.
pub(crate) fn exchange_error_reported(code: &str) {
    counter!("tillwatch_exchange_errors_reported_total", "code" => known_code(code)).increment(1);
}

/// A write waited so long for its turn.
pub(crate) fn write_waited(took: Duration) {
    histogram!("tillwatch_store_write_wait_seconds").record(took);
}

/// A write was committed so long after its turn came.
pub(crate) fn written(took: Duration) {
    histogram!("tillwatch_store_write_seconds").record(took);
}

/// So many things that stores told went into one write.
pub(crate) fn batch_written(rows: usize) {
    histogram!("tillwatch_inbox_batch_rows").record(rows as f64);
}

/// A piece of an archive came in.
pub(crate) fn uploaded(bytes: u64) {
    counter!("tillwatch_upload_bytes_total").increment(bytes);
}

/// An archive came in whole.
pub(crate) fn archive_stored() {
    counter!("tillwatch_archives_stored_total").increment(1);
}

/// Somebody tried to sign in.
pub(crate) fn signed_in(method: &'static str, outcome: &'static str) {
    counter!("tillwatch_sign_ins_total", "method" => method, "outcome" => outcome).increment(1);
}

/// Whether hints between nodes pass.
pub(crate) fn bus_connected(connected: bool) {
    gauge!("tillwatch_bus_connected").set(f64::from(connected));
}

/// A stream of events that is open as long as this lives.
pub(crate) struct EventStream(());

impl EventStream {
    /// One more.
    pub(crate) fn open() -> Self {
        gauge!("tillwatch_event_streams").increment(1.0);
        Self(())
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        gauge!("tillwatch_event_streams").decrement(1.0);
    }
}

/// A request under way.
pub(crate) struct Call {
    method: &'static str,
    route: Option<MatchedPath>,
    began: Instant,
}

impl Call {
    /// Of a request that found its route, or none.
    pub(crate) fn begin(request: &Request) -> Self {
        let known = [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::HEAD,
            Method::OPTIONS,
        ];
        let names = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
        let method = known.iter().position(|known| known == request.method());
        Self {
            method: method.map_or("other", |index| names[index]),
            route: request.extensions().get().cloned(),
            began: Instant::now(),
        }
    }

    /// It was answered; gives how long that took.
    pub(crate) fn answered(self, status: StatusCode) -> Duration {
        let took = self.began.elapsed();
        let class = match status.as_u16() {
            ..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        let route = self.route.map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned());
        let labels = [("method", self.method.to_owned()), ("route", route)];
        histogram!("tillwatch_http_request_seconds", &labels).record(took);
        let [method, route] = labels;
        let labels = [method, route, ("class", class.to_owned())];
        counter!("tillwatch_http_requests_total", &labels).increment(1);
        took
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_metric_is_in_the_operators_table_and_nothing_else_is() {
        let page = include_str!("../../../docs/metrics.md");
        let (table, _) = page.split_once("\n## ").unwrap();
        let told: BTreeSet<(&str, &str)> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `tillwatch_"))
            .map(|row| {
                let mut cells = row.split('|');
                let name = cells.next().unwrap().trim().trim_end_matches('`');
                (name, cells.next().unwrap().trim())
            })
            .collect();
        let known: BTreeSet<(&str, &str)> = ALL
            .iter()
            .map(|(name, kind, _)| {
                let kind = match kind {
                    Kind::Counter => "counter",
                    Kind::Gauge => "gauge",
                    Kind::Histogram => "histogram",
                };
                (name.strip_prefix("tillwatch_").unwrap(), kind)
            })
            .collect();
        assert_eq!(told, known);
    }

    #[test]
    fn a_code_that_a_store_made_up_gets_no_series_of_its_own() {
        assert_eq!(known_code("disk_full"), "disk_full");
        assert_eq!(known_code("disk_full\"} 1\nevil 2"), "other");
        for code in SYNC_ERRORS {
            assert_eq!(known_code(code.as_str()), code.as_str());
        }
    }
}
