//! The checks that tell, from the store's side, what is wrong. Nothing here disturbs a running connector: the
//! link is checked by an upgrade without a token, which the gateway refuses before it could displace the
//! session, and the identity by a question about an upload that does not exist.

mod stranger;
mod way;

use std::path::Path;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use reqwest::StatusCode;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::report::Report;
use tillwatch_protocol::rest::job::Check;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use crate::cloud_client::{CLOCK_TOLERANCE, CloudClient, causes};
use crate::link::{open_tcp, open_tls};
use crate::pos::{self, ReportSource};
use crate::{files, link};

/// The names of the checks, in the order in which they are made.
pub const CHECKS: &[&str] = &["dns", "tcp", "tls", "clock", "link", "exchange", "pos_server", "disk"];
/// How long one check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(15);
/// A POS server exchanges every minute; after this long something is wrong.
const EXCHANGE_LATE: TimeDelta = TimeDelta::minutes(10);
/// With less room than this, logs can't be collected nor databases grow.
const LEAST_FREE_BYTES: u64 = 256 * 1024 * 1024;

/// What is checked.
pub struct Subject<'a> {
    /// The cloud, as the store's identity.
    pub client: &'a CloudClient,
    /// The POS server's report; `None` when it does not answer.
    pub report: Option<Report>,
    /// The data dir.
    pub data_dir: &'a Path,
}

/// What one check found.
type Found = Result<String, String>;

/// Asks the POS server that a configuration names, without touching it.
pub async fn ask_pos(source: ReportSource, client: &CloudClient, data_dir: &Path) -> Option<Report> {
    pos::ask_once(source, client.transport().local.clone(), data_dir).await
}

/// Makes every check, one after the other. `done` is told how many are made.
pub async fn run(subject: &Subject<'_>, mut done: impl FnMut(u64)) -> Vec<Check> {
    let mut checks = Vec::with_capacity(CHECKS.len());
    for &name in CHECKS {
        let began = Instant::now();
        let found = tokio::time::timeout(CHECK_TIMEOUT, Box::pin(check(subject, name)))
            .await
            .unwrap_or_else(|_| Err(format!("no result in {} s", CHECK_TIMEOUT.as_secs())));
        let millis = began.elapsed().as_millis() as u64;
        let (ok, detail) = match found {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        checks.push(Check { name: name.into(), ok, millis, detail });
        done(checks.len() as u64);
    }
    checks
}

async fn check(subject: &Subject<'_>, name: &str) -> Found {
    match name {
        "dns" => way::dns(subject.client).await,
        "tcp" => way::tcp(subject.client).await,
        "tls" => tls(subject.client).await,
        "clock" => clock(subject.client).await,
        "link" => link(subject.client).await,
        "exchange" => exchange(subject.report.as_ref()),
        "pos_server" => pos_server(subject.report.as_ref()),
        _ => disk(subject.data_dir).await,
    }
}

async fn tls(client: &CloudClient) -> Found {
    if client.base().scheme() == "http" {
        return Ok("not used: the cloud's address begins with http://".into());
    }
    let transport = client.transport();
    let opened =
        async { open_tls(client.base(), &transport.tls, open_tcp(client.base(), transport).await?).await };
    let error = match opened.await {
        Ok(stream) => return Ok(trusted(&stream)),
        Err(error) => error.to_string(),
    };
    let explained = stranger::look(client).await.explain(Utc::now(), CLOCK_TOLERANCE);
    let explained = match explained {
        Some(explained) => Some(explained),
        None => stranger::portal(client).await.map(|leads| {
            format!("captive portal: this network lets nothing through before {leads} is opened in a browser")
        }),
    };
    Err(explained.map_or_else(|| error.clone(), |explained| format!("{explained} ({error})")))
}

fn trusted(stream: &TlsStream<TcpStream>) -> String {
    let (_, session) = stream.get_ref();
    let version = session.protocol_version().map_or_else(String::new, |version| format!(", {version:?}"));
    let issuer = session.peer_certificates().and_then(|chain| stranger::issuer(chain.first()?));
    let issuer = issuer.map_or_else(String::new, |issuer| format!(", issued by \"{issuer}\""));
    format!("the certificate is trusted{issuer}{version}")
}

async fn clock(client: &CloudClient) -> Found {
    let asked_at = Utc::now();
    let cloud = match client.http().get(client.url("link")).send().await {
        Ok(answer) => stranger::date(answer.headers()),
        // A clock that is far off is why its certificate is not trusted.
        Err(error) => match stranger::look(client).await.date {
            Some(date) => Some(date),
            None => return Err(causes(&error)),
        },
    };
    let Some(cloud) = cloud else { return Err("the cloud does not tell its time".into()) };
    let off = asked_at - cloud;
    let detail = match off.num_seconds() {
        0 => "the same as the cloud's".to_owned(),
        seconds @ 1.. => format!("{seconds} s ahead of the cloud's"),
        seconds => format!("{} s behind the cloud's", -seconds),
    };
    if off.abs() <= CLOCK_TOLERANCE { Ok(detail) } else { Err(format!("wrong clock: {detail}")) }
}

async fn link(client: &CloudClient) -> Found {
    match link::probe_upgrade(client).await.map_err(|error| error.to_string())? {
        // Our own request is as it must be.
        (_, Some(ErrorCode::InvalidRequest)) => {
            return Err(
                "a proxy or a TLS-inspecting box between here and the cloud carries no WebSockets: it takes \
                        the `Upgrade` out of requests"
                    .into(),
            );
        }
        (_, Some(_)) | (101 | 401, None) => {}
        (status, None) => {
            let explained = stranger::look(client).await.explain(Utc::now(), CLOCK_TOLERANCE);
            return Err(explained.filter(|_| matches!(status, 300..=399 | 511)).unwrap_or_else(|| {
                format!(
                    "something between here and the cloud, such as a proxy or a TLS-inspecting box, answers the \
                     upgrade with HTTP status {status}"
                )
            }));
        }
    }
    let unknown = client.url(&format!("uploads/{}", uuid::Uuid::now_v7()));
    let response = client
        .http()
        .head(unknown)
        .header("Tus-Resumable", "1.0.0")
        .header(reqwest::header::AUTHORIZATION, client.authorization())
        .send()
        .await
        .map_err(|error| causes(&error))?;
    match response.status() {
        StatusCode::NOT_FOUND => Ok("WebSockets reach the gateway, and the identity is accepted".into()),
        StatusCode::UNAUTHORIZED => Err("the cloud does not accept this identity: enroll again".into()),
        status => Err(format!("the cloud answers with HTTP status {}", status.as_u16())),
    }
}

fn exchange(report: Option<&Report>) -> Found {
    let Some(report) = report else { return Err("not known: the POS server does not answer".into()) };
    if let Some(error) = &report.exchange.error {
        return Err(format!("{} since {}: {}", error.code, error.since.to_rfc3339(), error.message));
    }
    match report.exchange.last_success_at {
        None => Err("none has succeeded yet".into()),
        Some(at) if Utc::now() - at > EXCHANGE_LATE => {
            Err(format!("the last one was at {}", at.to_rfc3339()))
        }
        Some(at) => Ok(format!("the last one was at {}", at.to_rfc3339())),
    }
}

fn pos_server(report: Option<&Report>) -> Found {
    match report {
        None => Err("it does not answer".into()),
        Some(report) => {
            Ok(format!("it answers, version {}", report.pos_version.as_deref().unwrap_or("not known")))
        }
    }
}

async fn disk(data_dir: &Path) -> Found {
    let dir = data_dir.to_owned();
    let free = tokio::task::spawn_blocking(move || files::free_bytes(&dir)).await.ok().flatten();
    let Some(free) = free else { return Ok("the system does not tell how much is free".into()) };
    let detail = format!("{} MiB are free", free / 1024 / 1024);
    if free >= LEAST_FREE_BYTES { Ok(detail) } else { Err(detail) }
}
