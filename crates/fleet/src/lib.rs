//! Many simulated stores in one process: real connectors, each with a POS server that is made up.
//!
//! Everything that can be shared is: HTTP connections and trusted roots, one loopback listener for all
//! reports. A store is a folder, a simulated POS server and a connector's agent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tillwatch_connector::cloud_client::{Transport, TransportError};
use tillwatch_connector::identity::{self, EnrollError, IdentityError};
use tillwatch_connector::pos::POLL_EVERY;
use tillwatch_protocol::device::{IDENTITY_DIR, IDENTITY_FILE, Identity};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub mod enrollments;
pub mod scenario;

pub mod store;

pub mod log;
pub mod pos;

use enrollments::Enrollment;
use pos::Ends;
use pos::report::Desk;
use scenario::{Trouble, Troubles};
use store::{Group, Store};

/// How many stores enroll at once.
const ENROLLING_AT_ONCE: usize = 16;
/// Between the first exchanges of two stores, so that a large fleet does not come all at once.
const STAGGER: Duration = Duration::from_millis(5);
/// Within this time all stores have exchanged once.
const LONGEST_STAGGER: Duration = Duration::from_mins(1);
/// How long after their first report the last links may take to stand. A store that leaves was seen until then.
const SETTLE: Duration = Duration::from_secs(3);
/// The longest time between two looks of a connector at its POS server.
const LONGEST_POLL: Duration = Duration::from_secs(30);

/// What a caller decides.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cloud's address.
    pub cloud: String,
    /// The stores.
    pub enrollments: Vec<Enrollment>,
    /// PEM file of certificates to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// Where the stores live. None is a folder that is removed at the end.
    pub data_dir: Option<PathBuf>,
    /// Which troubles they show.
    pub troubles: Troubles,
    /// Of how many days their logs tell at the start.
    pub log_days: u32,
}

/// Why a fleet can't run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The connections to the cloud can't be set up.
    #[error("setting up the connections to the cloud")]
    Transport(#[from] TransportError),
    /// A folder can't be used.
    #[error("using the folder {}", .0.display())]
    Folder(PathBuf, #[source] std::io::Error),
    /// The reports can't be served.
    #[error("serving the reports")]
    Serve(#[source] std::io::Error),
    /// A store is not let in.
    #[error("enrolling {outlet}")]
    Enroll {
        /// Which.
        outlet: String,
        /// Why.
        source: Box<EnrollError>,
    },
    /// A store that was kept can't be taken up.
    #[error("reading the identity of {outlet}")]
    Identity {
        /// Which.
        outlet: String,
        /// Why.
        source: IdentityError,
    },
    /// A store can't begin.
    #[error("starting {outlet}")]
    Start {
        /// Which.
        outlet: String,
        /// Why.
        source: store::StartError,
    },
}

/// Runs the fleet until `shutdown`. `running` is called with the number of stores once all are up.
pub async fn run(
    options: Options,
    running: impl FnOnce(usize),
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let transport = Transport::new(options.ca.as_deref(), None)?;
    let home = Home::open(options.data_dir.clone())?;
    let enrolled = tokio::select! {
        enrolled = enroll_all(&options, &transport, home.path()) => enrolled?,
        () = shutdown.cancelled() => return Ok(()),
    };

    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(RunError::Serve)?;
    let address = listener.local_addr().map_err(RunError::Serve)?;
    let mut agents = Group::new(shutdown.child_token());
    let mut leaving = Group::new(shutdown.child_token());
    let mut poses = Group::new(CancellationToken::new());
    let (mut desks, mut all_up) = (Vec::new(), Vec::new());
    let count = enrolled.len();
    for (index, (enrollment, identity)) in options.enrollments.iter().zip(enrolled).enumerate() {
        let (reporting, reports) = watch::channel(None);
        let (asked, up) = watch::channel(false);
        let (asks, asking) = mpsc::channel(8);
        let (orders, hosted) = mpsc::channel(4);
        desks.push(Desk { reports, asks, asked });
        all_up.push(up);
        let trouble = scenario::assign(options.troubles, index);
        let store = Store {
            data_dir: store_dir(home.path(), enrollment),
            identity,
            trouble,
            transport: transport.clone(),
            report_url: format!("http://{address}/{index}").parse().expect("an address of our own making"),
            log_days: options.log_days,
            first_after: (STAGGER * u32::try_from(index).unwrap_or(u32::MAX)).min(LONGEST_STAGGER),
            poll_every: poll_every(count),
        };
        let ends = Ends { hosted, asks: asking, reports: reporting };
        let agents = if trouble == Trouble::Leaves { &mut leaving } else { &mut agents };
        store
            .start(ends, orders, agents, &mut poses)
            .map_err(|source| RunError::Start { outlet: enrollment.outlet.clone(), source })?;
    }
    poses.tasks.spawn(serve(listener, desks, poses.shutdown.clone()));

    let coming_up = async {
        wait_for(all_up).await;
        tokio::time::sleep(SETTLE).await;
    };
    tokio::select! {
        () = coming_up => {
            leaving.finish().await;
            running(count);
        }
        () = shutdown.cancelled() => leaving.finish().await,
    }
    shutdown.cancelled().await;
    // Connectors first: each asks its POS server until it has said goodbye.
    agents.finish().await;
    poses.finish().await;
    Ok(())
}

/// A thousand connectors must not keep the machine busy with asking.
fn poll_every(stores: usize) -> Duration {
    let slower = Duration::from_millis(10) * u32::try_from(stores).unwrap_or(u32::MAX);
    slower.clamp(POLL_EVERY, LONGEST_POLL)
}

/// Where the stores live.
enum Home {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Home {
    fn open(data_dir: Option<PathBuf>) -> Result<Self, RunError> {
        match data_dir {
            Some(dir) => match std::fs::create_dir_all(&dir) {
                Ok(()) => Ok(Self::Kept(dir)),
                Err(error) => Err(RunError::Folder(dir, error)),
            },
            None => TempDir::with_prefix("tillwatch-fleet-")
                .map(Self::Temporary)
                .map_err(|error| RunError::Folder(std::env::temp_dir(), error)),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(dir) => dir,
            Self::Temporary(dir) => dir.path(),
        }
    }
}

fn store_dir(home: &Path, enrollment: &Enrollment) -> PathBuf {
    home.join(enrollment.pos_server_id.to_string())
}

/// The identities of all stores, in their order. Those that were kept are not enrolled again.
async fn enroll_all(
    options: &Options,
    transport: &Transport,
    home: &Path,
) -> Result<Vec<Identity>, RunError> {
    let turns = Arc::new(Semaphore::new(ENROLLING_AT_ONCE));
    let mut tasks = JoinSet::new();
    for (index, enrollment) in options.enrollments.iter().cloned().enumerate() {
        let (turns, transport) = (Arc::clone(&turns), transport.clone());
        let (cloud, ca, dir) = (options.cloud.clone(), options.ca.clone(), store_dir(home, &enrollment));
        tasks.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let outlet = enrollment.outlet;
            if dir.join(IDENTITY_DIR).join(IDENTITY_FILE).exists() {
                let kept = identity::load(&dir).map_err(|source| RunError::Identity { outlet, source })?;
                return Ok((index, kept));
            }
            let code = &enrollment.enrollment_code;
            let enrolled = identity::enroll_with(&transport, &cloud, code, ca.as_deref(), &dir).await;
            enrolled
                .map(|identity| (index, identity))
                .map_err(|source| RunError::Enroll { outlet, source: Box::new(source) })
        });
    }
    let mut identities = Vec::with_capacity(options.enrollments.len());
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok(enrolled) => identities.push(enrolled?),
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }
    identities.sort_by_key(|(index, _)| *index);
    Ok(identities.into_iter().map(|(_, identity)| identity).collect())
}

async fn serve(listener: TcpListener, desks: Vec<Desk>, shutdown: CancellationToken) {
    if let Err(error) = pos::report::serve(listener, desks, shutdown).await {
        tracing::error!(%error, "the reports of the fleet are no longer served");
    }
}

/// Waits until each store is up. One whose connector has ended is not waited for.
async fn wait_for(all_up: Vec<watch::Receiver<bool>>) {
    for mut up in all_up {
        let _ = up.wait_for(|up| *up).await;
    }
}
