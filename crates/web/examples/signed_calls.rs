//! What the security layer costs: signed calls through the middleware, without a network.
//!
//! `cargo run --release -p tandem-web --example signed_calls -- [CALLS] [THREADS]`

use std::error::Error;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request};
use axum::middleware::from_fn_with_state;
use axum::routing::post;
use tandem_client::key::{Algorithm, Jwks, SigningKey};
use tandem_client::sign::Signer;
use tandem_client::system_time;
use tandem_web::access::{ANSWERS, Access, Caller, Client, Gate, SCHEMAS, Settings, layer, routes};
use tandem_web::registry::{NodeFile, Registry};
use tower::ServiceExt as _;

const BASE: &str = "https://api.example";
/// Calls under way at the same time on a thread.
const TASKS: usize = 32;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let calls = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let threads = arguments.next().map_or(Ok(2), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .build()?;
    let folder = std::env::temp_dir().join(format!("tandem-signed-calls-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = [Algorithm::Ed25519, Algorithm::Es256]
        .into_iter()
        .try_for_each(|algorithm| runtime.block_on(measure(algorithm, &folder, calls, threads)));
    std::fs::remove_dir_all(&folder)?;
    measured
}

async fn measure(
    algorithm: Algorithm,
    folder: &Path,
    calls: usize,
    threads: usize,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let file = folder.join("registry.db");
    let registry = Arc::new(Registry::open(&file, &SCHEMAS)?);
    let answers = NodeFile::open(&file, &ANSWERS)?;
    let settings = Settings {
        base: BASE.to_owned(),
        rate: NonZeroU32::new(1_000_000).ok_or("no rate")?,
        client_certificates: false,
    };
    let access = Arc::new(Access::open(
        &settings,
        Arc::clone(&registry),
        &answers,
        folder,
    )?);
    let key = SigningKey::from_pem(&SigningKey::generate(algorithm)?)?;
    let keys = vec![key.public().to_jwk()];
    let jwks = serde_json::to_string(&Jwks { keys })?;
    let name = algorithm.http();
    Client::new(name, "bazaar", "applications:write", &jwks)?.register(&registry)?;
    let router = Router::new()
        .route(
            "/v1/applications",
            post(async |caller: Caller| caller.party).get(async |caller: Caller| caller.party),
        )
        .layer(from_fn_with_state(Gate::new(Arc::clone(&access)), layer))
        .merge(routes(access));

    let signer = Signer::new(BASE, name, key)?;
    let (headers, body) = signer.token_request(None, system_time())?;
    let mut request = Request::post("/oauth/token").body(Body::from(body))?;
    *request.headers_mut() = headers;
    let response = router.clone().oneshot(request).await?;
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await?;
    let token: serde_json::Value = serde_json::from_slice(&body)?;
    let token = token["access_token"].as_str().ok_or("no token")?;

    for method in ["GET", "POST"] {
        let each = 1e6 / calls as f64;
        let started = Instant::now();
        let body = if method == "POST" {
            "x".repeat(400)
        } else {
            String::new()
        };
        let mut requests = Vec::with_capacity(calls);
        for number in 0..calls {
            let mut request = Request::builder()
                .method(method)
                .uri("/v1/applications")
                .body(Body::from(body.clone()))?;
            let key = HeaderValue::try_from(format!("{name}-{number}"))?;
            let headers = request.headers_mut();
            if method == "POST" {
                headers.insert("idempotency-key", key);
            }
            let (path, body) = ("/v1/applications", body.as_bytes());
            signer.sign(token, method, path, headers, body, system_time())?;
            requests.push(request);
        }
        let signing = started.elapsed().as_secs_f64();

        let tasks = TASKS * threads;
        let mut shares: Vec<Vec<_>> = (0..tasks).map(|_| Vec::new()).collect();
        for (number, request) in requests.into_iter().enumerate() {
            shares[number % tasks].push(request);
        }
        let (started, processor) = (Instant::now(), processor_seconds());
        let running: Vec<_> = shares
            .into_iter()
            .map(|share| {
                let router = router.clone();
                tokio::spawn(async move {
                    for request in share {
                        let response = router.clone().oneshot(request).await?;
                        if !response.status().is_success() {
                            return Err(format!("answered {}", response.status()).into());
                        }
                    }
                    Ok::<_, Box<dyn Error + Send + Sync>>(())
                })
            })
            .collect();
        for task in running {
            task.await??;
        }
        let seconds = started.elapsed().as_secs_f64();
        let processor = processor_seconds() - processor;
        println!(
            "{name} {method}: client signs in {:.0} µs; service answers {:.0} calls/s on {threads} \
             threads, {:.0} µs of processor time each",
            signing * each,
            calls as f64 / seconds,
            processor * each,
        );
    }
    Ok(())
}

/// Processor time of the process so far, of all its threads; 0 where there is no /proc.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = after_name.split_ascii_whitespace().skip(11).take(2);
    // The kernel counts in hundredths of a second.
    fields
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}
