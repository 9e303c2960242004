//! One request to the cloud: signed, sent, and its failure told apart.

use std::error::Error;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use tillwatch_protocol::device::Signer;
use tillwatch_protocol::error::ErrorCode;
use tillwatch_protocol::exchange::{ExchangeAnswer, ExchangeRequest};
use tillwatch_protocol::report::SyncError;
use url::Url;

use super::Failure;
use crate::database::chain;
use crate::identity::StoreIdentity;

/// How long a whole request may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long the connection may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Far more than [`tillwatch_protocol::exchange::MAX_CHANGES`] take.
const MAX_ANSWER_BYTES: usize = 32 << 20;
/// How much of a cloud's explanation is worth repeating.
const MAX_DETAIL_CHARS: usize = 300;

/// Exchanges with one cloud under one identity.
pub(super) struct CloudClient {
    http: reqwest::Client,
    url: Url,
    signer: Signer,
    /// What has to be added to this clock to get the cloud's.
    clock_offset: TimeDelta,
}

/// Why one try got no answer.
enum Refusal {
    /// The clocks differ; the cloud's shows this.
    Skewed(Option<DateTime<Utc>>),
    Failed(Failure),
}

impl CloudClient {
    /// A client for the identity's cloud, or for another one.
    pub(super) fn new(
        store: &StoreIdentity,
        cloud: Option<&Url>,
        pos_version: &str,
    ) -> Result<Self, Failure> {
        let mut url = cloud.unwrap_or(&store.identity.cloud).clone();
        let path = format!("{}/api/v1/exchange", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let signer = Signer::new(&store.identity)
            .map_err(|error| Failure::new(SyncError::CredentialsRevoked, error.to_string()))?;
        let untrusted = |error: &(dyn Error + 'static)| Failure::new(SyncError::TlsFailed, chain(error));
        let mut http = reqwest::Client::builder()
            .user_agent(format!("{}/{} pos/{pos_version}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if url.scheme() == "http" {
            // Such a cloud is for trials: it must not depend on certificates that may not be installed.
            http = http.tls_certs_only([]);
        } else {
            let own = store.ca_pem.iter().flat_map(|pem| CertificateDer::pem_slice_iter(pem));
            let own = own.collect::<Result<_, _>>().map_err(|error| untrusted(&error))?;
            let tls = tillwatch_trust::client_config(own).map_err(|error| untrusted(&error))?;
            http = http.tls_backend_preconfigured(tls);
        }
        Ok(Self {
            http: http.build().map_err(|error| untrusted(&error))?,
            url,
            signer,
            clock_offset: TimeDelta::zero(),
        })
    }

    /// Whom it talks to, for people.
    pub(super) fn host(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Sends one request. A clock that is off is learnt from the cloud and made up for.
    pub(super) async fn exchange(&mut self, request: &ExchangeRequest) -> Result<ExchangeAnswer, Failure> {
        match self.send(request).await {
            Err(Refusal::Skewed(Some(server_time))) => {
                self.clock_offset = server_time - Utc::now();
                tracing::info!(seconds = self.clock_offset.num_seconds(), "signing by the cloud's clock");
            }
            other => return other.map_err(|refusal| self.failure(refusal)),
        }
        self.send(request).await.map_err(|refusal| self.failure(refusal))
    }

    fn failure(&self, refusal: Refusal) -> Failure {
        match refusal {
            Refusal::Failed(failure) => failure,
            Refusal::Skewed(_) => Failure::new(
                SyncError::ClockSkewed,
                format!(
                    "The cloud refuses this store's time, also after a correction by {} s. Set the store's clock.",
                    self.clock_offset.num_seconds()
                ),
            ),
        }
    }

    async fn send(&self, request: &ExchangeRequest) -> Result<ExchangeAnswer, Refusal> {
        let token = self.signer.token(Utc::now() + self.clock_offset);
        let sent = self.http.post(self.url.clone()).bearer_auth(token).json(request).send().await;
        let response = sent.map_err(|error| Refusal::Failed(unreachable(error)))?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let body = read(response).await.map_err(Refusal::Failed)?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|error| {
                let message = format!("The answer is none that an exchange gives: {error}");
                Refusal::Failed(Failure::new(SyncError::ServerError, message))
            });
        }
        Err(refused(status, retry_after, &body))
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Failure::new(SyncError::ServerError, "The answer is too large."));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Why a request got no answer at all.
fn unreachable(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let cause = if is_about_tls(&error) { SyncError::TlsFailed } else { SyncError::CloudUnreachable };
    Failure::new(cause, chain(&error))
}

/// Looks for a TLS error among the causes, also inside of the IO errors that wrap it.
fn is_about_tls(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        if error.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| is_about_tls(wrapped)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What an answer other than 200 means.
fn refused(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Refusal {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| problem[key].as_str();
    let code = text("code").unwrap_or_default();
    let detail: String =
        text("detail").or(text("title")).unwrap_or("no explanation").chars().take(MAX_DETAIL_CHARS).collect();
    let error = if code == ErrorCode::ClockSkewed.as_str() {
        let server_time = text("server_time").and_then(|time| DateTime::parse_from_rfc3339(time).ok());
        return Refusal::Skewed(server_time.map(Into::into));
    } else if code == ErrorCode::CredentialsRevoked.as_str() {
        SyncError::CredentialsRevoked
    } else if code == ErrorCode::VersionUnsupported.as_str() {
        SyncError::VersionUnsupported
    } else {
        SyncError::ServerError
    };
    let code = if code.is_empty() { String::new() } else { format!(" {code}") };
    let message = format!("The cloud answered {}{code}: {detail}", status.as_u16());
    Refusal::Failed(Failure { error, message, retry_after })
}
