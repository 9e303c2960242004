//! Bodies that come too slowly, and bodies that are answered before they have come. Who sends a byte now and then
//! would hold a connection, and what a handler has gathered of the body, for ever. Who is refused while still sending
//! would find the connection cut, and never read why.

use std::io;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout, timeout_at};

use crate::state::AppState;

/// How long the rest of a body is taken from a client that has its answer already.
const LINGER: Duration = Duration::from_secs(5);

/// Ends the body of a request that pauses for too long or takes too long as a whole; whoever reads it finds that it
/// broke off.
pub(crate) async fn limit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let patience = &state.config.patience;
    let (pause, whole) = (patience.body_pause, patience.body);
    next.run(request.map(|body| if body.is_end_stream() { body } else { timed(body, pause, whole) })).await
}

fn timed(body: Body, pause: Duration, whole: Duration) -> Body {
    let end = Instant::now() + whole;
    let mut body = Incoming(Some(body.into_data_stream()));
    Body::from_stream(async_stream::stream! {
        while let Some(chunks) = &mut body.0 {
            let chunk = match timeout_at(end.min(Instant::now() + pause), chunks.next()).await {
                Ok(chunk) => chunk.map(|chunk: Result<Bytes, _>| chunk.map_err(io::Error::other)),
                Err(_) => Some(Err(io::ErrorKind::TimedOut.into())),
            };
            if !matches!(chunk, Some(Ok(_))) {
                body.0 = None;
            }
            if let Some(chunk) = chunk {
                yield chunk;
            }
        }
    })
}

/// A body while there is more of it to come. hyper ends a connection whose request is answered and not read to its
/// end; what is under way then resets it, and the answer is lost. So what a handler leaves is read and forgotten.
struct Incoming(Option<BodyDataStream>);

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(mut rest) = self.0.take() {
            tokio::spawn(timeout(LINGER, async move { while let Some(Ok(_)) = rest.next().await {} }));
        }
    }
}
