//! `/healthz`, `/readyz` and `/metrics`, on a TCP port for collectors and on a Unix socket for kubelet's probes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use stackube_daemon::openmetrics;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// A socket cannot be opened.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The TCP address.
    #[error("cannot listen on {address} for metrics: choose another by --listen")]
    Tcp {
        /// `--listen`.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The Unix socket.
    #[error("cannot listen on {} for probes: choose another path by --socket", path.display())]
    Unix {
        /// `--socket`.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What keeps the process from being ready, by part; shown by `/readyz`.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Readiness {
    /// `part` is not ready, because of `reason`.
    pub fn blocked(&self, part: &'static str, reason: impl Into<String>) {
        self.lock().insert(part, reason.into());
    }

    /// `part` is ready.
    pub fn ready(&self, part: &'static str) {
        self.lock().remove(part);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the TCP socket. Another process may have the same address for the time of a rolling update.
///
/// # Errors
/// [`ServeError::Tcp`].
pub fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let open = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(address)?;
        socket.listen(64)
    };
    open().map_err(|source| ServeError::Tcp { address, source })
}

/// Opens the Unix socket, for this user only. What an earlier run left there is replaced.
///
/// # Errors
/// [`ServeError::Unix`].
pub fn bind_unix(path: &Path) -> Result<UnixListener, ServeError> {
    let open = || {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    open().map_err(|source| ServeError::Unix {
        path: path.to_owned(),
        source,
    })
}

/// Answers on both until `stop`.
///
/// # Errors
/// A socket that fails.
pub async fn serve(
    tcp: TcpListener,
    unix: UnixListener,
    metrics: Metrics,
    readiness: Readiness,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let app = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(text).with_state(metrics));
    let on_tcp = axum::serve(tcp, app.clone()).with_graceful_shutdown(stop.clone().cancelled_owned());
    let on_unix = axum::serve(unix, app).with_graceful_shutdown(stop.cancelled_owned());
    tokio::try_join!(on_tcp.into_future(), on_unix.into_future()).map(drop)
}

async fn readyz(State(readiness): State<Readiness>) -> (StatusCode, String) {
    let reasons = readiness.lock();
    if reasons.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let lines = reasons.iter().map(|(part, reason)| format!("{part}: {reason}\n"));
    (StatusCode::SERVICE_UNAVAILABLE, lines.collect())
}

async fn text(State(metrics): State<Metrics>) -> Response {
    openmetrics(metrics.text())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::*;

    /// Status and body, as kubelet's probe gets them.
    async fn ask(socket: &Path) -> (u16, String) {
        let mut stream = UnixStream::connect(socket).await.unwrap();
        let request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    #[tokio::test]
    async fn it_is_ready_when_every_part_is_and_says_which_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("health.sock");
        let (readiness, stop) = (Readiness::default(), CancellationToken::new());
        readiness.blocked("maps", "the datapath is not loaded yet");
        readiness.blocked("services", "not listed yet");
        let tcp = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (unix, metrics) = (bind_unix(&path).unwrap(), Metrics::new(|_| {}));
        let server = tokio::spawn(serve(tcp, unix, metrics, readiness.clone(), stop.clone()));

        let both = "maps: the datapath is not loaded yet\nservices: not listed yet\n";
        assert_eq!(ask(&path).await, (503, both.to_owned()));
        readiness.ready("services");
        let one = "maps: the datapath is not loaded yet\n";
        assert_eq!(ask(&path).await, (503, one.to_owned()));
        readiness.ready("maps");
        assert_eq!(ask(&path).await, (200, "ok\n".to_owned()));
        readiness.blocked("services", "the watch broke");
        assert_eq!(ask(&path).await, (503, "services: the watch broke\n".to_owned()));

        stop.cancel();
        server.await.unwrap().unwrap();
    }
}
