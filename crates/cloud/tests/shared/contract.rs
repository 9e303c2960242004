//! What the `OpenAPI` document promises, held against what the cloud answers.

use std::sync::LazyLock;

use reqwest::Method;
use serde_json::Value;

/// The document.
pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(tillwatch_cloud::openapi);

/// The description of a call, if the document has one for this address.
fn call(method: &Method, path: &str) -> Option<&'static Value> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == parts.len()
            && template.iter().zip(&parts).all(|(named, part)| named.starts_with('{') || named == part)
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let exact = paths.get(path);
    let item = exact.or_else(|| paths.iter().find(|(template, _)| fits(template)).map(|(_, item)| item))?;
    item.get(method.as_str().to_lowercase())
}

/// Fails when a call answered with a status or a code that its description does not name.
pub(crate) fn check(method: &Method, path: &str, status: u16, body: &Value) {
    let Some(call) = call(method, path) else { return };
    let place = format!("{method} {path} answered {status}, which its description does not name: {body}");
    assert!(call["responses"].get(status.to_string()).is_some(), "{place}");
    if let Some(code) = body["code"].as_str().filter(|_| status >= 400) {
        assert!(call["x-problems"].as_array().unwrap().iter().any(|named| named == code), "{place}");
    }
}
