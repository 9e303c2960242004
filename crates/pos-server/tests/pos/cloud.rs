//! A small cloud: one chain's rows, checked device tokens, and what a test wants to go wrong.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use chrono::{TimeDelta, Utc};
use futures_util::stream;
use serde_json::json;
use tillwatch_protocol::device::{self, DeviceKey, Identity, TokenError};
use tillwatch_protocol::exchange::{
    Amount, Change, ExchangeAnswer, ExchangeRequest, Guest, GuestAccount, Program, Row, RowChange, Table,
    Transaction, checksum,
};
use tillwatch_protocol::ids::{CloudId, DeviceId, PosServerId};
use tillwatch_protocol::rest::enroll::Enrolled;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use url::Url;
use uuid::Uuid;

/// What the cloud does with the next requests.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// What it should.
    #[default]
    Well,
    /// It writes transactions down, and its answer is lost.
    LoseAnswer,
    /// It refuses with this status and code.
    Refuse(u16, &'static str),
    /// It answers something that is no answer.
    Babble,
    /// Its answer breaks off in the middle.
    BreakOff,
    /// Its answer never ends.
    NeverEnd,
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) mood: Mood,
    pub(crate) clock_offset_seconds: i64,
    /// Whether it goes on refusing tokens as skewed, whatever time they show.
    pub(crate) never_content: bool,
    pub(crate) page_size: usize,
    pub(crate) changes: Vec<Change>,
    /// In the order of their arrival, as often as they arrived.
    pub(crate) received: Vec<Transaction>,
    pub(crate) requests: u64,
    /// Where the store said that it stands.
    pub(crate) cursor: i64,
}

#[derive(Clone)]
pub(crate) struct Cloud {
    pub(crate) url: Url,
    pub(crate) inner: Arc<Mutex<Inner>>,
    /// Hears of each answer, before it goes out.
    pub(crate) answers: Arc<Notify>,
    pub(crate) identity: Identity,
    public_key: String,
}

pub(crate) const ACCOUNT: Uuid = Uuid::from_u128(0xacc);

impl Cloud {
    pub(crate) async fn start() -> Self {
        // An error means that another test was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let key = DeviceKey::generate();
        let public_key = key.public_key();
        let enrolled = Enrolled {
            device_id: DeviceId::new(),
            cloud_id: CloudId::new(),
            pos_server_id: PosServerId::new(),
            outlet: "Riga Centrs".into(),
            time_zone: "Europe/Riga".into(),
        };
        let identity = key.into_identity(url.clone(), enrolled);
        let inner = Inner { page_size: 500, ..Inner::default() };
        let inner = Arc::new(Mutex::new(inner));
        let cloud = Self { url, inner, answers: Arc::default(), identity, public_key };
        let router = Router::new().route("/api/v1/exchange", post(exchange)).with_state(cloud.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        cloud
    }

    /// Puts TLS before the cloud, with a certificate that nobody trusts. Gives the address and the certificate.
    pub(crate) async fn with_tls(&self) -> (Url, String) {
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port()).parse().unwrap();
        let behind = self.url.socket_addrs(|| None).unwrap()[0];
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut outer) = acceptor.accept(stream).await else { return };
                    let mut inner = TcpStream::connect(behind).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
                });
            }
        });
        (url, certified.cert.pem())
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner.lock().unwrap());
    }

    /// Guests named by number, a program and an account: what a chain might have.
    pub(crate) fn fill(&self, guests: u128) {
        let program =
            Program { id: Uuid::from_u128(1), name: "Bonus".into(), bonus_basis_points: 500, active: true };
        self.upsert(Row::Programs(program));
        for number in 0..guests {
            self.guest(number, &format!("Guest {number}"));
        }
        self.upsert(Row::GuestAccounts(GuestAccount {
            id: ACCOUNT,
            guest_id: Uuid::from_u128(0x1000),
            program_id: Uuid::from_u128(1),
            balance: Amount(1250),
        }));
    }

    pub(crate) fn guest(&self, number: u128, name: &str) {
        self.guest_with(number, name, None, None);
    }

    pub(crate) fn guest_with(&self, number: u128, name: &str, phone: Option<&str>, card: Option<&str>) {
        let id = Uuid::from_u128(0x1000 + number);
        let (phone, card) = (phone.map(Into::into), card.map(Into::into));
        self.upsert(Row::Guests(Guest { id, name: name.into(), phone, card }));
    }

    pub(crate) fn upsert(&self, row: Row) {
        self.set(|inner| inner.changes.push(Change { id: Uuid::new_v4(), row: RowChange::Upsert { row } }));
    }

    pub(crate) fn delete(&self, table: Table, row_id: Uuid) {
        let row = RowChange::Delete { table, row_id };
        self.set(|inner| inner.changes.push(Change { id: Uuid::new_v4(), row }));
    }

    fn answer(&self, headers: &HeaderMap, body: &[u8]) -> Response {
        let mut inner = self.inner.lock().unwrap();
        inner.requests += 1;
        let now = Utc::now() + TimeDelta::seconds(inner.clock_offset_seconds);
        let token = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
        match device::verify(token, &self.public_key, self.identity.cloud_id, now) {
            Ok(_) if !inner.never_content => {}
            Ok(_) | Err(TokenError::Skewed) => {
                return problem(401, "clock_skewed", &json!(now.to_rfc3339()));
            }
            Err(TokenError::Invalid) => return problem(401, "unauthorized", &json!(null)),
        }
        let request: ExchangeRequest = serde_json::from_slice(body).unwrap();
        match inner.mood {
            Mood::Refuse(status, code) => return problem(status, code, &json!(null)),
            Mood::Babble => return Json(json!({"hello": "captive portal"})).into_response(),
            Mood::NeverEnd => {
                let spaces = || Ok::<_, io::Error>(Bytes::from_static(&[b' '; 1 << 14]));
                return Body::from_stream(stream::repeat_with(spaces)).into_response();
            }
            Mood::Well | Mood::LoseAnswer | Mood::BreakOff => {}
        }
        inner.cursor = request.cursor;
        inner.received.extend(request.transactions);
        if inner.mood == Mood::LoseAnswer {
            return (StatusCode::BAD_GATEWAY, "lost").into_response();
        }
        // A POS server that is ahead has seen what this cloud no longer knows of.
        let start = usize::try_from(request.cursor).unwrap();
        let start = if start > inner.changes.len() { 0 } else { start };
        let end = inner.changes.len().min(start + inner.page_size);
        let more = end < inner.changes.len();
        let answer = ExchangeAnswer {
            changes: inner.changes[start..end].to_vec(),
            cursor: end as i64,
            checksum: (!more).then(|| checksum(rows(&inner.changes[..end]).values())),
            more,
        };
        if inner.mood == Mood::BreakOff {
            let mut half = serde_json::to_vec(&answer).unwrap();
            half.truncate(half.len() / 2);
            let broken = io::Error::from(io::ErrorKind::ConnectionReset);
            return Body::from_stream(stream::iter([Ok(Bytes::from(half)), Err(broken)])).into_response();
        }
        Json(answer).into_response()
    }
}

async fn exchange(State(cloud): State<Cloud>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = cloud.answer(&headers, &body);
    cloud.answers.notify_one();
    answer
}

fn rows(changes: &[Change]) -> BTreeMap<(Table, Uuid), Row> {
    let mut rows = BTreeMap::new();
    for change in changes {
        match &change.row {
            RowChange::Upsert { row } => rows.insert((row.table(), row.id()), row.clone()),
            RowChange::Delete { table, row_id } => rows.remove(&(*table, *row_id)),
        };
    }
    rows
}

fn problem(status: u16, code: &str, server_time: &serde_json::Value) -> Response {
    let body = json!({"code": code, "title": "No.", "detail": "for the test", "status": status, "server_time": server_time});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}
