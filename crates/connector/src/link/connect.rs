//! TCP, TLS and the upgrade to a WebSocket.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tillwatch_protocol::error::{ErrorCode, Problem};
use tillwatch_protocol::link::{MAX_FRAME_BYTES, SUBPROTOCOL};
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderValue, Response, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Error};
use tokio_util::either::Either;
use tower::ServiceExt;
use url::Url;

use crate::cloud_client::{CONNECT_TIMEOUT, CloudClient, Transport, causes, read_problem};
use crate::proxy;

/// How long TLS and upgrade may take together.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a proxy may take to open a way to the cloud.
const PROXY_TIMEOUT: Duration = Duration::from_secs(20);
/// Frames are small and rare, and there may be thousands of links in one process.
const BUFFER_BYTES: usize = 1024;
/// What an embedding program that carries a link may leave unread.
const CARRIED_BYTES: usize = 64 * 1024;

/// A connection to the cloud; plain where a proxy of the operator's speaks TLS, or an embedding program carries it.
pub(crate) type Stream = Either<TlsStream<TcpStream>, Either<TcpStream, DuplexStream>>;
/// An upgraded connection.
pub(super) type Socket = WebSocketStream<Stream>;

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// No connection.
    #[error("the cloud can't be reached: {0}")]
    Unreachable(String),
    /// No connection to the proxy on the way.
    #[error("the proxy {proxy} can't be reached: {reason}")]
    ProxyUnreachable {
        /// Its host and port.
        proxy: String,
        /// Why.
        reason: String,
    },
    /// The proxy wants a name and a password.
    #[error("the proxy {0} wants a name and a password, or takes none of those that it was given")]
    ProxyAuth(String),
    /// The proxy says no.
    #[error("the proxy {proxy} opens no way to the cloud: {reason}")]
    ProxyRefused {
        /// Its host and port.
        proxy: String,
        /// What it did instead.
        reason: String,
    },
    /// The upgrade was answered by something else than a WebSocket.
    #[error("the cloud refuses the link with HTTP status {status}")]
    Refused {
        /// The answer's status.
        status: u16,
        /// The cloud's code, if the answer had one.
        code: Option<ErrorCode>,
        /// From `Retry-After`.
        retry_after: Option<Duration>,
        /// The answer told the cloud's time, and it was noted.
        clock_learned: bool,
    },
}

/// Opens a link as the client's device.
pub(super) async fn connect(client: &CloudClient) -> Result<Socket, ConnectError> {
    let mut request = upgrade_request(client)?;
    request.headers_mut().insert(AUTHORIZATION, client.authorization());
    let stream = open_stream(client.base(), client.transport()).await?;
    match tokio::time::timeout(UPGRADE_TIMEOUT, upgrade(request, stream)).await {
        Ok(Ok(socket)) => Ok(socket),
        Ok(Err(Error::Http(response))) => Err(refusal(client, &response)),
        Ok(Err(error)) => Err(ConnectError::Unreachable(causes(&error))),
        Err(_) => Err(ConnectError::Unreachable("the upgrade took too long".into())),
    }
}

/// Asks for an upgrade without a token: whether a WebSocket gets through can be told by who refuses it, and a
/// running session is not displaced. Gives the HTTP status and the problem's code.
pub(crate) async fn probe_upgrade(client: &CloudClient) -> Result<(u16, Option<ErrorCode>), ConnectError> {
    let request = upgrade_request(client)?;
    let stream = open_stream(client.base(), client.transport()).await?;
    match tokio::time::timeout(UPGRADE_TIMEOUT, upgrade(request, stream)).await {
        Ok(Ok(_)) => Ok((101, None)),
        Ok(Err(Error::Http(response))) => {
            let code = problem(&response).map(|problem| problem.code);
            Ok((response.status().as_u16(), code))
        }
        Ok(Err(error)) => Err(ConnectError::Unreachable(causes(&error))),
        Err(_) => Err(ConnectError::Unreachable("the upgrade took too long".into())),
    }
}

/// Opens TCP and, for `https`, TLS to a cloud.
pub(crate) async fn open_stream(base: &Url, transport: &Transport) -> Result<Stream, ConnectError> {
    if let Some(carrier) = &transport.carrier {
        let (near, far) = tokio::io::duplex(CARRIED_BYTES);
        let nobody = |_| ConnectError::Unreachable("nobody carries links any more".into());
        carrier.send(far).await.map_err(nobody)?;
        return Ok(Either::Right(Either::Right(near)));
    }
    let tcp = open_tcp(base, transport).await?;
    if base.scheme() == "http" {
        return Ok(Either::Right(Either::Left(tcp)));
    }
    open_tls(base, &transport.tls, tcp).await.map(Either::Left)
}

/// Opens TCP to a cloud, through the proxy that is on the way. Of a host that has addresses of both families, the
/// other one is tried 300 ms later, so that a network in which IPv6 leads nowhere costs no more than that
/// (RFC 8305).
pub(crate) async fn open_tcp(base: &Url, transport: &Transport) -> Result<TcpStream, ConnectError> {
    let (host, port) = authority(base);
    let cloud: Uri = format!("{}://{host}:{port}", base.scheme())
        .parse()
        .map_err(|_| ConnectError::Unreachable("the cloud's address is not valid".into()))?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let Some(proxy) = transport.proxies.on_the_way_to(&cloud) else {
        let connected = tcp.oneshot(cloud).await;
        let unreachable = |error| ConnectError::Unreachable(format!("{host}:{port}: {}", causes(&error)));
        return connected.map(TokioIo::into_inner).map_err(unreachable);
    };
    let shown = proxy::shown(&proxy);
    let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
    if let Some(authorization) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(authorization.clone());
    }
    match tokio::time::timeout(PROXY_TIMEOUT, tunnel.oneshot(cloud)).await {
        Ok(Ok(tcp)) => Ok(tcp.into_inner()),
        Ok(Err(error)) => Err(proxy_trouble(shown, &error)),
        Err(_) => Err(ConnectError::ProxyRefused { proxy: shown, reason: "it does not answer".into() }),
    }
}

/// What went wrong at a proxy. The library names it in words only.
fn proxy_trouble(proxy: String, error: &(dyn std::error::Error + 'static)) -> ConnectError {
    let text = error.to_string();
    if text.contains("authorization required") {
        ConnectError::ProxyAuth(proxy)
    } else if text.contains("underlying connection") {
        ConnectError::ProxyUnreachable { proxy, reason: causes(error) }
    } else {
        ConnectError::ProxyRefused { proxy, reason: causes(error) }
    }
}

/// Speaks TLS on a connection to a cloud.
pub(crate) async fn open_tls(
    base: &Url,
    tls: &Arc<rustls::ClientConfig>,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let unreachable = |reason: String| ConnectError::Unreachable(reason);
    let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).map_err(|error| unreachable(error.to_string()))?;
    match tokio::time::timeout(UPGRADE_TIMEOUT, TlsConnector::from(tls.clone()).connect(name, tcp)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(unreachable(format!("TLS: {error}"))),
        Err(_) => Err(unreachable("TLS took too long".into())),
    }
}

/// Host and port of an address; an IPv6 address stands in brackets.
pub(crate) fn authority(url: &Url) -> (&str, u16) {
    (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(443))
}

fn upgrade_request(client: &CloudClient) -> Result<Request, ConnectError> {
    let mut url = client.url("link");
    let scheme = if url.scheme() == "http" { "ws" } else { "wss" };
    url.set_scheme(scheme)
        .map_err(|()| ConnectError::Unreachable("the cloud's address is not valid".into()))?;
    let mut request =
        url.as_str().into_client_request().map_err(|error| ConnectError::Unreachable(causes(&error)))?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    Ok(request)
}

async fn upgrade(request: Request, stream: Stream) -> tungstenite::Result<Socket> {
    let limits = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(4 * MAX_FRAME_BYTES)
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES));
    tokio_tungstenite::client_async_with_config(request, stream, Some(limits)).await.map(|(socket, _)| socket)
}

fn refusal(client: &CloudClient, response: &Response<Option<Vec<u8>>>) -> ConnectError {
    let problem = problem(response);
    ConnectError::Refused {
        status: response.status().as_u16(),
        code: problem.as_ref().map(|problem| problem.code),
        retry_after: response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs),
        clock_learned: problem.is_some_and(|problem| client.learn_from(&problem)),
    }
}

fn problem(response: &Response<Option<Vec<u8>>>) -> Option<Problem> {
    read_problem(response.body().as_ref()?)
}
