//! From where a call comes, also where proxies stand before the service.
//!
//! Anybody can write what proxies write, so it counts only as far as it comes from proxies that
//! the operator trusts: from the connection backwards, the first hop that is none of them.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::extract::ConnectInfo;
use axum::extract::Request;
use axum::http::HeaderMap;

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl FromStr for Network {
    type Err = String;

    /// Reads `10.0.0.1` or `10.0.0.0/8`, and the same of IPv6.
    fn from_str(text: &str) -> Result<Network, String> {
        let wrong = || format!("`{text}` is no address and no network, such as 10.0.0.0/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(all);
        (bits <= all)
            .then_some(Network { address, bits })
            .ok_or_else(wrong)
    }
}

impl Network {
    fn has(&self, address: IpAddr) -> bool {
        let differ = |one: u128, other: u128, all: u32| match self.bits {
            0 => 0,
            bits => (one ^ other) >> (all - bits),
        };
        0 == match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                differ(u32::from(own).into(), u32::from(other).into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => differ(own.into(), other.into(), 128),
            _ => 1,
        }
    }
}

/// Where a proxy writes from where it was called. Only one counts, for a proxy that writes one of
/// them may pass on the other as anybody sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field {
    /// `X-Forwarded-For`, as most do.
    #[default]
    ForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Field, String> {
        match text {
            "x-forwarded-for" => Ok(Field::ForwardedFor),
            "forwarded" => Ok(Field::Forwarded),
            _ => Err("write x-forwarded-for or forwarded".to_owned()),
        }
    }
}

/// The proxies that are trusted; by default none.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// Where they are.
    pub trusted: Vec<Network>,
    /// What they write.
    pub field: Field,
}

impl Proxies {
    /// From where a request comes; none if it came by no connection, as in tests.
    pub fn origin(&self, request: &Request) -> Option<IpAddr> {
        let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
        Some(self.behind(peer.ip().to_canonical(), request.headers()))
    }

    fn behind(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = peer;
        if !self.trusts(address) {
            return address;
        }
        let name = match self.field {
            Field::ForwardedFor => "x-forwarded-for",
            Field::Forwarded => "forwarded",
        };
        let values = headers.get_all(name).iter();
        let values: Vec<_> = values
            .map(|value| value.to_str().unwrap_or_default())
            .collect();
        let hops = values.iter().rev().flat_map(|value| value.rsplit(','));
        for hop in hops {
            // What it says beyond something that is no address is anybody's word.
            let Some(before) = self.hop(hop) else { break };
            address = before;
            if !self.trusts(address) {
                break;
            }
        }
        address
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.has(address))
    }

    fn hop(&self, text: &str) -> Option<IpAddr> {
        let node = match self.field {
            Field::ForwardedFor => text.trim(),
            Field::Forwarded => {
                let mut pairs = text
                    .split(';')
                    .filter_map(|pair| pair.trim().split_once('='));
                let (_, node) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
                node.trim_matches('"')
            }
        };
        let socket = || node.parse::<SocketAddr>().ok().map(|socket| socket.ip());
        let plain = node.trim_start_matches('[').trim_end_matches(']');
        let address = plain.parse().ok().or_else(socket)?;
        Some(IpAddr::to_canonical(&address))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn origin(field: &str, peer: &str, sent: &[(&'static str, &'static str)]) -> String {
        let trusted = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"];
        let proxies = Proxies {
            trusted: trusted.map(|network| network.parse().unwrap()).into(),
            field: field.parse().unwrap(),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_static(value));
        }
        proxies.behind(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn an_address_counts_as_far_as_it_comes_from_trusted_proxies() {
        let xff = |peer: &str, sent: &'static str| {
            origin("x-forwarded-for", peer, &[("x-forwarded-for", sent)])
        };
        assert_eq!(xff("10.1.2.3", "203.0.113.9"), "203.0.113.9");
        // Who is no proxy says nothing.
        assert_eq!(xff("203.0.113.9", "198.51.100.1"), "203.0.113.9");
        assert_eq!(xff("11.0.0.1", "198.51.100.1"), "11.0.0.1");
        // What a caller made up stands before what the proxy wrote.
        assert_eq!(xff("10.1.2.3", "1.1.1.1, 203.0.113.9"), "203.0.113.9");
        // Through several proxies.
        assert_eq!(
            xff("10.1.2.3", "1.1.1.1, 203.0.113.9, 192.0.2.7,10.9.9.9"),
            "203.0.113.9"
        );
        assert_eq!(xff("10.1.2.3", "10.0.0.4, 10.0.0.5"), "10.0.0.4");
        assert_eq!(xff("10.1.2.3", "1.1.1.1, unknown"), "10.1.2.3");
        assert_eq!(xff("10.1.2.3", ""), "10.1.2.3");
        assert_eq!(xff("10.1.2.3", "203.0.113.9:8080"), "203.0.113.9");
        assert_eq!(xff("2001:db8::1", "::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(xff("2001:db8::1", "[2001:aaaa::9]:443"), "2001:aaaa::9");
        // Fields that come several times are one list.
        let two = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "203.0.113.9"),
        ];
        assert_eq!(origin("x-forwarded-for", "10.1.2.3", &two), "203.0.113.9");
    }

    #[test]
    fn only_the_field_counts_that_proxies_write() {
        let both = [
            (
                "forwarded",
                "proto=https;For=\"[2001:aaaa::9]:4711\", for=10.4.4.4;by=10.1.2.3",
            ),
            ("x-forwarded-for", "203.0.113.9"),
        ];
        assert_eq!(origin("forwarded", "10.1.2.3", &both), "2001:aaaa::9");
        assert_eq!(origin("x-forwarded-for", "10.1.2.3", &both), "203.0.113.9");
        assert_eq!(origin("forwarded", "10.1.2.3", &both[1..]), "10.1.2.3");
        let hidden = [("forwarded", "for=1.1.1.1, for=_hidden")];
        assert_eq!(origin("forwarded", "10.1.2.3", &hidden), "10.1.2.3");
    }

    #[test]
    fn what_is_no_network_is_said() {
        for text in ["", "ten", "10.0.0.0/33", "10.0.0.0/x", "::/129"] {
            let said = text.parse::<Network>().unwrap_err();
            assert_eq!(
                said,
                format!("`{text}` is no address and no network, such as 10.0.0.0/8")
            );
        }
        let said = "via".parse::<Field>().unwrap_err();
        assert_eq!(said, "write x-forwarded-for or forwarded");
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.has("8.8.8.8".parse().unwrap()) && !all.has("::1".parse().unwrap()));
    }
}
