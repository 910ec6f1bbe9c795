//! The daemon as a process of its own: this program again, so that tests can stop it after each step of an ADD or DEL.

use std::sync::Arc;

use clap::Parser;
use stackube_node::config::Config;
use stackube_node::sandbox::Step;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Environment variable with the step after which the daemon kills itself.
pub(crate) const KILL_AFTER: &str = "TEST_KILL_AFTER";

#[test]
#[ignore = "not a test: the other tests run it as their daemon"]
fn process() {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    drop(rustls::crypto::ring::default_provider().install_default());
    let last = std::env::var(KILL_AFTER).ok();
    let hook = move |step: Step| {
        if last.as_deref() == Some(&format!("{step:?}")) {
            // As `kill -9`: nothing of this process runs after it.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    };
    let config = Config::parse_from(["kubestackd"]);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate()).unwrap();
        let on_signal = stop.clone();
        tokio::spawn(async move {
            terminate.recv().await;
            on_signal.cancel();
        });
        stackube_node::daemon::run(config, Arc::new(hook), stop).await.unwrap();
    });
}
