//! The core against a cloud of its own: real sockets, a real cache, no window.

mod admin;
mod away;
mod cloud;
mod downloads;
mod profiles;
mod session;
mod sso;
mod store;
mod viewer;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tauri::ipc::{Channel, InvokeResponseBody};
use tempfile::TempDir;
use tokio::sync::mpsc;

use self::cloud::FakeCloud;
use super::Core;
use crate::secrets::Secrets;
use crate::settings::{Preferences, Stored};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A core in a folder of its own, and what it says.
struct Desk {
    core: Arc<Core>,
    said: mpsc::UnboundedReceiver<Value>,
}

impl Desk {
    /// Starts in `home` with what was stored, as the app does.
    fn start(home: &TempDir, stored: Stored, secrets: Secrets) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let core = Arc::new(Core::new(home.path(), Preferences::new(stored, |_| Ok(())), secrets));
        let (say, said) = mpsc::unbounded_channel();
        core.subscribe(Channel::new(move |body| {
            if let InvokeResponseBody::Json(text) = body {
                let _ = say.send(serde_json::from_str(&text).unwrap());
            }
            Ok(())
        }));
        core.start();
        Self { core, said }
    }

    /// Signed in to `cloud`, and live.
    async fn signed_in(home: &TempDir, cloud: &FakeCloud) -> Self {
        let mut desk = Self::start(home, Stored::default(), Secrets::memory());
        desk.core.sign_in(&cloud.url(), "anna@example.com", "secret".into()).await.unwrap();
        desk.hears(|event| event["connection"]["state"] == "live").await;
        desk
    }

    /// Waits for an event.
    async fn hears(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let event = self.said.recv().await.expect("the core speaks on");
                if is_it(&event) {
                    return event;
                }
            }
        });
        waited.await.expect("the core says it in time")
    }
}

/// A status of store `n` as the cloud sends it, with `change` merged in.
fn status(n: u128, change: Value) -> Value {
    serde_json::to_value(crate::rows::tests::status(n, change)).unwrap()
}

fn failed() -> Value {
    json!({"revision": 100, "highlight": "error", "exchange": {"error": {"code": "database_inconsistent",
        "message": "Checksums differ", "since": "2026-11-21T10:00:00Z", "consecutive_failures": 2}}})
}
