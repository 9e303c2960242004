//! A store: a data dir, a POS server, and an agent that can be killed and started again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use tillwatch_connector::agent::{self, AgentOptions};
use tillwatch_connector::config::Config;
use tillwatch_connector::identity;
use tillwatch_connector::pos::{Control, Pos, ReportSource};
use tillwatch_service::Lifecycle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cloud::{CODE, Cloud};
use crate::pos::PosServer;
use crate::soon;

/// A store.
pub(crate) struct Store {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) pos: PosServer,
    pub(crate) config: Config,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Store {
    /// Enrolled, its POS server running, its agent not yet.
    pub(crate) async fn enroll(cloud: &Cloud) -> Self {
        Self::enroll_with(cloud, Router::new()).await
    }

    /// As [`Self::enroll`]; the POS server has more calls.
    pub(crate) async fn enroll_with(cloud: &Cloud, more: Router) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        identity::enroll(&cloud.url, CODE, None, None, dir.path()).await.unwrap();
        let pos = PosServer::start(dir.path(), more).await;
        Self { dir, pos, config: Config::default(), running: None }
    }

    /// Enrolled and running.
    pub(crate) async fn start(cloud: &Cloud) -> Self {
        let mut store = Self::enroll(cloud).await;
        store.run();
        store
    }

    pub(crate) fn run(&mut self) {
        self.run_with(Pos {
            source: ReportSource::Http(self.pos.url.parse().unwrap()),
            control: Control::Hosted(self.pos.control.clone()),
            poll_every: Duration::from_millis(50),
        });
    }

    pub(crate) fn run_with(&mut self, pos: Pos) {
        assert!(self.running.is_none());
        let shutdown = CancellationToken::new();
        let options = AgentOptions {
            data_dir: self.dir.path().to_owned(),
            config: self.config.clone(),
            identity: identity::load(self.dir.path()).unwrap(),
            pos,
            transport: None,
            lifecycle: Lifecycle::default(),
            shutdown: shutdown.clone(),
        };
        let task = tokio::spawn(async { agent::run(options).await.unwrap() });
        self.running = Some((shutdown, task));
    }

    /// As if the process had been killed.
    pub(crate) async fn kill(&mut self) {
        let (_, task) = self.running.take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    /// Ends the agent as a service manager does.
    pub(crate) async fn stop(&mut self) {
        let (shutdown, task) = self.running.take().unwrap();
        shutdown.cancel();
        soon("the end of the agent", task).await.unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// The names in a folder, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
