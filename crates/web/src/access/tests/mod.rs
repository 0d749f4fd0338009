//! Calls through the middleware, as a partner makes them.

mod decisions;
mod fuzz;
mod idempotency;
mod refusals;
mod vectors;

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use serde_json::Value;
use tandem_client::key::{Algorithm, PublicKey, SigningKey};
use tandem_client::message::{Message, REQUEST_TAG};
use tandem_client::sign::Signer;
use tandem_client::{digest, key, message, proof};
use tower::ServiceExt as _;

use super::*;
use crate::problem::UNAVAILABLE;
use crate::registry::tests::registry;

const BASE: &str = "https://api.example";
const START: i64 = 1_750_000_000;
/// Keys of the tests, so that what they show is the same each time.
const BAZAAR: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF
-----END PRIVATE KEY-----";
const HARBOUR: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB
-----END PRIVATE KEY-----";

fn bazaar_key() -> SigningKey {
    SigningKey::from_pem(BAZAAR).unwrap().named("bazaar-1")
}

fn harbour_key() -> SigningKey {
    SigningKey::from_pem(HARBOUR).unwrap().named("harbour-1")
}

fn new_key(algorithm: Algorithm) -> SigningKey {
    SigningKey::from_pem(&SigningKey::generate(algorithm).unwrap()).unwrap()
}

fn jwks(key: &SigningKey) -> String {
    let keys = vec![key.public().to_jwk()];
    serde_json::to_string(&Jwks { keys }).unwrap()
}

/// A service with two clients, whose clock the test moves.
struct Service {
    access: Arc<Access>,
    registry: Arc<Registry>,
    router: Router,
    time: Arc<AtomicI64>,
    /// Calls that reached the handler of /v1/orders.
    handled: Arc<AtomicUsize>,
    folder: tempfile::TempDir,
}

/// An answer as a test looks at it.
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// A call that a test may change before it is sent.
struct Call {
    method: &'static str,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Service {
    fn new() -> Service {
        Service::with_rate(1_000_000)
    }

    fn with_rate(rate: u32) -> Service {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::open(folder, rate, |_| {});
        let clients = [
            (
                "bazaar-app",
                "bazaar",
                "applications:write loans:read",
                bazaar_key(),
            ),
            ("harbour-app", "harbour", "loans:read", harbour_key()),
        ];
        for (client_id, party, scopes, key) in clients {
            let client = Client::new(client_id, party, scopes, &jwks(&key)).unwrap();
            client.register(&service.registry).unwrap();
        }
        service
    }

    fn open(folder: tempfile::TempDir, rate: u32, adjust: impl FnOnce(&mut Access)) -> Service {
        let path = folder.path().join("registry.db");
        let registry = Arc::new(Registry::open(&path, &SCHEMAS).unwrap());
        let answers = NodeFile::open(&path, &ANSWERS).unwrap();
        let settings = Settings {
            base: BASE.to_owned(),
            rate: NonZeroU32::new(rate).unwrap(),
            client_certificates: false,
        };
        let time = Arc::new(AtomicI64::new(START));
        let clock = Arc::clone(&time);
        let mut access = Access::open(&settings, Arc::clone(&registry), &answers, folder.path())
            .unwrap()
            .with_clock(move || clock.load(Ordering::Relaxed));
        access.body_time = Duration::from_secs(1);
        adjust(&mut access);
        let access = Arc::new(access);
        let handled = Arc::new(AtomicUsize::new(0));
        let gate = Gate {
            scope: |_, route| (route == "/v1/refunds").then_some("payments:write"),
            ..Gate::new(Arc::clone(&access))
        };
        let resources = Router::new()
            .route("/refunds", post(order))
            .route("/orders", post(order))
            .route("/orders/{id}", put(order).delete(order))
            .route("/loans", get(loans))
            .layer(from_fn_with_state(gate, layer))
            .layer(Extension(Arc::clone(&handled)));
        Service {
            router: Router::new()
                .nest("/v1", resources)
                .merge(routes(Arc::clone(&access))),
            access,
            registry,
            time,
            handled,
            folder,
        }
    }

    /// The file with the registry and the answers.
    fn file(&self) -> NodeFile {
        NodeFile::open(&self.folder.path().join("registry.db"), &[]).unwrap()
    }

    fn now(&self) -> i64 {
        self.time.load(Ordering::Relaxed)
    }

    fn later(&self, seconds: i64) {
        self.time.fetch_add(seconds, Ordering::Relaxed);
    }

    fn bazaar(&self) -> Signer {
        Signer::new(BASE, "bazaar-app", bazaar_key()).unwrap()
    }

    fn harbour(&self) -> Signer {
        Signer::new(BASE, "harbour-app", harbour_key()).unwrap()
    }

    async fn send(&self, mut call: Call) -> Answered {
        let body = std::mem::take(&mut call.body);
        self.send_with(call, Body::from(body)).await
    }

    async fn send_with(&self, call: Call, body: Body) -> Answered {
        let mut request = Request::builder().method(call.method).uri(&call.path);
        *request.headers_mut().unwrap() = call.headers;
        let request = request.body(body).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answered {
            status: parts.status,
            headers: parts.headers,
            body: axum::body::to_bytes(body, usize::MAX).await.unwrap(),
        }
    }

    async fn ask_token(&self, signer: &Signer) -> Answered {
        let (headers, body) = signer.token_request(None, self.now()).unwrap();
        self.send(Call {
            method: "POST",
            path: "/oauth/token".to_owned(),
            headers,
            body: body.into_bytes(),
        })
        .await
    }

    async fn token(&self, signer: &Signer) -> String {
        let answer = self.ask_token(signer).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// The answer to a GET of /v1/loans.
    async fn loans(&self, signer: &Signer, token: &str) -> Answered {
        let call = Call::new("GET", "/v1/loans", "").signed(signer, token, self.now());
        self.send(call).await
    }

    /// A POST to /v1/orders with a key, signed.
    fn order(&self, signer: &Signer, token: &str, key: &str, body: &str) -> Call {
        let mut call = Call::new("POST", "/v1/orders", body);
        call.field("idempotency-key", key);
        call.signed(signer, token, self.now())
    }
}

impl Call {
    fn new(method: &'static str, path: &str, body: &str) -> Call {
        Call {
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn field(&mut self, name: &'static str, value: &str) {
        self.headers
            .insert(name, HeaderValue::try_from(value).unwrap());
    }

    fn signed(mut self, signer: &Signer, token: &str, now: i64) -> Call {
        let Call {
            method,
            path,
            headers,
            body,
        } = &mut self;
        signer
            .sign(token, method, path, headers, body, now)
            .unwrap();
        self
    }

    /// Signs anew, as a test wants it.
    fn signed_as(mut self, key: &SigningKey, components: &[&str], created: i64, tag: &str) -> Call {
        let target = format!("{BASE}{}", self.path);
        let components: Vec<_> = components.iter().map(|name| (*name, false)).collect();
        let message = Message {
            method: self.method,
            target: &target,
            status: None,
            headers: &self.headers,
            request: None,
        };
        let (input, signature) = message::sign(&message, &components, created, tag, key).unwrap();
        self.headers.insert("signature-input", input);
        self.headers.insert("signature", signature);
        self
    }

    fn changed(mut self, change: impl FnOnce(&mut Call)) -> Call {
        change(&mut self);
        self
    }
}

impl Answered {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

async fn order(
    caller: Caller,
    Extension(handled): Extension<Arc<AtomicUsize>>,
    body: Bytes,
) -> axum::response::Response {
    if let Err(problem) = caller.require("applications:write") {
        return problem.into_response();
    }
    let number = handled.fetch_add(1, Ordering::SeqCst) + 1;
    if body.as_ref() == b"busy" {
        return Problem::new(UNAVAILABLE, "come back later").into_response();
    }
    if body.as_ref() == b"slow" {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let location = [(header::LOCATION, format!("/v1/orders/{number}"))];
    let text = format!("order {number} of {}", caller.party);
    let mut response = (StatusCode::CREATED, location, text).into_response();
    if body.as_ref() == b"money" {
        response.extensions_mut().insert(Money);
    }
    response
}

async fn loans(caller: Caller) -> Result<String, Problem> {
    caller.require("loans:read")?;
    Ok(format!("loans of {}", caller.party))
}

/// Compares with a golden file, or writes it if TANDEM_UPDATE is set.
fn golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/access/tests")
        .join(name);
    if std::env::var_os("TANDEM_UPDATE").is_some() {
        std::fs::write(&path, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == found,
        "{name} differs; run again with TANDEM_UPDATE=1 and read the diff"
    );
}

#[tokio::test]
async fn a_signed_call_passes_and_its_answer_is_signed() {
    let service = Service::new();
    for algorithm in [Algorithm::Ed25519, Algorithm::Es256] {
        let key = new_key(algorithm);
        let name = format!("app-{}", algorithm.http());
        let client = Client::new(&name, "bazaar", "applications:write", &jwks(&key)).unwrap();
        client.register(&service.registry).unwrap();
        let signer = Signer::new(BASE, &name, key).unwrap();
        let token = service.token(&signer).await;
        for (method, path, body) in [
            ("POST", "/v1/orders?dry=1", "one"),
            ("PUT", "/v1/orders/1", "two"),
            ("DELETE", "/v1/orders/1", ""),
        ] {
            let mut call = Call::new(method, path, body);
            call.field("idempotency-key", &format!("{name}-{method}"));
            let call = call.signed(&signer, &token, service.now());
            let request = call.headers.clone();
            let answer = service.send(call).await;
            assert_eq!(answer.status, 201, "{}", answer.text());
            let verify = |method, path, status, body: &[u8]| {
                signer.verify_answer(
                    &service.access.jwks().known(),
                    (method, path, &request),
                    (status, &answer.headers, body),
                )
            };
            verify(method, path, 201, &answer.body).unwrap();
            verify(method, path, 200, &answer.body).unwrap_err();
            verify(method, "/v1/orders/2", 201, &answer.body).unwrap_err();
            verify(method, path, 201, b"another").unwrap_err();
        }
    }
}

#[tokio::test]
async fn a_get_needs_a_proof_and_no_signature() {
    let service = Service::new();
    let signer = service.bazaar();
    let token = service.token(&signer).await;
    let call = Call::new("GET", "/v1/loans?page=2", "").signed(&signer, &token, service.now());
    let answer = service.send(call).await;
    assert_eq!(answer.text(), "loans of bazaar");
    assert!(!answer.headers.contains_key("signature"));
    assert_eq!(answer.headers["x-fapi-interaction-id"].len(), 36);
}

#[tokio::test]
async fn an_interaction_id_is_echoed_with_refusals_too() {
    let service = Service::new();
    let id = "c770aef3-6784-41f7-8e0e-ff5f97bddb3a";
    let mut call = Call::new("GET", "/v1/loans", "");
    call.field("x-fapi-interaction-id", id);
    let answer = service.send(call).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers["x-fapi-interaction-id"], id);
    assert_eq!(
        answer.headers["www-authenticate"],
        r#"DPoP error="invalid_token", algs="ES256 EdDSA""#
    );
}

#[tokio::test]
async fn a_party_that_sends_too_much_is_told_when_to_come_back() {
    let service = Service::with_rate(3);
    let signer = service.bazaar();
    let token = service.token(&signer).await;
    // On a slow machine the first calls may come too slowly to be too many.
    let mut last = service.loans(&signer, &token).await;
    for _ in 0..1_000 {
        if last.status == 429 {
            break;
        }
        last = service.loans(&signer, &token).await;
    }
    assert_eq!(last.status, 429);
    assert_eq!(last.headers["retry-after"], "1");
    // Another party is not held up.
    let other = service.harbour();
    let token = service.token(&other).await;
    assert_eq!(service.loans(&other, &token).await.status, 200);
}

#[tokio::test]
async fn keys_of_client_and_service_overlap_when_they_are_rotated() {
    let service = Service::new();
    let old = service.bazaar();
    let old_token = service.token(&old).await;
    let next = new_key(Algorithm::Es256);
    let jwk = serde_json::to_string(&next.public().to_jwk()).unwrap();
    Client::rotate(&service.registry, "bazaar-app", &jwk).unwrap();
    service.access.rotate_keys().unwrap();
    service.later(2);
    let new = Signer::new(BASE, "bazaar-app", next).unwrap();
    service.token(&new).await;
    service.token(&old).await;
    assert_eq!(service.loans(&old, &old_token).await.status, 200);
    assert_eq!(service.access.jwks().keys.len(), 2);

    // The next rotation ends the old ones, also if a crash left half of one.
    Client::remove_key(&service.registry, "bazaar-app", "bazaar-1").unwrap();
    let left = service.folder.path().join("signing-keys.pem.new");
    std::fs::write(&left, "-----BEGIN").unwrap();
    service.access.rotate_keys().unwrap();
    assert!(!left.exists());
    service.later(2);
    assert_eq!(service.ask_token(&old).await.status, 401);
    assert_eq!(service.loans(&old, &old_token).await.status, 401);
    assert_eq!(service.access.jwks().keys.len(), 2);
}

#[test]
fn what_cannot_be_registered_says_why() {
    let registry = registry(&SCHEMAS);
    let good = jwks(&bazaar_key());
    let key = bazaar_key().public().to_jwk();
    let three = serde_json::to_string(&Jwks {
        keys: vec![key.clone(), key.clone(), key.clone()],
    });
    let twice = serde_json::to_string(&Jwks {
        keys: vec![key.clone(), key],
    });
    let mut found = String::new();
    let private = good.replace("\"kty\"", "\"d\":\"AAAA\",\"kty\"");
    let cases = [
        ("a b", "loans:read", good.as_str()),
        ("app", "loans:burn", &good),
        ("app", "loans:read", "{}"),
        ("app", "loans:read", r#"{"keys":[]}"#),
        ("app", "loans:read", &three.unwrap()),
        ("app", "loans:read", &twice.unwrap()),
        ("app", "loans:read", &private),
        (
            "app",
            "loans:read",
            r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#,
        ),
        (
            "app",
            "loans:read",
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AQAB"}]}"#,
        ),
    ];
    for (client_id, scopes, keys) in cases {
        let error = Client::new(client_id, "bazaar", scopes, keys).unwrap_err();
        writeln!(found, "{error}").unwrap();
    }
    let client = Client::new("app", "bazaar", "loans:read", &good).unwrap();
    client.register(&registry).unwrap();
    assert_eq!(
        Client::all(&registry).unwrap(),
        std::slice::from_ref(&client)
    );
    let errors = [
        client.register(&registry).unwrap_err(),
        Client::disable(&registry, "nobody", true).unwrap_err(),
        Client::remove_key(&registry, "app", "bazaar-9").unwrap_err(),
        Client::remove_key(&registry, "app", "bazaar-1").unwrap_err(),
    ];
    for error in errors {
        writeln!(found, "{error}").unwrap();
    }
    golden("clients.txt", &found);
}

#[test]
fn a_service_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Arc::new(registry(&SCHEMAS));
    let answers = NodeFile::in_memory(&ANSWERS).unwrap();
    let settings = |base: &str| Settings {
        base: base.to_owned(),
        rate: NonZeroU32::MIN,
        client_certificates: false,
    };
    let open = |base| {
        Access::open(
            &settings(base),
            Arc::clone(&registry),
            &answers,
            folder.path(),
        )
    };
    let mut found = String::new();
    writeln!(found, "{}", open("https://api.example/").err().unwrap()).unwrap();
    writeln!(found, "{}", open("api.example").err().unwrap()).unwrap();
    open(BASE).unwrap();
    let path = folder.path().join("signing-keys.pem");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        writeln!(found, "{}", open(BASE).err().unwrap()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    std::fs::write(&path, "nothing").unwrap();
    writeln!(found, "{}", open(BASE).err().unwrap()).unwrap();
    let folder = folder.path().display().to_string();
    golden("start.txt", &found.replace(&folder, "FOLDER"));
}

#[tokio::test]
async fn what_is_published() {
    let service = Service::new();
    let path = "/.well-known/oauth-authorization-server";
    let answer = service.send(Call::new("GET", path, "")).await;
    let mut lines: Vec<String> = Vec::new();
    for (name, value) in answer.json().as_object().unwrap() {
        lines.push(format!("{name}: {value}\n"));
    }
    lines.sort();
    golden("metadata.txt", &lines.concat());
    let answer = service
        .send(Call::new("GET", "/.well-known/jwks.json", ""))
        .await;
    let jwks: Jwks = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(jwks, service.access.jwks());
    assert!(!answer.text().contains("\"d\""));
}
