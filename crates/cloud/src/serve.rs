//! Accepting connections, and stopping without cutting one short.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode, Version};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::serve::{Listener, ListenerExt};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::chores::Chores;
use crate::config::Config;
use crate::gateway::Admission;
use crate::http::address::Peer;
use crate::metrics::Exposition;
use crate::router::router;
use crate::state::AppState;
use crate::store::Store;
use crate::tls;

/// How long a connection may take for its TLS handshake.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long Prometheus has for a fetch under way when the cloud stops.
const FETCH: Duration = Duration::from_secs(3);
/// How long connections are taken when everything else has ended.
const LAST_CALL: Duration = Duration::from_millis(50);
/// How often it is looked whether another process wrote to the database.
const POLL: Duration = Duration::from_millis(500);

/// A cloud that is ready to serve.
pub struct Cloud {
    state: AppState,
    tls: Option<TlsAcceptor>,
    metrics: Option<Exposition>,
}

/// Opens what the configuration names and serves on the listener until the shutdown, then ends
/// connections in good order.
pub async fn run(listener: TcpListener, config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    Cloud::open(config, shutdown).await?.serve(listener).await
}

impl Cloud {
    /// Opens the database and the certificate.
    pub async fn open(config: Config, shutdown: CancellationToken) -> anyhow::Result<Self> {
        let tls = tls::acceptor(&config)?;
        let metrics = match config.metrics_listen {
            Some(address) => Some(Exposition::listen(address).await?),
            None => None,
        };
        let store = Store::open(&config.data_dir, config.database_url.as_deref()).await?;
        let state = AppState::open(store, config, shutdown).await?;
        Ok(Self { state, tls, metrics })
    }

    /// A cloud over a database that is open, without TLS and metrics: for a simulation, which has a network of its
    /// own.
    #[doc(hidden)]
    pub async fn over(store: Store, config: Config, shutdown: CancellationToken) -> anyhow::Result<Self> {
        Ok(Self { state: AppState::open(store, config, shutdown).await?, tls: None, metrics: None })
    }

    /// The address that clients use for a listener.
    pub fn url(&self, listening: SocketAddr) -> String {
        format!("{}://{listening}", if self.tls.is_some() { "https" } else { "http" })
    }

    /// Serves until the shutdown.
    pub async fn serve(self, listener: TcpListener) -> anyhow::Result<()> {
        // Small answers must not wait for an acknowledgement.
        self.serve_on(listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        }))
        .await
    }

    /// Serves what comes in on any network until the shutdown.
    pub async fn serve_on<L>(self, mut listener: L) -> anyhow::Result<()>
    where
        L: Listener<Addr = SocketAddr>,
    {
        let Self { state, tls, metrics } = self;
        let node = &state.config.node_name;
        let address = listener.local_addr()?;
        tracing::info!(node, cloud_id = %state.cloud_id, %address, "serving");
        let closing = state.closing.clone();
        let chores = Chores::begin(&state, format!("{node}:{}", address.port())).await?;
        let poll = tokio::spawn(follow_other_processes(state.clone()));
        let watched = CancellationToken::new();
        // Served until the end, so that the end can be watched.
        let metrics = metrics.map(|metrics| tokio::spawn(metrics.serve(state.clone(), watched.clone())));
        let drained = tokio::spawn(drain(state.clone()));
        let app = router(state.clone()).layer(from_fn_with_state(state.shutdown.clone(), part));
        let connections = GracefulShutdown::new();
        // Who has just connected is not turned away.
        let last_call = async {
            closing.cancelled().await;
            tokio::time::sleep(LAST_CALL).await;
        };
        tokio::pin!(last_call);
        loop {
            let (stream, peer) = tokio::select! {
                () = &mut last_call => break,
                (stream, peer) = listener.accept() => (stream, Peer(peer.ip())),
            };
            let (app, tls, watcher) = (app.clone(), tls.clone(), connections.watcher());
            let (closing, admission) = (closing.clone(), state.admission.clone());
            let head = state.config.patience.head;
            tokio::spawn(async move {
                let Some(tls) = tls else { return connection(stream, peer, app, watcher, head).await };
                match closing.run_until_cancelled(handshake(&admission, &tls, stream)).await {
                    Some(Ok(stream)) => connection(stream, peer, app, watcher, head).await,
                    Some(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    None => {}
                }
            });
        }
        drop(listener);
        if tokio::time::timeout(state.config.drain, connections.shutdown()).await.is_err() {
            tracing::warn!("some requests did not end in time");
        }
        drained.abort();
        chores.end(&state).await?;
        poll.abort();
        watched.cancel();
        if let Some(metrics) = metrics {
            // Who is fetching gets an answer; who holds the line open does not hold up the stop.
            let _ = tokio::time::timeout(FETCH, metrics).await;
        }
        state.store.clone().close().await;
        Ok(())
    }
}

/// Sends the links elsewhere when the cloud is to stop. Requests are answered meanwhile: who asks may not know
/// yet where else to ask.
async fn drain(state: AppState) {
    state.shutdown.cancelled().await;
    tracing::info!(links = state.registry.epochs().len(), "stopping");
    state.registry.drain(state.config.drain).await;
    state.closing.cancel();
}

/// Ends connections with their next answer once the cloud is to stop, so that none is idle when it does: a
/// request that meets the end of an idle connection would be cut.
async fn part(State(shutdown): State<CancellationToken>, request: Request, next: Next) -> Response {
    // HTTP/2 has a goodbye of its own.
    let needs_telling = request.version() < Version::HTTP_2;
    let mut response = next.run(request).await;
    if needs_telling && shutdown.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn handshake<S>(
    admission: &Admission,
    tls: &TlsAcceptor,
    stream: S,
) -> std::io::Result<tokio_rustls::server::TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tokio::time::timeout(PATIENCE, admission.in_turns(tls.accept(stream))).await?
}

async fn connection<S>(
    stream: S,
    peer: Peer,
    app: Router,
    watcher: hyper_util::server::graceful::Watcher,
    head: Duration,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(20));
    let begun = Arc::new(AtomicBool::new(false));
    let begins = begun.clone();
    let app = app.map_request(move |request: hyper::Request<hyper::body::Incoming>| {
        begins.store(true, Ordering::Relaxed);
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(peer);
        request
    });
    let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(app));
    // Until a connection shows which version of HTTP it speaks, hyper waits without a limit.
    let silent = async {
        tokio::time::sleep(head).await;
        if begun.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        served = watcher.watch(served) => if let Err(error) = served {
            tracing::debug!(error, "a connection broke");
        },
        () = silent => tracing::debug!("a connection said nothing"),
    }
}

/// The command line writes to the same database: who follows events is told of that as well.
async fn follow_other_processes(state: AppState) -> Infallible {
    let mut ticks = tokio::time::interval(POLL);
    loop {
        ticks.tick().await;
        match state.store.revision().await {
            Ok(revision) => state.store.bus().changed(revision),
            Err(error) => tracing::warn!(%error, "the revision could not be read"),
        }
    }
}
