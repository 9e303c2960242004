//! Bodies that come too slowly. Who sends a byte now and then would hold a connection, and what a handler has
//! gathered of the body, for ever.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::state::AppState;

/// Ends the body of a request that pauses for too long or takes too long as a whole; whoever reads it finds that it
/// broke off.
pub(crate) async fn limit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let patience = &state.config.patience;
    let (pause, whole) = (patience.body_pause, patience.body);
    next.run(request.map(|body| if body.is_end_stream() { body } else { timed(body, pause, whole) })).await
}

fn timed(body: Body, pause: Duration, whole: Duration) -> Body {
    let end = Instant::now() + whole;
    let mut chunks = body.into_data_stream();
    Body::from_stream(async_stream::stream! {
        loop {
            let chunk = timeout_at(end.min(Instant::now() + pause), chunks.next()).await;
            let chunk = match chunk {
                Ok(None) => break,
                Ok(Some(chunk)) => chunk.map_err(io::Error::other),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
            };
            let ended = chunk.is_err();
            yield chunk as io::Result<Bytes>;
            if ended {
                break;
            }
        }
    })
}
