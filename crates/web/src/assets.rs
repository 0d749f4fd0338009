//! The style sheet, the script and the mark, under names that change with their content.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use ring::digest::{SHA256, digest};

/// A file that pages ask for.
pub(crate) struct Asset {
    /// Where it is served.
    pub(crate) path: String,
    content: &'static str,
    kind: &'static str,
}

/// The files.
pub(crate) struct Assets {
    pub(crate) style: Asset,
    pub(crate) script: Asset,
    pub(crate) passkey: Asset,
    pub(crate) mark: Asset,
}

pub(crate) static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: asset(
        "console",
        "css",
        "text/css; charset=utf-8",
        include_str!("../static/console.css"),
    ),
    script: asset(
        "live",
        "js",
        "text/javascript; charset=utf-8",
        include_str!("../static/live.js"),
    ),
    passkey: asset(
        "passkey",
        "js",
        "text/javascript; charset=utf-8",
        include_str!("../static/passkey.js"),
    ),
    mark: asset(
        "mark",
        "svg",
        "image/svg+xml",
        include_str!("../static/mark.svg"),
    ),
});

fn asset(name: &str, extension: &str, kind: &'static str, content: &'static str) -> Asset {
    let hash = digest(&SHA256, content.as_bytes());
    let hash = crate::hex(&hash.as_ref()[..8]);
    Asset {
        path: format!("/console/static/{name}-{hash}.{extension}"),
        content,
        kind,
    }
}

/// Serves a file. Its content never changes under its name, so it may be kept.
pub(crate) async fn serve(Path(name): Path<String>) -> Response {
    let assets = [&ASSETS.style, &ASSETS.script, &ASSETS.passkey, &ASSETS.mark];
    let mut named = assets.into_iter();
    let Some(asset) = named.find(|asset| asset.path.ends_with(&format!("/{name}"))) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, asset.content).into_response()
}
