//! A store: the real agent over a line that is bad at times, and a POS server.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use tillwatch_connector::agent::{self, AgentOptions};
use tillwatch_connector::cloud_client::Transport;
use tillwatch_connector::config::{Config, Limits, PosConfig};
use tillwatch_connector::pos::{Control, POLL_EVERY, Pos, ReportSource};
use tillwatch_protocol::device::Identity;
use tillwatch_service::Lifecycle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::facts::Facts;
use crate::line::{self, Line};
use crate::pos;

/// What a store's programs are started with, each time.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) number: usize,
    pub(crate) data_dir: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) transport: Transport,
    pub(crate) line: Rc<Line>,
    pub(crate) facts: Rc<Facts>,
    /// Tells the programs that run now to stop.
    pub(crate) shutdown: Rc<RefCell<CancellationToken>>,
}

/// What stores share: HTTPS leads nowhere in a simulated world, links go over its lines.
pub(crate) fn transport() -> anyhow::Result<Transport> {
    let mut transport = Transport::new(None, None)?;
    // The addresses in such a world are plain, so that a call fails before anything is asked of the real network.
    transport.http = reqwest::Client::builder().https_only(true).no_proxy().build()?;
    Ok(transport)
}

/// Runs a store's programs until they are told to stop.
pub(crate) async fn run(store: Store) -> anyhow::Result<()> {
    let (carrier, links) = mpsc::channel(1);
    tokio::task::spawn_local(line::carry_all(store.line.clone(), links));
    let (orders, ordered) = mpsc::channel(1);
    let pos = pos::run(store.number, store.data_dir.clone(), ordered, store.facts.clone());
    let shutdown = store.shutdown.borrow().clone();
    let mut transport = store.transport;
    transport.carrier = Some(carrier);
    let agent = agent::run(AgentOptions {
        config: Config {
            pos: PosConfig { database: vec![pos::DATABASE.to_owned()], ..PosConfig::default() },
            limits: Limits { resets_per_hour: u32::MAX },
            ..Config::default()
        },
        identity: store.identity,
        pos: Pos {
            source: ReportSource::File(store.data_dir.join(pos::STATUS_FILE)),
            control: Control::Hosted(orders),
            poll_every: POLL_EVERY,
        },
        transport: Some(transport),
        lifecycle: Lifecycle::default(),
        data_dir: store.data_dir,
        shutdown,
    });
    tokio::select! {
        ended = agent => Ok(ended?),
        ended = pos => ended,
    }
}
