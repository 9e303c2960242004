//! The proxy that an administrator set for the services of a Windows machine, with `netsh winhttp set proxy`.
//!
//! Windows keeps it as bytes: three numbers (a version, a count of changes, flags), then the proxy and the hosts
//! without one, each a length and a text. Numbers have four bytes, the lowest first.

#[cfg(windows)]
use windows_registry::Key;

/// Where it is kept, below the local machine.
#[cfg(windows)]
pub(super) const KEY: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Internet Settings\Connections";
/// The flag by which there is a proxy, and not only a direct way.
const PROXY: u32 = 2;

/// What is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// Where requests over HTTP go.
    pub(super) http: String,
    /// Where those over HTTPS go.
    pub(super) https: String,
    /// To whom they go directly, as `NO_PROXY` has it.
    pub(super) no: String,
}

/// What is set below a key; none when there is no proxy.
#[cfg(windows)]
pub(super) fn read(key: &Key) -> Option<Settings> {
    let value = key.get_value("WinHttpSettings").ok()?;
    parse(&value)
}

/// Reads the bytes; none when they name no proxy, or are none of these.
fn parse(bytes: &[u8]) -> Option<Settings> {
    let mut rest = bytes.get(8..)?;
    if number(&mut rest)? & PROXY == 0 {
        return None;
    }
    let (proxies, bypass) = (text(&mut rest)?, text(&mut rest)?);
    let of = |scheme: &str| {
        let mut entries = proxies.split([';', ' ']).filter(|entry| !entry.is_empty());
        entries.find_map(|entry| match entry.split_once('=') {
            Some((of, address)) => of.eq_ignore_ascii_case(scheme).then(|| address.to_owned()),
            None => Some(entry.to_owned()),
        })
    };
    let (http, https) = (of("http").unwrap_or_default(), of("https").unwrap_or_default());
    if http.is_empty() && https.is_empty() {
        return None;
    }
    // `<local>` means names without a dot, which no cloud has.
    let no: Vec<&str> = bypass
        .split([';', ' '])
        .map(|host| host.strip_prefix('*').unwrap_or(host))
        .filter(|host| !host.is_empty() && *host != "<local>")
        .collect();
    Some(Settings { http, https, no: no.join(",") })
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, more) = rest.split_first_chunk()?;
    *rest = more;
    Some(u32::from_le_bytes(*bytes))
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (bytes, more) = rest.split_at_checked(length)?;
    *rest = more;
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(flags: u32, proxies: &str, bypass: &str) -> Vec<u8> {
        let length = |text: &str| u32::try_from(text.len()).unwrap().to_le_bytes().to_vec();
        let numbers = [0x28_u32, 7, flags].map(u32::to_le_bytes).concat();
        [numbers, length(proxies), proxies.into(), length(bypass), bypass.into()].concat()
    }

    fn settings(http: &str, https: &str, no: &str) -> Settings {
        Settings { http: http.into(), https: https.into(), no: no.into() }
    }

    #[test]
    fn one_proxy_is_for_everything() {
        let read = parse(&bytes(3, "proxy.example:3128", "<local>;*.corp.example;till"));
        assert_eq!(read, Some(settings("proxy.example:3128", "proxy.example:3128", ".corp.example,till")));
    }

    #[test]
    fn each_scheme_may_have_its_own() {
        let read = parse(&bytes(3, "http=one:80;HTTPS=two:443", ""));
        assert_eq!(read, Some(settings("one:80", "two:443", "")));
        assert_eq!(parse(&bytes(3, "https=two:443", "")), Some(settings("", "two:443", "")));
        assert_eq!(parse(&bytes(3, "ftp=one:80", "")), None);
    }

    #[test]
    fn without_a_proxy_there_is_a_direct_way() {
        assert_eq!(parse(&bytes(1, "", "")), None);
        assert_eq!(parse(&bytes(1, "left.behind:80", "")), None);
        assert_eq!(parse(&bytes(3, "", "")), None);
    }

    #[test]
    fn bytes_that_end_early_or_lie_about_their_length_name_nothing() {
        let whole = bytes(3, "proxy.example:3128", "till");
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), None, "{end}");
        }
        let mut lie = whole.clone();
        lie[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(parse(&lie), None);
        lie = bytes(3, "proxy\u{fffd}.example", "");
        *lie.iter_mut().find(|byte| **byte == 0xef).unwrap() = 0xff;
        assert_eq!(parse(&lie), None);
    }

    /// Below a key of the test's own: what the machine has is everybody's.
    #[cfg(windows)]
    #[test]
    fn it_is_read_from_the_registry() {
        let path = format!(r"Software\Tillwatch test {}", uuid::Uuid::new_v4());
        let key = windows_registry::CURRENT_USER.create(&path).unwrap();
        assert_eq!(read(&key), None);
        key.set_bytes("WinHttpSettings", windows_registry::Type::Bytes, &bytes(3, "proxy.example:3128", ""))
            .unwrap();
        let found = read(&key);
        windows_registry::CURRENT_USER.remove_tree(&path).unwrap();
        assert_eq!(found, Some(settings("proxy.example:3128", "proxy.example:3128", "")));
    }
}
