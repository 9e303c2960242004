//! The store's POS server: what it reports, and its stop and start.

mod child;
mod control;
mod relay;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tillwatch_protocol::link::frame::{RelayOrder, RelayOutcome};
use tillwatch_protocol::relay::Target;
use tillwatch_protocol::report::Report;
use tillwatch_protocol::rest::pos_server::PosState;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::agent::Tasks;
use crate::config::Config;
use crate::proxy::ProxyAddress;
pub use control::ControlError;
use control::Controller;
use report::Reporter;

/// How often a POS server is asked for its report. What the connector needs of a processor while it idles is mostly this.
pub const POLL_EVERY: Duration = Duration::from_secs(3);

/// How long a POS server that was just started may stay without an answer.
const START_PATIENCE: Duration = Duration::from_secs(15);

/// How the agent gets at the POS server.
#[derive(Debug)]
pub struct Pos {
    /// Where its report comes from.
    pub source: ReportSource,
    /// How it is stopped and started.
    pub control: Control,
    /// How often it is asked; [`POLL_EVERY`] unless thousands share a process.
    pub poll_every: Duration,
}

/// Where a POS server's report comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportSource {
    /// `GET {url}/report`; `POST {url}/exchange` asks for an exchange.
    Http(Url),
    /// A file of the same JSON. Such a POS server can't be asked for an exchange.
    File(PathBuf),
    /// As [`Self::Http`], at the address that the child prints: `reporting on http://127.0.0.1:PORT`.
    Printed,
}

/// How a POS server is stopped and started.
#[derive(Debug)]
pub enum Control {
    /// By the OS service of this name.
    Service {
        /// The service's name.
        name: String,
    },
    /// As a child process: started with the agent, started again when it dies, stopped with the agent.
    Child {
        /// Program and arguments; `--data-dir` is added. A program without a path is looked for beside the
        /// connector's own first.
        command: Vec<String>,
        /// The proxy that is configured: a child exchanges with the same cloud over the same way.
        proxy: Option<ProxyAddress>,
    },
    /// By the program that embeds the agent.
    Hosted(mpsc::Sender<HostedCommand>),
}

/// What an embedding program is asked to do; it answers when it is done.
#[derive(Debug)]
pub enum HostedCommand {
    /// Start the POS server; it may be running.
    Start(oneshot::Sender<()>),
    /// Stop it; it may be stopped. Nobody holds its database open after the answer.
    Stop(oneshot::Sender<()>),
}

impl Pos {
    /// What a configuration describes.
    pub fn from_config(config: &Config, data_dir: &Path) -> Self {
        let pos = &config.pos;
        let source = match (&pos.report, &pos.status_file) {
            (Some(url), _) => ReportSource::Http(url.clone()),
            (None, Some(file)) => ReportSource::File(data_dir.join(file)),
            (None, None) => ReportSource::Printed,
        };
        let control = match &pos.service {
            Some(name) => Control::Service { name: name.clone() },
            None => Control::Child { command: pos.command(), proxy: config.proxy.clone() },
        };
        Self { source, control, poll_every: POLL_EVERY }
    }
}

/// What is known of the POS server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Observation {
    /// Whether it answers.
    pub(crate) state: PosState,
    /// The last report that it gave.
    pub(crate) report: Report,
}

/// The POS server as the agent and its jobs use it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PosHandle(Arc<Shared>);

struct Shared {
    reporter: Reporter,
    controller: Controller,
    latest: watch::Sender<Observation>,
    asked: Notify,
}

impl PosHandle {
    /// Starts to watch the POS server, and to supervise it if it is a child. With `held` a child is not
    /// started before somebody asks: a job has to finish with its database first.
    pub(crate) fn spawn(
        pos: Pos,
        http: reqwest::Client,
        data_dir: &Path,
        held: bool,
        shutdown: &CancellationToken,
        tasks: &mut Tasks,
    ) -> Self {
        let (controller, address) =
            Controller::spawn(pos.control, data_dir, held, shutdown, &mut tasks.lasting);
        let handle = Self(Arc::new(Shared {
            reporter: Reporter::new(pos.source, address.clone(), http),
            controller,
            latest: watch::Sender::new(Observation { state: PosState::Unknown, report: Report::default() }),
            asked: Notify::new(),
        }));
        tasks.workers.spawn(handle.clone().poll(pos.poll_every, address));
        handle
    }

    /// What was last observed.
    pub(crate) fn latest(&self) -> Observation {
        self.0.latest.borrow().clone()
    }

    /// Tells of every change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Observation> {
        self.0.latest.subscribe()
    }

    /// Asks now. `None` when there is no answer in time.
    pub(crate) async fn ask(&self) -> Option<Report> {
        let asked_at = Instant::now();
        let report = self.0.reporter.fetch().await;
        let known_stopped = report.is_none() && self.0.controller.is_stopped().await;
        let state = self.0.reporter.judge(report.is_some(), known_stopped, asked_at);
        self.0.latest.send_if_modified(|latest| {
            let seen = Observation {
                state: state.unwrap_or(latest.state),
                report: report.clone().unwrap_or_else(|| latest.report.clone()),
            };
            let changed = *latest != seen;
            *latest = seen;
            changed
        });
        report
    }

    /// Asks once it is clear whether the POS server answers at all: one that is just starting is waited for.
    pub(crate) async fn ask_when_known(&self) -> Option<Report> {
        self.wait_until(Instant::now() + START_PATIENCE, |seen| seen.state != PosState::Unknown).await;
        self.ask().await
    }

    /// Asks for an exchange; the POS server may answer before or after it.
    pub(crate) async fn exchange(&self) -> Result<(), ExchangeRefused> {
        self.0.reporter.exchange().await?;
        self.0.asked.notify_one();
        Ok(())
    }

    /// Asks what a third party wants to know.
    pub(crate) async fn relay(&self, order: RelayOrder, target: &Target) -> RelayOutcome {
        let (http, base) = self.0.reporter.address();
        relay::ask(http, base, order, target).await
    }

    /// Stops the POS server. When it returns, nobody holds the database open.
    pub(crate) async fn stop(&self) -> Result<(), ControlError> {
        let stopped = self.0.controller.stop().await;
        self.0.asked.notify_one();
        stopped
    }

    /// Starts the POS server; it may be running.
    pub(crate) async fn start(&self) -> Result<(), ControlError> {
        let started = self.0.controller.start().await;
        self.0.asked.notify_one();
        started
    }

    /// Waits until what is observed pleases `wanted`; false when `until` comes first. What was observed
    /// before the call counts.
    pub(crate) async fn wait_until(
        &self,
        until: Instant,
        mut wanted: impl FnMut(&Observation) -> bool,
    ) -> bool {
        let mut changes = self.subscribe();
        let seen = changes.wait_for(|latest| wanted(latest));
        matches!(tokio::time::timeout_at(until, seen).await, Ok(Ok(_)))
    }

    async fn poll(self, every: Duration, mut address: watch::Receiver<Option<Url>>) {
        loop {
            self.ask().await;
            let moved = async {
                if address.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = self.0.asked.notified() => {}
                () = moved => {}
            }
        }
    }
}

/// Why a POS server does not exchange when asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeRefused {
    /// It writes a status file and takes no requests.
    #[error("this POS server can't be asked for an exchange")]
    Unsupported,
    /// It does not answer.
    #[error("the POS server does not answer: {0}")]
    Silent(String),
    /// It answers something else.
    #[error("the POS server answers with HTTP status {0}")]
    Status(u16),
}

/// Asks a POS server once, from outside of the agent that watches it.
pub(crate) async fn ask_once(source: ReportSource, http: reqwest::Client, data_dir: &Path) -> Option<Report> {
    let address = watch::Sender::new(child::recorded_address(data_dir));
    Reporter::new(source, address.subscribe(), http).fetch().await
}
