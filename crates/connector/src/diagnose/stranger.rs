//! Who answers where the cloud should, when it can't be trusted. It is asked for nothing but whether it is well, it
//! is told nothing, and what it says goes to people only.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{DATE, HeaderMap, LOCATION};
use reqwest::redirect::Policy;
use reqwest::tls::TlsInfo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use url::Url;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::cloud_client::CloudClient;

/// How long it has to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// What can be told of it.
#[derive(Debug, Default)]
pub(super) struct Stranger {
    certificate: Option<Certificate>,
    status: Option<u16>,
    location: Option<String>,
    /// Its time.
    pub(super) date: Option<DateTime<Utc>>,
}

#[derive(Debug)]
struct Certificate {
    issuer: String,
    /// Whether it is the cloud's host that it is for.
    is_for_host: bool,
    not_before: DateTime<Utc>,
    not_after: DateTime<Utc>,
}

/// Asks whatever answers at the cloud's address.
pub(super) async fn look(client: &CloudClient) -> Stranger {
    ask(client, client.base()).await.unwrap_or_default()
}

/// A page that asks people to sign in before it lets anything through: where it leads, if it says so. Such pages are
/// put before plain HTTP, of whatever host.
pub(super) async fn portal(client: &CloudClient) -> Option<String> {
    let mut plain = client.base().clone();
    plain.set_scheme("http").ok()?;
    plain.set_port(None).ok()?;
    portal_at(client, &plain).await
}

async fn portal_at(client: &CloudClient, plain: &Url) -> Option<String> {
    let seen = ask(client, plain).await.ok()?;
    let leads = seen.location.as_deref().and_then(|location| plain.join(location).ok());
    match seen.status? {
        // A server of the cloud's own may lead to https on the same host.
        300..=399 => leads.filter(|leads| leads.host_str() != plain.host_str()).map(|leads| shown(&leads)),
        511 => Some(leads.map_or_else(|| "a page".to_owned(), |leads| shown(&leads))),
        _ => None,
    }
}

/// Without its query, which names the machine at times.
fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

async fn ask(client: &CloudClient, base: &Url) -> reqwest::Result<Stranger> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has the usual cipher suites")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let http = client
        .transport()
        .proxies
        .lead(reqwest::Client::builder())?
        .tls_backend_preconfigured(tls)
        .tls_info(true)
        .http1_only()
        .redirect(Policy::none())
        .timeout(ANSWER_TIMEOUT)
        .build()?;
    let mut healthz = base.clone();
    healthz.set_path("/healthz");
    let answer = http.get(healthz).send().await?;
    let certificate = answer.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
    Ok(Stranger {
        certificate: certificate.and_then(|der| read(der, base.host_str().unwrap_or_default())),
        status: Some(answer.status().as_u16()),
        location: answer.headers().get(LOCATION).and_then(|to| to.to_str().ok()).map(str::to_owned),
        date: date(answer.headers()),
    })
}

/// The time that an answer tells.
pub(super) fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let date = headers.get(DATE)?.to_str().ok()?;
    Some(DateTime::parse_from_rfc2822(date).ok()?.to_utc())
}

fn read(der: &[u8], host: &str) -> Option<Certificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let host = ServerName::try_from(host.trim_matches(['[', ']'])).ok()?;
    let der = CertificateDer::from(der);
    let parsed = ParsedCertificate::try_from(&der).ok()?;
    let time = |time: x509_parser::time::ASN1Time| DateTime::from_timestamp(time.timestamp(), 0);
    let validity = certificate.validity();
    Some(Certificate {
        issuer: certificate.issuer().to_string(),
        is_for_host: verify_server_name(&parsed, &host).is_ok(),
        not_before: time(validity.not_before)?,
        not_after: time(validity.not_after)?,
    })
}

/// The issuer of a certificate, as people write it.
pub(super) fn issuer(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.issuer().to_string())
}

impl Stranger {
    /// In words why this is not the cloud, or not to be trusted; nothing when that can't be told.
    pub(super) fn explain(&self, now: DateTime<Utc>, tolerance: TimeDelta) -> Option<String> {
        if let Some(status @ (300..=399 | 511)) = self.status {
            let leads = self.location.as_deref().and_then(|to| Url::parse(to).ok());
            let leads = leads.map_or_else(String::new, |to| format!(", which leads to {}", shown(&to)));
            return Some(format!(
                "captive portal: a page to sign in (HTTP status {status}{leads}) stands in for the cloud; open it \
                 in a browser on this machine, or have it let the cloud through"
            ));
        }
        let Certificate { issuer, is_for_host, not_before, not_after } = self.certificate.as_ref()?;
        if !is_for_host {
            return Some(format!(
                "another host answers: its certificate, issued by \"{issuer}\", is not for the cloud's name; the \
                 address or this network's DNS is wrong, or a captive portal stands in for the cloud"
            ));
        }
        if now < *not_before || now > *not_after {
            let valid = format!("valid from {not_before} to {not_after}");
            let off = self.date.map(|date| now - date).filter(|off| off.abs() > tolerance);
            return Some(match off {
                Some(_) => format!("wrong clock: here it is {now}, and the certificate is {valid}"),
                None => format!("the certificate is {valid}, and now it is {now}; the cloud needs a new one"),
            });
        }
        Some(format!(
            "TLS-inspecting box: the certificate was issued by \"{issuer}\", which is not trusted here. A firewall or \
             virus scanner reads along; have it leave the cloud's connections alone, or name its certificate as `ca`"
        ))
    }
}

/// Takes everybody for the one they say they are.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tillwatch_protocol::device::DeviceKey;
    use tillwatch_protocol::ids::{CloudId, DeviceId, PosServerId};
    use tillwatch_protocol::rest::enroll::Enrolled;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use crate::cloud_client::Transport;

    use super::*;

    async fn answered(head: &'static str) -> Option<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plain: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _read = tcp.read(&mut request).await.unwrap();
            tcp.write_all(format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.unwrap();
        });
        let enrolled = Enrolled {
            device_id: DeviceId::new(),
            cloud_id: CloudId::new(),
            pos_server_id: PosServerId::new(),
            outlet: "Riga".into(),
            time_zone: "Europe/Riga".into(),
        };
        let identity = DeviceKey::generate().into_identity(plain.clone(), enrolled);
        let client = CloudClient::new(&identity, Transport::new(None, None).unwrap()).unwrap();
        portal_at(&client, &plain).await
    }

    #[tokio::test]
    async fn only_who_leads_elsewhere_is_a_portal() {
        let portal = answered("302 Found\r\nlocation: http://login.hotel.example/in?mac=1").await;
        assert_eq!(portal.as_deref(), Some("http://login.hotel.example/in"));
        let portal = answered("511 Network Authentication Required").await;
        assert_eq!(portal.as_deref(), Some("a page"));
        assert_eq!(answered("301 Moved\r\nlocation: https://127.0.0.1/healthz").await, None);
        assert_eq!(answered("204 No Content").await, None);
    }
}
