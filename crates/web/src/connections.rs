//! Connections: how many there may be, of one network and of all, and how slow they may be.
//!
//! What a caller sends is asked for its token only once its head is there, so until then a
//! connection is all that can be counted.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum_server::Server;
use axum_server::accept::Accept;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::Service;
use crate::metrics::Metrics;
use crate::proxy::{Proxies, network};

/// How long a trusted proxy's connection may wait for its next call: longer than proxies keep them.
const PROXY_IDLE_TIME: Duration = Duration::from_secs(75);
/// How long whoever is answered may take nothing of it.
const STALL_TIME: Duration = Duration::from_secs(30);
/// Bytes that a head may have.
const HEAD: usize = 32 << 10;
/// Seconds between two lines of the log about connections that are refused.
const SAID_AGAIN: Duration = Duration::from_secs(60);

/// Connections that there may be at the same time, and how slow they may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of all callers. Each takes a file descriptor.
    pub all: NonZeroUsize,
    /// Of one address, or of one /64 of IPv6, unless it is that of a trusted proxy.
    pub per_address: NonZeroUsize,
    /// How long agreeing on TLS may take, how long a head, and how long a connection may wait for its
    /// next call.
    pub patience: Duration,
}

impl Default for Limits {
    /// 800, and 200 of one address, since most systems give a process 1,024 file descriptors; ten
    /// seconds.
    fn default() -> Limits {
        let number = |number| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
        Limits {
            all: number(800),
            per_address: number(200),
            patience: Duration::from_secs(10),
        }
    }
}

/// Has a server close connections that are slow, and speak HTTP/1.1 only, which it offers in TLS too.
pub(crate) fn impatient<A>(
    server: Server<SocketAddr, A>,
    proxies: &Proxies,
    patience: Duration,
) -> Server<SocketAddr, A> {
    // Once a first call was made, a slow head costs no more than an idle connection.
    let idle = match proxies.trusted.is_empty() {
        true => patience,
        false => PROXY_IDLE_TIME,
    };
    let mut server = server.http1_only().first_request_timeout(patience);
    let mut builder = server.http_builder().http1();
    builder.header_read_timeout(idle).max_buf_size(HEAD);
    server
}

/// Counts connections, and closes at once those that are too many.
#[derive(Clone)]
pub(crate) struct Counting(Arc<Counts>);

struct Counts {
    limits: Limits,
    proxies: Proxies,
    open: Gauge,
    refused: Counter,
    held: Mutex<Holders>,
}

#[derive(Default)]
struct Holders {
    all: usize,
    by_network: HashMap<IpAddr, usize>,
    /// When the log last said that some are refused.
    said: Option<Instant>,
}

impl Counting {
    pub(crate) fn of(service: &Service, limits: Limits) -> Counting {
        Counting::new(limits, &service.proxies, &service.metrics)
    }

    fn new(limits: Limits, proxies: &Proxies, metrics: &Metrics) -> Counting {
        Counting(Arc::new(Counts {
            limits,
            proxies: proxies.clone(),
            open: metrics.connections.clone(),
            refused: metrics.connections_refused.clone(),
            held: Mutex::default(),
        }))
    }

    /// A place for a connection from an address, or why there is none.
    fn hold(&self, address: IpAddr) -> Result<Held, String> {
        let counts = &self.0;
        let address = address.to_canonical();
        let network = (!counts.proxies.trusts(address)).then(|| network(address));
        let mut held = counts.held();
        let of_network = network.and_then(|network| held.by_network.get(&network));
        let of_network = of_network.copied().unwrap_or(0);
        let Limits {
            all, per_address, ..
        } = counts.limits;
        let refusal = if held.all >= all.get() {
            format!("there are {all} of them (--connections)")
        } else if of_network >= per_address.get() {
            format!("this address has {per_address} of them (--connections-per-address)")
        } else {
            held.all += 1;
            if let Some(network) = network {
                held.by_network.insert(network, of_network + 1);
            }
            counts.open.inc();
            let counts = Arc::clone(counts);
            return Ok(Held { counts, network });
        };
        let refusal = format!("a connection from {address} is refused: {refusal}");
        counts.refused.inc();
        if held.said.is_none_or(|said| said.elapsed() >= SAID_AGAIN) {
            held.said = Some(Instant::now());
            tracing::warn!("{refusal}");
        }
        Err(refusal)
    }
}

impl Counts {
    fn held(&self) -> MutexGuard<'_, Holders> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a connection, until it is closed.
struct Held {
    counts: Arc<Counts>,
    network: Option<IpAddr>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.counts.held();
        held.all -= 1;
        if let Some(network) = self.network
            && let Some(count) = held.by_network.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                held.by_network.remove(&network);
            }
        }
        self.counts.open.dec();
    }
}

impl<S> Accept<TcpStream, S> for Counting {
    type Stream = Connection;
    type Service = S;
    type Future = Ready<io::Result<(Connection, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let held = stream
            .peer_addr()
            .and_then(|peer| self.hold(peer.ip()).map_err(io::Error::other));
        ready(held.map(|held| {
            let connection = Connection {
                stream,
                stalled: None,
                _held: held,
            };
            (connection, service)
        }))
    }
}

/// A connection that has a place, and ends if nothing of an answer is taken.
pub(crate) struct Connection {
    stream: TcpStream,
    /// Runs while there is something to write that is not taken.
    stalled: Option<Pin<Box<Sleep>>>,
    _held: Held,
}

impl Connection {
    /// What became of writing, unless it has been waited for too long.
    fn in_time<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(STALL_TIME)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.in_time(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_all_together_have_a_limit_and_proxies_only_that_of_all() {
        let limits = Limits {
            all: NonZeroUsize::new(4).unwrap(),
            per_address: NonZeroUsize::new(2).unwrap(),
            ..Limits::default()
        };
        let proxies = Proxies {
            trusted: vec!["10.0.0.0/8".parse().unwrap()],
            ..Proxies::default()
        };
        let metrics = Metrics::default();
        let counting = Counting::new(limits, &proxies, &metrics);
        let hold = |address: &str| counting.hold(address.parse().unwrap());
        let said = |address: &str| hold(address).err();
        let first = hold("2001:db8::1").unwrap();
        let _second = hold("2001:db8::ffff:2").unwrap();
        assert_eq!(
            said("2001:db8::3").as_deref(),
            Some(
                "a connection from 2001:db8::3 is refused: this address has 2 of them \
                 (--connections-per-address)"
            )
        );
        drop(first);
        let _third = hold("2001:db8::3").unwrap();
        let of_a_proxy = [hold("10.0.0.1").unwrap(), hold("::ffff:10.0.0.1").unwrap()];
        assert_eq!(
            said("192.0.2.1").as_deref(),
            Some("a connection from 192.0.2.1 is refused: there are 4 of them (--connections)")
        );
        drop(of_a_proxy);
        assert!(said("192.0.2.1").is_none());
        let counted = (metrics.connections.get(), metrics.connections_refused.get());
        assert_eq!(counted, (2, 2));
        assert_eq!(counting.0.held().by_network.len(), 1);
    }
}
