//! The way from a store to its cloud: proxies, and those who stand in it.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use rustls_pki_types::PrivateKeyDer;
use tillwatch_connector::cloud_client::{CloudClient, Transport};
use tillwatch_connector::config::Config;
use tillwatch_connector::diagnose::{self, Subject};
use tillwatch_protocol::device::DeviceKey;
use tillwatch_protocol::ids::{CloudId, DeviceId, PosServerId};
use tillwatch_protocol::rest::enroll::Enrolled;
use tillwatch_protocol::rest::job::Check;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::cloud::Cloud;
use crate::soon;
use crate::store::Store;

/// A proxy that opens ways to those who know its password.
struct Proxy {
    port: u16,
    /// Where ways were opened to.
    opened: Arc<Mutex<Vec<String>>>,
}

const PASSWORD: &str = "till:s3cret";

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let opened: Arc<Mutex<Vec<String>>> = Arc::default();
        let opens = opened.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, opens.clone()));
            }
        });
        Self { port, opened }
    }

    fn address(&self, name_and_password: &str) -> String {
        format!("http://{name_and_password}@127.0.0.1:{}", self.port)
    }
}

async fn pass(client: TcpStream, opened: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let (mut target, mut allowed) = (String::new(), false);
    loop {
        let mut line = String::new();
        client.read_line(&mut line).await?;
        if let Some(rest) = line.strip_prefix("CONNECT ") {
            rest.split(' ').next().unwrap_or_default().clone_into(&mut target);
        }
        let expected = format!("proxy-authorization: basic {}", STANDARD.encode(PASSWORD).to_lowercase());
        allowed |= line.trim_end().to_lowercase() == expected;
        if line.trim_end().is_empty() {
            break;
        }
    }
    if !allowed || target.is_empty() {
        return client
            .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            .await;
    }
    let mut cloud = TcpStream::connect(&target).await?;
    opened.lock().unwrap().push(target);
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut client, &mut cloud).await.map(drop)
}

fn configured(toml: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("connector.toml");
    std::fs::write(&file, toml).unwrap();
    tillwatch_connector::config::load(dir.path(), Some(&file)).unwrap()
}

/// What a store of a cloud at this address finds.
async fn diagnosed(cloud: &str, config: &Config) -> Vec<Check> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let enrolled = Enrolled {
        device_id: DeviceId::new(),
        cloud_id: CloudId::new(),
        pos_server_id: PosServerId::new(),
        outlet: "Riga".into(),
        time_zone: "Europe/Riga".into(),
    };
    let identity = DeviceKey::generate().into_identity(cloud.parse().unwrap(), enrolled);
    let transport = Transport::new(None, config.proxy.as_ref()).unwrap();
    let client = CloudClient::new(&identity, transport).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let subject = Subject { client: &client, report: None, data_dir: dir.path() };
    soon("the checks", diagnose::run(&subject, |_| {})).await
}

fn of<'a>(checks: &'a [Check], name: &str) -> (bool, &'a str) {
    let check = checks.iter().find(|check| check.name == name).unwrap();
    (check.ok, &check.detail)
}

#[tokio::test]
async fn a_proxy_with_a_password_leads_to_the_cloud() {
    let mut cloud = Cloud::start().await;
    let proxy = Proxy::start().await;
    let mut store = Store::enroll(&cloud).await;
    store.config = configured(&format!("proxy = '{}'", proxy.address(PASSWORD)));
    store.run();
    cloud.welcome().await;
    let target = cloud.url.strip_prefix("http://").unwrap().to_owned();
    assert_eq!(*proxy.opened.lock().unwrap(), std::slice::from_ref(&target));

    let checks = diagnosed(&cloud.url, &store.config).await;
    let (ok, detail) = of(&checks, "tcp");
    assert!(
        ok && detail == format!("{target} answers through the proxy 127.0.0.1:{}", proxy.port),
        "{detail}"
    );
}

#[tokio::test]
async fn a_proxy_that_does_not_take_the_password_is_named_and_the_password_is_not() {
    let cloud = Cloud::start().await;
    let proxy = Proxy::start().await;
    let config = configured(&format!("proxy = '{}'", proxy.address("till:wr0ng")));
    let checks = diagnosed(&cloud.url, &config).await;
    let (ok, detail) = of(&checks, "tcp");
    assert!(!ok, "{detail}");
    assert!(detail.contains(&format!("the proxy 127.0.0.1:{} wants a name and a password", proxy.port)));
    for check in &checks {
        assert!(!check.detail.contains("wr0ng") && !check.detail.contains(&STANDARD.encode("till:wr0ng")));
    }
}

#[tokio::test]
async fn a_proxy_that_is_away_is_told_from_a_cloud_that_is() {
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let config = configured(&format!("proxy = 'http://{away}'"));
    let checks = diagnosed("http://127.0.0.1:9", &config).await;
    let (_, detail) = of(&checks, "tcp");
    assert!(detail.starts_with(&format!("the proxy {away} can't be reached")), "{detail}");
}

/// Somebody who answers every request like this; over TLS if there is a certificate. Gives the address.
async fn answering(certificate: Option<rcgen::CertificateParams>, head: String) -> String {
    let acceptor = certificate.map(|params| {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, head) = (acceptor.clone(), head.clone());
            tokio::spawn(async move {
                match acceptor {
                    Some(acceptor) => answer(acceptor.accept(tcp).await?, &head).await,
                    None => answer(tcp, &head).await,
                }
            });
        }
    });
    format!("{scheme}://127.0.0.1:{port}")
}

async fn answer<S>(mut stream: S, head: &str) -> std::io::Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    stream.write_all(format!("{head}content-length: 0\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    stream.shutdown().await
}

fn certificate(issuer: &str, from: TimeDelta, to: TimeDelta) -> rcgen::CertificateParams {
    let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, issuer);
    let time = |offset: TimeDelta| {
        let at = Utc::now() + offset;
        rcgen::date_time_ymd(
            at.format("%Y").to_string().parse().unwrap(),
            at.format("%m").to_string().parse().unwrap(),
            at.format("%d").to_string().parse().unwrap(),
        )
    };
    (params.not_before, params.not_after) = (time(from), time(to));
    params
}

fn head(status: &str, date: DateTime<Utc>) -> String {
    format!("HTTP/1.1 {status}\r\ndate: {}\r\n", date.format("%a, %d %b %Y %H:%M:%S GMT"))
}

#[tokio::test]
async fn a_box_that_reads_along_is_named_with_who_issued_its_certificate() {
    let certificate = certificate("Snoop Ltd", TimeDelta::days(-2), TimeDelta::days(90));
    let url = answering(Some(certificate), head("204 No Content", Utc::now())).await;
    let checks = diagnosed(&url, &Config::default()).await;
    let (ok, detail) = of(&checks, "tls");
    assert!(!ok && detail.starts_with("TLS-inspecting box") && detail.contains("O=Snoop Ltd"), "{detail}");
}

#[tokio::test]
async fn a_page_to_sign_in_is_named_without_what_it_knows_of_the_machine() {
    let found = |status: &str| {
        format!("{}location: http://portal.example/login?mac=00:11:22\r\n", head(status, Utc::now()))
    };
    let certificate = certificate("Hotel", TimeDelta::days(-2), TimeDelta::days(90));
    let url = answering(Some(certificate), found("302 Found")).await;
    let checks = diagnosed(&url, &Config::default()).await;
    let (ok, detail) = of(&checks, "tls");
    assert!(!ok && detail.starts_with("captive portal"), "{detail}");
    assert!(detail.contains("http://portal.example/login") && !detail.contains("00:11"), "{detail}");

    let url = answering(None, found("511 Network Authentication Required")).await;
    let checks = diagnosed(&url, &Config::default()).await;
    let (ok, detail) = of(&checks, "link");
    assert!(!ok && detail.starts_with("captive portal"), "{detail}");
}

#[tokio::test]
async fn a_clock_that_is_wrong_by_a_year_is_named_where_the_certificate_seems_to_be_wrong() {
    let year = TimeDelta::days(365);
    let certificate = certificate("Tillwatch", year - TimeDelta::days(30), year + TimeDelta::days(30));
    let url = answering(Some(certificate), head("204 No Content", Utc::now() + year)).await;
    let checks = diagnosed(&url, &Config::default()).await;
    let (ok, detail) = of(&checks, "tls");
    assert!(!ok && detail.starts_with("wrong clock"), "{detail}");
    let (ok, detail) = of(&checks, "clock");
    assert!(!ok && detail.starts_with("wrong clock") && detail.ends_with("s behind the cloud's"), "{detail}");
}

#[tokio::test]
async fn a_certificate_for_another_host_is_no_box() {
    let mut other = certificate("Somebody", TimeDelta::days(-2), TimeDelta::days(90));
    other.subject_alt_names = vec![rcgen::SanType::DnsName("other.example".try_into().unwrap())];
    let url = answering(Some(other), head("204 No Content", Utc::now())).await;
    let checks = diagnosed(&url, &Config::default()).await;
    let (ok, detail) = of(&checks, "tls");
    assert!(!ok && detail.starts_with("another host answers: ") && detail.contains("O=Somebody"), "{detail}");
}

#[tokio::test]
async fn a_certificate_that_is_over_is_not_the_clocks_fault() {
    let certificate = certificate("Tillwatch", TimeDelta::days(-60), TimeDelta::days(-30));
    let url = answering(Some(certificate), head("204 No Content", Utc::now())).await;
    let checks = diagnosed(&url, &Config::default()).await;
    let (ok, detail) = of(&checks, "tls");
    assert!(!ok && detail.contains("the cloud needs a new one"), "{detail}");
    assert!(of(&checks, "clock").0);
}
