//! The server: its routes, its socket, and how it begins and ends.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use axum_server::Handle;

use crate::console::{self, Console};
use crate::desk::Role;
use crate::problem::{self, KINDS, Problem};
use crate::tls::Tls;
use crate::{Service, access, api, metrics, trace, webhooks};

/// How long requests under way may take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Where the server listens.
pub struct Socket {
    /// The listening socket.
    pub listener: TcpListener,
    /// For TLS.
    pub tls: Option<Tls>,
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
    let served = match socket.tls {
        None => {
            let server =
                axum_server::from_tcp(socket.listener).map_err(|error| error.to_string())?;
            server.handle(handle).serve(app).await
        }
        Some(tls) => {
            let server = axum_server::from_tcp_rustls(socket.listener, tls.read()?);
            let server = server.map_err(|error| error.to_string())?;
            server.handle(handle).serve(app).await
        }
    };
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

/// Counts and times every call, and refuses to be framed or sniffed.
async fn measure(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let matched = matched.as_ref().map(MatchedPath::as_str);
    let route = matched.unwrap_or("other");
    let method = request.method().clone();
    let parent = trace::sent(request.headers());
    let (mut response, followed) = trace::follow(parent, next.run(request)).await;
    service
        .metrics
        .call(&method, route, response.status().as_u16(), &followed);
    followed.record(&method, matched, &response);
    let headers = response.headers_mut();
    api::announce(&method, route, headers);
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
