//! A cloud for one test, and a client that talks to it.

use std::time::Duration;

use chrono::Utc;
use futures_util::StreamExt;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tillwatch_cloud::admin::{self, ScopeName};
use tillwatch_cloud::config::{Config, SsoProvider};
use tillwatch_cloud::store::Store;
use tillwatch_protocol::rest::admin::Imported;
use tillwatch_protocol::rest::session::Permission;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::backends::{Backends, Writing};
use crate::contract;

pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const ADMIN: &str = "admin@example.com";
pub(crate) const HEADER: &str = "chain,outlet,crm_id,address,time_zone,pos_server\n";

/// How long anything may take that should happen at once.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A running cloud with an empty database and one admin.
pub(crate) struct TestCloud {
    pub(crate) base: String,
    pub(crate) store: Store,
    /// They go away with the cloud.
    backends: Backends,
    shutdown: CancellationToken,
    serving: JoinHandle<anyhow::Result<()>>,
}

impl TestCloud {
    pub(crate) async fn start() -> Self {
        Self::with_sso(Vec::new()).await
    }

    /// One at which people may also sign in by these providers.
    pub(crate) async fn with_sso(sso: Vec<SsoProvider>) -> Self {
        Self::with(|config| config.sso = sso).await
    }

    /// One that is configured otherwise.
    pub(crate) async fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let backends = Backends::new().await;
        let mut config = Config { drain: Duration::from_secs(5), ..backends.config() };
        configure(&mut config);
        let store = backends.store().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(tillwatch_cloud::run(listener, config, shutdown.clone()));
        let cloud = Self { base, store, backends, shutdown, serving };
        cloud.add_user(ADMIN, true).await;
        cloud
    }

    pub(crate) async fn add_user(&self, email: &str, admin: bool) {
        let password = Some(PASSWORD.to_owned());
        admin::add_user(&self.store, email, "Somebody", admin, password, Utc::now()).await.unwrap();
    }

    pub(crate) async fn grant(&self, email: &str, scope: ScopeName, permission: Permission) {
        admin::grant(&self.store, email, &scope, &[permission], Utc::now()).await.unwrap();
    }

    /// Imports lines of CSV, without their header.
    pub(crate) async fn import(&self, lines: &str) -> Vec<Imported> {
        let file = format!("{HEADER}{lines}");
        admin::import_fleet(&self.store, file.as_bytes(), Utc::now()).await.unwrap()
    }

    /// Changes the database behind the cloud's back: what a clock or a store would have brought about.
    pub(crate) async fn sql(&self, sql: &str) {
        self.backends.sql(sql).await;
    }

    /// Holds up all writes, as one that takes long does.
    pub(crate) async fn writing(&self) -> Writing {
        self.backends.writing().await
    }

    pub(crate) fn anonymous(&self) -> Client {
        Client { base: self.base.clone(), http: reqwest::Client::new(), access: None, refresh: String::new() }
    }

    /// A client that has signed in with the password that every user here has.
    pub(crate) async fn sign_in(&self, email: &str) -> Client {
        let mut client = self.anonymous();
        let answer = client.post("/sessions", &json!({"email": email, "password": PASSWORD})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        client.take_tokens(&answer.body);
        client
    }

    /// Stops the cloud and waits for its end.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        tokio::time::timeout(SOON, &mut self.serving).await.unwrap().unwrap().unwrap();
    }
}

impl Drop for TestCloud {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) struct Client {
    base: String,
    http: reqwest::Client,
    pub(crate) access: Option<String>,
    pub(crate) refresh: String,
}

/// What a call gave.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The status and the code of a problem.
    pub(crate) fn problem(&self) -> (u16, &str) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.body["status"], self.status.as_u16());
        assert_eq!(self.body["request_id"], self.header("x-request-id"));
        for member in ["title", "detail"] {
            assert!(!self.body[member].as_str().unwrap().is_empty());
        }
        (self.status.as_u16(), self.body["code"].as_str().unwrap())
    }

    /// The names of a list's items.
    pub(crate) fn names(&self) -> Vec<&str> {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.body["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
    }
}

impl Client {
    pub(crate) fn take_tokens(&mut self, body: &Value) {
        self.access = Some(body["access_token"].as_str().unwrap().to_owned());
        body["refresh_token"].as_str().unwrap().clone_into(&mut self.refresh);
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}/api/v1{path}", self.base));
        match &self.access {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        answer(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::PATCH, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::PUT, path).json(body)).await
    }

    /// Follows events, from after an id.
    pub(crate) async fn events(&self, after: Option<&str>) -> Events {
        let mut request = self.request(Method::GET, "/events");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { bytes: response.bytes_stream().boxed(), text: String::new() }
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let (http, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = http.execute(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await.unwrap();
    let body =
        if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or(Value::Null) };
    contract::check(&method, &path, status.as_u16(), &body);
    Answer { status, headers, body }
}

pub(crate) struct Events {
    bytes: futures_util::stream::BoxStream<'static, reqwest::Result<axum::body::Bytes>>,
    text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Events {
    /// The next event, or none when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        tokio::time::timeout(SOON, self.read()).await.expect("an event or the end of the stream, soon")
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|value| value.trim().to_owned())
                };
                if let Some(name) = field("event:") {
                    let data = serde_json::from_str(&field("data:").unwrap()).unwrap();
                    return Some(Event { name, id: field("id:"), data });
                }
                continue;
            }
            match self.bytes.next().await {
                Some(Ok(bytes)) => self.text.push_str(std::str::from_utf8(&bytes).unwrap()),
                Some(Err(_)) | None => return None,
            }
        }
    }
}
