//! Signing in by a provider of identities (`OpenID` Connect): what is accepted of client and provider.

use std::net::{Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, TimeDelta, Utc};
use openidconnect::url::{Host, Url};

use super::user::normal_email;

/// How long a person has at the provider.
pub const ATTEMPT_LIFE: TimeDelta = TimeDelta::minutes(10);
/// How far the clocks of the provider and the cloud may be apart.
pub const SKEW: TimeDelta = TimeDelta::minutes(2);
/// The longest address to come back to, in bytes.
const MAX_REDIRECT_BYTES: usize = 500;

/// Whether a native app may be come back to there (RFC 8252, 7.3): by HTTP, at a loopback address rather than
/// a name that could lead elsewhere, and at a port of the app's own.
pub fn is_loopback_redirect(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip == Ipv4Addr::LOCALHOST,
        Some(Host::Ipv6(ip)) => ip == Ipv6Addr::LOCALHOST,
        Some(Host::Domain(_)) | None => false,
    };
    loopback
        && text.len() <= MAX_REDIRECT_BYTES
        && url.scheme() == "http"
        && url.port().is_some_and(|port| port != 0)
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

/// Whether a provider may be spoken to there: by HTTPS, or on this machine.
pub fn is_safe_endpoint(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

/// What a provider says of who signed in there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The provider.
    pub issuer: String,
    /// The account there; never given to anybody else.
    pub subject: String,
    /// The account's e-mail.
    pub email: Option<String>,
    /// Whether the provider has made sure that the e-mail is that person's.
    pub email_verified: bool,
    /// When the provider last had that person prove who they are, if it says so.
    pub proved_at: Option<DateTime<Utc>>,
}

impl Claimed {
    /// The e-mail by which the user is found, when it can be relied on: it is verified, and of one of the domains of
    /// which the provider is believed. No domains are all of them.
    pub fn verified_email(&self, domains: &[String]) -> Option<String> {
        let email = self.email.as_deref().filter(|_| self.email_verified).map(normal_email)?;
        let (_, domain) = email.rsplit_once('@')?;
        (domains.is_empty() || domains.iter().any(|believed| believed == domain)).then_some(email)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_comes_back_to_ones_own_machine_only() {
        for good in ["http://127.0.0.1:49152/callback", "http://[::1]:8000/", "http://127.0.0.1:1/a/b"] {
            assert!(is_loopback_redirect(good), "{good}");
        }
        let long = format!("http://127.0.0.1:9/{}", "x".repeat(500));
        for bad in [
            "https://127.0.0.1:49152/",
            "http://127.0.0.1/",
            "http://127.0.0.1:0/",
            "http://localhost:49152/",
            "http://127.0.0.2:49152/",
            "http://127.0.0.1.example.com:49152/",
            "http://127.0.0.1:80@example.com:9/",
            "http://user@127.0.0.1:49152/",
            "http://127.0.0.1:49152/?to=elsewhere",
            "http://127.0.0.1:49152/#here",
            "http://[::ffff:127.0.0.1]:49152/",
            "tillwatch://callback",
            "javascript:alert(1)",
            "/callback",
            "",
            &long,
        ] {
            assert!(!is_loopback_redirect(bad), "{bad}");
        }
    }

    #[test]
    fn providers_are_spoken_to_in_private() {
        let check = |text: &str| is_safe_endpoint(&Url::parse(text).unwrap());
        assert!(
            check("https://login.example.com/x")
                && check("http://localhost:3000")
                && check("http://[::1]:3/")
        );
        assert!(
            !check("http://login.example.com/") && !check("http://10.0.0.1/") && !check("ftp://localhost/")
        );
    }

    #[test]
    fn an_email_that_nobody_verified_finds_nobody() {
        let claimed = |email: Option<&str>, email_verified| Claimed {
            issuer: "https://login.example.com".into(),
            subject: "1".into(),
            email: email.map(Into::into),
            email_verified,
            proved_at: None,
        };
        let anna = Some("anna@example.com".to_owned());
        assert_eq!(claimed(Some(" Anna@Example.com"), true).verified_email(&[]), anna);
        assert_eq!(claimed(Some("anna@example.com"), false).verified_email(&[]), None);
        assert_eq!(claimed(None, true).verified_email(&[]), None);

        let domains = ["chain.example".to_owned(), "example.com".to_owned()];
        assert_eq!(claimed(Some("anna@example.com"), true).verified_email(&domains), anna);
        for foreign in ["anna@other.example", "anna@sub.example.com", "anna@notexample.com", "example.com"] {
            assert_eq!(claimed(Some(foreign), true).verified_email(&domains), None, "{foreign}");
        }
    }
}
