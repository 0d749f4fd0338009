//! Calls over TLS, and tokens that are bound to a certificate of the caller's. The certificates,
//! each with its key, are signed by themselves and hold until 2120.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use serde_json::{Value, json};
use tandem_client::key::SigningKey;
use tandem_client::sign::Signer;
use tandem_client::system_time;
use tandem_client::{ApiClient, ClientTls, Reply};
use tandem_web::tls::Tls;

use crate::api::application;
use crate::conformance::golden;
use crate::service::{BOOK, Running};

pub(crate) fn file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls");
    folder.join(format!("{name}.pem"))
}

/// A service over TLS that asks for certificates or does not.
pub(crate) fn start(client_certificates: bool) -> Running {
    Running::start_over(Tls {
        chain: file("server"),
        key: file("server"),
        client_certificates,
    })
}

/// TLS of a caller that trusts the server, with a certificate of its own or without.
pub(crate) fn tls(certificate: Option<&str>) -> ClientTls {
    let read = |name| std::fs::read_to_string(file(name)).unwrap();
    let mut tls = ClientTls::default();
    tls.trust(&read("server")).unwrap();
    if let Some(name) = certificate {
        tls.show(&read(name)).unwrap();
    }
    tls
}

fn metadata(running: &Running) -> Value {
    let client = running.client_over(tls(None), "bazaar");
    let found = client.0.read("/.well-known/oauth-authorization-server");
    found.unwrap().json()
}

#[test]
fn a_service_speaks_tls() {
    let running = start(false);
    let mut platform = running.client_over(tls(None), "bazaar");
    let (status, decided) = platform.post("/applications", &application("A-1"));
    assert_eq!((status, &decided["state"]), (201, &json!("offered")));
    assert_eq!(platform.get("/applications/A-1").0, 200);
    let bound = "tls_client_certificate_bound_access_tokens";
    assert_eq!(metadata(&running)[bound], false);

    // Whoever does not trust the certificate does not call.
    let mut stranger = running.client("bazaar");
    let refused = stranger.0.call("GET", "/v1/agreements", None, None);
    let refused = refused.unwrap_err();
    assert!(refused.contains("invalid peer certificate"), "{refused}");

    // A certificate that nobody asked for binds nothing.
    let mut shows = running.client_over(tls(Some("one")), "bazaar");
    let refused = shows.0.call("GET", "/v1/agreements", None, None);
    let refused = refused.unwrap_err();
    assert!(refused.contains("the DPoP proof is missing"), "{refused}");
}

/// Shows a certificate with a key of the test's choice.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A caller who shows a certificate and has this key.
fn caller(
    version: &'static SupportedProtocolVersion,
    certificate: &str,
    key: &str,
) -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let certificate = CertificateDer::from_pem_file(file(certificate)).unwrap();
    let key = PrivateKeyDer::from_pem_file(file(key)).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let shows = Shows(Arc::new(CertifiedKey::new(vec![certificate], key)));
    let mut trusted = RootCertStore::empty();
    let server = CertificateDer::from_pem_file(file("server")).unwrap();
    trusted.add(server).unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(trusted)
        .with_client_cert_resolver(Arc::new(shows));
    Arc::new(config)
}

/// The status line that a caller gets, and whether its connection went on with an earlier session.
fn asked(
    running: &Running,
    caller: &Arc<ClientConfig>,
    path: &str,
    token: &str,
) -> Option<(String, bool)> {
    let (_, address) = running.base.split_once("//").unwrap();
    let mut connection =
        ClientConnection::new(Arc::clone(caller), "127.0.0.1".try_into().unwrap()).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    let mut stream = rustls::Stream::new(&mut connection, &mut socket);
    // The server may hang up before all is written.
    let _ = write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    Some((line.trim().to_owned(), resumed))
}

#[test]
fn a_certificate_counts_for_whom_has_its_key() {
    let running = start(true);
    for version in [&TLS12, &TLS13] {
        let with_its_key = asked(&running, &caller(version, "one", "one"), "/healthz", "");
        assert_eq!(with_its_key, Some(("HTTP/1.1 200 OK".to_owned(), false)));
        let with_another = caller(version, "one", "other");
        assert_eq!(asked(&running, &with_another, "/healthz", ""), None);
    }
}

/// What a client gets that asks for a token with certificate `one`.
fn token_of_one(running: &Running, (name, pem): &(String, String)) -> (Signer, Value) {
    let key = || SigningKey::from_pem(pem).unwrap();
    let certified = ApiClient::over(tls(Some("one")), &running.base, name, key()).unwrap();
    let signer = Signer::with_certificate(&running.base, name, key());
    let (fields, body) = signer.token_request(None, system_time()).unwrap();
    let answer = certified.send("POST", "/oauth/token", &fields, body.as_bytes());
    let answer = answer.unwrap().json();
    (signer, answer)
}

#[test]
fn a_session_that_goes_on_keeps_its_certificate() {
    let running = start(true);
    let (_, answer) = token_of_one(&running, &running.register("bazaar"));
    let token = answer["access_token"].as_str().unwrap();
    for version in [&TLS12, &TLS13] {
        for (certificate, status) in [("one", "200 OK"), ("other", "401 Unauthorized")] {
            let caller = caller(version, certificate, certificate);
            for resumed in [false, true] {
                let answer = asked(&running, &caller, "/v1/agreements", token);
                assert_eq!(answer, Some((format!("HTTP/1.1 {status}"), resumed)));
            }
        }
    }
}

/// A client whose tokens are bound to certificate `one`.
struct Bound<'a> {
    running: &'a Running,
    signer: Signer,
    token: String,
}

impl<'a> Bound<'a> {
    /// The client that got this answer for a token.
    fn new(running: &'a Running, signer: Signer, answer: &Value) -> Bound<'a> {
        assert_eq!(answer["token_type"], "Bearer", "{answer}");
        Bound {
            running,
            signer,
            token: answer["access_token"].as_str().unwrap().to_owned(),
        }
    }

    /// Fields of a call with the token, signed if it is a POST.
    fn fields(&self, method: &str, path: &str, body: &[u8]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        if method == "POST" {
            fields.insert("idempotency-key", HeaderValue::from_static("key"));
            fields.insert("content-type", HeaderValue::from_static("application/json"));
        }
        let signed = self
            .signer
            .sign(&self.token, method, path, &mut fields, body, system_time());
        signed.unwrap();
        fields
    }

    /// Calls over a connection with a certificate or without.
    fn send(
        &self,
        certificate: Option<&str>,
        method: &str,
        path: &str,
        fields: &HeaderMap,
        body: &[u8],
    ) -> Reply {
        let client = self.running.client_over(tls(certificate), "bazaar");
        client.0.send(method, path, fields, body).unwrap()
    }
}

#[test]
fn a_token_is_bound_to_a_certificate() {
    let running = start(true);
    let bound = "tls_client_certificate_bound_access_tokens";
    assert_eq!(metadata(&running)[bound], true);

    // The whole way, by the client that partners use.
    let mut platform = running.client_over(tls(Some("one")), "bazaar");
    let (status, decided) = platform.post("/applications", &application("A-1"));
    assert_eq!((status, &decided["state"]), (201, &json!("offered")));
    assert_eq!(platform.get("/applications/A-1").0, 200);

    let client = running.register("bazaar");
    let (signer, answer) = token_of_one(&running, &client);
    let case = Bound::new(&running, signer, &answer);
    let path = format!("/v1/agreements/{BOOK}");
    let get = case.fields("GET", &path, b"");
    let post_path = format!("{path}/applications");
    let body = application("A-2").to_string();
    let body = body.as_bytes();
    let post = case.fields("POST", &post_path, body);

    let mut found = String::new();
    let mut show = |name: &str, reply: &Reply| {
        let (answer, challenge) = (reply.json(), reply.headers.get("www-authenticate"));
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let challenge = challenge.map_or("", |value| value.to_str().unwrap());
        let (code, detail) = match answer.get("error") {
            Some(_) => (text("error"), text("error_description")),
            None => (text("code"), text("detail")),
        };
        writeln!(
            found,
            "{name}\n  {} {code}\n  {detail}\n  {challenge}\n",
            reply.status
        )
        .unwrap();
    };
    for (kind, certificate) in [
        ("its certificate", Some("one")),
        ("another certificate", Some("other")),
        ("no certificate", None),
    ] {
        let reply = case.send(certificate, "GET", &path, &get, b"");
        show(&format!("with {kind}"), &reply);
        let reply = case.send(certificate, "POST", &post_path, &post, body);
        show(&format!("signed, with {kind}"), &reply);
    }
    let mut as_dpop = get.clone();
    let dpop = HeaderValue::try_from(format!("DPoP {}", case.token)).unwrap();
    as_dpop.insert("authorization", dpop);
    let reply = case.send(Some("one"), "GET", &path, &as_dpop, b"");
    show("with its certificate, as a DPoP token", &reply);

    // A proof asks for a token that is bound to its key, whatever the connection shows.
    let proving = Signer::new(
        &running.base,
        &client.0,
        SigningKey::from_pem(&client.1).unwrap(),
    )
    .unwrap();
    let (fields, form) = proving.token_request(None, system_time()).unwrap();
    let answer = case.send(
        Some("one"),
        "POST",
        "/oauth/token",
        &fields,
        form.as_bytes(),
    );
    assert_eq!(answer.json()["token_type"], "DPoP");
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let mut fields = HeaderMap::new();
    let as_bearer = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    fields.insert("authorization", as_bearer);
    let reply = case.send(Some("one"), "GET", &path, &fields, b"");
    show("a token that is bound to a key, as a bearer token", &reply);

    // Without either there is no token.
    let (fields, form) = case.signer.token_request(None, system_time()).unwrap();
    let reply = case.send(None, "POST", "/oauth/token", &fields, form.as_bytes());
    show("a token, with neither certificate nor proof", &reply);

    // What a sandbox says of it.
    let check = "/v1/signature-check";
    for (kind, certificate) in [("its", Some("one")), ("another", Some("other"))] {
        let fields = case.fields("POST", check, b"{}");
        let reply = case.send(certificate, "POST", check, &fields, b"{}");
        for one in reply.json()["checks"].as_array().unwrap() {
            let text = one["detail"].as_str().unwrap().lines().next().unwrap();
            let (name, passed) = (one["name"].as_str().unwrap(), &one["passed"]);
            let certificate = name == "client_certificate";
            let text = if certificate { text } else { "" };
            writeln!(found, "checked with {kind}: {name} {passed} {text}").unwrap();
        }
    }
    golden("tls.txt", &found);
}

/// What a proxy writes counts in place of the connection, which is the proxy's.
#[test]
fn a_token_is_bound_to_a_certificate_that_a_proxy_was_shown() {
    let running = Running::start_behind_a_proxy();
    let bound = "tls_client_certificate_bound_access_tokens";
    assert_eq!(metadata(&running)[bound], true);
    let shown = |name: Option<&str>, fields: &mut HeaderMap| {
        fields.remove("client-cert");
        if let Some(name) = name {
            let certificate = CertificateDer::from_pem_file(file(name)).unwrap();
            let field = format!(":{}:", STANDARD.encode(certificate));
            fields.insert("client-cert", HeaderValue::try_from(field).unwrap());
        }
    };
    let (name, pem) = running.register("bazaar");
    let signer =
        Signer::with_certificate(&running.base, &name, SigningKey::from_pem(&pem).unwrap());
    let client = running.client("bazaar");
    let (mut fields, form) = signer.token_request(None, system_time()).unwrap();
    shown(Some("one"), &mut fields);
    let answer = client
        .0
        .send("POST", "/oauth/token", &fields, form.as_bytes());
    let answer = answer.unwrap().json();
    let case = Bound::new(&running, signer, &answer);
    let path = format!("/v1/agreements/{BOOK}");
    let mut fields = case.fields("GET", &path, b"");
    for (certificate, status) in [(Some("one"), 200), (Some("other"), 401), (None, 401)] {
        shown(certificate, &mut fields);
        let reply = client.0.send("GET", &path, &fields, b"").unwrap();
        assert_eq!(reply.status, status, "{}", reply.json());
    }
}
