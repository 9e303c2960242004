//! Asking the POS server what a third party wants to know.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Response};
use serde_json::Value;
use tillwatch_protocol::link::MAX_FRAME_BYTES;
use tillwatch_protocol::link::frame::{ConnectorFrame, RelayFailure, RelayOrder, RelayOutcome, Relayed};
use tillwatch_protocol::relay::{MAX_TIMEOUT_MS, Method, Target, is_shallow};
use tillwatch_protocol::rest::relay::RelayAnswer;
use url::Url;

/// Sends a request below `base` and makes of the answer what fits into a frame. Redirects are not followed,
/// and no header but the body's type goes along.
pub(super) async fn ask(
    http: &Client,
    base: Option<Url>,
    order: RelayOrder,
    target: &Target,
) -> RelayOutcome {
    let patience = Duration::from_millis(order.timeout_ms.min(MAX_TIMEOUT_MS).into());
    let id = order.id;
    let asked = tokio::time::timeout(patience, exchange(http, base, order, target)).await;
    let outcome = match asked.unwrap_or(Err(RelayFailure::VenueTimeout)) {
        Ok(answer) => RelayOutcome::Answered(answer),
        Err(error) => return RelayOutcome::Failed { error },
    };
    let frame = ConnectorFrame::Relayed(Relayed { id, outcome });
    let fits = serde_json::to_string(&frame).is_ok_and(|text| text.len() <= MAX_FRAME_BYTES);
    match frame {
        ConnectorFrame::Relayed(Relayed { outcome, .. }) if fits => outcome,
        _ => RelayOutcome::Failed { error: RelayFailure::RelayAnswerTooLarge },
    }
}

async fn exchange(
    http: &Client,
    base: Option<Url>,
    order: RelayOrder,
    target: &Target,
) -> Result<RelayAnswer, RelayFailure> {
    let mut url = base.ok_or(RelayFailure::VenueTimeout)?;
    url.set_path(&format!("{}{}", url.path().trim_end_matches('/'), target.path()));
    url.set_query(target.query());
    let method = match order.method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    };
    let mut request = http.request(method, url);
    if let Some(body) = &order.body {
        request = request.json(body);
    }
    let response = request.send().await.map_err(|_| RelayFailure::VenueTimeout)?;
    let status = response.status().as_u16();
    let is_json = is_json(response.headers());
    let body = read(response).await?;
    Ok(RelayAnswer { status, body: to_json(is_json, &body)? })
}

/// Reads a body that may fit into a frame.
async fn read(mut response: Response) -> Result<Vec<u8>, RelayFailure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| RelayFailure::VenueTimeout)? {
        if body.len() + chunk.len() > MAX_FRAME_BYTES {
            return Err(RelayFailure::RelayAnswerTooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Whether an answer claims to be JSON; none when it does not say what it is.
fn is_json(headers: &HeaderMap) -> Option<bool> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Some(media == "application/json" || media.ends_with("+json"))
}

/// JSON as it is, text as a JSON text, nothing as nothing.
fn to_json(is_json: Option<bool>, body: &[u8]) -> Result<Option<Value>, RelayFailure> {
    if body.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(body).map_err(|_| RelayFailure::RelayAnswerUnreadable)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if is_json.unwrap_or(true)
        && let Ok(value) = serde_json::from_str::<Value>(text)
    {
        return if is_shallow(&value) { Ok(Some(value)) } else { Err(RelayFailure::RelayAnswerUnreadable) };
    }
    if text.chars().any(|c| c.is_control() && !"\n\r\t".contains(c)) {
        return Err(RelayFailure::RelayAnswerUnreadable);
    }
    Ok(Some(text.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_becomes_json() {
        let deep = format!("{}1{}", "[".repeat(65), "]".repeat(65));
        for (claims, body, expected) in [
            (Some(true), &b"{\"balance\": \"12.50\"}"[..], Ok(Some(json!({"balance": "12.50"})))),
            (Some(true), b"\xef\xbb\xbf[1]", Ok(Some(json!([1])))),
            (None, b"12.5", Ok(Some(json!(12.5)))),
            (None, b"twelve\n", Ok(Some(json!("twelve\n")))),
            (Some(false), b"12.5", Ok(Some(json!("12.5")))),
            (Some(false), b"<html>\xc4\x81</html>", Ok(Some(json!("<html>ā</html>")))),
            (Some(true), b"{broken", Ok(Some(json!("{broken")))),
            (Some(true), b"", Ok(None)),
            (Some(true), b"null", Ok(Some(Value::Null))),
            (Some(false), b"\x89PNG\r\n\x1a\n", Err(RelayFailure::RelayAnswerUnreadable)),
            (Some(false), b"a\0b", Err(RelayFailure::RelayAnswerUnreadable)),
            (Some(true), deep.as_bytes(), Err(RelayFailure::RelayAnswerUnreadable)),
        ] {
            assert_eq!(to_json(claims, body), expected, "{}", String::from_utf8_lossy(body));
        }
    }
}
