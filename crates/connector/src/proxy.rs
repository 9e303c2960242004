//! The HTTP proxy between a store and its cloud: one that is configured, or the system's.
//!
//! The system's is what `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name, else what Windows and macOS have
//! in their settings. One that is configured is used for the cloud whatever `NO_PROXY` says.

#[cfg(any(windows, test))]
mod winhttp;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use serde::Deserialize;
use serde::de::Error;
use tokio_tungstenite::tungstenite::http::Uri;
use url::Url;

/// `http://[NAME:PASSWORD@]HOST[:PORT]`. Printed, it shows neither name nor password.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyAddress(Url);

impl ProxyAddress {
    /// With name and password, for who has to prove them to the proxy.
    pub(crate) fn with_password(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for ProxyAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // What was written is not repeated: a password may be in it.
        let url: Url = text.parse().map_err(|_| "it is not an address")?;
        if url.scheme() != "http" {
            return Err("it must begin with http://");
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("it names no host");
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err("it must end with the host or the port");
        }
        Ok(Self(url))
    }
}

impl<'de> Deserialize<'de> for ProxyAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.0.port_or_known_default().unwrap_or(80);
        write!(f, "http://{}:{port}", self.0.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which proxy leads where. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Proxies {
    from: Source,
    matcher: Arc<Matcher>,
}

/// Who says which proxy is used.
#[derive(Clone, Debug)]
enum Source {
    Configured(ProxyAddress),
    /// The settings for services of a Windows machine, which nothing else reads.
    #[cfg(windows)]
    Machine(winhttp::Settings),
    /// The environment, or the settings of the account.
    Account,
}

impl Source {
    fn of_system() -> Self {
        #[cfg(windows)]
        if !is_set_for_account()
            && let Ok(key) = windows_registry::LOCAL_MACHINE.open(winhttp::KEY)
            && let Some(settings) = winhttp::read(&key)
        {
            return Self::Machine(settings);
        }
        Self::Account
    }
}

/// Whether the environment or the account that this runs as say something about proxies.
#[cfg(windows)]
fn is_set_for_account() -> bool {
    // Names of variables have no case on Windows.
    let names = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"];
    let key = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings";
    let enabled = || windows_registry::CURRENT_USER.open(key)?.get_u32("ProxyEnable");
    names.iter().any(|name| std::env::var_os(name).is_some()) || enabled().is_ok_and(|enabled| enabled != 0)
}

impl Proxies {
    /// The one that is configured, else the system's.
    pub(crate) fn new(configured: Option<&ProxyAddress>) -> Self {
        let from = configured.cloned().map_or_else(Source::of_system, Source::Configured);
        let matcher = match &from {
            Source::Configured(proxy) => Matcher::builder().all(proxy.with_password()).build(),
            #[cfg(windows)]
            Source::Machine(settings) => {
                let winhttp::Settings { http, https, no } = settings.clone();
                Matcher::builder().http(http).https(https).no(no).build()
            }
            Source::Account => Matcher::from_system(),
        };
        Self { from, matcher: Arc::new(matcher) }
    }

    /// The proxy on the way to this address; none when there is a direct way.
    pub(crate) fn on_the_way_to(&self, address: &Uri) -> Option<Intercept> {
        self.matcher.intercept(address)
    }

    /// Has a client go the same ways.
    pub(crate) fn lead(&self, client: reqwest::ClientBuilder) -> reqwest::Result<reqwest::ClientBuilder> {
        Ok(match &self.from {
            Source::Configured(proxy) => client.no_proxy().proxy(reqwest::Proxy::all(proxy.with_password())?),
            #[cfg(windows)]
            Source::Machine(winhttp::Settings { http, https, no }) => {
                let mut client = client.no_proxy();
                let direct = || reqwest::NoProxy::from_string(no);
                if !http.is_empty() {
                    client = client.proxy(reqwest::Proxy::http(http)?.no_proxy(direct()));
                }
                if !https.is_empty() {
                    client = client.proxy(reqwest::Proxy::https(https)?.no_proxy(direct()));
                }
                client
            }
            // What it takes by itself.
            Source::Account => client,
        })
    }
}

/// What a proxy is called where people read it: without its name and password.
pub(crate) fn shown(proxy: &Intercept) -> String {
    let uri = proxy.uri();
    format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_its_password_never_shown() {
        let proxy: ProxyAddress = "http://till:s3cret@proxy.example:3128".parse().unwrap();
        assert_eq!(format!("{proxy} {proxy:?}"), "http://proxy.example:3128 http://proxy.example:3128");
        let proxies = Proxies::new(Some(&proxy));
        let on_the_way = proxies.on_the_way_to(&Uri::from_static("https://cloud.example:8443")).unwrap();
        assert_eq!(shown(&on_the_way), "proxy.example:3128");
        assert_eq!(on_the_way.basic_auth().unwrap(), "Basic dGlsbDpzM2NyZXQ=");
        assert!(!format!("{proxies:?}").contains("s3cret"));
        assert!(!format!("{proxies:?}").contains("dGlsbDpzM2NyZXQ"));
    }

    #[test]
    fn what_is_no_address_of_a_proxy_is_refused_without_repeating_it() {
        for text in ["socks5://p:1", "https://p", "http://", "p:3128", "http://p/x", "http://u:s3cret@p/?q"] {
            let error = text.parse::<ProxyAddress>().unwrap_err();
            assert!(!error.contains("s3cret"), "{text}: {error}");
        }
    }
}
