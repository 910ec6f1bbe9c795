//! TLS on a socket.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, from_tcp_rustls};

use super::Service;
use crate::certificates::Certificates;
use crate::metrics::Metrics;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Answers TokenReviews over TLS until `handle` ends it; looks at the certificates' files every `reload`.
///
/// # Errors
/// A socket that fails.
pub async fn serve(
    listener: TcpListener,
    certificates: Certificates,
    reload: Duration,
    service: Service,
    metrics: Metrics,
    handle: Handle<SocketAddr>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let config = certificates.config();
    let acceptor = RustlsAcceptor::new(config.clone()).handshake_timeout(HANDSHAKE);
    let serving = from_tcp_rustls(listener, config)?
        .acceptor(acceptor)
        .handle(handle)
        .serve(service.webhook().into_make_service());
    tokio::select! {
        result = serving => result,
        () = certificates.follow(reload, metrics) => Ok(()),
    }
}
