//! A POS server under test, on a data dir of its own.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use tillwatch_pos_server::{Options, RunError, run};
use tillwatch_protocol::device::{CA_FILE, IDENTITY_DIR, IDENTITY_FILE, Identity};
use tillwatch_protocol::report::Report;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cloud::Cloud;

pub(crate) struct Store {
    pub(crate) dir: TempDir,
}

impl Store {
    /// A data dir that knows no cloud.
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    /// A data dir that was enrolled.
    pub(crate) fn enrolled(cloud: &Cloud) -> Self {
        let store = Self::new();
        store.enroll(&cloud.identity);
        store
    }

    pub(crate) fn enroll(&self, identity: &Identity) {
        let dir = self.dir.path().join(IDENTITY_DIR);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(IDENTITY_FILE), serde_json::to_vec(identity).unwrap()).unwrap();
    }

    /// Trusts these certificates from now on, as enrollment with `--ca` does.
    pub(crate) fn trust(&self, pem: &str) {
        std::fs::write(self.dir.path().join(IDENTITY_DIR).join(CA_FILE), pem).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("pos").join(name)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("logs/pos.log")).unwrap()
    }

    pub(crate) async fn start(&self) -> Pos {
        Pos::start(self.dir.path()).await
    }

    /// What a reset does while the POS server is stopped.
    pub(crate) fn move_database_away(&self) {
        std::fs::rename(self.path("pos.sqlite3"), self.path("backup")).unwrap();
    }
}

/// A POS server that runs in the test's own process.
pub(crate) struct Pos {
    calls: Calls,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), RunError>>,
}

impl Pos {
    pub(crate) async fn start(data_dir: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let calls = Calls::to(format!("http://{}", listener.local_addr().unwrap()));
        let shutdown = CancellationToken::new();
        let options = Options { data_dir: data_dir.to_owned(), cloud: None, pos_version: "34.6.0".into() };
        let running = tokio::spawn(run(options, listener, shutdown.clone()));
        Self { calls, shutdown, running }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}

impl Deref for Pos {
    type Target = Calls;

    fn deref(&self) -> &Calls {
        &self.calls
    }
}

/// What connectors and tills ask a running POS server.
#[derive(Clone)]
pub(crate) struct Calls {
    pub(crate) url: String,
    http: reqwest::Client,
}

impl Calls {
    pub(crate) fn to(url: String) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self { url, http }
    }

    pub(crate) async fn report(&self) -> Report {
        self.http.get(format!("{}/report", self.url)).send().await.unwrap().json().await.unwrap()
    }

    /// Asks for an exchange, and waits for its end or the POS server's.
    pub(crate) async fn ask_to_exchange(&self) {
        let _ = self.http.post(format!("{}/exchange", self.url)).send().await;
    }

    /// Exchanges now, and gives the report afterwards.
    pub(crate) async fn exchange(&self) -> Report {
        let response = self.http.post(format!("{}/exchange", self.url)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    }

    /// Exchanges now, and gives the sync error's code.
    pub(crate) async fn exchange_code(&self) -> Option<String> {
        self.exchange().await.exchange.error.map(|error| error.code)
    }

    pub(crate) async fn get(&self, call: &str) -> (u16, Value) {
        let answer = self.http.get(format!("{}{call}", self.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub(crate) async fn post(&self, body: &Value) -> (u16, Value) {
        let sent = self.http.post(format!("{}/transactions", self.url)).json(body).send().await.unwrap();
        (sent.status().as_u16(), sent.json().await.unwrap())
    }

    /// Keeps a transaction that is valid, and gives its id.
    pub(crate) async fn transact(&self, amount: &str) -> Value {
        let account = crate::cloud::ACCOUNT;
        let body = json!({"guest_account_id": account, "amount": amount, "reason": "Lunch"});
        let (status, transaction) = self.post(&body).await;
        assert_eq!(status, 201, "{transaction}");
        assert_eq!(transaction["amount"], amount);
        transaction["id"].clone()
    }
}
