//! Further nodes of a cloud, which can be killed, and the NATS server between them.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tillwatch_cloud::config::{Config, Patience};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::{Client, Cloud, SOON, sign_in_at};

/// One more process of the cloud, as far as the others can tell.
pub(crate) struct Node {
    pub(crate) base: String,
    /// All that it does is done here, so that it can end like a process.
    runtime: Option<Runtime>,
    shutdown: CancellationToken,
    ended: Option<oneshot::Receiver<()>>,
}

impl Node {
    /// Starts one over the database and the archives of a cloud.
    pub(crate) async fn beside(cloud: &Cloud, patience: Patience, nats: Option<&Nats>) -> Self {
        Self::with_drain(cloud, patience, nats, Duration::from_secs(1)).await
    }

    /// One that takes this long to send its stores elsewhere.
    pub(crate) async fn with_drain(
        cloud: &Cloud,
        patience: Patience,
        nats: Option<&Nats>,
        drain: Duration,
    ) -> Self {
        let config = Config {
            patience,
            nats_url: nats.map(|nats| nats.url.clone()),
            drain,
            ..cloud.backends.config()
        };
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shutdown = CancellationToken::new();
        let (ready, address) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let stop = shutdown.clone();
        runtime.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            ready.send(listener.local_addr().unwrap()).unwrap();
            tillwatch_cloud::run(listener, config, stop).await.unwrap();
            let _ = end.send(());
        });
        let base = format!("http://{}", address.await.unwrap());
        Self { base, runtime: Some(runtime), shutdown, ended: Some(ended) }
    }

    pub(crate) async fn sign_in(&self, email: &str) -> Client {
        sign_in_at(&self.base, email).await
    }

    /// Ends it without a goodbye to anybody.
    pub(crate) fn kill(mut self) {
        let runtime = self.runtime.take().unwrap();
        // The locks of a process that is gone are free.
        std::thread::spawn(move || runtime.shutdown_timeout(SOON)).join().unwrap();
    }

    /// Tells it to stop.
    pub(crate) fn begin_stop(&self) {
        self.shutdown.cancel();
    }

    /// Waits until it has stopped in good order.
    pub(crate) async fn stopped(mut self) {
        timeout(SOON, self.ended.take().unwrap()).await.unwrap().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Debian's NATS server on a port of its own.
pub(crate) struct Nats {
    pub(crate) url: String,
    dir: TempDir,
    server: Option<Child>,
}

impl Nats {
    pub(crate) async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let server = serve(dir.path(), "-1");
        let ports = dir.path().join(format!("nats-server_{}.ports", server.id()));
        let wait = async {
            loop {
                // It is written after the server listens, but not in one go.
                let text = tokio::fs::read_to_string(&ports).await.unwrap_or_default();
                if let Ok(ports) = serde_json::from_str::<Value>(&text) {
                    return ports["nats"][0].as_str().unwrap().to_owned();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let url = timeout(SOON, wait).await.expect("nats-server starts");
        Self { url, dir, server: Some(server) }
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// Starts another where this one was, which knows nothing of what was before.
    pub(crate) fn start_again(&mut self) {
        let port = self.url.rsplit_once(':').unwrap().1;
        self.server = Some(serve(self.dir.path(), port));
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whoever comes may read and write what the operator's guide lets nodes read and write, and nothing else.
const PERMISSIONS: &str = r#"
    authorization { users: [{
        user: node, password: none
        permissions: { publish: "tillwatch.>", subscribe: "tillwatch.>" }
    }] }
    no_auth_user: node
"#;

fn serve(dir: &Path, port: &str) -> Child {
    let config = dir.join("nats.conf");
    std::fs::write(&config, PERMISSIONS).unwrap();
    // Debian keeps it where only root looks for programs.
    let installed = Path::new("/usr/sbin/nats-server");
    let program = if installed.exists() { installed } else { Path::new("nats-server") };
    Command::new(program)
        .args(["-a", "127.0.0.1", "-p", port, "--ports_file_dir"])
        .arg(dir)
        .arg("-c")
        .arg(config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server is installed")
}
