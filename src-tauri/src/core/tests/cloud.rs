//! A cloud that does what a test says.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::serve::Listener;
use axum::{Json, Router};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

use crate::cloud::hex;
use crate::ipc::Archive;

/// A cloud on this computer.
pub(super) struct FakeCloud {
    pub(super) state: Arc<Shared>,
    scheme: &'static str,
    pub(super) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

/// What it knows, and what happened to it.
pub(super) struct Shared {
    pub(super) statuses: Mutex<Vec<Value>>,
    pub(super) jobs: Mutex<Vec<Value>>,
    pub(super) revision: Mutex<i64>,
    /// Frames of the event stream.
    events: broadcast::Sender<String>,
    /// Raised to close every stream.
    hang_up: watch::Sender<u32>,
    /// By how much its clock is ahead of the one here.
    clock: Mutex<TimeDelta>,
    /// The access token that is good, and the refresh token.
    pub(super) tokens: Mutex<(u32, bool)>,
    pub(super) refreshes: Mutex<u32>,
    /// How many answers with new tokens get lost.
    pub(super) loses: Mutex<u32>,
    /// The refresh token that was renewed last, and the key that came with it.
    renewed: Mutex<Option<(String, HeaderValue)>>,
    pub(super) resumed_after: Mutex<Vec<String>>,
    pub(super) asked_jobs: Mutex<Vec<(String, Value)>>,
    /// What `POST jobs` answers first.
    pub(super) job_answers: Mutex<VecDeque<(u16, Value)>>,
    pub(super) archive: Mutex<Served>,
    /// Further archives by id; they are served whole.
    pub(super) parts: Mutex<HashMap<String, Vec<u8>>>,
    /// What happened to every store, newest first; two items a page.
    pub(super) timeline: Mutex<Vec<Value>>,
    pub(super) backups: Mutex<Value>,
    pub(super) asked_periods: Mutex<Vec<Value>>,
    pub(super) signed_out: Mutex<bool>,
    /// By whom one can sign in besides a password.
    pub(super) providers: Mutex<Vec<Value>>,
    /// What `POST /sso/…/finish` was asked, and the code with which it refuses the next one.
    pub(super) finished: Mutex<Vec<Value>>,
    pub(super) refuses_sso: Mutex<Option<(u16, &'static str)>>,
    /// What the user may do, in `GET /me`.
    pub(super) grants: Mutex<Value>,
    /// What was asked of `/admin` and `/sessions`: method and path, and the body.
    pub(super) asked: Mutex<Vec<(String, Value)>>,
    /// What these answer, by method and path.
    pub(super) answers: Mutex<HashMap<String, (u16, Value)>>,
}

/// How an archive is served.
#[derive(Clone, Default)]
pub(super) struct Served {
    pub(super) bytes: Vec<u8>,
    /// After how many bytes each answer breaks off, one after another.
    pub(super) cuts: VecDeque<usize>,
    /// The hash that the cloud says it has; a change of it means other content.
    pub(super) etag: String,
    pub(super) ranges: Vec<Option<String>>,
    pub(super) expired: bool,
    /// Never ends.
    pub(super) hangs: bool,
    /// Comes piece by piece, some milliseconds apart.
    pub(super) drips: bool,
}

pub(super) const USER: Uuid = Uuid::from_u128(7);

impl FakeCloud {
    /// Starts one on a free port with these statuses.
    pub(super) async fn start(statuses: Vec<Value>) -> Self {
        let state = Arc::new(Shared {
            statuses: Mutex::new(statuses),
            jobs: Mutex::default(),
            revision: Mutex::new(50),
            events: broadcast::channel(1000).0,
            hang_up: watch::channel(0).0,
            clock: Mutex::default(),
            tokens: Mutex::new((1, true)),
            refreshes: Mutex::default(),
            loses: Mutex::default(),
            renewed: Mutex::default(),
            resumed_after: Mutex::default(),
            asked_jobs: Mutex::default(),
            job_answers: Mutex::default(),
            archive: Mutex::default(),
            parts: Mutex::default(),
            timeline: Mutex::default(),
            backups: Mutex::new(json!({"items": [], "as_of": null})),
            asked_periods: Mutex::default(),
            signed_out: Mutex::default(),
            providers: Mutex::default(),
            finished: Mutex::default(),
            refuses_sso: Mutex::default(),
            grants: Mutex::new(
                json!({"everywhere": ["outlet_setup", "retrieve_logs"], "chains": [], "outlets": []}),
            ),
            asked: Mutex::default(),
            answers: Mutex::default(),
        });
        Self::listen(state, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    async fn listen(state: Arc<Shared>, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        Self::serve_on(listener, state, "http")
    }

    /// The same behind a certificate that nobody knows; the second value is its fingerprint.
    pub(super) async fn start_with_tls(address: Option<SocketAddr>) -> (Self, String) {
        Self::start_with_dates(address, 2100).await
    }

    /// The same, with a certificate that is valid until a year begins.
    pub(super) async fn start_with_dates(address: Option<SocketAddr>, until: i32) -> (Self, String) {
        let plain = Self::start(vec![]).await;
        let key = rcgen::KeyPair::generate().unwrap();
        let mut made = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        made.not_after = rcgen::date_time_ymd(until, 1, 1);
        let certificate = made.self_signed(&key).unwrap().der().clone();
        let fingerprint = hex(&Sha256::digest(&certificate));
        let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let address = address.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = TlsListener {
            tcp: TcpListener::bind(address).await.unwrap(),
            acceptor: tokio_rustls::TlsAcceptor::from(Arc::new(config)),
        };
        (Self::serve_on(listener, Arc::clone(&plain.state), "https"), fingerprint)
    }

    fn serve_on<L>(listener: L, state: Arc<Shared>, scheme: &'static str) -> Self
    where
        L: Listener<Addr = SocketAddr> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let router = router(Arc::clone(&state));
        let mut hang_up = state.hang_up.subscribe();
        hang_up.mark_unchanged();
        let hung_up = async move { drop(hang_up.changed().await) };
        let task = tokio::spawn(async move {
            axum::serve(listener, router).with_graceful_shutdown(hung_up).await.unwrap();
        });
        Self { state, scheme, address, task }
    }

    pub(super) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Goes away, with every connection.
    pub(super) async fn stop(self) -> Stopped {
        self.state.hang_up.send_modify(|count| *count += 1);
        self.task.await.unwrap();
        Stopped { state: self.state, address: self.address }
    }

    /// Sends an event to whoever listens; it raises the revision.
    pub(super) fn tell(&self, name: &str, data: &Value) {
        let mut revision = self.state.revision.lock().unwrap();
        *revision += 1;
        let _ = self.state.events.send(format!("event: {name}\nid: {revision}\ndata: {data}\n\n"));
    }

    /// Lives so much ahead of this computer from now on.
    pub(super) fn set_clock(&self, ahead: TimeDelta) {
        *self.state.clock.lock().unwrap() = ahead;
    }

    /// Answers a call of `/admin` or `/sessions` so from now on, such as `GET /admin/chains`.
    pub(super) fn answer(&self, call: &str, status: u16, body: Value) {
        self.state.answers.lock().unwrap().insert(call.to_owned(), (status, body));
    }

    /// What was asked of them so far.
    pub(super) fn asked(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.state.asked.lock().unwrap())
    }

    /// Serves these bytes as an archive.
    pub(super) fn serve(&self, bytes: Vec<u8>, cuts: &[usize]) -> Archive {
        let sha256 = hex(&Sha256::digest(&bytes));
        let archive = Archive {
            id: Uuid::from_u128(77).to_string(),
            file_name: "riga.zip".into(),
            size_bytes: bytes.len() as u64,
            sha256: sha256.clone(),
            from: Utc::now(),
            to: Utc::now(),
            expires_at: Utc::now(),
        };
        *self.state.archive.lock().unwrap() =
            Served { bytes, cuts: cuts.iter().copied().collect(), etag: sha256, ..Served::default() };
        archive
    }
}

impl FakeCloud {
    /// Serves these bytes as a further archive.
    pub(super) fn serve_part(&self, name: &str, bytes: Vec<u8>) -> Archive {
        let id = Uuid::now_v7().to_string();
        let archive = Archive {
            id: id.clone(),
            file_name: name.into(),
            size_bytes: bytes.len() as u64,
            sha256: hex(&Sha256::digest(&bytes)),
            from: Utc::now(),
            to: Utc::now(),
            expires_at: Utc::now(),
        };
        self.state.parts.lock().unwrap().insert(id, bytes);
        archive
    }
}

/// Takes connections through TLS; those that fail are the client's to tell.
struct TlsListener {
    tcp: TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((socket, address)) = self.tcp.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(socket).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// A cloud that went away.
pub(super) struct Stopped {
    state: Arc<Shared>,
    address: SocketAddr,
}

impl Stopped {
    /// Comes back at the same address.
    pub(super) async fn start_again(self) -> FakeCloud {
        FakeCloud::listen(self.state, self.address).await
    }
}

type S = State<Arc<Shared>>;

fn router(state: Arc<Shared>) -> Router {
    let api = Router::new()
        .route("/sessions", post(sign_in).get(as_told))
        .route("/sessions/refresh", post(refresh))
        .route("/sessions/current", delete(sign_out))
        .route("/me", get(me))
        .route("/sso", get(providers))
        .route("/sso/{provider}/start", post(start_sso))
        .route("/sso/{provider}/finish", post(finish_sso))
        .route("/pos-servers", get(statuses))
        .route("/pos-servers/{id}/jobs", post(start_job))
        .route("/pos-servers/{id}/timeline", get(timeline))
        .route("/pos-servers/{id}/backups", get(backups))
        .route("/jobs", get(jobs))
        .route("/events", get(events))
        .route("/archives/{id}/content", get(content))
        .fallback(as_told);
    Router::new().nest("/api/v1", api).with_state(state)
}

pub(super) fn problem(status: u16, code: &str, extra: &Value) -> Response {
    let mut body = json!({"code": code, "title": "t", "detail": "d", "status": status, "request_id": "r-1"});
    for (key, value) in extra.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (StatusCode::from_u16(status).unwrap(), kind, body.to_string()).into_response()
}

#[expect(clippy::result_large_err, reason = "a response, as handlers give it")]
fn authorize(state: &Shared, headers: &HeaderMap) -> Result<(), Response> {
    let (number, _) = *state.tokens.lock().unwrap();
    let good = format!("Bearer access-{number}");
    if headers.get(header::AUTHORIZATION).is_some_and(|value| value == &good) {
        Ok(())
    } else {
        Err(problem(401, "unauthorized", &json!({})))
    }
}

fn tokens(state: &Shared) -> Json<Value> {
    let (number, _) = *state.tokens.lock().unwrap();
    Json(json!({"access_token": format!("access-{number}"), "refresh_token": format!("refresh-{number}"),
        "expires_at": now(state) + TimeDelta::minutes(15), "user": user()}))
}

/// The time as it has it.
fn now(state: &Shared) -> DateTime<Utc> {
    Utc::now() + *state.clock.lock().unwrap()
}

fn user() -> Value {
    json!({"id": USER, "email": "anna@example.com", "name": "Anna", "admin": false})
}

async fn sign_in(State(state): S, Json(body): Json<Value>) -> Response {
    if body["password"] == "secret" {
        state.tokens.lock().unwrap().1 = true;
        tokens(&state).into_response()
    } else {
        problem(401, "invalid_credentials", &json!({}))
    }
}

async fn refresh(State(state): S, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let (number, good) = *state.tokens.lock().unwrap();
    let token = body["refresh_token"].as_str().unwrap();
    let a_try = (token.to_owned(), headers["idempotency-key"].clone());
    let was_lost = state.renewed.lock().unwrap().as_ref() == Some(&a_try);
    if !good || (token != format!("refresh-{number}") && !was_lost) {
        return problem(401, "unauthorized", &json!({}));
    }
    *state.renewed.lock().unwrap() = Some(a_try);
    *state.refreshes.lock().unwrap() += 1;
    state.tokens.lock().unwrap().0 += 1;
    let mut loses = state.loses.lock().unwrap();
    if *loses > 0 {
        *loses -= 1;
        let cut = futures_util::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("the line is cut"))]);
        return Body::from_stream(cut).into_response();
    }
    tokens(&state).into_response()
}

async fn sign_out(State(state): S) -> StatusCode {
    *state.signed_out.lock().unwrap() = true;
    StatusCode::NO_CONTENT
}

async fn me(State(state): S, headers: HeaderMap) -> Result<Json<Value>, Response> {
    authorize(&state, &headers)?;
    let mut me = state.grants.lock().unwrap().clone();
    me["user"] = user();
    Ok(Json(me))
}

async fn providers(State(state): S) -> Json<Value> {
    Json(json!({"items": *state.providers.lock().unwrap(), "next_cursor": null}))
}

async fn start_sso(Path(provider): Path<String>, Json(body): Json<Value>) -> Json<Value> {
    let redirect_uri = body["redirect_uri"].as_str().unwrap();
    let mut url = url::Url::parse(&format!("https://{provider}.example.com/auth")).unwrap();
    url.query_pairs_mut().append_pair("redirect_uri", redirect_uri).append_pair("state", "try/1");
    Json(
        json!({"authorization_url": url, "secret": "s3cret", "expires_at": Utc::now() + TimeDelta::minutes(10)}),
    )
}

async fn finish_sso(State(state): S, Json(body): Json<Value>) -> Response {
    state.finished.lock().unwrap().push(body);
    if let Some((status, code)) = state.refuses_sso.lock().unwrap().take() {
        return problem(status, code, &json!({}));
    }
    state.tokens.lock().unwrap().1 = true;
    tokens(&state).into_response()
}

async fn as_told(State(state): S, request: axum::extract::Request) -> Response {
    if let Err(refused) = authorize(&state, request.headers()) {
        return refused;
    }
    let uri = request.uri().path_and_query().unwrap().as_str().replace("/api/v1", "");
    let call = format!("{} {uri}", request.method());
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let text = String::from_utf8_lossy(&body).into_owned();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    state.asked.lock().unwrap().push((call.clone(), body));
    let answer = state.answers.lock().unwrap().get(&call).cloned();
    match answer {
        Some((204, _)) => StatusCode::NO_CONTENT.into_response(),
        Some((status, body)) if status < 300 => {
            (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
        }
        Some((status, body)) => problem(status, body["code"].as_str().unwrap(), &body),
        None => problem(404, "not_found", &json!({"call": call})),
    }
}

/// Two statuses a page, so that paging is always at work.
async fn statuses(
    State(state): S,
    headers: HeaderMap,
    Query(query): Query<Value>,
) -> Result<Json<Value>, Response> {
    authorize(&state, &headers)?;
    let start: usize = query["cursor"].as_str().and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let all = state.statuses.lock().unwrap().clone();
    let end = (start + 2).min(all.len());
    let next = (end < all.len()).then(|| end.to_string());
    let revision = *state.revision.lock().unwrap();
    Ok(Json(
        json!({"items": all[start..end], "next_cursor": next, "as_of": now(&state), "revision": revision}),
    ))
}

async fn timeline(
    State(state): S,
    headers: HeaderMap,
    Query(query): Query<Value>,
) -> Result<Json<Value>, Response> {
    authorize(&state, &headers)?;
    let start: usize = query["cursor"].as_str().and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    state.asked_periods.lock().unwrap().push(query);
    let all = state.timeline.lock().unwrap().clone();
    let end = (start + 2).min(all.len());
    let next = (end < all.len()).then(|| end.to_string());
    Ok(Json(json!({"items": all[start..end], "next_cursor": next})))
}

async fn backups(State(state): S, headers: HeaderMap) -> Result<Json<Value>, Response> {
    authorize(&state, &headers)?;
    Ok(Json(state.backups.lock().unwrap().clone()))
}

async fn start_job(
    State(state): S,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Response, Response> {
    authorize(&state, &headers)?;
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    state.asked_jobs.lock().unwrap().push((key, body.clone()));
    if let Some((status, body)) = state.job_answers.lock().unwrap().pop_front() {
        return Ok(problem(status, body["code"].as_str().unwrap(), &body));
    }
    let job = job(1, body["kind"].as_str().unwrap(), &id, "queued");
    Ok((StatusCode::ACCEPTED, Json(job)).into_response())
}

/// A job of the user.
pub(super) fn job(n: u128, kind: &str, pos_server_id: &str, state: &str) -> Value {
    json!({"id": Uuid::from_u128(900 + n), "kind": kind, "pos_server_id": pos_server_id, "state": state,
        "requested_by": USER, "requested_at": "2026-11-21T12:00:00Z", "started_at": null, "finished_at": null,
        "progress": null, "result": null, "error": null})
}

async fn jobs(State(state): S, headers: HeaderMap) -> Result<Json<Value>, Response> {
    authorize(&state, &headers)?;
    Ok(Json(json!({"items": *state.jobs.lock().unwrap(), "next_cursor": null})))
}

async fn events(State(state): S, headers: HeaderMap) -> Result<Response, Response> {
    authorize(&state, &headers)?;
    let after = headers["last-event-id"].to_str().unwrap().to_owned();
    state.resumed_after.lock().unwrap().push(after);
    let frames = state.events.subscribe();
    let mut hang_up = state.hang_up.subscribe();
    hang_up.mark_unchanged();
    let stream = futures_util::stream::unfold((frames, hang_up), |(mut frames, mut hang_up)| async move {
        tokio::select! {
            frame = frames.recv() => {
                let frame = frame.ok()?;
                Some((Ok::<_, std::io::Error>(Bytes::from(frame)), (frames, hang_up)))
            }
            _ = hang_up.changed() => None,
        }
    });
    let date = now(&state).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let headers = [(header::CONTENT_TYPE, "text/event-stream".to_owned()), (header::DATE, date)];
    Ok((headers, Body::from_stream(stream)).into_response())
}

async fn content(State(state): S, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Response> {
    authorize(&state, &headers)?;
    if let Some(bytes) = state.parts.lock().unwrap().get(&id) {
        return Ok(bytes.clone().into_response());
    }
    let mut served = state.archive.lock().unwrap();
    if served.expired {
        return Ok(problem(410, "archive_expired", &json!({})));
    }
    let header = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let range = header(header::RANGE).map(ToOwned::to_owned);
    served.ranges.push(range.clone());
    let etag = format!("\"{}\"", served.etag);
    let start = range
        .filter(|_| header(header::IF_RANGE) == Some(etag.as_str()))
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let rest = served.bytes[start.unwrap_or(0)..].to_vec();
    let cut = served.cuts.pop_front().unwrap_or(usize::MAX);
    let (hangs, drips) = (served.hangs, served.drips);
    let length = rest.len();
    let pieces: Vec<Result<Bytes, std::io::Error>> = rest[..cut.min(length)]
        .chunks(1000)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .chain((cut < length).then(|| Err(std::io::Error::other("cut"))))
        .collect();
    let body = if drips {
        let slowly = futures_util::stream::iter(pieces).then(|piece| async {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            piece
        });
        Body::from_stream(slowly)
    } else if hangs {
        let pieces = futures_util::stream::iter(pieces);
        Body::from_stream(futures_util::StreamExt::chain(pieces, futures_util::stream::pending()))
    } else {
        Body::from_stream(futures_util::stream::iter(pieces))
    };
    let status = if start.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let length = if hangs { length + 1 } else { length };
    Ok((status, [(header::ETAG, etag), (header::CONTENT_LENGTH, length.to_string())], body).into_response())
}
