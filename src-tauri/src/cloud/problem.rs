//! Answers that are no success, and requests that got none, as the window's errors.

use std::collections::BTreeMap;
use std::net::UdpSocket;

use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::{Map, Value};
use tillwatch_protocol::error::ErrorCode;

use super::tls::Refusal;
use crate::error::{AppError, LocalCode};

/// A problem document, read leniently: a newer cloud may know more codes.
#[derive(serde::Deserialize)]
struct Problem {
    code: String,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// The response if it is a success, what the cloud told if it is not.
pub(super) async fn check(response: Response) -> Result<Response, AppError> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let header =
        |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let is_problem = header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/problem+json"));
    let retry_after = header(RETRY_AFTER);
    let problem = if is_problem { response.json::<Problem>().await.ok() } else { None };
    let Some(problem) = problem else {
        let code = match status.as_u16() {
            502..=504 => AppError::from(ErrorCode::Unavailable),
            _ => AppError::from(LocalCode::NotACloud),
        };
        return Err(code.detail(format!("the answer was {status} without a problem document")));
    };
    let mut error = AppError {
        code: problem.code,
        detail: problem.detail,
        request_id: problem.request_id,
        params: BTreeMap::default(),
    };
    for (name, value) in problem.extra {
        match value {
            _ if matches!(name.as_str(), "title" | "status" | "type") => {}
            // `link` tells since when and why a venue is offline: `link_since`, `link_cause`, …
            Value::Object(inner) => {
                for (inner_name, value) in inner {
                    insert(&mut error, format!("{name}_{inner_name}"), value);
                }
            }
            value => insert(&mut error, name, value),
        }
    }
    if let Some(seconds) = retry_after {
        error.params.insert("retry_after".into(), seconds);
    }
    Err(error)
}

fn insert(error: &mut AppError, name: String, value: Value) {
    let text = match value {
        Value::Null => return,
        Value::String(text) => text,
        other => other.to_string(),
    };
    error.params.insert(name, text);
}

/// Why a request got no answer. `refused` is the certificate that was refused meanwhile.
pub(super) fn unanswered(
    error: &reqwest::Error,
    host: &str,
    is_loopback: bool,
    refused: Option<Refusal>,
    pin: Option<&str>,
) -> AppError {
    if error.is_decode() {
        return AppError::from(LocalCode::NotACloud).detail(plain(error));
    }
    if error.is_connect()
        && let Some(Refusal { sha256, by_date }) = refused
    {
        let code =
            if pin.is_some() { LocalCode::CertificateChanged } else { LocalCode::CertificateUntrusted };
        let mut error = AppError::from(code).param("host", host).param("sha256", sha256);
        if by_date {
            error = error.param("by_date", by_date);
        }
        return match pin {
            Some(pin) => error.param("pinned", pin),
            None => error,
        };
    }
    let code = if error.is_connect() && is_tls(error) {
        LocalCode::TlsFailed
    } else if !is_loopback && !has_network() {
        LocalCode::NoNetwork
    } else {
        LocalCode::CloudUnreachable
    };
    AppError::from(code).detail(plain(error)).param("host", host)
}

/// The whole chain of causes, without the address: that may carry a search term.
fn plain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() { "the request failed".into() } else { text }
}

fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<rustls::Error>() {
            return true;
        }
        // An IO error tells the source of what it wraps, but not what it wraps itself.
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}

/// Whether there is a route out of this computer. Connecting a UDP socket looks the route up and sends nothing;
/// the addresses are set aside for documentation.
fn has_network() -> bool {
    [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")]
        .into_iter()
        .any(|(from, to)| UdpSocket::bind(from).and_then(|socket| socket.connect(to)).is_ok())
}
