//! A small cloud: enrolls whoever comes, keeps links, and counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::ws::{Message, WebSocket};
use axum::extract::{State, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::Utc;
use tillwatch_protocol::device;
use tillwatch_protocol::exchange::{Checksum, ExchangeAnswer, ExchangeRequest};
use tillwatch_protocol::ids::{CloudId, DeviceId, JobId, PosServerId};
use tillwatch_protocol::link::frame::{CloudFrame, ConnectorFrame, JobFinished, JobOrder, StoreReport};
use tillwatch_protocol::rest::enroll::{Enroll, Enrolled};
use tillwatch_protocol::rest::job::JobSpec;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};

/// What the cloud knows of a store.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Known {
    pub(crate) enrollments: u32,
    pub(crate) online: bool,
    pub(crate) said_bye: bool,
    pub(crate) report: Option<StoreReport>,
    pub(crate) finished: Option<JobFinished>,
}

#[derive(Clone)]
pub(crate) struct Cloud {
    pub(crate) address: String,
    /// By the enrollment code, which a test chose.
    pub(crate) stores: watch::Sender<BTreeMap<String, Known>>,
    devices: Arc<Mutex<BTreeMap<DeviceId, String>>>,
    /// Which store is ordered to do what.
    orders: broadcast::Sender<(String, JobSpec)>,
}

impl Cloud {
    pub(crate) async fn start() -> Self {
        // An error means that another test was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cloud = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            stores: watch::Sender::default(),
            devices: Arc::default(),
            orders: broadcast::Sender::new(8),
        };
        let router = Router::new()
            .route("/api/v1/enroll", post(enroll))
            .route("/api/v1/exchange", post(exchange))
            .route("/api/v1/heartbeat", post(async || StatusCode::NO_CONTENT))
            .route("/api/v1/link", get(link))
            .with_state(cloud.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        cloud
    }

    /// Orders a job from a store that is online.
    pub(crate) fn order(&self, code: &str, spec: JobSpec) {
        self.orders.send((code.to_owned(), spec)).unwrap();
    }

    pub(crate) fn known(&self, code: &str) -> Known {
        self.stores.borrow()[code].clone()
    }

    /// Waits until a store is as it is wanted.
    pub(crate) async fn wait_for(&self, code: &str, wanted: impl Fn(&Known) -> bool) -> Known {
        let mut stores = self.stores.subscribe();
        let found = stores.wait_for(|stores| stores.get(code).is_some_and(&wanted));
        tokio::time::timeout(std::time::Duration::from_secs(20), found).await.expect("in time").unwrap()[code]
            .clone()
    }

    fn note(&self, code: &str, change: impl FnOnce(&mut Known)) {
        self.stores.send_modify(|stores| change(stores.entry(code.to_owned()).or_default()));
    }

    fn device(&self, headers: &HeaderMap) -> Option<String> {
        let token = headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
        self.devices.lock().unwrap().get(&device::claimed_device(token)?).cloned()
    }
}

async fn enroll(State(cloud): State<Cloud>, Json(request): Json<Enroll>) -> Json<Enrolled> {
    let device_id = DeviceId::new();
    cloud.note(&request.code, |known| known.enrollments += 1);
    cloud.devices.lock().unwrap().insert(device_id, request.code);
    Json(Enrolled {
        device_id,
        cloud_id: CloudId::new(),
        pos_server_id: PosServerId::new(),
        outlet: "Riga Centrs".into(),
        time_zone: "Europe/Riga".into(),
    })
}

/// A chain without loyalty data.
async fn exchange(
    State(cloud): State<Cloud>,
    headers: HeaderMap,
    Json(request): Json<ExchangeRequest>,
) -> Result<Json<ExchangeAnswer>, StatusCode> {
    cloud.device(&headers).ok_or(StatusCode::UNAUTHORIZED)?;
    let checksum = Some(Checksum::default().finish());
    Ok(Json(ExchangeAnswer { changes: Vec::new(), cursor: request.cursor, checksum, more: false }))
}

async fn link(State(cloud): State<Cloud>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let Some(code) = cloud.device(&headers) else { return StatusCode::UNAUTHORIZED.into_response() };
    upgrade.protocols(["tillwatch.link.v1"]).on_upgrade(move |socket| async move {
        carry(&cloud, &code, socket).await;
        cloud.note(&code, |known| known.online = false);
    })
}

async fn carry(cloud: &Cloud, code: &str, mut socket: WebSocket) {
    let mut orders = cloud.orders.subscribe();
    loop {
        let answer = tokio::select! {
            Ok((store, spec)) = orders.recv() => (store == code).then(|| {
                let deadline = Utc::now() + chrono::TimeDelta::minutes(10);
                CloudFrame::Job(JobOrder { id: JobId::new(), deadline, sent_at: None, spec })
            }),
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => heard(cloud, code, serde_json::from_str(&text).unwrap()),
                Some(Ok(_)) => None,
                _ => return,
            },
        };
        if let Some(answer) = answer {
            let text = serde_json::to_string(&answer).unwrap();
            if socket.send(Message::text(text)).await.is_err() {
                return;
            }
        }
    }
}

/// Notes what a store says, and gives the answer.
fn heard(cloud: &Cloud, code: &str, frame: ConnectorFrame) -> Option<CloudFrame> {
    match frame {
        ConnectorFrame::Hello(hello) => {
            cloud.note(code, |known| {
                known.online = true;
                known.report = hello.report.or(known.report.take());
            });
            Some(CloudFrame::Welcome {
                session_epoch: 1,
                heartbeat_seconds: 15,
                server_time: Utc::now(),
                time_zone: None,
            })
        }
        ConnectorFrame::Report { report } => {
            cloud.note(code, |known| known.report = Some(report));
            None
        }
        ConnectorFrame::Bye { .. } => {
            cloud.note(code, |known| known.said_bye = true);
            None
        }
        ConnectorFrame::JobFinished(finished) => {
            let id = finished.id;
            cloud.note(code, |known| known.finished = Some(finished));
            Some(CloudFrame::Ack { id })
        }
        _ => None,
    }
}
