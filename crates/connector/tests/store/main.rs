//! Stories of a store: a real agent between a small cloud and a small POS server, over real sockets.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod child;
mod cloud;
mod enrollment;
mod jobs;
mod link;
mod pos;
mod program;
mod relay;
mod reset;
mod service;
mod store;
mod way;

use std::time::Duration;

/// Longer than anything here takes; what takes longer is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for what must come.
async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, event).await;
    waited.unwrap_or_else(|_| panic!("{what} did not come in {PATIENCE:?}"))
}

/// Waits until something that tells nobody, such as a file, is as it must be.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    soon(what, async {
        while !holds() {
            ticks.tick().await;
        }
    })
    .await;
}
