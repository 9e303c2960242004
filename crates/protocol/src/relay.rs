//! What a relayed request may look like. The cloud refuses what has no such form, and the connector, which
//! trusts no cloud, reads it once more before it looks into the store's allow list.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest path with its query, in bytes.
pub const MAX_TARGET_BYTES: usize = 2048;
/// How deep JSON may be nested: enough for any document, little enough for any reader.
pub const MAX_DEPTH: usize = 64;
/// How long an answer is waited for when the request does not say.
pub const DEFAULT_TIMEOUT_MS: u32 = 5000;
/// How long an answer is waited for at most.
pub const MAX_TIMEOUT_MS: u32 = 30_000;

/// The HTTP methods that are relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Makes or does something.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Deletes.
    Delete,
}

impl Method {
    /// Every method there is.
    pub const ALL: &[Self] = &[Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// The method as HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Path and query of a request, read in one way only, so that nobody takes a path for another: parts between
/// slashes are decoded once, and whatever servers are known to read differently is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    parts: Vec<String>,
    query: Option<String>,
}

/// Why a text is no [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Longer than [`MAX_TARGET_BYTES`].
    #[error("must have at most {MAX_TARGET_BYTES} bytes")]
    TooLong,
    /// An address, or a relative path.
    #[error("must begin with /")]
    NotAbsolute,
    /// What a URL can't hold as it is.
    #[error("must be percent-encoded like a URL, without a fragment")]
    NotEncoded,
    /// `%` without two hexadecimal digits, or bytes that are no UTF-8.
    #[error("has a percent-encoding that means nothing")]
    BadEncoding,
    /// `//`, or a slash at the end.
    #[error("must not have empty parts")]
    EmptyPart,
    /// `.` and `..`.
    #[error("must not have parts of dots")]
    Dots,
    /// A slash, backslash, semicolon, percent or control character inside of a part.
    #[error("must not have / \\ ; % or control characters inside of a part")]
    Forbidden,
}

impl Target {
    /// Reads path and query as they stand in a request.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text.len() > MAX_TARGET_BYTES {
            return Err(TargetError::TooLong);
        }
        if !text.starts_with('/') {
            return Err(TargetError::NotAbsolute);
        }
        if !text.bytes().all(may_stand) {
            return Err(TargetError::NotEncoded);
        }
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
        if let Some(query) = query
            && decode(query)?.contains(char::is_control)
        {
            return Err(TargetError::Forbidden);
        }
        Ok(Self { parts: parts(path)?, query: query.map(str::to_owned) })
    }

    /// The parts of the path, decoded; none for `/`.
    pub fn parts(&self) -> &[String] {
        &self.parts
    }

    /// The path with its parts encoded in one fixed way.
    pub fn path(&self) -> String {
        if self.parts.is_empty() {
            return "/".into();
        }
        let mut path = String::new();
        for part in &self.parts {
            path.push('/');
            encode(part, &mut path);
        }
        path
    }

    /// What follows the `?`, as it came.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())?;
        self.query.as_ref().map_or(Ok(()), |query| write!(f, "?{query}"))
    }
}

/// The decoded parts of a path that begins with a slash.
pub fn parts(path: &str) -> Result<Vec<String>, TargetError> {
    match path {
        "/" => Ok(Vec::new()),
        _ => path.strip_prefix('/').ok_or(TargetError::NotAbsolute)?.split('/').map(part).collect(),
    }
}

/// Decodes a part of a path.
pub fn part(encoded: &str) -> Result<String, TargetError> {
    let part = decode(encoded)?;
    if part.is_empty() {
        return Err(TargetError::EmptyPart);
    }
    // Windows drops dots and spaces at the end of a name.
    if part.chars().all(|c| c == '.' || c.is_whitespace()) {
        return Err(TargetError::Dots);
    }
    // A percent would be an encoding for who decodes twice; a semicolon cuts the part for some servers.
    if part.chars().any(|c| c.is_control() || "/\\;%".contains(c)) {
        return Err(TargetError::Forbidden);
    }
    Ok(part)
}

/// What may stand in a path or query (RFC 3986: `pchar`, `/`, `?`), percent signs included.
fn may_stand(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte)
}

fn decode(text: &str) -> Result<String, TargetError> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => (high * 16 + low) as u8,
                _ => return Err(TargetError::BadEncoding),
            }
        } else {
            byte
        });
    }
    String::from_utf8(decoded).map_err(|_| TargetError::BadEncoding)
}

fn encode(part: &str, into: &mut String) {
    use fmt::Write;
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte) {
            into.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

/// Whether JSON is nested no deeper than [`MAX_DEPTH`]. What is deeper could not be read at the other end.
pub fn is_shallow(value: &Value) -> bool {
    fn within(value: &Value, depth: usize) -> bool {
        match value {
            Value::Array(items) => depth > 0 && items.iter().all(|item| within(item, depth - 1)),
            Value::Object(members) => depth > 0 && members.values().all(|item| within(item, depth - 1)),
            _ => true,
        }
    }
    within(value, MAX_DEPTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_in_one_way() {
        for (text, parts, canonical) in [
            ("/", &[][..], "/"),
            ("/guest-accounts/1", &["guest-accounts", "1"], "/guest-accounts/1"),
            ("/%67uests/A%20b", &["guests", "A b"], "/guests/A%20b"),
            ("/r%C4%ABga", &["rīga"], "/r%C4%ABga"),
            ("/a%2a/b:c@d", &["a*", "b:c@d"], "/a*/b:c@d"),
            ("/.well-known/a..b/...c", &[".well-known", "a..b", "...c"], "/.well-known/a..b/...c"),
            ("/guests?card=77%2F1&x=//..;", &["guests"], "/guests?card=77%2F1&x=//..;"),
            ("/guests?", &["guests"], "/guests?"),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.parts(), parts, "{text}");
            assert_eq!(target.to_string(), canonical, "{text}");
            assert_eq!(Target::parse(canonical).as_ref(), Ok(&target), "{text}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        use TargetError::{BadEncoding, Dots, EmptyPart, Forbidden, NotAbsolute, NotEncoded, TooLong};
        for (text, error) in [
            ("", NotAbsolute),
            ("guests", NotAbsolute),
            ("http://evil.example/", NotAbsolute),
            ("?card=1", NotAbsolute),
            ("*", NotAbsolute),
            ("//evil.example/guests", EmptyPart),
            ("/guests/", EmptyPart),
            ("/guests//1", EmptyPart),
            ("/guest-accounts/../x", Dots),
            ("/guest-accounts/.", Dots),
            ("/guest-accounts/%2e%2e/x", Dots),
            ("/guest-accounts/%2E./x", Dots),
            ("/guest-accounts/..%20", Dots),
            ("/guest-accounts/%20", Dots),
            ("/guest-accounts/..;/x", Forbidden),
            ("/guest-accounts;a=b/1", Forbidden),
            ("/guest-accounts/%3Bx", Forbidden),
            ("/guest-accounts/..%2Fx", Forbidden),
            ("/guest-accounts/..%5cx", Forbidden),
            ("/guest-accounts/%252e%252e", Forbidden),
            ("/guest-accounts/%00", Forbidden),
            ("/guest-accounts/a%0d%0aHost:%20b", Forbidden),
            ("/guest-accounts/a%C2%85", Forbidden),
            ("/guests?card=%0A", Forbidden),
            ("/guest-accounts/%", BadEncoding),
            ("/guest-accounts/%2", BadEncoding),
            ("/guest-accounts/%zz", BadEncoding),
            ("/guest-accounts/%+1", BadEncoding),
            ("/guest-accounts/%C0%AE%C0%AE", BadEncoding),
            ("/guest-accounts/%FF", BadEncoding),
            ("/guests?card=%FF", BadEncoding),
            ("/guests#x", NotEncoded),
            ("/guest accounts", NotEncoded),
            ("/guest-accounts\\..\\x", NotEncoded),
            ("/guest-accounts/\0", NotEncoded),
            ("/guest-accounts/1\r\nHost: b", NotEncoded),
            ("/rīga", NotEncoded),
            ("/guest-accounts/\u{ff0e}\u{ff0e}/x", NotEncoded),
            ("/\u{202e}x", NotEncoded),
            ("/guests?card=\u{660}", NotEncoded),
            (&format!("/{}", "x".repeat(MAX_TARGET_BYTES)), TooLong),
        ] {
            assert_eq!(Target::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn depth_is_counted() {
        let nested = |levels: usize| {
            (0..levels).fold(Value::Null, |inner, level| {
                if level % 2 == 0 { Value::from(vec![inner]) } else { serde_json::json!({ "a": inner }) }
            })
        };
        assert!(is_shallow(&nested(MAX_DEPTH)));
        assert!(!is_shallow(&nested(MAX_DEPTH + 1)));
    }

    #[test]
    fn methods_are_written_as_http_does() {
        for &method in Method::ALL {
            assert_eq!(serde_json::to_value(method).unwrap(), method.as_str());
        }
        assert!(serde_json::from_str::<Method>("\"get\"").is_err());
        assert!(serde_json::from_str::<Method>("\"CONNECT\"").is_err());
    }
}
