//! Metrics and health over HTTP.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::sandbox::Engine;

/// Content type of OpenMetrics text.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug)]
struct Admin {
    engine: Engine,
    metrics: Metrics,
    /// Cancelled when the daemon can serve calls.
    ready: CancellationToken,
}

/// Serves /metrics, /healthz (the process runs) and /readyz (a CNI ADD could be served) until `stop`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    engine: Engine,
    metrics: Metrics,
    ready: CancellationToken,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let app = Router::new()
        .route("/metrics", get(text))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readiness))
        .with_state(Admin { engine, metrics, ready });
    axum::serve(listener, app)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn text(State(admin): State<Admin>) -> Response {
    if let Some(count) = admin.engine.sandboxes() {
        admin.metrics.sandboxes(count);
    }
    match admin.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn readiness(State(admin): State<Admin>) -> Response {
    if !admin.ready.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response();
    }
    match admin.engine.status().await {
        Ok(()) => "ok\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", error.report())).into_response(),
    }
}
