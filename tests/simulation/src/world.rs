//! One world: a cloud of one or two nodes, some stores and a manager, and what a seed has happen to them.

use std::cell::{Cell, RefCell};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use axum::serve::Listener;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tempfile::TempDir;
use tillwatch_cloud::Cloud;
use tillwatch_cloud::config::{Config, Patience};
use tillwatch_cloud::store::Store as Database;
use tillwatch_connector::cloud_client::Transport;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use turmoil::Sim;
use turmoil::net::{TcpListener, TcpStream};

use crate::clock;
use crate::facts::Facts;
use crate::line::Line;
use crate::manager::Manager;
use crate::plan::{CHAOS, Fault, Plan, Way, Weather};
use crate::still::{self, Still};
use crate::store::{self, Store};
use crate::template::{BEGINNING, CLOUD, STORES, Template, database, folder};
use crate::watch::{JOBS_ENDED, LINK_BACK, Watch};

/// How far time goes in a step.
const STEP: Duration = Duration::from_millis(50);
/// How often it is looked whether all is well again.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a node has for its stop.
const DRAIN: Duration = Duration::from_secs(2);

/// A world at some moment.
struct World<'a> {
    sim: Sim<'a>,
    plan: Plan,
    watch: Watch,
    facts: Rc<Facts>,
    lines: Vec<Rc<Line>>,
    stores: Vec<PathBuf>,
    /// Tell what runs now to stop.
    stop_node: Vec<Rc<RefCell<CancellationToken>>>,
    stop_store: Vec<Rc<RefCell<CancellationToken>>>,
    _folder: TempDir,
}

/// Runs the world of a seed to its end. Gives its age then; an error says what went wrong.
pub(crate) fn run(template: &Template, transport: &Transport, seed: u64) -> anyhow::Result<Duration> {
    clock::set(BEGINNING);
    clock::seed(seed);
    let mut world = World::new(template, transport, seed)?;
    let mut faults = std::mem::take(&mut world.plan.faults).into_iter().peekable();
    while world.sim.elapsed() < CHAOS {
        while let Some((_, fault)) = faults.next_if(|(at, _)| *at <= world.sim.elapsed()) {
            world.happens(fault);
        }
        world.step()?;
    }
    world.mend();
    let mended_at = world.sim.elapsed();
    let mut look_at = mended_at;
    loop {
        world.step()?;
        if world.sim.elapsed() >= look_at {
            look_at = world.sim.elapsed() + LOOK_EVERY;
            let since = world.sim.elapsed().saturating_sub(mended_at);
            let Some(amiss) = world.watch.amiss(since)? else { return Ok(world.sim.elapsed()) };
            anyhow::ensure!(since < LINK_BACK + JOBS_ENDED, "{since:?} after all was mended {amiss}");
        }
    }
}

impl World<'_> {
    fn new(template: &Template, transport: &Transport, seed: u64) -> anyhow::Result<Self> {
        let plan = Plan::new(seed);
        let folder = folder()?;
        let cloud_dir = folder.path().join("cloud");
        template.copy_database(&cloud_dir)?;
        let facts = Rc::new(Facts::default());
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .tick_duration(STEP)
            .simulation_duration(CHAOS + 2 * (LINK_BACK + JOBS_ENDED))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(plan.longest_latency)
            .tcp_capacity(4096)
            .build();

        let stop_node: Vec<Rc<RefCell<CancellationToken>>> = (0..plan.nodes).map(|_| Rc::default()).collect();
        for (number, shutdown) in stop_node.iter().cloned().enumerate() {
            let mut config = Config::new(&cloud_dir);
            config.node_name = format!("node {number}");
            config.drain = DRAIN;
            config.patience = Patience {
                // As seldom as the pings, so that the end of an old session on another node comes before it is sent away.
                renew_every: Duration::from_secs(15),
                sweep_every: Duration::from_secs(2),
                expire_every: Duration::from_hours(1),
                ..Patience::default()
            };
            sim.host(format!("{}-{number}", CLOUD.0), move || serve(config.clone(), shutdown.clone()));
        }
        let (mut lines, mut stores, mut stop_store): (Vec<_>, Vec<_>, Vec<_>) = Default::default();
        for (number, identity) in template.identities.iter().enumerate() {
            let line = Rc::new(Line {
                store: number,
                nodes: plan.nodes,
                weather: Cell::new(plan.weather),
                cut: Notify::new(),
                facts: facts.clone(),
                random: RefCell::new(SmallRng::seed_from_u64(seed + number as u64)),
            });
            let store = Store {
                number,
                data_dir: folder.path().join(format!("store-{number}")),
                identity: identity.clone(),
                transport: transport.clone(),
                line: line.clone(),
                facts: facts.clone(),
                shutdown: Rc::default(),
            };
            lines.push(line);
            stores.push(store.data_dir.clone());
            stop_store.push(store.shutdown.clone());
            fs::create_dir_all(&store.data_dir)?;
            sim.host(store_name(number), move || {
                let store = store.clone();
                async move { Ok(store::run(store).await?) }
            });
        }
        let ids = template.identities.iter().map(|identity| identity.pos_server_id);
        let manager = Manager {
            access_token: template.access_token.clone(),
            nodes: plan.nodes,
            pos_servers: ids.clone().map(|id| id.to_string()).collect(),
            facts: facts.clone(),
        };
        let wishes = plan.wishes.clone();
        sim.client("manager", async move { Ok(manager.run(wishes).await?) });
        let watch =
            Watch::new(&database(&cloud_dir), ids.map(|id| id.0).collect(), stores.clone(), facts.clone())?;
        Ok(Self { sim, plan, watch, facts, lines, stores, stop_node, stop_store, _folder: folder })
    }

    fn step(&mut self) -> anyhow::Result<()> {
        clock::set(BEGINNING + self.sim.elapsed());
        self.sim.step().map_err(|error| anyhow::anyhow!("a program ended with an error: {error}"))?;
        self.watch.after_step(self.sim.elapsed())
    }

    fn happens(&mut self, fault: Fault) {
        tracing::info!(at = ?self.sim.elapsed(), ?fault, "it happens");
        match fault {
            Fault::Cut(store) => self.lines[store].cut.notify_waiters(),
            Fault::Partition(store, way) => self.to_nodes(|sim, node| match way {
                Way::ToCloud => sim.partition_oneway(store_name(store), node),
                Way::ToStore => sim.partition_oneway(node, store_name(store)),
                Way::Both => sim.partition(store_name(store), node),
            }),
            Fault::Repair(store) => self.to_nodes(|sim, node| sim.repair(store_name(store), node)),
            Fault::Hold(store) => self.to_nodes(|sim, node| sim.hold(store_name(store), node)),
            Fault::Release(store) => self.to_nodes(|sim, node| sim.release(store_name(store), node)),
            Fault::KillNode(node) => {
                still::forget();
                self.sim.crash(node_name(node));
            }
            Fault::StopNode(node) => self.stop_node[node].borrow().cancel(),
            Fault::StartNode(node) => {
                still::forget();
                self.stop_node[node].replace(CancellationToken::new());
                self.sim.bounce(node_name(node));
            }
            Fault::KillStore(store) => {
                self.life_ends(store);
                self.sim.crash(store_name(store));
            }
            Fault::StopStore(store) => {
                self.life_ends(store);
                self.stop_store[store].borrow().cancel();
            }
            Fault::StartStore(store) => {
                self.life_ends(store);
                self.stop_store[store].replace(CancellationToken::new());
                self.sim.bounce(store_name(store));
            }
            Fault::LoseDisk(store) => {
                self.facts.with(|happened| happened.stores[store].disk_was_lost = true);
                let _ = fs::rename(self.journal(store), self.journal(store).with_extension("lost"));
            }
            Fault::FindDisk(store) => self.find_disk(store),
        }
    }

    /// All that is broken is mended; nothing breaks any more.
    fn mend(&mut self) {
        for store in 0..STORES {
            self.lines[store].weather.set(Weather::default());
            self.happens(Fault::Repair(store));
            self.happens(Fault::Release(store));
            self.happens(Fault::FindDisk(store));
            if !self.sim.is_host_running(store_name(store)) || self.stop_store[store].borrow().is_cancelled()
            {
                self.happens(Fault::StartStore(store));
            }
        }
        for node in 0..self.plan.nodes {
            if !self.sim.is_host_running(node_name(node)) || self.stop_node[node].borrow().is_cancelled() {
                self.happens(Fault::StartNode(node));
            }
        }
    }

    fn to_nodes(&self, with: impl Fn(&Sim<'_>, String)) {
        for node in 0..self.plan.nodes {
            with(&self.sim, node_name(node));
        }
    }

    fn life_ends(&self, store: usize) {
        self.facts.with(|happened| {
            happened.stores[store].lives += 1;
            happened.stores[store].session = None;
        });
        // A disk that is away comes back with whoever starts the machine.
        self.find_disk(store);
    }

    fn journal(&self, store: usize) -> PathBuf {
        self.stores[store].join("journal")
    }

    fn find_disk(&self, store: usize) {
        let _ = fs::rename(self.journal(store).with_extension("lost"), self.journal(store));
    }
}

fn node_name(number: usize) -> String {
    format!("{}-{number}", CLOUD.0)
}

fn store_name(number: usize) -> String {
    format!("store-{number}")
}

/// A node of the cloud.
async fn serve(config: Config, shutdown: Rc<RefCell<CancellationToken>>) -> turmoil::Result {
    let shutdown = shutdown.borrow().clone();
    let cloud = {
        let _still = Still::new();
        let database = Database::open_shaped(&config.data_dir, still::while_in_use).await?;
        let cloud = Cloud::over(database, config, shutdown).await?;
        still::opened();
        cloud
    };
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, CLOUD.1)).await?;
    Ok(cloud.serve_on(Simulated(listener)).await?)
}

/// A listener in a simulated network.
struct Simulated(TcpListener);

impl Listener for Simulated {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Ok(accepted) = self.0.accept().await {
                return accepted;
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
