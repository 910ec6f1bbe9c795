//! The daemon: puts the parts together, in an order in which nothing is promised before it holds.

mod keep;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::Client;
use stackube_daemon::chain;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::api_servers::ApiServers;
use crate::config::Config;
use crate::datapath::{Datapath, infrastructure, kubelet};
use crate::link::HostLinks;
use crate::metrics::Metrics;
use crate::nodelink::NodeLink;
use crate::nodelink::keep::Changes;
use crate::ovsdb::Ovsdb;
use crate::ownport::{self, OwnPort};
use crate::ports::kubernetes::{self, KubernetesWriter};
use crate::ports::{PortWatch, PortWriter};
use crate::sandbox::steps::StepHook;
use crate::sandbox::{Engine, Parts};
use crate::{admin, api_servers, chassis, firewall, install, release, server};

/// How soon something that failed at the start is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// Runs until `stop`. `hook` is called after each step of an ADD or DEL, for tests.
///
/// # Errors
/// When the daemon cannot begin: no API server configuration, a socket or address in use, no netlink.
pub async fn run(config: Config, hook: StepHook, stop: CancellationToken) -> anyhow::Result<()> {
    let metrics = Metrics::new(config.pin_root.clone());
    let client = Client::try_default().await.context("no access to the Kubernetes API")?;
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {} for metrics", config.listen))?;
    // The connection outlives the calls: those that are given up at the end still undo what they did.
    let disconnect = CancellationToken::new();
    let ovsdb = Ovsdb::spawn(config.ovsdb.clone(), disconnect.clone());
    let _disconnect = disconnect.drop_guard();
    let (publish, ports) = watch::channel(None);
    let writer: Arc<dyn PortWriter> = Arc::new(KubernetesWriter::new(client.clone(), &config.node_name));
    let (publish_servers, api_servers) = watch::channel(None);
    let datapath = Datapath::new(config.pin_root.clone());
    let parts = Parts {
        ovsdb: ovsdb.clone(),
        links: HostLinks::open()?,
        link: NodeLink::open()?,
        own: OwnPort::open()?,
        datapath: datapath.clone(),
    };
    let settings = config.settings();
    let engine = Engine::new(settings, parts, ports.clone(), Arc::clone(&writer), metrics.clone()).with_hook(hook);

    let (tasks, ready) = (TaskTracker::new(), CancellationToken::new());
    let node = &config.node_name;
    tasks.spawn(kubernetes::watch(client.clone(), node.clone(), publish, stop.clone()));
    tasks.spawn(api_servers::watch(client.clone(), publish_servers, stop.clone()));
    tasks.spawn(chassis::publish(
        client.clone(),
        node.clone(),
        ovsdb.clone(),
        stop.clone(),
    ));
    let admin = admin::serve(listener, engine.clone(), metrics.clone(), ready.clone(), stop.clone());
    tasks.spawn(admin);
    let guards = Guards {
        engine: engine.clone(),
        datapath,
        client,
        metrics,
        stop: stop.clone(),
        tasks: tasks.clone(),
    };
    let started = start(&config, &guards, &ports, api_servers);
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

/// What the tasks need that keep the node as it should be.
struct Guards {
    engine: Engine,
    datapath: Datapath,
    client: Client,
    metrics: Metrics,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Guards {
    /// Begins to look after the loaded programs.
    fn look_after_programs(&self, config: &Config) {
        self.tasks.spawn(infrastructure::keep(
            self.datapath.clone(),
            self.client.clone(),
            config.infrastructure.clone(),
            config.permitted.clone(),
            self.engine.protected(),
            self.stop.clone(),
        ));
        self.tasks.spawn(kubelet::keep(
            self.datapath.clone(),
            config.cgroup_mount.clone(),
            config.kubelet_cgroup.clone(),
            self.metrics.clone(),
            self.stop.clone(),
        ));
        let (engine, metrics, stop) = (self.engine.clone(), self.metrics.clone(), self.stop.clone());
        self.tasks.spawn(keep::sweeping(engine, metrics, stop));
    }
}

/// Firewall first, then the link, then the socket, then the clean-up, and at last the node's own port and the files that
/// make the runtime call.
async fn start(
    config: &Config,
    guards: &Guards,
    ports: &PortWatch,
    api_servers: watch::Receiver<ApiServers>,
) -> anyhow::Result<()> {
    let Guards {
        engine,
        metrics,
        stop,
        tasks,
        ..
    } = guards;
    protect().await;
    let (publish_own, own) = watch::channel(None);
    tasks.spawn(firewall::keep(
        metrics.clone(),
        api_servers,
        own,
        config.shares(),
        stop.clone(),
    ));
    let changes = Changes::subscribe();
    while let Err(error) = engine.ensure_link().await {
        warn!(error = %error.report(), "cannot set up the node's link to its pods yet");
        tokio::time::sleep(RETRY).await;
    }
    tasks.spawn(keep::link(engine.clone(), metrics.clone(), changes, stop.clone()));
    let listener = server::listen(&config.socket)?;
    tasks.spawn(server::serve(listener, engine.clone(), metrics.clone(), stop.clone()));
    while let Err(error) = engine.load().await {
        warn!(error = %error.report(), "cannot load the eBPF programs yet");
        tokio::time::sleep(RETRY).await;
    }
    guards.look_after_programs(config);
    while let Err(error) = engine.purge().await {
        warn!(error = %error.report(), "cannot look for remains of dead sandboxes yet");
        tokio::time::sleep(RETRY).await;
    }
    tasks.spawn(keep::purging(engine.clone(), stop.clone()));
    while let Err(error) = engine.status().await {
        warn!(error = %error.report(), "not ready for pods yet");
        tokio::time::sleep(RETRY).await;
    }
    ports
        .clone()
        .wait_for(Option::is_some)
        .await
        .context("the watch of Ports has ended")?;
    engine.protected().cancelled().await;
    while let Err(error) = engine.attach_missing().await {
        warn!(error = %error.report(), "cannot attach the programs to pods that have none yet");
        tokio::time::sleep(RETRY).await;
    }
    tasks.spawn(ownport::keep::run(
        engine.clone(),
        publish_own,
        metrics.clone(),
        stop.clone(),
    ));
    install::plugin(&plugin_source(config)?, &config.cni_bin_dir)?;
    install::configuration(&config.cni_conf_dir, &config.socket)?;
    Ok(())
}

/// No pod is plugged in before the firewall stands.
async fn protect() {
    loop {
        match tokio::task::spawn_blocking(|| firewall::ensure(&firewall::Facts::default())).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => warn!(error = %chain(&error), "cannot set up the firewall yet"),
            Err(error) => warn!(%error, "cannot set up the firewall yet"),
        }
        tokio::time::sleep(RETRY).await;
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
