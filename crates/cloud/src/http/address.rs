//! From where a request comes.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::config::{Config, Tls};
use crate::state::AppState;

/// The other end of the connection that a request came over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The address of who asks: the peer, or whom a trusted proxy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl std::fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl ClientAddress {
    /// By what tries are counted: of IPv6 the network, as each of its hosts has addresses without end.
    pub(crate) fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(ip) => ip.into(),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        }
    }
}

impl FromRequestParts<AppState> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<Peer>().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0);
        Ok(Self(client(peer, &parts.headers, &state.config)))
    }
}

/// The last address in the chain of proxies that no trusted proxy stands at.
fn client(peer: IpAddr, headers: &HeaderMap, config: &Config) -> IpAddr {
    // Without TLS of our own there is a proxy on this machine.
    let trusted = |ip: &IpAddr| {
        config.trusted_proxies.contains(ip) || (config.tls == Tls::Insecure && ip.is_loopback())
    };
    let mut named: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    let mut client = peer.to_canonical();
    while trusted(&client) {
        match named.pop().and_then(|text| text.trim().parse::<IpAddr>().ok()) {
            Some(before) => client = before.to_canonical(),
            None => break,
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_say_for_whom_they_ask() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let config = Config { trusted_proxies: vec![ip("10.0.0.5")], ..Config::new("x") };
        let check = |peer: &str, lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            client(ip(peer), &headers, &config)
        };
        assert_eq!(check("192.0.2.1", &["198.51.100.7"]), ip("192.0.2.1"), "anybody can write a header");
        assert_eq!(check("10.0.0.5", &["198.51.100.7"]), ip("198.51.100.7"));
        assert_eq!(check("::ffff:10.0.0.5", &["198.51.100.7"]), ip("198.51.100.7"));
        assert_eq!(check("10.0.0.5", &["1.1.1.1, 198.51.100.7"]), ip("198.51.100.7"), "the rest is hearsay");
        assert_eq!(check("10.0.0.5", &["1.1.1.1", "198.51.100.7, 10.0.0.5"]), ip("198.51.100.7"));
        assert_eq!(check("10.0.0.5", &["nonsense"]), ip("10.0.0.5"));
        assert_eq!(check("10.0.0.5", &[]), ip("10.0.0.5"));
        assert_eq!(check("127.0.0.1", &["1.1.1.1"]), ip("127.0.0.1"));
    }

    #[test]
    fn tries_of_one_ipv6_network_count_together() {
        let of = |text: &str| ClientAddress(text.parse().unwrap()).network();
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:3:4:5:6"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
