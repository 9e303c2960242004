//! The address of a cloud as people type it.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::error::{AppError, LocalCode};

/// Makes an origin of `host`, `host:port` or a URL; what a browser's address bar had behind the host is dropped.
/// Plain `http://` is for this computer only.
pub(crate) fn normalise(typed: &str) -> Result<Url, AppError> {
    let typed = typed.trim();
    let invalid = |why: &dyn std::fmt::Display| AppError::from(LocalCode::InvalidAddress).detail(why);
    if typed.is_empty() || typed.contains(char::is_whitespace) {
        return Err(invalid(&"an address is a name or number without spaces"));
    }
    let text = if typed.contains("://") { typed.to_owned() } else { format!("https://{typed}") };
    let url = Url::parse(&text).map_err(|error| invalid(&error))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(&"an address carries no user"));
    }
    let Some(host) = url.host() else { return Err(invalid(&"there is no host")) };
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&host) => {}
        "http" => return Err(invalid(&"only https is safe across a network")),
        _ => return Err(invalid(&"an address begins with https://")),
    }
    let origin = url.origin().ascii_serialization();
    Url::parse(&origin).map_err(|error| invalid(&error))
}

/// Whether the host is this computer.
pub(crate) fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => *address == Ipv4Addr::LOCALHOST || address.is_loopback(),
        Host::Ipv6(address) => *address == Ipv6Addr::LOCALHOST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_becomes_an_origin() {
        for (typed, origin) in [
            ("cloud.example.com", "https://cloud.example.com/"),
            (" Cloud.Example.com:8443 ", "https://cloud.example.com:8443/"),
            ("https://cloud.example.com:443/stores?x=1#top", "https://cloud.example.com/"),
            ("localhost:8443", "https://localhost:8443/"),
            ("127.0.0.1:8443", "https://127.0.0.1:8443/"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("http://[::1]:8080/", "http://[::1]:8080/"),
            ("https://пример.рф", "https://xn--e1afmkfd.xn--p1ai/"),
        ] {
            assert_eq!(normalise(typed).unwrap().as_str(), origin, "{typed}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for typed in [
            "",
            "  ",
            "a b",
            "http://cloud.example.com",
            "ftp://x",
            "https://",
            "https://me:pw@x",
            "host:99999",
            "file:///etc",
        ] {
            assert_eq!(normalise(typed).unwrap_err().code, "invalid_address", "{typed}");
        }
    }
}
