//! Connections that are slow, too large or too many.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use serde_json::json;
use tandem_client::key::SigningKey;
use tandem_client::{ApiClient, ClientTls};
use tandem_web::connections::Limits;
use tandem_web::tls::Tls;
use tokio::net::TcpSocket;

use crate::service::{BOOK, Running};

const PATIENCE: Duration = Duration::from_millis(300);
const CALL: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

fn impatient(tls: Option<Tls>) -> Running {
    let limits = Limits {
        patience: PATIENCE,
        ..Limits::default()
    };
    Running::start_limited(tls, limits)
}

fn address(running: &Running) -> SocketAddr {
    let (_, address) = running.base.split_once("//").unwrap();
    address.parse().unwrap()
}

fn connect(running: &Running) -> TcpStream {
    let stream = TcpStream::connect(address(running)).unwrap();
    let long = Some(Duration::from_secs(20));
    stream.set_read_timeout(long).unwrap();
    stream
}

/// All that comes until the connection is closed.
fn rest(mut stream: &TcpStream) -> String {
    let mut bytes = Vec::new();
    // One that is reset is closed too.
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn who_is_slow_is_not_waited_for() {
    let running = impatient(None);
    for (begun, answered) in [
        (&b""[..], 0),
        (b"GET /healthz HTTP/1.1\r\nHo", 0),
        // A second head that does not come, and one that comes in part.
        (CALL, 1),
        (&[CALL, CALL, b"GET /healthz HT"].concat(), 2),
    ] {
        let start = Instant::now();
        let mut stream = connect(&running);
        stream.write_all(begun).unwrap();
        let came = rest(&stream);
        assert_eq!(came.matches("HTTP/1.1 200 OK").count(), answered, "{came}");
        let took = start.elapsed();
        assert!(took >= PATIENCE && took < 20 * PATIENCE, "{took:?}");
    }
    let over_tls = impatient(Some(Tls {
        chain: crate::tls::file("server"),
        key: crate::tls::file("server"),
        client_certificates: false,
    }));
    let mut stream = connect(&over_tls);
    // The first bytes of a handshake.
    stream.write_all(&[22, 3, 1, 1, 0]).unwrap();
    assert_eq!(rest(&stream), "");
}

#[test]
fn a_large_head_is_refused_and_the_protocol_is_http_1() {
    let running = Running::start();
    let first_line = |head: &str| {
        let mut stream = connect(&running);
        // It may be refused before all of it is written.
        let _ = stream.write_all(head.as_bytes());
        let mut line = [0; 15];
        let read = stream.read(&mut line).unwrap_or(0);
        String::from_utf8_lossy(&line[..read]).into_owned()
    };
    let with = |bytes: usize| {
        let field = "x".repeat(bytes);
        format!("GET /healthz HTTP/1.1\r\nHost: x\r\nx: {field}\r\nConnection: close\r\n\r\n")
    };
    assert_eq!(first_line(&with(30 << 10)), "HTTP/1.1 200 OK");
    assert_eq!(first_line(&with(64 << 10)), "HTTP/1.1 431 Re");
    assert_eq!(first_line("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "");
}

#[tokio::test]
async fn one_address_has_a_share_of_the_connections() {
    let limits = Limits {
        per_address: NonZeroUsize::new(3).unwrap(),
        ..Limits::default()
    };
    let running = Running::start_limited(None, limits);
    let from = async |host: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        let own = format!("{host}:0").parse().unwrap();
        socket.bind(own).unwrap();
        let stream = socket.connect(address(&running)).await.unwrap();
        let stream = stream.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream
    };
    let answered = |mut stream: &TcpStream| {
        // Whoever is refused may be gone already.
        let _ = stream.write_all(CALL);
        let mut line = [0; 15];
        stream.read(&mut line).unwrap_or(0) == line.len()
    };
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(from("127.0.0.2").await);
        assert!(answered(open.last().unwrap()));
    }
    assert!(!answered(&from("127.0.0.2").await));
    assert!(answered(&from("127.0.0.3").await));
    let metrics = ureq::get(format!("{}/metrics", running.base)).call();
    let metrics = metrics.unwrap().body_mut().read_to_string().unwrap();
    assert!(
        metrics.contains("tandem_connections_refused_total 1\n"),
        "{metrics}"
    );
    // Whoever closes one may open another.
    open.pop();
    for _ in 0..100 {
        if answered(&from("127.0.0.2").await) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the place that is free is not given");
}

/// Bodies that do not come hold the room of their party, and nobody's who may not send them.
#[test]
fn bodies_that_do_not_come_keep_out_their_own_party_only() {
    let running = Running::start();
    let path = format!("/v1/agreements/{BOOK}/applications/stream");
    let prepared = |party: &str, scopes: &str| {
        let (name, pem) = running.register_for(party, scopes);
        let key = SigningKey::from_pem(&pem).unwrap();
        let mut client = ApiClient::over(ClientTls::default(), &running.base, &name, key).unwrap();
        let body = Some(("application/x-ndjson", &b"x"[..]));
        let mut head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 16777216\r\n");
        for (name, value) in &client.prepare("POST", &path, None, body).unwrap() {
            head += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        let mut stream = connect(&running);
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        stream
    };
    let answer = |mut stream: &TcpStream| {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    };
    let not_allowed = answer(&prepared("river", "loans:read"));
    assert!(not_allowed.starts_with("HTTP/1.1 403"), "{not_allowed}");
    let held: Vec<_> = (0..8)
        .map(|_| prepared("bazaar", "applications:write"))
        .collect();
    // They may have come a little later than the next one.
    let mut refused = String::new();
    for _ in 0..20 {
        let next = prepared("bazaar", "applications:write");
        next.set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let mut bytes = [0; 4096];
        if let Ok(read) = (&next).read(&mut bytes) {
            refused = String::from_utf8_lossy(&bytes[..read]).into_owned();
            break;
        }
    }
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    let said = "the bodies of party bazaar's calls under way take the 128 MiB that it has";
    assert!(refused.contains(said), "{refused}");
    let mut cloud = running.client("cloud");
    let (status, added) = cloud.post("/webhooks", &json!({"url": "http://127.0.0.1:1/"}));
    assert_eq!(status, 201, "{added}");
    drop(held);
}

#[test]
fn methods_that_are_made_up_are_counted_together() {
    let running = Running::start();
    for method in ["SPRING", "SUMMER", "AUTUMN"] {
        let mut stream = connect(&running);
        let call = format!("{method} /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(call.as_bytes()).unwrap();
        assert!(rest(&stream).starts_with("HTTP/1.1 405"));
    }
    let metrics = ureq::get(format!("{}/metrics", running.base)).call();
    let metrics = metrics.unwrap().body_mut().read_to_string().unwrap();
    assert!(!metrics.contains("SUMMER"), "{metrics}");
    let counted = "tandem_calls_total{method=\"_OTHER\",route=\"/healthz\",status=\"405\"} 3\n";
    assert!(metrics.contains(counted), "{metrics}");
}
