//! Requests of third parties: what the store allows. Nothing is, unless `connector.toml` lists it.

use serde::Deserialize;
use tillwatch_protocol::relay::{self, Method, Target};

/// One line of `[relay] allow`: a method and a path, such as `GET /guest-accounts/*`.
///
/// A path is compared part by part, decoded, with regard to case; `*` stands for one whole part, whatever it
/// is. The query does not count.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rule {
    method: Method,
    parts: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Any,
    Exactly(String),
}

/// The text is no [`Rule`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` allows nothing: {reason}; it looks like `GET /guest-accounts/*`")]
pub struct BadRule {
    text: String,
    reason: String,
}

impl TryFrom<String> for Rule {
    type Error = BadRule;

    fn try_from(text: String) -> Result<Self, BadRule> {
        text.parse()
    }
}

impl std::str::FromStr for Rule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let bad = |reason: &str| BadRule { text: text.to_owned(), reason: reason.to_owned() };
        let mut words = text.split_whitespace();
        let (Some(method), Some(path), None) = (words.next(), words.next(), words.next()) else {
            return Err(bad("it must be a method and a path"));
        };
        let known = Method::ALL.iter().copied().find(|known| known.as_str() == method);
        let method = known.ok_or_else(|| bad("the method must be GET, POST, PUT, PATCH or DELETE"))?;
        if path.contains('?') {
            return Err(bad("the query does not count and must be left out"));
        }
        // Checks what is common to patterns and paths.
        Target::parse(path).map_err(|error| bad(&format!("the path {error}")))?;
        let parts = match path {
            "/" => Vec::new(),
            _ => {
                path[1..].split('/').map(pattern).collect::<Result<_, _>>().map_err(|reason| bad(&reason))?
            }
        };
        Ok(Self { method, parts })
    }
}

fn pattern(part: &str) -> Result<Pattern, String> {
    match part {
        "*" => Ok(Pattern::Any),
        _ if part.contains('*') => Err("`*` must be a whole part of the path".into()),
        _ => relay::part(part).map(Pattern::Exactly).map_err(|error| format!("the path {error}")),
    }
}

impl Rule {
    /// Whether the rule names this request.
    pub fn allows(&self, method: Method, target: &Target) -> bool {
        self.method == method
            && self.parts.len() == target.parts().len()
            && self.parts.iter().zip(target.parts()).all(|(pattern, part)| match pattern {
                Pattern::Any => true,
                Pattern::Exactly(text) => text == part,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(rules: &[&str], request: &str) -> bool {
        let rules: Vec<Rule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let (method, path) = request.split_once(' ').unwrap();
        let method = Method::ALL.iter().copied().find(|known| known.as_str() == method).unwrap();
        Target::parse(path).is_ok_and(|target| rules.iter().any(|rule| rule.allows(method, &target)))
    }

    #[test]
    fn what_is_listed_is_allowed_and_nothing_else() {
        let rules = ["GET /guest-accounts/*", "GET /guests", "POST  /orders/*/items", "GET /r%C4%ABga/a%2Ab"];
        for request in [
            "GET /guest-accounts/1",
            "GET /guest-accounts/1?x=/../..",
            "GET /guest-accounts/a%20b",
            "GET /%67uest-accounts/1",
            "GET /guests?card=77",
            "GET /guests",
            "POST /orders/5/items",
            "GET /r%C4%ABga/a*b",
        ] {
            assert!(allowed(&rules, request), "{request}");
        }
        for request in [
            "POST /guest-accounts/1",
            "DELETE /guest-accounts/1",
            "GET /guest-accounts",
            "GET /guest-accounts/",
            "GET /guest-accounts/1/2",
            "GET /guest-accounts/1/",
            "GET //guest-accounts/1",
            "GET /guest-accounts//",
            "GET /Guest-Accounts/1",
            "GET /GUESTS",
            "GET /guest-accounts/../report",
            "GET /guest-accounts/%2e%2e",
            "GET /guest-accounts/.%2E/report",
            "GET /guest-accounts/..%2freport",
            "GET /guest-accounts/..%252freport",
            "GET /guest-accounts/1%2F2",
            "GET /guest-accounts/1%5C2",
            "GET /guest-accounts/..;/report",
            "GET /guest-accounts;/1",
            "GET /guest-accounts/1%00",
            "GET /guest-accounts%00/1",
            "GET /x/../guest-accounts/1",
            "GET /guest\u{2010}accounts/1",
            "GET /guest-accounts%E2%80%8B/1",
            "GET /orders/5/items",
            "POST /orders/5/items/6",
            "POST /orders//items",
            "GET /r%C4%ABga/aXb",
            "GET /rI%CC%84ga/a*b",
            "GET /report",
            "GET /",
        ] {
            assert!(!allowed(&rules, request), "{request}");
        }
        assert!(!allowed(&[], "GET /"));
        assert!(allowed(&["GET /"], "GET /"));
    }

    #[test]
    fn a_rule_that_allows_nothing_is_refused() {
        for (text, named) in [
            ("", "method and a path"),
            ("GET", "method and a path"),
            ("/guests", "method and a path"),
            ("GET /a b", "method and a path"),
            ("get /guests", "the method"),
            ("* /guests", "the method"),
            ("GET guests", "begin with /"),
            ("GET *", "begin with /"),
            ("GET http://127.0.0.1/guests", "begin with /"),
            ("GET /guests/", "empty parts"),
            ("GET /guests?card=*", "query"),
            ("GET /guests/**", "whole part"),
            ("GET /guests/a*", "whole part"),
            ("GET /guests/../x", "dots"),
            ("GET /guests/%2F", "inside of a part"),
        ] {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
