//! HTTPS to the cloud: what is trusted, how requests are signed, and the cloud's clock.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tillwatch_protocol::device::{BadKey, Identity, MAX_LIFE_SECONDS, Signer};
use tillwatch_protocol::error::{ErrorCode, Problem};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use url::Url;

use crate::proxy::{Proxies, ProxyAddress};

/// How long a connection may take to come about.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a transfer may stand still.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// How far the clocks may differ. Tokens live for less than a minute.
pub(crate) const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(MAX_LIFE_SECONDS / 4);
/// The most of an answer that is read where only a short one is expected.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// What every connection of a process shares: trusted roots and pools. Cheap to clone; a program with many
/// agents makes one and gives it to each.
#[derive(Clone, Debug)]
pub struct Transport {
    /// For HTTPS to the cloud.
    pub http: reqwest::Client,
    /// For HTTP on loopback; knows no proxy.
    pub local: reqwest::Client,
    /// For the link.
    pub tls: Arc<rustls::ClientConfig>,
    /// Who carries links instead of the system's network: a simulation that embeds the agent. It gets the far end of
    /// each, and drops it when the cloud can't be reached.
    pub carrier: Option<mpsc::Sender<DuplexStream>>,
    /// For both.
    pub(crate) proxies: Proxies,
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The CA file can't be read, or holds no certificate.
    #[error("{path} holds no certificate that can be read")]
    CaFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The trusted roots could not be set up.
    #[error("could not set up TLS")]
    Tls(#[from] rustls::Error),
    /// The HTTP client could not be set up.
    #[error("could not set up the HTTP client")]
    Http(#[from] reqwest::Error),
}

impl Transport {
    /// Trusts the system's roots and the certificates in `ca`, a PEM file. Goes through `proxy`, else through the
    /// system's if it has one.
    pub fn new(ca: Option<&Path>, proxy: Option<&ProxyAddress>) -> Result<Self, TransportError> {
        let extra = ca.map(read_ca).transpose()?.unwrap_or_default();
        let tls = tillwatch_trust::client_config(extra)?;
        let proxies = Proxies::new(proxy);
        let http = proxies
            .lead(reqwest::Client::builder())?
            .tls_backend_preconfigured(tls.clone())
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(IDLE_TIMEOUT)
            // A token is for the cloud that was enrolled with and for nobody it may point to.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tillwatch-connector/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let local = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, local, tls: Arc::new(tls), carrier: None, proxies })
    }
}

fn read_ca(path: &Path) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let fail = |source| TransportError::CaFile { path: path.display().to_string(), source };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fail(error.into()))?;
    if certificates.is_empty() {
        return Err(fail("there is no PEM certificate in it".into()));
    }
    Ok(certificates)
}

/// Calls one cloud as one device. Cheap to clone; clones share what they learned of the cloud's clock.
#[derive(Clone)]
pub struct CloudClient {
    base: Url,
    transport: Transport,
    signer: Signer,
    offset_millis: Arc<AtomicI64>,
}

/// Why a call to the cloud failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer.
    #[error("the cloud does not answer: {0}")]
    Unreachable(String),
    /// An answer that no Tillwatch cloud gives.
    #[error("the address answers with HTTP status {0}, but not as a Tillwatch cloud")]
    NotACloud(StatusCode),
    /// The cloud refused.
    #[error("{}", .problem.detail)]
    Refused {
        /// What the cloud says.
        problem: Box<Problem>,
        /// From `Retry-After`.
        retry_after: Option<Duration>,
    },
}

impl CallError {
    /// The cloud's code, when it refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { problem, .. } => Some(problem.code),
            _ => None,
        }
    }
}

impl From<reqwest::Error> for CallError {
    fn from(error: reqwest::Error) -> Self {
        Self::Unreachable(causes(&error))
    }
}

impl CloudClient {
    /// A client for the cloud that `identity` was enrolled with.
    pub fn new(identity: &Identity, transport: Transport) -> Result<Self, BadKey> {
        Ok(Self {
            base: identity.cloud.clone(),
            transport,
            signer: Signer::new(identity)?,
            offset_millis: Arc::default(),
        })
    }

    /// The cloud's address.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// The address of a call, such as `heartbeat`, `uploads` or `uploads/{id}`.
    pub fn url(&self, call: &str) -> Url {
        api_url(&self.base, call)
    }

    /// The connections that requests go through.
    pub fn http(&self) -> &reqwest::Client {
        &self.transport.http
    }

    /// The shared part.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// A value for the `Authorization` header. Good for one request.
    pub fn authorization(&self) -> HeaderValue {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.signer.token(self.now())))
            .expect("a token is base64 with dots");
        value.set_sensitive(true);
        value
    }

    /// The cloud's time as far as it is known.
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::milliseconds(self.offset_millis.load(Ordering::Relaxed))
    }

    /// Signs with this clock from now on.
    pub fn learn_clock(&self, server_time: DateTime<Utc>) {
        self.learn_offset(server_time - Utc::now());
    }

    fn learn_offset(&self, offset: TimeDelta) {
        tracing::warn!(offset_seconds = offset.num_seconds(), "the clock differs from the cloud's");
        self.offset_millis.store(offset.num_milliseconds(), Ordering::Relaxed);
    }

    /// The cloud tells its time on the link. What such a word may be under way for is no difference.
    pub(crate) fn hear_clock(&self, server_time: DateTime<Utc>) {
        if (server_time - self.now()).abs() > CLOCK_TOLERANCE {
            self.learn_clock(server_time);
        }
    }

    /// What was heard of the cloud's time before a restart, when it was `own` by this clock: until the cloud tells it anew.
    pub(crate) fn recall_clock(&self, server_time: DateTime<Utc>, own: DateTime<Utc>) {
        let offset = server_time - own;
        if offset.abs() > CLOCK_TOLERANCE {
            self.learn_offset(offset);
        }
    }

    /// Takes the cloud's time out of a `clock_skewed` problem. False when it holds none.
    pub(crate) fn learn_from(&self, problem: &Problem) -> bool {
        let time = (problem.code == ErrorCode::ClockSkewed)
            .then(|| problem.extra.get("server_time")?.as_str()?.parse().ok())
            .flatten();
        time.is_some_and(|time| {
            self.learn_clock(time);
            true
        })
    }

    /// Sends what `build` makes, signed; once more when the cloud says that the clock is off. An answer
    /// that is no success is an error. `build` gets the HTTP client and may be called twice.
    pub async fn send(
        &self,
        build: impl Fn(&reqwest::Client) -> RequestBuilder + Send,
    ) -> Result<Response, CallError> {
        let first = self.send_once(&build).await;
        match first {
            Err(CallError::Refused { problem, .. }) if self.learn_from(&problem) => {
                self.send_once(&build).await
            }
            other => other,
        }
    }

    async fn send_once(
        &self,
        build: &(impl Fn(&reqwest::Client) -> RequestBuilder + Send),
    ) -> Result<Response, CallError> {
        let request = build(&self.transport.http).header(AUTHORIZATION, self.authorization());
        successful(request.send().await?).await
    }
}

/// The answer itself if it is a success, else what the cloud says.
pub(crate) async fn successful(response: Response) -> Result<Response, CallError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = response
        .headers()
        .get(reqwest::header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let body = read_capped(response, MAX_ANSWER_BYTES).await.unwrap_or_default();
    match read_problem(&body) {
        Some(problem) => Err(CallError::Refused { problem: Box::new(problem), retry_after }),
        None => Err(CallError::NotACloud(status)),
    }
}

/// Reads a problem document. A code of a newer cloud, which this version has no name for, becomes `internal`:
/// its words still reach people.
pub(crate) fn read_problem(body: &[u8]) -> Option<Problem> {
    let mut document: serde_json::Value = serde_json::from_slice(body).ok()?;
    if let Some(code) = document.get_mut("code")
        && code.is_string()
        && serde_json::from_value::<ErrorCode>(code.clone()).is_err()
    {
        *code = ErrorCode::Internal.as_str().into();
    }
    serde_json::from_value(document).ok()
}

/// Reads a body of at most `max_bytes`; `None` when it is longer or breaks off.
pub(crate) async fn read_capped(mut response: Response, max_bytes: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > max_bytes {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

/// The address of a call under `/api/v1` of a cloud.
pub(crate) fn api_url(base: &Url, call: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/api/v1/{call}", base.path().trim_end_matches('/')));
    url
}

/// An error with everything that led to it, on one line. Addresses may be in it, tokens never are.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_of_a_newer_cloud_keeps_its_words() {
        let document = |code: &str| {
            format!(r#"{{"code":"{code}","title":"t","detail":"d","status":409,"request_id":"r","extra":1}}"#)
        };
        let known = read_problem(document("clock_skewed").as_bytes()).unwrap();
        assert_eq!(known.code, ErrorCode::ClockSkewed);
        let newer = read_problem(document("moon_too_close").as_bytes()).unwrap();
        assert_eq!((newer.code, &*newer.detail), (ErrorCode::Internal, "d"));
        for text in ["", "<html>", "{}", "[1]", r#"{"code":7}"#] {
            assert_eq!(read_problem(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn calls_are_found_below_the_clouds_path() {
        for (base, call) in [
            ("https://cloud.example", "https://cloud.example/api/v1/heartbeat"),
            ("https://cloud.example:8443/", "https://cloud.example:8443/api/v1/heartbeat"),
            ("https://example.com/till/", "https://example.com/till/api/v1/heartbeat"),
        ] {
            assert_eq!(api_url(&base.parse().unwrap(), "heartbeat").as_str(), call);
        }
    }
}
