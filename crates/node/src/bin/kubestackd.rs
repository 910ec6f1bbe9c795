//! The node daemon `kubestackd`.

use std::sync::Arc;

use clap::Parser;
use stackube_node::config::Config;
use stackube_node::daemon;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    stackube_daemon::init(&config.log, config.log_format)?;
    // The first provider wins; there is only one in this binary.
    drop(rustls::crypto::ring::default_provider().install_default());
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let on_signal = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        on_signal.cancel();
    });
    daemon::run(config, Arc::new(|_| {}), stop).await
}
