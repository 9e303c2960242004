//! The loopback interface of all simulated POS servers: one listener, a path prefix for each.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use tillwatch_protocol::report::Report;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Asks for an exchange; answered when it has ended.
pub type Ask = oneshot::Sender<()>;

/// Where one POS server can be asked.
pub struct Desk {
    /// Its report; none while it is stopped.
    pub reports: watch::Receiver<Option<Report>>,
    /// Asks for an exchange.
    pub asks: mpsc::Sender<Ask>,
    /// Turns true when its connector first asked for a report.
    pub asked: watch::Sender<bool>,
}

/// Serves `GET /{n}/report` and `POST /{n}/exchange` for the n-th desk until `shutdown`.
pub async fn serve(
    listener: TcpListener,
    desks: Vec<Desk>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/{number}/report", get(report))
        .route("/{number}/exchange", post(exchange))
        .with_state(Arc::new(desks));
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

type Desks = State<Arc<Vec<Desk>>>;

async fn report(State(desks): Desks, Path(number): Path<usize>) -> Result<Json<Report>, StatusCode> {
    let desk = desks.get(number).ok_or(StatusCode::NOT_FOUND)?;
    desk.asked.send_if_modified(|asked| !std::mem::replace(asked, true));
    desk.reports.borrow().clone().map(Json).ok_or(StatusCode::SERVICE_UNAVAILABLE)
}

async fn exchange(State(desks): Desks, Path(number): Path<usize>) -> Result<Json<Report>, StatusCode> {
    let desk = desks.get(number).ok_or(StatusCode::NOT_FOUND)?;
    if desk.reports.borrow().is_none() {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let (done, exchanged) = oneshot::channel();
    desk.asks.send(done).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    exchanged.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    report(State(Arc::clone(&desks)), Path(number)).await
}
