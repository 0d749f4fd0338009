//! The server: its routes, its socket, and how it begins and ends.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use tandem_client::system_time;

use crate::audit::{self, Act, Audit, Entry};
use crate::connections::{Counting, Limits, impatient};
use crate::console::{self, Console};
use crate::desk::Role;
use crate::problem::{self, KINDS, Problem};
use crate::tls::Tls;
use crate::trace::Known;
use crate::{Service, access, api, metrics, trace, vault, webhooks};

/// How long requests under way may take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// How often the files of the certificate are looked at.
const RENEWED: Duration = Duration::from_secs(60);

/// Where the server listens.
pub struct Socket {
    /// The listening socket.
    pub listener: TcpListener,
    /// For TLS.
    pub tls: Option<Tls>,
    /// How many connections there may be.
    pub limits: Limits,
}

/// All routes of a service.
pub fn routes(service: &Arc<Service>) -> Router {
    let described = Router::new()
        .route("/", get(async || Redirect::to("/console")))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::show))
        .route("/openapi.json", get(openapi))
        .route("/docs", get(api::docs))
        .route("/problems", get(async || Redirect::to("/docs#problems")))
        .route("/problems/{code}", get(problem_kind));
    api::routes(service)
        .merge(described)
        .fallback(api::nothing)
        .with_state(service.clone())
        .merge(console::router(Console::of(service)))
        .merge(access::routes(service.access.clone()))
        .layer(from_fn_with_state(service.clone(), measure))
}

/// Serves until the process is told to stop, then ends the books.
pub async fn serve(service: Arc<Service>, socket: Socket) -> Result<(), String> {
    let app = routes(&service).into_make_service_with_connect_info::<SocketAddr>();
    let handle = Handle::new();
    tokio::spawn(end(service.clone(), handle.clone()));
    tokio::spawn(webhooks::run(service.clone()));
    tokio::spawn(audit::run(service.audit.clone()));
    tokio::spawn(vault::run(service.clone()));
    let server = axum_server::from_tcp(socket.listener).map_err(|error| error.to_string())?;
    let server = impatient(
        server.handle(handle),
        &service.proxies,
        socket.limits.patience,
    );
    let counting = Counting::of(&service, socket.limits);
    let served = match socket.tls {
        None => server.acceptor(counting).serve(app).await,
        Some(tls) => {
            let known = tls.changed();
            let config = RustlsConfig::from_config(tls.read()?);
            tokio::spawn(tls.renew(known, config.clone(), RENEWED));
            let acceptor = RustlsAcceptor::new(config).handshake_timeout(socket.limits.patience);
            let server = server.acceptor(acceptor.acceptor(counting));
            server.serve(app).await
        }
    };
    service.audit.flush().await;
    trace::flush();
    served.map_err(|error| error.to_string())?;
    for desk in service.desks.values() {
        if let Role::Stopped(message) = desk.role() {
            return Err(format!("book `{}`: {message}", desk.name()));
        }
    }
    Ok(())
}

/// Waits for a signal or for a book that stops by itself, and then ends the server.
async fn end(service: Arc<Service>, handle: Handle<SocketAddr>) {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    let terminated = async {
        match &mut terminate {
            Ok(signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    let stopped = futures_util::future::select_all(service.desks.values().map(|desk| {
        let mut roles = desk.roles();
        Box::pin(async move {
            let _ = roles
                .wait_for(|role| matches!(role, Role::Stopped(_)))
                .await;
        })
    }));
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
        _ = stopped => {}
    }
    tracing::info!("stopping");
    handle.graceful_shutdown(Some(GRACE));
}

/// Ready once every book has an owner that is known.
async fn ready(State(service): State<Arc<Service>>) -> Response {
    let roles = service.desks.values().map(|desk| {
        let role = match desk.role() {
            Role::Opening => "opening".to_owned(),
            Role::Owner => "owner".to_owned(),
            Role::Standby(node) => format!("standby of {node}"),
            Role::Stopped(message) => format!("stopped: {message}"),
        };
        (desk.name().to_owned(), role)
    });
    let roles: std::collections::BTreeMap<_, _> = roles.collect();
    let up = |role: &String| role == "owner" || role.starts_with("standby");
    let status = match roles.values().all(up) {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(roles)).into_response()
}

async fn openapi() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/json")],
        api::document(),
    )
}

async fn problem_kind(Path(code): Path<String>) -> Response {
    match KINDS.iter().find(|kind| kind.code == code) {
        Some(kind) => Json(serde_json::json!({
            "code": kind.code,
            "status": kind.status,
            "title": kind.title,
            "retryable": kind.retryable,
        }))
        .into_response(),
        None => Problem::new(
            problem::NOT_FOUND,
            "no kind of problem has this code; /problems has all",
        )
        .into_response(),
    }
}

/// What a call leaves in the audit log, also if its caller does not wait for the answer. The
/// console notes its own.
struct Noting {
    audit: Arc<Audit>,
    method: Method,
    uri: Uri,
    origin: Option<IpAddr>,
    known: Arc<Known>,
    answered: bool,
}

impl Noting {
    fn of(service: &Service, request: &Request) -> Noting {
        Noting {
            audit: Arc::clone(&service.audit),
            method: request.method().clone(),
            uri: request.uri().clone(),
            origin: service.proxies.origin(request),
            known: Arc::default(),
            answered: false,
        }
    }

    /// An entry about whoever is known and may have changed something or got a token, and about
    /// whoever did not show who it is. The console's own refusals are its own to note.
    fn entry(&self, response: Option<&Response>) -> Option<Entry> {
        let status = response.map(Response::status);
        let act = match (self.known.is_verified(), self.known.caller()) {
            (true, Some(_)) if !access::is_safe(&self.method) => Act::Called,
            (false, _) if is_unshown(status) && !self.uri.path().starts_with("/console") => {
                Act::CallFailed
            }
            _ => return None,
        };
        let (client, party) = self.known.caller().unwrap_or_default();
        let mut entry = Entry::new((party, ""), act, self.uri.path(), system_time());
        entry.client = client.to_owned();
        let origin = self.origin.map(|origin| origin.to_string());
        entry.address = origin.unwrap_or_default();
        entry.method = self.method.as_str().to_owned();
        entry.status = status.map(|status| status.as_u16());
        let about = self.known.about().into_iter();
        let about = about.map(|(name, value)| (name.to_owned(), Entry::value(&value)));
        let id = response.and_then(trace::interaction_id);
        let id = id.map(|id| ("interaction".to_owned(), id.to_owned()));
        entry.fields = about.chain(id).collect();
        Some(entry)
    }

    fn answered(mut self, response: &Response) -> Option<Entry> {
        self.answered = true;
        self.entry(Some(response))
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        let entry = (!self.answered).then(|| self.entry(None)).flatten();
        if let Some(entry) = entry {
            self.audit.left(entry);
        }
    }
}

/// True if a call got no further than the question who calls: a token, proof or signature that is
/// missing or wrong, or what is signed that cannot be read.
fn is_unshown(status: Option<StatusCode>) -> bool {
    matches!(
        status,
        Some(StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED)
    )
}

/// Counts and times every call, and refuses to be framed or sniffed.
async fn measure(
    State(service): State<Arc<Service>>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(shown) = service.proxies.shown(&request) {
        request.extensions_mut().insert(shown);
    }
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let matched = matched.as_ref().map(MatchedPath::as_str);
    let route = matched.unwrap_or("other");
    let method = request.method().clone();
    let noting = Noting::of(&service, &request);
    let parent = trace::sent(request.headers());
    let (mut response, followed) =
        trace::follow(parent, noting.known.clone(), next.run(request)).await;
    service
        .metrics
        .call(&method, route, response.status().as_u16(), &followed);
    followed.record(&method, matched, &response);
    if let Some(entry) = noting.answered(&response) {
        service.audit.called(entry).await;
    }
    let headers = response.headers_mut();
    api::announce(&method, route, headers);
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
