//! The listener from which Prometheus fetches, and what is looked up each time it does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics::{describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tillwatch_protocol::report::SyncError;
use tillwatch_protocol::rest::job::{JobKind, JobState};
use tillwatch_protocol::rest::pos_server::LinkState;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{ALL, Kind, ROWS, SECONDS, SYNC_ERRORS, bus_connected, known_code, process};
use crate::http::health;
use crate::state::AppState;
use crate::store::{StoreError, counts, to_text};

/// How often measurements are sorted into their bounds when nobody fetches: unsorted they take memory.
const UPKEEP: Duration = Duration::from_secs(5);
/// How long counts over all POS servers are good for: each is a walk over the whole table.
const COUNTED_EVERY: Duration = Duration::from_secs(15);
/// How long the database has for its counts.
const PATIENCE: Duration = Duration::from_secs(2);
/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every kind of job, so that those of which there are none are told as 0.
const KINDS: [JobKind; 6] = [
    JobKind::RetrieveLogs,
    JobKind::ResetDatabase,
    JobKind::RestoreDatabase,
    JobKind::RestartPos,
    JobKind::ExchangeNow,
    JobKind::Diagnose,
];

/// A listener for Prometheus that is not served yet.
pub(crate) struct Exposition {
    listener: TcpListener,
    handle: PrometheusHandle,
}

impl Exposition {
    /// Listens, and begins to count. A process counts once: a second cloud in it can't be watched.
    pub(crate) async fn listen(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("listening on {address} for Prometheus"))?;
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_rows".into()), ROWS)?
            .install_recorder()?;
        for (name, kind, help) in ALL {
            match kind {
                Kind::Counter => describe_counter!(*name, *help),
                Kind::Gauge => describe_gauge!(*name, *help),
                Kind::Histogram => describe_histogram!(*name, *help),
            }
        }
        gauge!("tillwatch_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        bus_connected(true);
        tracing::info!("metrics on http://{}/metrics", listener.local_addr()?);
        Ok(Self { listener, handle })
    }

    /// Answers Prometheus until it is stopped, which is after all links have ended.
    pub(crate) async fn serve(self, state: AppState, stop: CancellationToken) {
        let Self { listener, handle } = self;
        let scraper = Arc::new(Scraper { state, handle: handle.clone(), counted_at: Mutex::default() });
        let app = Router::new().route("/metrics", get(scrape)).with_state(scraper);
        let upkeep = async {
            let mut ticks = tokio::time::interval(UPKEEP);
            loop {
                ticks.tick().await;
                handle.run_upkeep();
            }
        };
        let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
        tokio::select! {
            served = served => if let Err(error) = served {
                tracing::error!(%error, "metrics are no longer served");
            },
            () = upkeep => {}
        }
    }
}

struct Scraper {
    state: AppState,
    handle: PrometheusHandle,
    /// When the POS servers were last counted.
    counted_at: Mutex<Option<Instant>>,
}

async fn scrape(State(scraper): State<Arc<Scraper>>) -> impl IntoResponse {
    let Scraper { state, handle, counted_at } = &*scraper;
    gauge!("tillwatch_links").set(state.registry.len() as f64);
    for (what, waiting) in state.inbox.waiting() {
        gauge!("tillwatch_inbox_waiting", "what" => what).set(waiting as f64);
    }
    let (failing, archives) =
        tokio::join!(Box::pin(health::failing(state)), Box::pin(health::takes_archives(state)));
    gauge!("tillwatch_ready").set(f64::from(failing.is_empty()));
    gauge!("tillwatch_archives_ready").set(f64::from(archives));
    process::read();
    let counting = async {
        count_jobs(state).await?;
        let mut counted_at = counted_at.lock().await;
        if counted_at.is_none_or(|at| at.elapsed() >= COUNTED_EVERY) {
            count_pos_servers(state).await?;
            *counted_at = Some(Instant::now());
        }
        Ok::<(), StoreError>(())
    };
    match tokio::time::timeout(PATIENCE, counting).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "nothing could be counted");
        }
        Err(_) => tracing::warn!("the database was too slow to count"),
    }
    ([(CONTENT_TYPE, TEXT)], handle.render())
}

async fn count_jobs(state: &AppState) -> Result<(), StoreError> {
    let counts = counts::active_jobs(&state.store.read().await?).await?;
    for kind in KINDS {
        for job_state in [JobState::Queued, JobState::InProgress, JobState::CancelRequested] {
            let count = counts.iter().find(|(of, is, _)| of == kind.as_str() && is == job_state.as_str());
            gauge!("tillwatch_jobs", "kind" => kind.as_str(), "state" => job_state.as_str())
                .set(count.map_or(0, |(.., count)| *count) as f64);
        }
    }
    Ok(())
}

async fn count_pos_servers(state: &AppState) -> Result<(), StoreError> {
    let (links, errors) = {
        let db = state.store.read().await?;
        (counts::by_link(&db).await?, counts::by_error(&db).await?)
    };
    for link in [LinkState::Online, LinkState::Offline, LinkState::NeverConnected, LinkState::Unknown] {
        let link = to_text(&link);
        let count = links.iter().find(|(of, _)| *of == link).map_or(0, |(_, count)| *count);
        gauge!("tillwatch_pos_servers", "link" => link).set(count as f64);
    }
    let codes = SYNC_ERRORS.into_iter().map(SyncError::as_str).chain(["other"]);
    for code in codes {
        let of_code = errors.iter().filter(|(found, _)| known_code(found) == code);
        let count: i64 = of_code.map(|(_, count)| *count).sum();
        gauge!("tillwatch_pos_servers_failing", "code" => code).set(count as f64);
    }
    Ok(())
}
