//! A cloud of a few lines that speaks the store's calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use tillwatch_protocol::device::{self, TokenError};
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::ids::{ArchiveId, CloudId, DeviceId, JobId, PosServerId};
use tillwatch_protocol::link::SUBPROTOCOL;
use tillwatch_protocol::link::frame::{CloudFrame, ConnectorFrame, Hello, JobFinished, JobOrder};
use tillwatch_protocol::rest::enroll::{Enroll, Enrolled};
use tillwatch_protocol::rest::job::JobSpec;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::soon;

/// The one code that enrolls.
pub(crate) const CODE: &str = "good-code";

/// A running cloud.
pub(crate) struct Cloud {
    pub(crate) url: String,
    pub(crate) shared: Arc<Shared>,
    sessions: mpsc::UnboundedReceiver<Session>,
    pub(crate) heartbeats: mpsc::UnboundedReceiver<Value>,
}

/// What its calls share.
pub(crate) struct Shared {
    id: CloudId,
    sessions: mpsc::UnboundedSender<Session>,
    heartbeats: mpsc::UnboundedSender<Value>,
    pub(crate) settings: Mutex<Settings>,
    pub(crate) uploads: Mutex<HashMap<String, Vec<u8>>>,
}

/// What a story changes about the cloud.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) public_key: Option<String>,
    /// How far the cloud's clock is ahead.
    pub(crate) ahead: TimeDelta,
    /// Answers the next upgrades with this instead, last first.
    pub(crate) refusals: Vec<(StatusCode, Option<u64>)>,
    /// How many upgrades were asked for.
    pub(crate) upgrades: usize,
}

/// One session of the link, from the cloud's side.
pub(crate) struct Session {
    frames: mpsc::UnboundedReceiver<ConnectorFrame>,
    orders: mpsc::UnboundedSender<Order>,
}

enum Order {
    Frame(Box<CloudFrame>),
    Text(String),
    Close(u16),
}

impl Cloud {
    pub(crate) async fn start() -> Self {
        let (sessions_tx, sessions) = mpsc::unbounded_channel();
        let (heartbeats_tx, heartbeats) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            id: CloudId::new(),
            sessions: sessions_tx,
            heartbeats: heartbeats_tx,
            settings: Mutex::default(),
            uploads: Mutex::default(),
        });
        let calls = Router::new()
            .route("/enroll", post(enroll))
            .route("/link", get(link))
            .route("/heartbeat", post(heartbeat))
            .route("/uploads", post(create_upload))
            .route("/uploads/{id}", patch(append_upload).head(upload_offset));
        let router = Router::new().nest("/api/v1", calls).with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, sessions, heartbeats }
    }

    /// The next session, before its hello.
    pub(crate) async fn session(&mut self) -> Session {
        soon("a session", self.sessions.recv()).await.unwrap()
    }

    /// The next session, welcomed, and its hello.
    pub(crate) async fn welcome(&mut self) -> (Session, Hello) {
        let mut session = self.session().await;
        let ConnectorFrame::Hello(hello) = session.frame().await else { panic!("hello comes first") };
        session.send(CloudFrame::Welcome {
            session_epoch: 1,
            heartbeat_seconds: 15,
            server_time: Utc::now(),
            time_zone: Some("Europe/Riga".into()),
        });
        (session, hello)
    }
}

impl Session {
    /// The next frame.
    pub(crate) async fn frame(&mut self) -> ConnectorFrame {
        soon("a frame", self.frames.recv()).await.expect("the session has ended")
    }

    /// The first frame that gives something.
    pub(crate) async fn find<T>(&mut self, mut pick: impl FnMut(ConnectorFrame) -> Option<T>) -> T {
        soon("the frame", async {
            loop {
                if let Some(found) = pick(self.frames.recv().await.expect("the session has ended")) {
                    return found;
                }
            }
        })
        .await
    }

    /// The end of a job.
    pub(crate) async fn finished(&mut self, id: JobId) -> JobFinished {
        self.find(|frame| match frame {
            ConnectorFrame::JobFinished(finished) if finished.id == id => Some(finished),
            _ => None,
        })
        .await
    }

    /// Waits for a phase of a job.
    pub(crate) async fn phase(&mut self, id: JobId, wanted: &str) {
        self.find(|frame| match frame {
            ConnectorFrame::JobProgress { id: other, progress }
                if other == id && progress.phase == wanted =>
            {
                Some(())
            }
            _ => None,
        })
        .await;
    }

    /// Everything until the connector ends the session.
    pub(crate) async fn rest(&mut self) -> Vec<ConnectorFrame> {
        let mut frames = Vec::new();
        soon("the end of the session", async {
            while let Some(frame) = self.frames.recv().await {
                frames.push(frame);
            }
        })
        .await;
        frames
    }

    pub(crate) fn send(&self, frame: CloudFrame) {
        let _ = self.orders.send(Order::Frame(Box::new(frame)));
    }

    pub(crate) fn send_text(&self, text: &str) {
        let _ = self.orders.send(Order::Text(text.to_owned()));
    }

    pub(crate) fn close(&self, code: u16) {
        let _ = self.orders.send(Order::Close(code));
    }

    /// Orders a job with ten minutes for it.
    pub(crate) fn order(&self, spec: JobSpec) -> JobOrder {
        let order =
            JobOrder { id: JobId::new(), deadline: Utc::now() + TimeDelta::minutes(10), sent_at: None, spec };
        self.send(CloudFrame::Job(order.clone()));
        order
    }

    /// Breaks the connection without a word.
    pub(crate) fn cut(self) {
        drop(self);
    }
}

fn problem(code: ErrorCode, extra: &Value) -> Response {
    let mut body = json!({
        "code": code, "title": code.title(), "detail": code.title(), "status": code.status(), "request_id": "r"
    });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let status = StatusCode::from_u16(code.status()).unwrap();
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

#[expect(clippy::result_large_err, reason = "the error is the response itself")]
fn authorize(shared: &Shared, headers: &HeaderMap) -> Result<(), Response> {
    let settings = shared.settings.lock().unwrap();
    let now = Utc::now() + settings.ahead;
    let token =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let (Some(token), Some(key)) = (token, &settings.public_key) else {
        return Err(problem(ErrorCode::Unauthorized, &json!({})));
    };
    match device::verify(token, key, shared.id, now) {
        Ok(_) => Ok(()),
        Err(TokenError::Skewed) => Err(problem(ErrorCode::ClockSkewed, &json!({"server_time": now}))),
        Err(TokenError::Invalid) => Err(problem(ErrorCode::Unauthorized, &json!({}))),
    }
}

async fn enroll(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let request: Enroll = serde_json::from_slice(&body).unwrap();
    if request.code != CODE {
        return problem(ErrorCode::EnrollmentCodeInvalid, &json!({}));
    }
    shared.settings.lock().unwrap().public_key = Some(request.public_key);
    axum::Json(Enrolled {
        device_id: DeviceId::new(),
        cloud_id: shared.id,
        pos_server_id: PosServerId::new(),
        outlet: "Riga Centrs".into(),
        time_zone: "Europe/Riga".into(),
    })
    .into_response()
}

async fn heartbeat(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(refusal) = authorize(&shared, &headers) {
        return refusal;
    }
    let _ = shared.heartbeats.send(serde_json::from_slice(&body).unwrap());
    StatusCode::NO_CONTENT.into_response()
}

async fn link(State(shared): State<Arc<Shared>>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let refusal = {
        let mut settings = shared.settings.lock().unwrap();
        settings.upgrades += 1;
        settings.refusals.pop()
    };
    if let Some((status, retry_after)) = refusal {
        let retry_after = retry_after.map(|seconds| (header::RETRY_AFTER, seconds.to_string()));
        return (status, axum::response::AppendHeaders(retry_after), "busy").into_response();
    }
    if let Err(refusal) = authorize(&shared, &headers) {
        return refusal;
    }
    upgrade.protocols([SUBPROTOCOL]).on_upgrade(move |socket| carry(socket, shared))
}

async fn carry(mut socket: WebSocket, shared: Arc<Shared>) {
    assert_eq!(socket.protocol().unwrap(), SUBPROTOCOL);
    let (tell, frames) = mpsc::unbounded_channel();
    let (orders_tx, mut orders) = mpsc::unbounded_channel();
    if shared.sessions.send(Session { frames, orders: orders_tx }).is_err() {
        return;
    }
    loop {
        let text = tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    let _ = tell.send(serde_json::from_str(&text).unwrap());
                    continue;
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
            order = orders.recv() => match order {
                Some(Order::Frame(frame)) => serde_json::to_string(&frame).unwrap(),
                Some(Order::Text(text)) => text,
                Some(Order::Close(code)) => {
                    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: "".into() }))).await;
                    return;
                }
                None => return,
            },
        };
        let _ = socket.send(Message::Text(text.into())).await;
    }
}

async fn create_upload(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = authorize(&shared, &headers) {
        return refusal;
    }
    let id = ArchiveId::new().to_string();
    shared.uploads.lock().unwrap().insert(id.clone(), Vec::new());
    let location = format!("/api/v1/uploads/{id}");
    (StatusCode::CREATED, [("Tus-Resumable", "1.0.0"), ("Location", &location)]).into_response()
}

async fn append_upload(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(refusal) = authorize(&shared, &headers) {
        return refusal;
    }
    let mut uploads = shared.uploads.lock().unwrap();
    let upload = uploads.get_mut(&id).unwrap();
    upload.extend_from_slice(&body);
    let offset = upload.len().to_string();
    (StatusCode::NO_CONTENT, [("Tus-Resumable", "1.0.0"), ("Upload-Offset", &offset)]).into_response()
}

async fn upload_offset(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(refusal) = authorize(&shared, &headers) {
        return refusal;
    }
    match shared.uploads.lock().unwrap().get(&id) {
        Some(upload) => {
            let offset = upload.len().to_string();
            (StatusCode::OK, [("Tus-Resumable", "1.0.0"), ("Upload-Offset", &offset)]).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
