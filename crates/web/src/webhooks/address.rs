//! Where events may be sent: not into the network that the service itself is in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::Uri;
use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Longest URL, in bytes.
const LONGEST: usize = 2_000;

/// Checks a URL before anything is sent there.
pub(crate) fn check_url(url: &str, allow_private: bool) -> Result<(), String> {
    let uri: Uri = url
        .parse()
        .map_err(|error| format!("`{url}` is no URL: {error}"))?;
    let scheme = uri.scheme_str().unwrap_or_default();
    if url.len() > LONGEST {
        return Err(format!("a URL has at most {LONGEST} bytes here"));
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.is_empty() || authority.contains('@') {
        return Err(format!("`{url}` must be like https://example.com/events"));
    }
    if scheme != "https" && !(scheme == "http" && allow_private) {
        let schemes = match allow_private {
            true => "http:// or https://",
            false => "https://",
        };
        return Err(format!("`{url}` must begin with {schemes}"));
    }
    let host = uri.host().unwrap_or_default();
    let literal = host.trim_matches(['[', ']']).parse::<IpAddr>();
    match literal {
        Ok(address) if !allow_private && !is_public(address) => Err(not_public(&address)),
        _ => Ok(()),
    }
}

fn not_public(address: &IpAddr) -> String {
    format!("{address} is no public address, and nothing is sent to others")
}

/// What is said of a name with no address and of one with another: which names the operator's
/// network has is no party's business.
fn nowhere() -> ureq::Error {
    ureq::Error::Other("the name has no public address, and nothing is sent to others".into())
}

/// Finds addresses, and gives those only that may be called. What it gives is what is connected to,
/// so a name that changes its address in between gains nothing.
#[derive(Debug, Default)]
pub(super) struct PublicOnly(DefaultResolver);

impl Resolver for PublicOnly {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        let found = match self.0.resolve(uri, config, timeout) {
            Ok(found) => found,
            Err(error @ ureq::Error::Timeout(_)) => return Err(error),
            Err(error) => {
                tracing::info!(host, %error, "nothing is sent to a name that has no address");
                return Err(nowhere());
            }
        };
        let mut public = self.empty();
        for address in found.iter().filter(|address| is_public(address.ip())) {
            public.push(*address);
        }
        match found.first() {
            Some(first) if public.is_empty() => {
                let address = first.ip();
                tracing::info!(host, %address, "nothing is sent to what is no public address");
                Err(nowhere())
            }
            _ => Ok(public),
        }
    }
}

/// Whether an address is one of the public Internet (RFC 6890 and its registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_public_v4(mapped),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        // Between carriers and their customers.
        || (a == 100 && (64..128).contains(&b))
        // Of protocols, and of benchmarks.
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && (18..20).contains(&b))
        // Multicast, reserved, broadcast.
        || a >= 224)
}

/// Global unicast, without documentation and the tunnels that have a v4 address inside.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    first & 0xe000 == 0x2000
        && first != 0x2002
        && (first, second) != (0x2001, 0x0db8)
        && !(first == 0x2001 && second < 0x0200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_called() {
        for address in ["1.1.1.1", "8.8.4.4", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn urls_are_checked() {
        assert_eq!(check_url("https://example.com/events?a=b", false), Ok(()));
        assert_eq!(check_url("http://127.0.0.1:1/", true), Ok(()));
        assert_eq!(
            check_url("ftp://example.com/", true),
            Err("`ftp://example.com/` must begin with http:// or https://".to_owned())
        );
        for (url, expected) in [
            (
                "http://example.com/",
                "`http://example.com/` must begin with https://",
            ),
            (
                "ftp://example.com/",
                "`ftp://example.com/` must begin with https://",
            ),
            (
                "/events",
                "`/events` must be like https://example.com/events",
            ),
            (
                "https://user:word@example.com/",
                "`https://user:word@example.com/` must be like https://example.com/events",
            ),
            (
                "https://10.0.0.1/",
                "10.0.0.1 is no public address, and nothing is sent to others",
            ),
            (
                "https://[::1]/",
                "::1 is no public address, and nothing is sent to others",
            ),
            (
                "https://a b/",
                "`https://a b/` is no URL: invalid uri character",
            ),
        ] {
            assert_eq!(check_url(url, false), Err(expected.to_owned()));
        }
    }

    /// A name is looked at when it is connected to, not when it is registered.
    #[test]
    fn a_name_of_this_machine_is_not_called_and_looks_like_none() {
        let agent = super::super::post::agent(false, std::time::Duration::from_secs(5));
        for url in ["http://localhost:1/", "http://none.invalid/"] {
            let error = agent.get(url).call().unwrap_err();
            assert_eq!(
                error.to_string(),
                "other: the name has no public address, and nothing is sent to others"
            );
        }
    }
}
