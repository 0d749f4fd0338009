//! From where a call comes, and with which certificate, also where proxies stand before the
//! service.
//!
//! Anybody can write what proxies write, so it counts only as far as it comes from proxies that
//! the operator trusts: from the connection backwards, the first hop that is none of them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::extract::ConnectInfo;
use axum::extract::Request;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::ParsedCertificate;

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

/// The network of an address, as far as one caller has it to itself: of IPv6 the upper half.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
    }
}

/// The same of an address as it is written; what is none stays.
pub(crate) fn network_named(address: &str) -> String {
    let parsed = address.parse().map(network);
    parsed.map_or_else(|_| address.to_owned(), |network| network.to_string())
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
    /// Whether they write which certificate a caller showed them.
    pub certificates: bool,
}

/// The certificate (DER) that a caller showed to a trusted proxy, if it showed one. The proxy's own
/// does not count then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown(pub(crate) Option<Vec<u8>>);

impl Proxies {
    /// From where a request comes; none if it came by no connection, as in tests.
    pub fn origin(&self, request: &Request) -> Option<IpAddr> {
        let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
        Some(self.behind(peer.ip().to_canonical(), request.headers()))
    }

    /// What a trusted proxy says of its caller's certificate; none if the call did not come from
    /// one.
    pub(crate) fn shown(&self, request: &Request) -> Option<Shown> {
        let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
        let counts = self.certificates && self.trusts(peer.ip().to_canonical());
        counts.then(|| Shown(certificate(request.headers())))
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

    /// True if an address, in its shortest form, is that of a proxy.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
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

/// The certificate in the field `Client-Cert`: as RFC 9440 writes it, or in PEM with what cannot
/// stand in a field as `%2B`, as nginx does.
fn certificate(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut fields = headers.get_all("client-cert").iter();
    let (field, more) = (fields.next()?.to_str().ok()?, fields.next());
    let bytes = field
        .strip_prefix(':')
        .and_then(|rest| rest.strip_suffix(':'));
    let read = match bytes {
        Some(bytes) => STANDARD.decode(bytes).ok(),
        None => {
            let pem: Vec<u8> = percent_decode_str(field).collect();
            let certificate = CertificateDer::from_pem_slice(&pem);
            certificate.ok().map(|certificate| certificate.to_vec())
        }
    };
    let is_certificate =
        |der: &Vec<u8>| ParsedCertificate::try_from(&CertificateDer::from_slice(der)).is_ok();
    let read = read.filter(|der| more.is_none() && is_certificate(der));
    if read.is_none() && !field.is_empty() {
        tracing::warn!("a proxy wrote a Client-Cert that is no certificate, or several");
    }
    read
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use axum::body::Body;
    use axum::http::{HeaderName, HeaderValue};
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    use super::*;

    fn origin(field: &str, peer: &str, sent: &[(&'static str, &'static str)]) -> String {
        let trusted = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"];
        let proxies = Proxies {
            trusted: trusted.map(|network| network.parse().unwrap()).into(),
            field: field.parse().unwrap(),
            certificates: false,
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
    fn a_certificate_counts_if_a_trusted_proxy_says_so() {
        let shown = |certificates: bool, peer: &str, fields: &[&str]| {
            let proxies = Proxies {
                trusted: vec!["10.0.0.0/8".parse().unwrap()],
                certificates,
                ..Proxies::default()
            };
            let mut request = Request::new(Body::empty());
            let peer = SocketAddr::new(peer.parse().unwrap(), 4_711);
            request.extensions_mut().insert(ConnectInfo(peer));
            for field in fields {
                let field = HeaderValue::from_str(field).unwrap();
                request.headers_mut().append("client-cert", field);
            }
            proxies.shown(&request)
        };
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls/one.pem");
        let pem = std::fs::read_to_string(file).unwrap();
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .unwrap()
            .to_vec();
        let standard = format!(":{}:", STANDARD.encode(&der));
        let escaped = utf8_percent_encode(&pem, NON_ALPHANUMERIC).to_string();
        for field in [&standard, &escaped] {
            assert_eq!(
                shown(true, "10.1.2.3", &[field]),
                Some(Shown(Some(der.clone())))
            );
        }
        let made_up = ["", "::", ":AAAA:", ":no:", "no"].map(|field| vec![field]);
        for fields in made_up
            .into_iter()
            .chain([vec![], vec![standard.as_str(), escaped.as_str()]])
        {
            assert_eq!(
                shown(true, "10.1.2.3", &fields),
                Some(Shown(None)),
                "{fields:?}"
            );
        }
        assert_eq!(shown(true, "203.0.113.9", &[&standard]), None);
        assert_eq!(shown(false, "10.1.2.3", &[&standard]), None);
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
