//! The `OpenAPI` 3.1 document: what each call says of itself, completed by what holds for all of them.
//!
//! A call names the codes of its own problems under `x-problems` in its `utoipa::path`:
//! `extensions(("x-problems" = json!([ErrorCode::JobEnded])))`. Here the codes that follow from its
//! tokens, parameters and body are added, and every code becomes a documented answer with an example.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tillwatch_protocol::error::{ErrorCode, FieldError, Problem};
use tillwatch_protocol::ids::ArchiveId;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, SecurityRequirement};

/// What each call is asked with and what it answers, by its operation id: `request`, or `requests` by name, and
/// `response`.
const EXAMPLES: &str = include_str!("openapi/examples.json");
/// The forms of bodies that have examples.
const EXEMPLIFIED: [&str; 2] = ["application/json", "text/event-stream"];
/// Where a call names its problems.
const PROBLEMS: &str = "x-problems";

/// What the routes are put into: title, schemes of security, and the schemas that every call needs.
pub(crate) fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Tillwatch cloud")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Errors are RFC 9457 documents with a stable `code`; each call lists its codes by status. Any \
             address answers 405 `method_not_allowed` with `Allow` to a method that it does not have. What \
             the caller may not see does not exist: 404. No text holds the character NUL, and no \
             name a control character. Lists end where \
             `next_cursor` is null; cursors are opaque.",
        ))
        .build();
    let bearer = |description: &str| {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description));
        SecurityScheme::Http(scheme.build())
    };
    let components = ComponentsBuilder::new()
        .security_scheme("user", bearer("The access token of a session: `POST /sessions`."))
        .security_scheme(
            "device",
            bearer(
                "A JWT of its own for each request, signed by the store's Ed25519 key: `sub` the device, `aud` \
                 the cloud, `exp` at most 60 s ahead, `jti` used once.",
            ),
        )
        .security_scheme("service", bearer("The token of a third party: `tillwatch-cloud token add`."))
        .schema_from::<Problem>()
        .schema_from::<ErrorCode>()
        .schema_from::<FieldError>()
        // Named by parameters alone, whose schemas are not gathered.
        .schema_from::<ArchiveId>()
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::new("user", [""; 0])]))
        .build()
}

/// The whole document of these routes.
pub(crate) fn document(routes: OpenApi) -> Value {
    let mut document = serde_json::to_value(routes).unwrap_or_else(|_| unreachable!("it is plain JSON"));
    let examples: Value = serde_json::from_str(EXAMPLES).unwrap_or_else(|_| unreachable!("it is JSON"));
    let mut shared = BTreeMap::new();
    for item in members(&mut document["paths"]) {
        for call in members(item) {
            complete(call, &mut shared);
            show(call, &examples);
        }
    }
    bound(&mut document);
    let components = &mut document["components"];
    components["responses"] = shared.into_iter().collect();
    components["headers"] = json!({
        "X-Request-Id": header(
            "By which the server's log knows this request: the id that came with it, or a new one.",
            &json!({"type": "string"}),
        ),
        "WWW-Authenticate": header("`Bearer`.", &json!({"type": "string", "const": "Bearer"})),
        "Retry-After": header("In how many seconds to try again.", &json!({"type": "integer", "minimum": 1})),
    });
    components["examples"] =
        ErrorCode::ALL.iter().map(|code| (code.as_str().to_owned(), example(*code))).collect();
    document
}

/// Documents what a call gives besides what it says itself. Refusals that need no words of the call's own are
/// shared by all calls that have just these codes.
fn complete(call: &mut Value, shared: &mut BTreeMap<String, Value>) {
    for parameter in call.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        leave_out_null(&mut parameter["schema"]);
    }
    let problems = problems(call);
    call[PROBLEMS] = problems.values().flatten().map(|code| code.as_str()).collect();
    for (status, answer) in call["responses"].as_object_mut().into_iter().flatten() {
        if answer["description"].as_str().is_none_or(str::is_empty) {
            let status: Option<StatusCode> = status.parse().ok();
            answer["description"] = status.and_then(|status| status.canonical_reason()).into();
        }
        answer["headers"]["X-Request-Id"] = reference("headers", "X-Request-Id");
    }
    for (status, codes) in problems {
        let refused = refusal(status, &codes);
        match &mut call["responses"][status.to_string()] {
            Value::Object(answer) => {
                answer.insert("content".into(), refused["content"].clone());
            }
            answer => {
                let name = codes.iter().map(|code| code.as_str()).collect::<Vec<_>>().join(".");
                *answer = reference("responses", &name);
                shared.insert(name, refused);
            }
        }
    }
}

/// Puts a call's examples beside the schemas of what it takes and gives.
fn show(call: &mut Value, examples: &Value) {
    let example = &examples[call["operationId"].as_str().unwrap_or_default()];
    if let Some(body) = call.get_mut("requestBody").and_then(exemplified) {
        if let Some(named) = example["requests"].as_object() {
            body["examples"] =
                named.iter().map(|(name, value)| (name.clone(), json!({ "value": value }))).collect();
        } else {
            body["example"] = example["request"].clone();
        }
    }
    let answers = call["responses"].as_object_mut().into_iter().flatten();
    for (_, answer) in answers.filter(|(status, _)| status.starts_with('2')) {
        if let Some(body) = exemplified(answer) {
            body["example"] = example["response"].clone();
        }
    }
}

/// The form of a body that has examples, if there is one.
fn exemplified(body: &mut Value) -> Option<&mut Value> {
    let forms = body.get_mut("content")?.as_object_mut()?;
    forms.iter_mut().find(|(form, _)| EXEMPLIFIED.contains(&form.as_str())).map(|(_, body)| body)
}

/// Says how large whole numbers may be: as large as the type that they are read into.
fn bound(value: &mut Value) {
    match value {
        Value::Object(schema) => {
            let signed = schema.get("minimum") != Some(&json!(0));
            let bounds = match schema.get("format").and_then(Value::as_str) {
                Some("int32") if signed => Some((json!(i32::MIN), json!(i32::MAX))),
                Some("int32") => Some((json!(0), json!(u32::MAX))),
                Some("int64") => Some((json!(i64::MIN), json!(i64::MAX))),
                _ => None,
            };
            if let Some((minimum, maximum)) = bounds {
                schema.entry("minimum").or_insert(minimum);
                schema.entry("maximum").or_insert(maximum);
            }
            schema.values_mut().for_each(bound);
        }
        Value::Array(items) => items.iter_mut().for_each(bound),
        _ => {}
    }
}

/// A parameter that may be left out is nothing then, and not null.
fn leave_out_null(schema: &mut Value) {
    let is_null = |value: &Value| value == "null" || value["type"] == "null";
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|kind| !is_null(kind));
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    }
    if let Some(choices) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        choices.retain(|choice| !is_null(choice));
        if let [only] = choices.as_slice() {
            *schema = only.clone();
        }
    }
}

/// The codes of a call by status: its own, and those that follow from what it takes.
fn problems(call: &Value) -> BTreeMap<u16, Vec<ErrorCode>> {
    let own: Vec<ErrorCode> = serde_json::from_value(call[PROBLEMS].clone()).unwrap_or_default();
    let takes = |place: &str| {
        call["parameters"].as_array().is_some_and(|all| all.iter().any(|parameter| parameter["in"] == place))
    };
    // Without a word about it a call takes a user's token.
    let token = |scheme: &str| match call["security"].as_array() {
        None => scheme == "user",
        Some(schemes) => schemes.iter().any(|named| named.get(scheme).is_some()),
    };
    let follows = |code: ErrorCode| match code {
        ErrorCode::Unauthorized => ["user", "device", "service"].into_iter().any(token),
        // Whose calls are counted, whatever they are.
        ErrorCode::RateLimited => token("user"),
        ErrorCode::ClockSkewed | ErrorCode::CredentialsRevoked => token("device"),
        ErrorCode::NotFound => takes("path"),
        ErrorCode::InvalidRequest => takes("query") || call["requestBody"].is_object(),
        ErrorCode::MalformedBody | ErrorCode::PayloadTooLarge | ErrorCode::UnsupportedMediaType => {
            call["requestBody"].is_object()
        }
        // Whether the process lives is told without asking anything that can fail.
        ErrorCode::Internal | ErrorCode::Unavailable => call["tags"][0] != "health",
        _ => false,
    };
    let mut by_status = BTreeMap::<u16, Vec<ErrorCode>>::new();
    for code in ErrorCode::ALL.iter().copied().filter(|code| own.contains(code) || follows(*code)) {
        by_status.entry(code.status()).or_default().push(code);
    }
    by_status
}

/// An answer that is a problem with one of these codes.
fn refusal(status: u16, codes: &[ErrorCode]) -> Value {
    let lines: Vec<_> = codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.title())).collect();
    let names: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    let of_these = json!({"properties": {"code": {"enum": names}, "status": {"const": status}}});
    let examples: Value =
        names.iter().map(|name| ((*name).to_owned(), reference("examples", name))).collect();
    let headers: Value = match status {
        401 => &["X-Request-Id", "WWW-Authenticate"][..],
        429 | 503 => &["X-Request-Id", "Retry-After"],
        _ => &["X-Request-Id"],
    }
    .iter()
    .map(|name| ((*name).to_owned(), reference("headers", name)))
    .collect();
    json!({
        "description": lines.join("\n\n"),
        "headers": headers,
        "content": {"application/problem+json": {
            "schema": {"allOf": [reference("schemas", "Problem"), of_these]},
            "examples": examples,
        }},
    })
}

fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

fn header(description: &str, schema: &Value) -> Value {
    json!({"description": description, "schema": schema})
}

/// A problem as a client gets it.
fn example(code: ErrorCode) -> Value {
    let more = match code {
        ErrorCode::InvalidRequest => {
            json!({"errors": [{"field": "limit", "message": "must be a number from 1 to 1000"}]})
        }
        ErrorCode::ClockSkewed => json!({"server_time": "2026-11-02T04:10:00Z"}),
        ErrorCode::SizeOutOfRange => json!({"min": 65536, "max": 2_147_483_648_u64}),
        ErrorCode::UnsentTransactions => json!({"unsent_transactions": 12}),
        ErrorCode::NotEmpty => json!({"what": "outlets", "count": 3}),
        ErrorCode::GenerationChanged => json!({"generation": 4}),
        ErrorCode::BackupNotFound => json!({"backups": []}),
        _ => json!({}),
    };
    let problem = Problem {
        code,
        title: code.title().into(),
        detail: "What happened this time.".into(),
        status: code.status(),
        request_id: "019a4b1e-7d00-7c3a-9f51-6f2f0a1b2c3d".into(),
        extra: more.as_object().cloned().unwrap_or_default(),
    };
    json!({"summary": code.title(), "value": problem})
}

fn members(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    object.as_object_mut().into_iter().flatten().map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::openapi;

    #[test]
    fn every_call_is_described() {
        let document = openapi();
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, call) in item.as_object().unwrap() {
                let place = format!("{method} {path}");
                let id = call["operationId"].as_str().unwrap_or_default();
                assert!(
                    id.contains('_') || id.len() > 4,
                    "{place}: give it an operation_id of verb and noun"
                );
                assert!(ids.insert(id), "{place}: {id} is the id of another call");
                assert!(call["summary"].is_string(), "{place}: say in a doc comment what it does");
                assert_eq!(call["tags"].as_array().map(Vec::len), Some(1), "{place}: give it one tag");
                for parameter in call["parameters"].as_array().into_iter().flatten() {
                    assert!(parameter["description"].is_string(), "{place}: describe {}", parameter["name"]);
                    assert!(parameter["schema"].is_object(), "{place}: {} has no type", parameter["name"]);
                }
                for named in path.split('/').filter_map(|part| part.strip_prefix('{')) {
                    let named = named.trim_end_matches('}');
                    let parameters = call["parameters"].as_array();
                    let is_there = parameters.is_some_and(|all| all.iter().any(|one| one["name"] == named));
                    assert!(is_there, "{place}: describe {named}");
                }
                let answers = call["responses"].as_object().unwrap();
                assert!(
                    answers.keys().any(|status| status.as_str() < "400"),
                    "{place}: what is its success?"
                );
                for (status, answer) in answers {
                    let said = answer["description"].is_string() || answer["$ref"].is_string();
                    assert!(said, "{place}: describe {status}");
                    assert!(!answer["headers"]["X-Request-Id"].is_null() || answer["$ref"].is_string());
                }
            }
        }
    }

    /// The examples of a body, each with what its schema says against it.
    fn faults_of_examples(document: &Value, body: &Value) -> Vec<String> {
        let mut schema = body["schema"].clone();
        schema["components"] = document["components"].clone();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        let named = body["examples"].as_object().into_iter().flat_map(|named| named.values());
        let all = named.map(|named| &named["value"]).chain(body.get("example"));
        let faults =
            |value| validator.iter_errors(value).map(|fault| format!("{} {fault}", fault.instance_path()));
        all.flat_map(faults).collect()
    }

    #[test]
    fn every_json_that_goes_in_or_out_has_an_example_that_fits() {
        let document = openapi();
        let mut known: BTreeSet<String> =
            serde_json::from_str::<Value>(EXAMPLES).unwrap().as_object().unwrap().keys().cloned().collect();
        for call in document["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|item| item.as_object().unwrap().values())
        {
            let id = call["operationId"].as_str().unwrap();
            known.remove(id);
            let successes =
                call["responses"].as_object().unwrap().iter().filter(|(status, _)| status.starts_with('2'));
            let bodies = successes.map(|(_, answer)| answer).chain([&call["requestBody"]]);
            for (form, body) in bodies.filter_map(|body| body["content"].as_object()).flatten() {
                if EXEMPLIFIED.contains(&form.as_str()) {
                    let faults = faults_of_examples(&document, body);
                    assert!(faults.is_empty(), "{id}, examples.json: {faults:?}");
                }
            }
        }
        assert!(known.is_empty(), "no call has these ids: {known:?}");
    }

    #[test]
    fn everything_that_is_referred_to_is_there() {
        fn check(document: &Value, value: &Value) {
            if let Some(reference) = value["$ref"].as_str() {
                let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
                assert!(target.is_some(), "{reference} is missing: add it in `base`");
            }
            match value {
                Value::Object(members) => members.values().for_each(|value| check(document, value)),
                Value::Array(items) => items.iter().for_each(|value| check(document, value)),
                _ => {}
            }
        }
        let document = openapi();
        check(&document, &document);
    }
}
