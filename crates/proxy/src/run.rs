//! The life of the process: watches, the maps, the DNS server, end.

use std::net::SocketAddrV4;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use stackube_api::names::SYSTEM_NAMESPACE;
use stackube_datapath::abi::NetworkKey;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::args::{LINK_ADDRESS, RunOptions};
use crate::dns;
use crate::metrics::Metrics;
use crate::model::{Cluster, Platform, Viewpoint};
use crate::names::{Names, PodIdentities};
use crate::ration::Ration;
use crate::serve::{self, Readiness};
use crate::watch;
use crate::worker::Worker;

/// Port of the DNS server on the link.
const DNS_PORT: u16 = 53;
/// How long the last answers over HTTP may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot begin: no access to the API server, an address in use; or when a watch ends, which none does by itself.
pub async fn run(options: RunOptions) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    on_signals(stop.clone())?;
    let mut for_names = None;
    let metrics = Metrics::new(|registry| for_names = Some(dns::Metrics::register(registry)));
    let names = names(&options, for_names.context("the DNS server has no metrics")?);
    let readiness = Readiness::default();
    readiness.blocked(WATCHES, "waiting for the first lists");
    readiness.blocked(MAPS, "waiting for the first lists");
    let client = connect(options.kubeconfig.as_deref()).await?;
    let (tcp, unix) = (serve::bind(options.listen)?, serve::bind_unix(&options.socket)?);
    let end = CancellationToken::new();
    let serving = tokio::spawn(serve::serve(tcp, unix, metrics.clone(), readiness.clone(), end.clone()));

    let (changes, watches) = watch::start(&client, &options.node_name, &metrics);
    let ration = Ration::new(options.namespace_parts);
    let worker = Worker::new(
        ration,
        cluster(&options),
        &options.root(),
        &names,
        metrics,
        readiness.clone(),
    );
    let answering = tokio::spawn(names.serve(readiness, worker.complete(), stop.clone()));
    info!(node = options.node_name, "started");
    let result = worker.run(changes, stop.clone()).await;
    // The maps are the successor's from here on; queries that have come are still answered.
    drop(watches);
    stop.cancel();
    answering.await.context("the DNS server broke off")?;
    end.cancel();
    let _ = tokio::time::timeout(GOODBYE, serving).await;
    Ok(result?)
}

/// Part of the readiness: the watches have everything.
pub(crate) const WATCHES: &str = "watches";
/// Part of the readiness: the maps are up to date, or a predecessor keeps them so.
pub(crate) const MAPS: &str = "maps";

fn names(options: &RunOptions, metrics: dns::Metrics) -> Names {
    let config = dns::Config {
        listen: SocketAddrV4::new(LINK_ADDRESS, DNS_PORT),
        cluster_domain: options.cluster_domain.clone(),
        service_address: options.cluster_dns,
        system_network: NetworkKey::of(SYSTEM_NAMESPACE).0,
        upstreams: options.dns_upstreams.clone(),
        shared: options
            .shared_services
            .0
            .iter()
            .map(|service| (service.namespace.clone(), service.name.clone()))
            .collect(),
        pod_rate: options.dns_pod_rate,
        pod_burst: options.dns_pod_burst,
        ..dns::Config::default()
    };
    Names {
        config,
        store: Arc::default(),
        identities: Arc::new(PodIdentities::new(&options.root())),
        metrics,
    }
}

fn cluster(options: &RunOptions) -> Cluster {
    let platform = Platform {
        dns: options.cluster_dns,
        dns_server: SocketAddrV4::new(LINK_ADDRESS, DNS_PORT),
    };
    let viewpoint = Viewpoint {
        node: options.node_name.clone(),
        zone: None,
    };
    Cluster::new(platform, viewpoint).sharing(options.shared_services.0.clone())
}

/// A client for the API server, by a kubeconfig or by the service account.
pub(crate) async fn connect(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).with_context(|| format!("cannot use {}", path.display()))?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
        None => {
            Config::incluster_env().context("no access to the Kubernetes API: run in a pod, or give --kubeconfig")?
        }
    };
    Ok(Client::try_from(config)?)
}

/// Cancels `stop` at SIGTERM or SIGINT. The handlers are in place when this returns.
fn on_signals(stop: CancellationToken) -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM"),
            _ = interrupt.recv() => info!("SIGINT"),
        }
        stop.cancel();
    });
    Ok(())
}
