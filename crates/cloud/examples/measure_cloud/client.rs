//! The stores' and the managers' end: identities, TLS, links, and HTTP with nothing in between.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use chrono::Utc;
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};
use serde_json::{Value, json};
use tillwatch_protocol::device::{DeviceKey, Identity, Signer};
use tillwatch_protocol::ids::{CloudId, DeviceId};
use tillwatch_protocol::rest::enroll::Enrolled;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config, tungstenite};
use uuid::Uuid;

/// How many rows one statement inserts.
const CHUNK: usize = 500;
/// What anything may take that should take no time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where to, and as whom.
#[derive(Clone, clap::Args)]
pub(crate) struct Place {
    /// The server's address.
    #[arg(long)]
    pub(crate) server: SocketAddr,
    /// The server's certificate.
    #[arg(long)]
    ca: PathBuf,
    /// The path that is upgraded.
    #[arg(long, default_value = "/api/v1/link")]
    path: String,
    /// The file with identities of stores; without one nobody is named.
    #[arg(long)]
    identities: Option<PathBuf>,
}

pub(crate) type Line = WebSocketStream<TlsStream<TcpStream>>;

/// Opens connections of one place.
#[derive(Clone)]
pub(crate) struct Client {
    place: Place,
    tls: TlsConnector,
    identities: Arc<Vec<(Identity, Signer)>>,
}

/// Why there is no WebSocket.
pub(crate) enum Refused {
    /// The server said to come back after so many seconds.
    ComeBack(u64),
    /// Anything else.
    Failed(anyhow::Error),
}

impl Client {
    pub(crate) fn new(place: &Place) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for cert in CertificateDer::pem_file_iter(&place.ca)? {
            roots.add(cert?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Stores that come back after a minute have no ticket that is still good.
        tls.resumption = Resumption::disabled();
        let identities = match &place.identities {
            None => Vec::new(),
            Some(file) => serde_json::from_slice::<Vec<Identity>>(&fs::read(file)?)?
                .into_iter()
                .map(|identity| Ok((identity.clone(), Signer::new(&identity)?)))
                .collect::<anyhow::Result<_>>()?,
        };
        Ok(Self { place: place.clone(), tls: Arc::new(tls).into(), identities: Arc::new(identities) })
    }

    /// The POS server of a store.
    pub(crate) fn pos_server(&self, number: usize) -> String {
        self.identities[number].0.pos_server_id.to_string()
    }

    async fn stream(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.place.server).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(self.place.server.ip().to_string())?;
        Ok(self.tls.connect(name, stream).await?)
    }

    /// Opens a WebSocket, as the store of this number where there are identities.
    pub(crate) async fn open(&self, number: usize) -> Result<Line, Refused> {
        let opened = tokio::time::timeout(PATIENCE, self.try_open(number)).await;
        opened.unwrap_or_else(|_| Err(Refused::Failed(anyhow::anyhow!("a handshake took {PATIENCE:?}"))))
    }

    async fn try_open(&self, number: usize) -> Result<Line, Refused> {
        let failed = |error: anyhow::Error| Refused::Failed(error);
        let stream = self.stream().await.map_err(failed)?;
        let url = format!("wss://{}{}", self.place.server, self.place.path);
        let mut request = url.into_client_request().map_err(|error| failed(error.into()))?;
        if let Some((_, signer)) = self.identities.get(number) {
            let headers = request.headers_mut();
            let token = format!("Bearer {}", signer.token(Utc::now()));
            headers.insert("authorization", token.parse().unwrap_or_else(|_| unreachable!()));
            let protocol = tillwatch_protocol::link::SUBPROTOCOL;
            headers.insert("sec-websocket-protocol", protocol.parse().unwrap_or_else(|_| unreachable!()));
        }
        let config = WebSocketConfig::default().read_buffer_size(1024).write_buffer_size(1024);
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((line, _)) => Ok(line),
            Err(tungstenite::Error::Http(answer)) if answer.status() == 503 => {
                let after = answer.headers().get("retry-after").and_then(|after| after.to_str().ok());
                Err(Refused::ComeBack(after.and_then(|after| after.parse().ok()).unwrap_or(1)))
            }
            Err(error) => Err(failed(error.into())),
        }
    }

    /// A connection for requests one after the other.
    pub(crate) async fn http(&self, token: &str) -> anyhow::Result<Http> {
        let stream = self.stream().await?;
        Ok(Http { stream, token: token.to_owned(), host: self.place.server.to_string() })
    }
}

/// A kept connection. A client library would be measured with what it asks.
pub(crate) struct Http {
    stream: TlsStream<TcpStream>,
    host: String,
    token: String,
}

impl Http {
    /// Sends a request and gives status and body.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<(u16, Vec<u8>)> {
        let request = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            self.token,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.stream.flush().await?;
        let mut answer = Vec::with_capacity(4096);
        let head = loop {
            ensure!(self.stream.read_buf(&mut answer).await? > 0, "the server closed the connection");
            if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
        };
        let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
        let status = text.get(9..12).and_then(|status| status.parse().ok()).context("no status")?;
        let Some(length) = text.lines().find_map(|line| line.strip_prefix("content-length:")) else {
            bail!("an answer of unknown length to {method} {path}");
        };
        let end = head + 4 + length.trim().parse::<usize>()?;
        while answer.len() < end {
            ensure!(self.stream.read_buf(&mut answer).await? > 0, "an answer broke off");
        }
        Ok((status, answer.split_off(head + 4)))
    }

    /// The same, for what must succeed and gives JSON.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
        let (status, body) = self.call(method, path, body).await?;
        ensure!((200..300).contains(&status), "{method} {path}: {status} {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    }
}

async fn open_database(file: &Path) -> anyhow::Result<DatabaseConnection> {
    Ok(Database::connect(format!("sqlite://{}?mode=rw", file.display())).await?)
}

/// Makes identities as enrollment would.
pub(crate) async fn identities(database: &Path, count: usize, file: &Path) -> anyhow::Result<Value> {
    let database = open_database(database).await?;
    let backend = database.get_database_backend();
    let query = |sql: String| Statement::from_string(backend, sql);
    let cloud_id = database
        .query_one_raw(query("SELECT value FROM meta WHERE key = 'cloud_id'".into()))
        .await?
        .context("the cloud has never run on this database")?
        .try_get::<String>("", "value")?
        .parse::<CloudId>()?;
    let rows = database
        .query_all_raw(query(format!("SELECT id FROM pos_servers ORDER BY id LIMIT {count}")))
        .await?;
    ensure!(rows.len() == count, "there are {} POS servers only", rows.len());
    let mut identities = Vec::with_capacity(count);
    for chunk in rows.chunks(CHUNK) {
        let mut values = Vec::with_capacity(chunk.len());
        for row in chunk {
            let (pos_server, device) = (row.try_get::<Uuid>("", "id")?, DeviceId::new());
            let key = DeviceKey::generate();
            values.push(format!(
                "(x'{}', x'{}', '{}', '2026-11-01T00:00:00+00:00', NULL)",
                device.0.simple(),
                pos_server.simple(),
                key.public_key()
            ));
            identities.push(key.into_identity(
                "https://127.0.0.1".parse()?,
                Enrolled {
                    device_id: device,
                    cloud_id,
                    pos_server_id: pos_server.into(),
                    outlet: String::new(),
                    time_zone: "UTC".into(),
                },
            ));
        }
        let insert = "INSERT INTO devices (id, pos_server_id, public_key, created_at, revoked_at) VALUES";
        database.execute_unprepared(&format!("{insert} {}", values.join(", "))).await?;
    }
    database.close().await?;
    fs::write(file, serde_json::to_vec(&identities)?)?;
    Ok(json!({ "identities": count }))
}

/// Times and states that differ from row to row, and nothing in some.
pub(crate) async fn age(database: &Path) -> anyhow::Result<Value> {
    let database = open_database(database).await?;
    let some_time = |seconds: u32| {
        format!(
            "strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', '-' || (abs(random()) % {seconds}) || ' seconds')"
        )
    };
    let one_in = |chance: u32| format!("abs(random()) % {chance} = 0");
    let sql = format!(
        "UPDATE revision SET value = value + 1;
         UPDATE pos_servers SET revision = (SELECT value FROM revision), link_state = 'online',
             pos_state = 'running', link_since = {}, last_seen_at = {}, last_report_at = {},
             exchange_success_at = {}, exchange_attempt_at = {}, version_updated_at = {}, db_created_at = {},
             connector_version = '0.1.0', connector_version_key = '00000000000000000000.00000000000000000001',
             pos_version = '34.' || (abs(random()) % 10), db_size_bytes = abs(random()) % 1000000000,
             generation = abs(random()) % 5, unsent_transactions = max(0, random() % 50);
         UPDATE pos_servers SET pos_version_key = printf('%020d.%020d', 34, substr(pos_version, 4));
         UPDATE pos_servers SET link_state = 'offline', cause = 'connection_lost', confidence = 'likely',
             pos_state = 'unknown' WHERE {};
         UPDATE pos_servers SET error_code = 'cloud_unreachable', error_message = 'no route to host',
             error_since = {}, error_failures = 3 WHERE {};
         UPDATE pos_servers SET link_state = 'never_connected', last_report_at = NULL, pos_version = NULL,
             pos_version_key = NULL, exchange_success_at = NULL WHERE {};",
        some_time(1_000_000),
        some_time(30),
        some_time(36_000),
        some_time(120),
        some_time(120),
        some_time(1_000_000),
        some_time(10_000_000),
        one_in(30),
        some_time(100_000),
        one_in(50),
        one_in(40),
    );
    database.execute_unprepared(&sql).await?;
    database.close().await?;
    Ok(json!({}))
}
