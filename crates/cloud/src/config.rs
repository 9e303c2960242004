//! What an operator can set.

mod archives;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use tillwatch_protocol::link::{HEARTBEAT_SECONDS, SILENCE_SECONDS};

pub use archives::{Archives, BadArchives, Bucket};

/// How connections are protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// A self-signed certificate in the data dir, made when it is not there.
    SelfSigned,
    /// The operator's own, both PEM.
    Files {
        /// The certificate and those that lead to its root.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// Not at all: for behind a proxy that does, and for tests.
    Insecure,
}

/// The configuration of a cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Database, archives and certificate.
    pub data_dir: PathBuf,
    /// An address of SQLite or Postgres, when the database is not in the data dir.
    pub database_url: Option<String>,
    /// Where archives are, when they are not in the data dir.
    pub archives: Option<Archives>,
    /// Where the nodes of one cloud tell each other what changed: `nats://` or `tls://`, with credentials if
    /// needed, several separated by commas.
    pub nats_url: Option<String>,
    /// How connections are protected.
    pub tls: Tls,
    /// Where Prometheus fetches metrics, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// What the logs call this process.
    pub node_name: String,
    /// Over how long links are closed when the cloud stops, and how long requests under way have afterwards.
    pub drain: Duration,
    /// Whether a password lets anybody in.
    pub passwords: bool,
    /// Who may tell who somebody is.
    pub sso: Vec<SsoProvider>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// How long the cloud waits for stores.
    pub patience: Patience,
    /// How many may come in at a time.
    pub limits: Limits,
}

/// How many may come in at a time. Operators leave this alone; tests make it small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// TLS handshakes that compute at the same time. Half of the cores stay free for everything else.
    pub handshakes: usize,
    /// Links between their request and their welcome; others wait for their turn. A store that is far away takes half a
    /// second, so that these are about a thousand a second.
    pub arrivals: usize,
    /// Those that wait for it, each with a connection. More are sent away for some seconds.
    pub queue: usize,
    /// Calls in a second by one user, on one node; ten times as many at once. Managers' desktops make some a minute.
    pub calls_by_user: NonZeroU32,
    /// Requests of third parties in a second, by one service token or user to all stores together; a user's are calls
    /// as well.
    pub relays_by_caller: NonZeroU32,
    /// Requests of third parties in a second, to one store by all together.
    pub relays_to_store: NonZeroU32,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let times = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            handshakes: cores.div_ceil(2),
            arrivals: 512,
            queue: 4096,
            calls_by_user: times(100),
            relays_by_caller: times(1000),
            relays_to_store: times(100),
        }
    }
}

/// A provider of identities that speaks `OpenID` Connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsoProvider {
    /// By which calls name it: letters, digits and dashes.
    pub id: String,
    /// What people read.
    pub name: String,
    /// Its address, from which it is discovered.
    pub issuer: String,
    /// What it calls us.
    pub client_id: String,
    /// By which it knows us; a public client has none.
    pub client_secret: Option<Secret>,
    /// What is asked for besides `openid`.
    pub scopes: Vec<String>,
    /// The domains of whose e-mails it is believed; of all, if there are none.
    pub domains: Vec<String>,
}

/// A text that nobody prints by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// How long the cloud waits for stores. Operators leave this alone; tests make it short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From a connection's start, or from its last answer, until the head of its next request is there: over a
    /// minute, which is how often stores exchange.
    pub head: Duration,
    /// Between two parts of a request's body.
    pub body_pause: Duration,
    /// From the start of a request's body to its end.
    pub body: Duration,
    /// From a link's upgrade to its hello.
    pub hello: Duration,
    /// Between pings.
    pub ping_every: Duration,
    /// From the last sign of life of a link until it is given up.
    pub silence: Duration,
    /// From the last heartbeat over HTTPS of a store without a link until it counts as silent: over twice as
    /// long as connectors wait between two.
    pub https_silence: Duration,
    /// From the moment at which a store is unknown, as its node or the cloud went away, until it is given up.
    pub return_after_start: Duration,
    /// From a job's request until it is given up when its store went away before it took the job.
    pub acceptance: Duration,
    /// Between renewals of a node's lease; it is lost after five of them.
    pub renew_every: Duration,
    /// How long signs of life are gathered until they are written together.
    pub gather: Duration,
    /// How often it is written of a store that goes on as before that it lives. Together with the time
    /// between two heartbeats and `gather` it stays under a minute, the shortest period that people filter by.
    pub alive_every: Duration,
    /// Between looks at deadlines, revocations and the like.
    pub sweep_every: Duration,
    /// Between looks at archives whose time is over.
    pub expire_every: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(75),
            body_pause: Duration::from_secs(30),
            body: Duration::from_mins(10),
            hello: Duration::from_secs(10),
            ping_every: Duration::from_secs(HEARTBEAT_SECONDS),
            silence: Duration::from_secs(SILENCE_SECONDS),
            https_silence: Duration::from_secs(150),
            return_after_start: Duration::from_mins(1),
            acceptance: Duration::from_mins(1),
            renew_every: Duration::from_secs(5),
            gather: Duration::from_secs(2),
            alive_every: Duration::from_secs(30),
            sweep_every: Duration::from_secs(1),
            expire_every: Duration::from_mins(10),
        }
    }
}

impl Config {
    /// The defaults over a data dir.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
            data_dir: data_dir.into(),
            database_url: None,
            archives: None,
            nats_url: None,
            tls: Tls::SelfSigned,
            metrics_listen: None,
            node_name: host_name(),
            drain: Duration::from_secs(30),
            passwords: true,
            sso: Vec::new(),
            trusted_proxies: Vec::new(),
            patience: Patience::default(),
            limits: Limits::default(),
        }
    }
}

/// Where data goes when nobody says: the system's folder for an application's data.
pub fn default_data_dir() -> PathBuf {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = if cfg!(windows) {
        named("PROGRAMDATA")
    } else if cfg!(target_os = "macos") {
        named("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        named("XDG_DATA_HOME").or_else(|| named("HOME").map(|home| home.join(".local/share")))
    };
    base.map_or_else(|| PathBuf::from("tillwatch-data"), |base| base.join("tillwatch-cloud"))
}

/// The machine's name, as far as it can be known without asking the network.
pub(crate) fn host_name() -> String {
    let variable = if cfg!(windows) { "COMPUTERNAME" } else { "HOSTNAME" };
    std::env::var(variable)
        .ok()
        .or_else(|| std::fs::read_to_string("/etc/hostname").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".into())
}
