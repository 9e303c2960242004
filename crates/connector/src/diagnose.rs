//! The checks that tell, from the store's side, what is wrong. Nothing here disturbs a running connector: the
//! link is checked by an upgrade without a token, which the gateway refuses before it could displace the
//! session, and the identity by a question about an upload that does not exist.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use reqwest::header::DATE;
use tillwatch_protocol::device::MAX_LIFE_SECONDS;
use tillwatch_protocol::report::Report;
use tillwatch_protocol::rest::job::Check;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::Instant;

use crate::cloud_client::{CloudClient, causes};
use crate::pos::{self, ReportSource};
use crate::{files, link};

/// The names of the checks, in the order in which they are made.
pub const CHECKS: &[&str] = &["dns", "tcp", "tls", "clock", "link", "exchange", "pos_server", "disk"];
/// How long one check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(15);
/// A POS server exchanges every minute; after this long something is wrong.
const EXCHANGE_LATE: TimeDelta = TimeDelta::minutes(10);
/// How far the clocks may differ. Tokens live for less than a minute.
const CLOCK_TOLERANCE_SECONDS: i64 = MAX_LIFE_SECONDS / 4;
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
        let found = tokio::time::timeout(CHECK_TIMEOUT, check(subject, name))
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
        "dns" => dns(subject.client).await,
        "tcp" => tcp(subject.client).await,
        "tls" => tls(subject.client).await,
        "clock" => clock(subject.client).await,
        "link" => link(subject.client).await,
        "exchange" => exchange(subject.report.as_ref()),
        "pos_server" => pos_server(subject.report.as_ref()),
        _ => disk(subject.data_dir).await,
    }
}

fn address(client: &CloudClient) -> (String, u16) {
    let host = client.base().host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    (host, client.base().port_or_known_default().unwrap_or(443))
}

async fn dns(client: &CloudClient) -> Found {
    let (host, port) = address(client);
    let found: Vec<_> = lookup_host((host.as_str(), port))
        .await
        .map_err(|error| format!("{host}: {error}"))?
        .map(|address| address.ip().to_string())
        .collect();
    if found.is_empty() {
        Err(format!("{host} has no address"))
    } else {
        Ok(format!("{host} is {}", found.join(", ")))
    }
}

async fn tcp(client: &CloudClient) -> Found {
    let (host, port) = address(client);
    match TcpStream::connect((host.as_str(), port)).await {
        Ok(_) => Ok(format!("{host}:{port} answers")),
        Err(error) => Err(format!("{host}:{port}: {error}")),
    }
}

async fn tls(client: &CloudClient) -> Found {
    if client.base().scheme() == "http" {
        return Ok("not used: the cloud's address begins with http://".into());
    }
    match link::open_stream(client.base(), &client.transport().tls).await {
        Ok(tokio_util::either::Either::Left(stream)) => {
            let version = stream.get_ref().1.protocol_version();
            Ok(version.map_or_else(
                || "the certificate is trusted".into(),
                |v| format!("the certificate is trusted, {v:?}"),
            ))
        }
        Ok(tokio_util::either::Either::Right(_)) => Ok("not used".into()),
        Err(error) => Err(error.to_string()),
    }
}

async fn clock(client: &CloudClient) -> Found {
    let asked_at = Utc::now();
    let response = client.http().get(client.url("link")).send().await.map_err(|error| causes(&error))?;
    let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
    let Some(cloud) = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()) else {
        return Err("the cloud does not tell its time".into());
    };
    let off = (asked_at - cloud.to_utc()).num_seconds();
    let detail = match off {
        0 => "the same as the cloud's".to_owned(),
        1.. => format!("{off} s ahead of the cloud's"),
        _ => format!("{} s behind the cloud's", -off),
    };
    if off.abs() <= CLOCK_TOLERANCE_SECONDS { Ok(detail) } else { Err(detail) }
}

async fn link(client: &CloudClient) -> Found {
    match link::probe_upgrade(client).await.map_err(|error| error.to_string())? {
        (_, Some(_)) | (101 | 401, None) => {}
        (status, None) => {
            return Err(format!(
                "something between here and the cloud answers the upgrade with HTTP status {status}"
            ));
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
