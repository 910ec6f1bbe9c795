//! Metrics and health over HTTP.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use stackube_daemon::openmetrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::sandbox::Engine;

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
    openmetrics(admin.metrics.text())
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
