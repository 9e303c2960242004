//! A cloud for one test, a manager who asks it, and stores that are connected to it.

use std::fmt::Write;
use std::time::Duration;

use chrono::Utc;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tillwatch_cloud::admin::{self, ScopeName};
use tillwatch_cloud::config::{Config, Limits, Patience};
use tillwatch_cloud::store::Store;
use tillwatch_protocol::device::{DeviceKey, Identity, Signer};
use tillwatch_protocol::ids::{BootId, JobId};
use tillwatch_protocol::link::SUBPROTOCOL;
use tillwatch_protocol::link::frame::{CloudFrame, ConnectorFrame, Hello, StoreReport};
use tillwatch_protocol::report::{DatabaseReport, Report};
use tillwatch_protocol::rest::admin::Imported;
use tillwatch_protocol::rest::enroll::Enrolled;
use tillwatch_protocol::rest::pos_server::PosState;
use tillwatch_protocol::rest::session::Permission;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::backends::Backends;
use crate::contract;
use crate::far::far;
pub(crate) use crate::line::Line;

pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const ADMIN: &str = "admin@example.com";
/// How long anything may take that should happen at once.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The times of a cloud whose tests do not wait for long.
pub(crate) fn hasty() -> Patience {
    Patience {
        gather: Duration::from_millis(20),
        sweep_every: Duration::from_millis(50),
        expire_every: Duration::from_millis(50),
        renew_every: Duration::from_millis(100),
        return_after_start: Duration::from_hours(1),
        ..Patience::default()
    }
}

/// A running cloud with one admin.
pub(crate) struct Cloud {
    pub(crate) base: String,
    pub(crate) store: Store,
    pub(crate) backends: Backends,
    shutdown: CancellationToken,
    /// Stops the cloud when the test ends.
    _stop: DropGuard,
    serving: JoinHandle<anyhow::Result<()>>,
}

impl Cloud {
    pub(crate) async fn start() -> Self {
        Self::with(hasty()).await
    }

    pub(crate) async fn with(patience: Patience) -> Self {
        Self::limited(patience, Limits::default()).await
    }

    pub(crate) async fn limited(patience: Patience, limits: Limits) -> Self {
        Self::on(Backends::new().await, patience, limits).await
    }

    /// A cloud on what the test has prepared.
    pub(crate) async fn on(backends: Backends, patience: Patience, limits: Limits) -> Self {
        let cloud = Self::over(backends, patience, limits).await;
        cloud.add_user(ADMIN, true).await;
        cloud
    }

    async fn over(backends: Backends, patience: Patience, limits: Limits) -> Self {
        let config = Config { patience, limits, ..backends.config() };
        Self::serving(backends, config).await
    }

    /// One node of several.
    pub(crate) async fn with_nats(patience: Patience, url: String) -> Self {
        let backends = Backends::new().await;
        let config = Config { patience, nats_url: Some(url), ..backends.config() };
        let cloud = Self::serving(backends, config).await;
        cloud.add_user(ADMIN, true).await;
        cloud
    }

    /// One to which each answer of Postgres takes this long; none when this run is not about servers.
    pub(crate) async fn far_from_postgres(away: Duration) -> Option<Self> {
        let backends = Backends::new().await;
        let url = far(&backends.database_url()?, away).await;
        let config = Config { database_url: Some(url), ..backends.config() };
        let cloud = Self::serving(backends, config).await;
        cloud.add_user(ADMIN, true).await;
        Some(cloud)
    }

    async fn serving(backends: Backends, config: Config) -> Self {
        let config = Config { drain: Duration::from_millis(500), ..config };
        let store = backends.store().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(tillwatch_cloud::run(listener, config, shutdown.clone()));
        let stop = shutdown.clone().drop_guard();
        Self { base, store, backends, shutdown, _stop: stop, serving }
    }

    /// Stops the cloud in good order and starts another over the same data.
    pub(crate) async fn restart(self, patience: Patience) -> Self {
        self.shutdown.cancel();
        timeout(SOON, self.serving).await.unwrap().unwrap().unwrap();
        Self::over(self.backends, patience, Limits::default()).await
    }

    /// Tells the cloud to stop, without waiting for it.
    pub(crate) fn begin_stop(&self) {
        self.shutdown.cancel();
    }

    pub(crate) async fn add_user(&self, email: &str, admin: bool) {
        let password = Some(PASSWORD.to_owned());
        admin::add_user(&self.store, email, "Somebody", admin, password, Utc::now()).await.unwrap();
    }

    pub(crate) async fn grant(&self, email: &str, outlet: &str, permission: Permission) {
        let scope = ScopeName::Outlet(outlet.into());
        admin::grant(&self.store, email, &scope, &[permission], Utc::now()).await.unwrap();
    }

    /// POS servers of outlets with these names, of one chain.
    pub(crate) async fn outlets(&self, names: &[&str]) -> Vec<Imported> {
        let mut file = "chain,outlet,crm_id,address,time_zone,pos_server\n".to_owned();
        for name in names {
            writeln!(file, "Pizza,{name},1,,Europe/Riga,Main").unwrap();
        }
        admin::import_fleet(&self.store, file.as_bytes(), Utc::now()).await.unwrap()
    }

    /// One store that has enrolled.
    pub(crate) async fn enrolled(&self, outlet: &str) -> TestStore {
        let imported = self.outlets(&[outlet]).await.remove(0);
        let (key, answer) = self.enroll(&imported.enrollment_code).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let enrolled: Enrolled = serde_json::from_value(answer.body).unwrap();
        let identity = key.into_identity(self.base.parse().unwrap(), enrolled);
        TestStore::new(self, identity, imported.enrollment_code)
    }

    pub(crate) async fn enroll(&self, code: &str) -> (DeviceKey, Answer) {
        let key = DeviceKey::generate();
        let body = json!({"code": code, "public_key": key.public_key()});
        let answer =
            answer(reqwest::Client::new().post(format!("{}/api/v1/enroll", self.base)).json(&body)).await;
        (key, answer)
    }

    /// Changes the database behind the cloud's back: what a clock would have brought about.
    pub(crate) async fn sql(&self, sql: &str) {
        self.backends.sql(sql).await;
    }

    pub(crate) async fn admin(&self) -> Client {
        self.sign_in(ADMIN).await
    }

    pub(crate) async fn sign_in(&self, email: &str) -> Client {
        sign_in_at(&self.base, email).await
    }
}

/// Signs in on the node at this address.
pub(crate) async fn sign_in_at(base: &str, email: &str) -> Client {
    let http = reqwest::Client::new();
    let body = json!({"email": email, "password": PASSWORD});
    let answer = answer(http.post(format!("{base}/api/v1/sessions")).json(&body)).await;
    let access = answer.body["access_token"].as_str().unwrap().to_owned();
    Client { base: base.to_owned(), http, access }
}

/// What a call gave.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) bytes: Vec<u8>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn problem(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["code"].as_str().unwrap_or_default())
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let (http, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = http.execute(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await.unwrap().to_vec();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    contract::check(&method, &path, status.as_u16(), &body);
    Answer { status, headers, bytes, body }
}

/// A manager.
pub(crate) struct Client {
    base: String,
    http: reqwest::Client,
    access: String,
}

impl Client {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(&self.access)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Answer {
        answer(self.request(method, path).json(body)).await
    }

    pub(crate) async fn start(&self, store: &TestStore, body: &Value) -> Answer {
        let path = format!("/pos-servers/{}/jobs", store.identity.pos_server_id);
        self.send(Method::POST, &path, body).await
    }

    /// Starts a job that is not refused.
    pub(crate) async fn started(&self, store: &TestStore, body: &Value) -> JobId {
        let answer = self.start(store, body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        answer.body["id"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) async fn job(&self, id: JobId) -> Value {
        self.get(&format!("/jobs/{id}")).await.body
    }

    pub(crate) async fn cancel(&self, id: JobId) -> Answer {
        self.send(Method::POST, &format!("/jobs/{id}/cancel"), &json!({})).await
    }

    pub(crate) async fn status(&self, store: &TestStore) -> Value {
        self.get(&format!("/pos-servers/{}", store.identity.pos_server_id)).await.body
    }

    /// Waits until the status of a store is as it should be.
    pub(crate) async fn when(&self, store: &TestStore, is: impl Fn(&Value) -> bool) -> Value {
        self.until("status", &format!("/pos-servers/{}", store.identity.pos_server_id), is).await
    }

    /// Waits until a job is in a state.
    pub(crate) async fn when_job(&self, id: JobId, state: &str) -> Value {
        self.until("job", &format!("/jobs/{id}"), |job| job["state"] == state).await
    }

    /// Reads a thing, and then what events say of it, until it is as it should be.
    async fn until(&self, kind: &str, path: &str, is: impl Fn(&Value) -> bool) -> Value {
        let response = self.request(Method::GET, "/events").send().await.unwrap();
        let mut events = Events { bytes: response.bytes_stream().boxed(), text: String::new() };
        let mut last = self.get(path).await.body;
        let wait = async {
            while !is(&last) {
                let (name, data) = events.next().await;
                if name == kind && data["id"] == last["id"] {
                    last = data;
                } else if name == "resync" {
                    last = self.get(path).await.body;
                }
            }
        };
        let became = timeout(SOON, wait).await.is_ok();
        assert!(became, "it never became as it should be: {}", self.get(path).await.body);
        last
    }
}

struct Events {
    bytes: BoxStream<'static, reqwest::Result<axum::body::Bytes>>,
    text: String,
}

impl Events {
    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field =
                    |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                if let Some(name) = field("event:") {
                    return (name.to_owned(), serde_json::from_str(field("data:").unwrap()).unwrap());
                }
                continue;
            }
            let bytes = self.bytes.next().await.expect("the stream goes on").unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}

/// A store: its identity and its clock.
#[derive(Clone)]
pub(crate) struct TestStore {
    /// The code by which it enrolled.
    pub(crate) code: String,
    pub(crate) identity: Identity,
    pub(crate) base: String,
    pub(crate) signer: Signer,
    http: reqwest::Client,
}

impl TestStore {
    fn new(cloud: &Cloud, identity: Identity, code: String) -> Self {
        let signer = Signer::new(&identity).unwrap();
        Self { code, identity, base: cloud.base.clone(), signer, http: reqwest::Client::new() }
    }

    /// The same store, after the cloud moved to another port.
    pub(crate) fn moved(&self, cloud: &Cloud) -> Self {
        self.at(&cloud.base)
    }

    /// The same store, as it talks to the node at this address.
    pub(crate) fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("/api") {
            format!("{}{path}", self.base)
        } else {
            format!("{}/api/v1{path}", self.base)
        };
        self.http.request(method, url).bearer_auth(self.signer.token(Utc::now()))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await
    }

    /// Opens a WebSocket, or tells the status with which that was refused.
    pub(crate) async fn open(&self, token: &str) -> Result<Line, Answer> {
        let mut request =
            format!("{}/api/v1/link", self.base.replace("http", "ws")).into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        headers.insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        match tokio_tungstenite::connect_async(request).await {
            Ok((socket, response)) => {
                assert_eq!(response.headers()["sec-websocket-protocol"], SUBPROTOCOL);
                Ok(Line { socket })
            }
            Err(tungstenite::Error::Http(response)) => {
                let (parts, body) = response.into_parts();
                let bytes = body.unwrap_or_default();
                let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                let headers = parts.headers.clone();
                Err(Answer { status: parts.status, headers, bytes, body })
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn line(&self) -> Line {
        self.open(&self.signer.token(Utc::now())).await.expect("the link is let in")
    }

    /// Connects with this hello and waits for the welcome; gives the session's epoch.
    pub(crate) async fn connect_with(&self, hello: Hello) -> (Line, i64) {
        let mut line = self.line().await;
        line.say(&ConnectorFrame::Hello(hello)).await;
        match line.hear().await {
            CloudFrame::Welcome { session_epoch, heartbeat_seconds: 15, .. } => (line, session_epoch),
            other => panic!("{other:?} is no welcome"),
        }
    }

    /// Connects as a store that is well.
    pub(crate) async fn connect(&self) -> Line {
        self.connect_with(hello()).await.0
    }
}

/// The hello of a store that is well.
pub(crate) fn hello() -> Hello {
    Hello {
        connector_version: "0.1.0".into(),
        boot_id: BootId::new(),
        started_at: Utc::now(),
        report: Some(report()),
        unfinished_jobs: Vec::new(),
        drops: 0,
    }
}

/// The state of a store that is well.
pub(crate) fn report() -> StoreReport {
    let report = Report {
        pos_version: Some("34.5.2".into()),
        database: DatabaseReport {
            size_bytes: Some(1 << 20),
            unsent_transactions: Some(0),
            created_at: None,
            generation: Some(3),
            backups: None,
        },
        ..Report::default()
    };
    StoreReport { pos_state: PosState::Running, report }
}
