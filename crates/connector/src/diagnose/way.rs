//! The way to the cloud: names and connections.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::Found;
use crate::cloud_client::CloudClient;
use crate::link::{authority, open_tcp};

/// How long an address has to answer when another one of the host may.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a connection to the cloud goes first: to the cloud itself, or to a proxy.
fn first_hop(client: &CloudClient) -> (String, u16, bool) {
    let cloud = client.base().as_str().parse().ok();
    if let Some(proxy) = cloud.and_then(|cloud| client.transport().proxies.on_the_way_to(&cloud)) {
        let host = proxy.uri().host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        return (host, proxy.uri().port_u16().unwrap_or(80), true);
    }
    let (host, port) = authority(client.base());
    (host.trim_matches(['[', ']']).to_owned(), port, false)
}

pub(super) async fn dns(client: &CloudClient) -> Found {
    let (host, port, is_proxy) = first_hop(client);
    let what = if is_proxy { "the proxy " } else { "" };
    let found = lookup_host((host.as_str(), port)).await.map_err(|error| format!("{what}{host}: {error}"))?;
    let found: Vec<_> = found.map(|address| address.ip().to_string()).collect();
    if found.is_empty() {
        Err(format!("{what}{host} has no address"))
    } else {
        Ok(format!("{what}{host} is {}", found.join(", ")))
    }
}

pub(super) async fn tcp(client: &CloudClient) -> Found {
    let (host, port, is_proxy) = first_hop(client);
    if is_proxy {
        let opened = open_tcp(client.base(), client.transport()).await;
        let (cloud, cloud_port) = authority(client.base());
        return match opened {
            Ok(_) => Ok(format!("{cloud}:{cloud_port} answers through the proxy {host}:{port}")),
            Err(error) => Err(error.to_string()),
        };
    }
    let addresses = lookup_host((host.as_str(), port)).await.map_err(|error| format!("{host}: {error}"))?;
    let answers = join_all(addresses.map(|address| async move { (address, answer(address).await) })).await;
    judge(&format!("{host}:{port}"), &answers)
}

async fn answer(address: SocketAddr) -> Result<(), Option<std::io::Error>> {
    match timeout(ANSWER_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Some(error)),
        Err(_) => Err(None),
    }
}

/// What the answers of a host's addresses say together; an error of `None` stands for silence.
fn judge(target: &str, answers: &[(SocketAddr, Result<(), Option<std::io::Error>>)]) -> Found {
    let why = |error: &Option<std::io::Error>| match error {
        Some(error) => error.to_string(),
        None => format!("no answer in {} s", ANSWER_TIMEOUT.as_secs()),
    };
    if !answers.iter().any(|(_, answer)| answer.is_ok()) {
        let all: Vec<_> = answers
            .iter()
            .filter_map(|(address, answer)| {
                answer.as_ref().err().map(|error| format!("{address}: {}", why(error)))
            })
            .collect();
        return Err(if all.is_empty() { format!("{target} has no address") } else { all.join("; ") });
    }
    // A machine without IPv6 says so at once; a network that loses it says nothing.
    let silent = answers.iter().find(|(address, answer)| address.is_ipv6() && matches!(answer, Err(None)));
    Ok(match silent {
        Some((address, _)) => format!(
            "{target} answers over IPv4. IPv6 black hole: {address} does not answer and is not refused either; \
             other programs may be slow until IPv6 works in this network or is turned off"
        ),
        None => format!("{target} answers"),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_network_that_loses_ipv6_is_named_and_a_machine_without_it_is_not() {
        let (v4, v6) = ("192.0.2.1:443".parse().unwrap(), "[2001:db8::1]:443".parse().unwrap());
        let none = || Err(Some(Error::from(ErrorKind::NetworkUnreachable)));
        assert!(judge("cloud:443", &[(v6, Err(None)), (v4, Ok(()))]).unwrap().contains("IPv6 black hole"));
        assert_eq!(judge("cloud:443", &[(v6, none()), (v4, Ok(()))]).unwrap(), "cloud:443 answers");
        assert_eq!(judge("cloud:443", &[(v6, Ok(())), (v4, Err(None))]).unwrap(), "cloud:443 answers");
        let error = judge("cloud:443", &[(v6, none()), (v4, Err(None))]).unwrap_err();
        assert!(
            error.contains("192.0.2.1:443: no answer in 5 s") && error.contains("[2001:db8::1]"),
            "{error}"
        );
    }
}
