//! The daemon: puts the parts together, in an order in which nothing is promised before it holds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::config::Config;
use crate::link::HostLinks;
use crate::metrics::Metrics;
use crate::ovsdb::Ovsdb;
use crate::ports::kubernetes::{self, KubernetesWriter};
use crate::ports::{PortWatch, PortWriter};
use crate::report::chain;
use crate::sandbox::Engine;
use crate::sandbox::steps::StepHook;
use crate::{admin, chassis, firewall, install, release, server};

/// How often what is left of dead sandboxes is looked for.
const PURGE_INTERVAL: Duration = Duration::from_secs(60);
/// How soon something that failed at the start is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// Runs until `stop`. `hook` is called after each step of an ADD, for tests.
///
/// # Errors
/// When the daemon cannot begin: no API server configuration, a socket or address in use, no netlink.
pub async fn run(config: Config, hook: StepHook, stop: CancellationToken) -> anyhow::Result<()> {
    let metrics = Metrics::default();
    let client = Client::try_default().await.context("no access to the Kubernetes API")?;
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {} for metrics", config.listen))?;
    // The connection outlives the calls: those that are given up at the end still undo what they did.
    let disconnect = CancellationToken::new();
    let ovsdb = Ovsdb::spawn(config.ovsdb.clone(), disconnect.clone());
    let _disconnect = disconnect.drop_guard();
    let (publish, ports) = watch::channel(None);
    let writer: Arc<dyn PortWriter> = Arc::new(KubernetesWriter::new(client.clone(), &config.node_name));
    let links = HostLinks::open()?;
    let engine = Engine::new(
        config.settings(),
        ovsdb.clone(),
        links,
        ports.clone(),
        Arc::clone(&writer),
        metrics.clone(),
    )
    .with_hook(hook);

    let (tasks, ready) = (TaskTracker::new(), CancellationToken::new());
    let node = &config.node_name;
    tasks.spawn(kubernetes::watch(client.clone(), node.clone(), publish, stop.clone()));
    tasks.spawn(chassis::publish(client, node.clone(), ovsdb.clone(), stop.clone()));
    tasks.spawn(admin::serve(
        listener,
        engine.clone(),
        metrics.clone(),
        ready.clone(),
        stop.clone(),
    ));
    let started = start(&config, &engine, &metrics, &ports, &stop, &tasks);
    tokio::select! {
        () = stop.cancelled() => {}
        outcome = started => {
            outcome?;
            ready.cancel();
            info!(node, "serving CNI calls");
            tasks.spawn(release::run(engine.clone(), writer, stop.clone()));
            stop.cancelled().await;
        }
    }
    tasks.close();
    tasks.wait().await;
    Ok(())
}

/// Firewall first, then the socket, then the clean-up, and at last the files that make the runtime call.
async fn start(
    config: &Config,
    engine: &Engine,
    metrics: &Metrics,
    ports: &PortWatch,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> anyhow::Result<()> {
    protect().await;
    tasks.spawn(firewall::keep(metrics.clone(), stop.clone()));
    let listener = server::listen(&config.socket)?;
    tasks.spawn(server::serve(listener, engine.clone(), metrics.clone(), stop.clone()));
    while let Err(error) = engine.purge().await {
        warn!(error = %error.report(), "cannot look for remains of dead sandboxes yet");
        tokio::time::sleep(RETRY).await;
    }
    tasks.spawn(keep_purging(engine.clone(), stop.clone()));
    while let Err(error) = engine.status().await {
        warn!(error = %error.report(), "not ready for pods yet");
        tokio::time::sleep(RETRY).await;
    }
    ports
        .clone()
        .wait_for(Option::is_some)
        .await
        .context("the watch of Ports has ended")?;
    install::plugin(&plugin_source(config)?, &config.cni_bin_dir)?;
    install::configuration(&config.cni_conf_dir, &config.socket)?;
    Ok(())
}

/// No pod is plugged in before the firewall stands.
async fn protect() {
    loop {
        match tokio::task::spawn_blocking(firewall::ensure).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => warn!(error = %chain(&error), "cannot set up the firewall yet"),
            Err(error) => warn!(%error, "cannot set up the firewall yet"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Looks for remains now and then.
pub async fn keep_purging(engine: Engine, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PURGE_INTERVAL) => {}
        }
        if let Err(error) = engine.purge().await {
            warn!(error = %error.report(), "cannot look for remains of dead sandboxes");
        }
    }
}

fn plugin_source(config: &Config) -> anyhow::Result<PathBuf> {
    match &config.plugin {
        Some(path) => Ok(path.clone()),
        None => Ok(std::env::current_exe()
            .context("cannot tell where this program is")?
            .with_file_name("kubestack")),
    }
}
