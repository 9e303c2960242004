//! TCP, TLS and the upgrade to a WebSocket.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tillwatch_protocol::error::{ErrorCode, Problem};
use tillwatch_protocol::link::{MAX_FRAME_BYTES, SUBPROTOCOL};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderValue, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Error};
use tokio_util::either::Either;
use url::Url;

use crate::cloud_client::{CONNECT_TIMEOUT, CloudClient, causes, read_problem};

/// How long TLS and upgrade may take together.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(20);
/// Frames are small and rare, and there may be thousands of links in one process.
const BUFFER_BYTES: usize = 1024;

/// A connection to the cloud; plain where a proxy of the operator's speaks TLS.
pub(crate) type Stream = Either<TlsStream<TcpStream>, TcpStream>;
/// An upgraded connection.
pub(super) type Socket = WebSocketStream<Stream>;

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// No connection.
    #[error("the cloud can't be reached: {0}")]
    Unreachable(String),
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
    let stream = open_stream(client.base(), &client.transport().tls).await?;
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
    let stream = open_stream(client.base(), &client.transport().tls).await?;
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
pub(crate) async fn open_stream(base: &Url, tls: &Arc<rustls::ClientConfig>) -> Result<Stream, ConnectError> {
    let unreachable = |reason: String| ConnectError::Unreachable(reason);
    let host = base.host_str().unwrap_or_default();
    let port = base.port_or_known_default().unwrap_or(443);
    let address = (host.trim_matches(['[', ']']), port);
    let tcp = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| unreachable(format!("{host}:{port} does not answer")))?
        .map_err(|error| unreachable(format!("{host}:{port}: {error}")))?;
    tcp.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
    if base.scheme() == "http" {
        return Ok(Either::Right(tcp));
    }
    let name = ServerName::try_from(address.0.to_owned()).map_err(|error| unreachable(error.to_string()))?;
    let handshake = TlsConnector::from(tls.clone()).connect(name, tcp);
    match tokio::time::timeout(UPGRADE_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => Ok(Either::Left(stream)),
        Ok(Err(error)) => Err(unreachable(format!("TLS: {error}"))),
        Err(_) => Err(unreachable("TLS took too long".into())),
    }
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
