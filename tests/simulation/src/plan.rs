//! What a seed decides beforehand: how bad the network is, what breaks when, and what the manager wants.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tillwatch_protocol::rest::job::JobKind;

use crate::template::STORES;

/// How long things break.
pub(crate) const CHAOS: Duration = Duration::from_secs(30);

/// Everything that happens to a world.
#[derive(Debug)]
pub(crate) struct Plan {
    /// How many nodes the cloud has, over one database.
    pub(crate) nodes: usize,
    /// How bad the stores' lines are until the chaos ends.
    pub(crate) weather: Weather,
    /// The longest that a message of the network takes.
    pub(crate) longest_latency: Duration,
    /// What happens when, in order.
    pub(crate) faults: Vec<(Duration, Fault)>,
    /// What the manager asks for when, in order.
    pub(crate) wishes: Vec<(Duration, Wish)>,
}

/// How bad a line is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// How probable it is that a packet is lost and has to be sent again.
    pub(crate) loss: f64,
    /// How probable it is that a frame arrives once more, now or later.
    pub(crate) replay: f64,
}

/// Something that breaks, or is mended. A number names a store or a node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// A store's link is cut.
    Cut(usize),
    /// What is sent between a store and the cloud is lost, in one direction or both, and neither side is told.
    Partition(usize, Way),
    /// Nothing is lost any more.
    Repair(usize),
    /// What is sent between a store and the cloud waits.
    Hold(usize),
    /// It arrives.
    Release(usize),
    /// A node is killed.
    KillNode(usize),
    /// A node is told to stop.
    StopNode(usize),
    /// A node starts.
    StartNode(usize),
    /// A store's programs are killed.
    KillStore(usize),
    /// They are told to stop.
    StopStore(usize),
    /// They start.
    StartStore(usize),
    /// A store's journal can't be written.
    LoseDisk(usize),
    /// It can be again.
    FindDisk(usize),
}

/// In which direction messages are lost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    ToCloud,
    ToStore,
    Both,
}

/// A job that the manager wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// Of which store.
    pub(crate) store: usize,
    pub(crate) kind: JobKind,
    /// Whether it may wait for its store.
    pub(crate) queue: bool,
    /// After how long the manager wants it canceled, if ever.
    pub(crate) cancel_after: Option<Duration>,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let nodes = if random.random_bool(0.3) { 2 } else { 1 };
        let weather = Weather {
            loss: *[0.0, 0.05, 0.3].choose(&mut random).unwrap_or(&0.3),
            replay: *[0.0, 0.1, 0.5].choose(&mut random).unwrap_or(&0.5),
        };
        let longest_latency = Duration::from_millis(*[10, 100, 1000].choose(&mut random).unwrap_or(&10));
        let mut faults = Vec::new();
        for store in 0..STORES {
            for _ in 0..random.random_range(0..4) {
                breaks(&mut faults, &mut random, store);
            }
        }
        for node in 0..nodes {
            for _ in 0..random.random_range(0..3) {
                let at = moment(&mut random);
                let fault = if random.random_bool(0.7) { Fault::KillNode } else { Fault::StopNode };
                faults.push((at, fault(node)));
                faults.push((at + span(&mut random, 15), Fault::StartNode(node)));
            }
        }
        faults.sort_by_key(|(at, _)| *at);
        let mut wishes: Vec<_> =
            (0..random.random_range(4..12)).map(|_| (moment(&mut random), wish(&mut random))).collect();
        wishes.sort_by_key(|(at, _)| *at);
        Self { nodes, weather, longest_latency, faults, wishes }
    }
}

fn breaks(faults: &mut Vec<(Duration, Fault)>, random: &mut SmallRng, store: usize) {
    let at = moment(random);
    match random.random_range(0..10) {
        0..3 => faults.push((at, Fault::Cut(store))),
        3..5 => {
            let way = *[Way::ToCloud, Way::ToStore, Way::Both].choose(random).unwrap_or(&Way::Both);
            faults.push((at, Fault::Partition(store, way)));
            faults.push((at + span(random, 60), Fault::Repair(store)));
        }
        5 => {
            faults.push((at, Fault::Hold(store)));
            faults.push((at + span(random, 30), Fault::Release(store)));
        }
        6..9 => {
            let fault = if random.random_bool(0.7) { Fault::KillStore } else { Fault::StopStore };
            faults.push((at, fault(store)));
            faults.push((at + span(random, 15), Fault::StartStore(store)));
        }
        _ => {
            faults.push((at, Fault::LoseDisk(store)));
            faults.push((at + span(random, 10), Fault::FindDisk(store)));
        }
    }
}

fn wish(random: &mut SmallRng) -> Wish {
    let kinds = [
        JobKind::RestartPos,
        JobKind::RestartPos,
        JobKind::ResetDatabase,
        JobKind::ResetDatabase,
        JobKind::RestoreDatabase,
        JobKind::ExchangeNow,
    ];
    Wish {
        store: random.random_range(0..STORES),
        kind: *kinds.choose(random).unwrap_or(&JobKind::RestartPos),
        queue: random.random_bool(0.8),
        cancel_after: random.random_bool(0.3).then(|| span(random, 8)),
    }
}

fn moment(random: &mut SmallRng) -> Duration {
    Duration::from_millis(random.random_range(2_000..CHAOS.as_millis() as u64))
}

/// Mostly short.
fn span(random: &mut SmallRng, longest_seconds: u64) -> Duration {
    let part: f64 = random.random();
    Duration::from_secs(longest_seconds).mul_f64(part * part)
}
