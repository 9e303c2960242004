//! Rules about requests of third parties: what they may look like. What a store allows is its own to say.

use tillwatch_protocol::error::FieldError;
use tillwatch_protocol::ids::RelayId;
use tillwatch_protocol::link::frame::RelayOrder;
use tillwatch_protocol::relay::{DEFAULT_TIMEOUT_MS, MAX_DEPTH, MAX_TIMEOUT_MS, Method, Target, is_shallow};
use tillwatch_protocol::rest::relay::RelayRequest;

/// Makes the order of a request; or tells everything that is wrong with it.
pub fn order(request: RelayRequest) -> Result<RelayOrder, Vec<FieldError>> {
    let RelayRequest { method, path, body, timeout_ms } = request;
    let mut errors = Vec::new();
    let mut refuse = |field: &str, message: String| {
        errors.push(FieldError { field: field.into(), message });
    };
    let target = Target::parse(&path);
    if let Err(error) = &target {
        refuse("path", error.to_string());
    }
    if let Some(body) = &body {
        if method == Method::Get {
            refuse("body", "must be left out with GET".into());
        } else if !is_shallow(body) {
            refuse("body", format!("must not be nested deeper than {MAX_DEPTH} levels"));
        }
    }
    let timeout_ms = timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
    if !(1..=MAX_TIMEOUT_MS).contains(&timeout_ms) {
        refuse("timeout_ms", format!("must be between 1 and {MAX_TIMEOUT_MS}"));
    }
    match target {
        Ok(target) if errors.is_empty() => {
            Ok(RelayOrder { id: RelayId::new(), method, path: target.to_string(), body, timeout_ms })
        }
        _ => Err(errors),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(request: Value) -> Vec<String> {
        let errors = order(serde_json::from_value(request).unwrap()).unwrap_err();
        errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn an_order_has_one_form_of_its_path() {
        let request = json!({"method": "GET", "path": "/%67uests?card=1", "body": null});
        let order = order(serde_json::from_value(request).unwrap()).unwrap();
        assert_eq!((&*order.path, order.timeout_ms, &order.body), ("/guests?card=1", 5000, &None));
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let deep = (0..65).fold(Value::Null, |inner, _| json!([inner]));
        assert_eq!(
            refused(json!({"method": "POST", "path": "guests", "body": deep, "timeout_ms": 0})),
            ["path", "body", "timeout_ms"]
        );
        assert_eq!(refused(json!({"method": "GET", "path": "/a", "body": 1})), ["body"]);
        assert_eq!(refused(json!({"method": "GET", "path": "/a", "timeout_ms": 30_001})), ["timeout_ms"]);
    }
}
