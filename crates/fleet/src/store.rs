//! One store: its folder, its simulated POS server, and its connector.

use std::path::PathBuf;
use std::time::Duration;

use chrono::Utc;
use chrono_tz::Tz;
use tillwatch_connector::agent::{self, AgentOptions};
use tillwatch_connector::cloud_client::{CloudClient, Transport};
use tillwatch_connector::config::{Config, PosConfig};
use tillwatch_connector::pos::{Control, HostedCommand, Pos, ReportSource};
use tillwatch_protocol::device::{BadKey, Identity};
use tillwatch_service::Lifecycle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::log::{LOG_DIR, Log};
use crate::pos::database::DATABASE_FILE;
use crate::pos::{self, Ends, Setup};
use crate::scenario::{Past, Trouble};

/// How long stores may take to say goodbye: this, and more for each of a large fleet.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
const STOP_TIMEOUT_EACH: Duration = Duration::from_millis(20);

/// What a store is made of.
pub struct Store {
    /// Its folder.
    pub data_dir: PathBuf,
    /// Who it is.
    pub identity: Identity,
    /// What is wrong with it.
    pub trouble: Trouble,
    /// Connections that all stores share.
    pub transport: Transport,
    /// Where its POS server is reached.
    pub report_url: Url,
    /// Of how many days its log tells.
    pub log_days: u32,
    /// When its first exchange begins.
    pub first_after: Duration,
    /// How often the connector asks the POS server.
    pub poll_every: Duration,
}

/// Tasks that stop together.
pub struct Group {
    /// The tasks.
    pub tasks: JoinSet<()>,
    /// Stops them.
    pub shutdown: CancellationToken,
}

impl Group {
    /// A group without tasks that stops with `shutdown`.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { tasks: JoinSet::new(), shutdown }
    }

    /// Stops the tasks and waits for them, for a while.
    pub async fn finish(mut self) {
        self.shutdown.cancel();
        let timeout = STOP_TIMEOUT + STOP_TIMEOUT_EACH * u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(timeout, all).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "not everything of the fleet stopped in time");
        }
    }
}

/// Why a store can't begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its identity is damaged.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// Its log can't be written.
    #[error("writing its log")]
    Log(#[from] std::io::Error),
}

impl Store {
    /// Starts the store: its connector among `agents`, its POS server among `poses`.
    pub fn start(
        self,
        ends: Ends,
        orders: mpsc::Sender<HostedCommand>,
        agents: &mut Group,
        poses: &mut Group,
    ) -> Result<(), StartError> {
        let now = Utc::now();
        let past = Past::of(self.identity.pos_server_id, self.trouble, now);
        let zone: Tz = self.identity.time_zone.parse().unwrap_or_default();
        let log = Log::new(&self.data_dir, zone);
        if !self.data_dir.join(LOG_DIR).exists() {
            log.write_history(&past, self.log_days, now)?;
        }
        let setup = Setup {
            data_dir: self.data_dir.clone(),
            trouble: self.trouble,
            past,
            client: CloudClient::new(&self.identity, self.transport.clone())?,
            log,
            first_after: self.first_after,
        };
        poses.tasks.spawn(pos::run(setup, ends, poses.shutdown.clone()));
        let agent = self.agent(orders, agents.shutdown.clone());
        agents.tasks.spawn(run_agent(agent));
        Ok(())
    }

    fn agent(self, orders: mpsc::Sender<HostedCommand>, shutdown: CancellationToken) -> AgentOptions {
        let pos = PosConfig {
            database: vec![format!("{DATABASE_FILE}*")],
            logs: vec![format!("{LOG_DIR}/**/*.log*")],
            ..PosConfig::default()
        };
        AgentOptions {
            data_dir: self.data_dir,
            config: Config { pos, ..Config::default() },
            identity: self.identity,
            pos: Pos {
                source: ReportSource::Http(self.report_url),
                control: Control::Hosted(orders),
                poll_every: self.poll_every,
            },
            transport: Some(self.transport),
            lifecycle: Lifecycle::default(),
            shutdown,
        }
    }
}

async fn run_agent(options: AgentOptions) {
    let pos_server_id = options.identity.pos_server_id;
    if let Err(error) = agent::run(options).await {
        tracing::error!(%pos_server_id, %error, "a store's connector has ended");
    }
}
