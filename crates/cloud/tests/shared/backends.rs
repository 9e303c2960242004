//! What the cloud of a test stands on. By default SQLite and a directory; with `TILLWATCH_TEST_BACKENDS=cluster`
//! Postgres, NATS and S3, which are started once a process of tests (`servers.sh`) and end with it. Each test has a
//! database and a place for archives of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use tempfile::TempDir;
use tillwatch_cloud::config::{Archives, Config, Tls};
use tillwatch_cloud::store::Store;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use uuid::Uuid;

#[path = "s3.rs"]
mod s3;

/// The databases of Postgres that are always there: one to make others from, one with our schema to copy.
const MAINTENANCE: &str = "postgres";
const TEMPLATE: &str = "tillwatch_template";

/// The lock that every write on Postgres takes, as the cloud's `store.rs` has it.
const WRITE_LOCK: i64 = 0x7469_6c6c_7761_7463;

const BUCKET: &str = "archives";
const KEY: &str = "AKIAEXAMPLE";
const SECRET: &str = "a secret of the tests";

/// What one cloud stands on. It goes away with its test.
pub(crate) struct Backends {
    pub(crate) data_dir: TempDir,
    /// Its database in a cluster, if it has one.
    database: Option<(&'static Cluster, String)>,
    /// Where its archives are in the cluster's bucket.
    prefix: String,
    /// Where else its archives are, when a story has a place of its own for them.
    pub(crate) bucket: Option<Archives>,
}

impl Backends {
    /// Fresh ones, of the kind that this run is about.
    pub(crate) async fn new() -> Self {
        Self::over(cluster(), Some(TEMPLATE)).await
    }

    /// Fresh ones in which there is nothing yet.
    pub(crate) async fn blank() -> Self {
        Self::over(cluster(), None).await
    }

    /// On servers that nobody else uses; none when this run is not about servers.
    pub(crate) async fn alone() -> Option<Self> {
        cluster()?;
        Some(Self::over(Some(Box::leak(Box::new(Cluster::start()))), Some(TEMPLATE)).await)
    }

    async fn over(cluster: Option<&'static Cluster>, template: Option<&str>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let data_dir = TempDir::new().unwrap();
        let database = match cluster {
            Some(cluster) => Some((cluster, cluster.new_database(template).await)),
            None => None,
        };
        Self { data_dir, database, prefix: Uuid::new_v4().to_string(), bucket: None }
    }

    /// The servers that these are on.
    pub(crate) fn cluster(&self) -> Option<&'static Cluster> {
        self.database.as_ref().map(|(cluster, _)| *cluster)
    }

    /// A configuration that names them.
    pub(crate) fn config(&self) -> Config {
        Config {
            tls: Tls::Insecure,
            database_url: self.database_url(),
            nats_url: self.cluster().map(|cluster| cluster.nats.clone()),
            archives: self
                .bucket
                .clone()
                .or_else(|| self.cluster().map(|cluster| bucket(cluster.s3, &self.prefix))),
            ..Config::new(self.data_dir.path())
        }
    }

    /// The folder in which the bytes of archives end up, whoever keeps them.
    pub(crate) fn archives(&self) -> PathBuf {
        match self.cluster() {
            Some(cluster) => cluster.directory.join("s3").join(BUCKET).join(&self.prefix),
            None => self.data_dir.path().join("archives"),
        }
    }

    /// The address of the database, when it is not the one in the data dir.
    pub(crate) fn database_url(&self) -> Option<String> {
        self.database.as_ref().map(|(cluster, database)| cluster.url("tillwatch", database))
    }

    /// The database, as the command line opens it.
    pub(crate) async fn store(&self) -> Store {
        Store::open(self.data_dir.path(), self.database_url().as_deref()).await.unwrap()
    }

    /// Holds up all writes, as one that takes long does.
    pub(crate) async fn writing(&self) -> Writing {
        let (url, begin) = match self.database_url() {
            Some(url) => (url, format!("SELECT pg_advisory_lock({WRITE_LOCK})")),
            None => (self.sqlite_url(), "BEGIN IMMEDIATE".to_owned()),
        };
        let connection = connect(&url).await;
        connection.execute_unprepared(&begin).await.unwrap();
        Writing(connection)
    }

    fn sqlite_url(&self) -> String {
        format!("sqlite://{}?mode=rw", self.data_dir.path().join("tillwatch.sqlite3").display())
    }

    /// Changes the database behind the cloud's back, in one transaction. `NEW_ID` stands for a fresh UUID.
    pub(crate) async fn sql(&self, sql: &str) {
        let (url, sql) = if let Some(url) = self.database_url() {
            (url, sql.replace("NEW_ID", "gen_random_uuid()"))
        } else {
            let sql = format!("BEGIN IMMEDIATE; {sql}; COMMIT").replace("NEW_ID", "randomblob(16)");
            (self.sqlite_url(), sql)
        };
        execute(&url, &sql).await;
    }
}

/// A write that goes on until this is ended: all others wait.
pub(crate) struct Writing(DatabaseConnection);

impl Writing {
    pub(crate) async fn end(self) {
        // What was begun on a connection ends with it.
        self.0.close().await.unwrap();
    }
}

impl Drop for Backends {
    fn drop(&mut self) {
        if let Some((cluster, database)) = self.database.take() {
            cluster.ended.lock().unwrap_or_else(PoisonError::into_inner).push(database);
        }
    }
}

/// The servers of this process, when the tests run over them.
fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    CLUSTER
        .get_or_init(|| match std::env::var("TILLWATCH_TEST_BACKENDS").as_deref() {
            Ok("cluster") => Some(Cluster::start()),
            Ok(other) => panic!("TILLWATCH_TEST_BACKENDS is `{other}`; there is only `cluster`"),
            Err(_) => None,
        })
        .as_ref()
}

/// Postgres, NATS and S3.
pub(crate) struct Cluster {
    directory: PathBuf,
    /// The address of NATS. Clouds that share it do not hear each other.
    nats: String,
    s3: SocketAddr,
    /// Databases whose tests have ended.
    ended: Mutex<Vec<String>>,
    /// What they are told, and where they say that it is done. They stop when the first of these closes.
    servers: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _process: Child,
}

impl Cluster {
    fn start() -> Self {
        let mut process = Command::new("sh")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shared/servers.sh"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut directory, mut nats) = (String::new(), String::new());
        let (told, mut said) =
            (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        said.read_line(&mut directory).unwrap();
        said.read_line(&mut nats).unwrap();
        assert!(!nats.is_empty(), "the servers did not start");
        let (directory, nats) = (PathBuf::from(directory.trim_end()), nats.trim_end().to_owned());
        // Tests have runtimes of their own, which end with them.
        let (listener, root) = (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), directory.join("s3"));
        listener.set_nonblocking(true).unwrap();
        let s3 = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let serve = async { serve_s3(TcpListener::from_std(listener).unwrap(), &root).await };
            Runtime::new().unwrap().block_on(serve);
        });
        let servers = Mutex::new((told, said));
        let cluster = Self { directory, nats, s3, ended: Mutex::default(), servers, _process: process };
        std::thread::scope(|scope| {
            let prepare = || Runtime::new().unwrap().block_on(cluster.prepare());
            scope.spawn(prepare).join().unwrap();
        });
        cluster
    }

    /// Makes the database that those of the tests are copied from.
    async fn prepare(&self) {
        let maintenance = self.url("tillwatch", MAINTENANCE);
        execute(&maintenance, &format!("CREATE DATABASE {TEMPLATE}")).await;
        execute(&maintenance, "CREATE ROLE stranger LOGIN PASSWORD 'open sesame'").await;
        let store = Store::open(Path::new("nowhere"), Some(&self.url("tillwatch", TEMPLATE))).await.unwrap();
        store.close().await;
    }

    /// The address of a database, for a user or a `user:password`.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@localhost/{database}?host={}", self.directory.join("postgres").display())
    }

    /// Starts or stops a server, as `servers.sh` calls it. Stopped, it does not say goodbye.
    pub(crate) fn tell(&self, line: &str) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(servers.0, "{line}").unwrap();
        let mut said = String::new();
        servers.1.read_line(&mut said).unwrap();
        assert_eq!(said, "done\n", "{line}");
    }

    async fn new_database(&self, template: Option<&str>) -> String {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let ended = std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner));
        let maintenance = connect(&self.url("tillwatch", MAINTENANCE)).await;
        for database in ended {
            let drop = format!("DROP DATABASE {database} WITH (FORCE)");
            maintenance.execute_unprepared(&drop).await.unwrap();
        }
        let template = template.unwrap_or("template1");
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        maintenance.execute_unprepared(&create).await.unwrap();
        maintenance.close().await.unwrap();
        name
    }
}

/// A server that speaks S3 over a directory. It ends, with its connections, when this is dropped.
pub(crate) async fn serve_s3(listener: TcpListener, root: &Path) {
    std::fs::create_dir_all(root.join(BUCKET)).unwrap();
    s3::serve(listener, root, KEY, SECRET).await;
}

/// Archives in the bucket of a server that speaks S3.
pub(crate) fn bucket(server: SocketAddr, prefix: &str) -> Archives {
    let environment = [
        ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://{server}")),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value));
    Archives::at(&format!("s3://{BUCKET}/{prefix}"), environment).unwrap()
}

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new(url);
    options.max_connections(1);
    Database::connect(options).await.unwrap()
}

async fn execute(url: &str, sql: &str) {
    let database = connect(url).await;
    database.execute_unprepared(sql).await.unwrap();
    database.close().await.unwrap();
}
