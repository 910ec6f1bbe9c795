//! Feeds the DNS server's store, and tells it who asks.

#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use kube::ResourceExt;
use stackube_api::PortHolder;
use stackube_api::names::{SYSTEM_NAMESPACE, TENANT_LABEL};
use stackube_daemon::chain;
use stackube_datapath::abi::NetworkKey;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::dns::{self, Client};
use crate::model::{Cluster, ObjectName, pod_address};
use crate::serve::Readiness;
use crate::watch::{Change, Kind, Object};

/// Part of the readiness: DNS queries are answered.
pub(crate) const DNS: &str = "dns";
/// How soon the sockets are tried again, while the host link is missing.
const RETRY: Duration = Duration::from_millis(500);

/// Everything that the DNS server is made of.
#[derive(Debug)]
pub struct Names {
    /// What it is told.
    pub config: dns::Config,
    /// The names.
    pub store: Arc<dns::Store>,
    /// Who asks.
    pub identities: Arc<PodIdentities>,
    /// What it counts.
    pub metrics: dns::Metrics,
}

impl Names {
    /// Answers from `complete` (all names are in the store) until `stop`, and then what had come by then.
    pub async fn serve(self, readiness: Readiness, complete: CancellationToken, stop: CancellationToken) {
        readiness.blocked(DNS, "waiting for the first lists");
        tokio::select! {
            () = complete.cancelled() => {}
            () = stop.cancelled() => return,
        }
        while !stop.is_cancelled() {
            let (store, identities) = (Arc::clone(&self.store), Arc::clone(&self.identities));
            match dns::Server::bind(&self.config, store, identities, self.metrics.clone()) {
                Ok(server) => {
                    info!(address = %server.address(), "answering names");
                    readiness.ready(DNS);
                    match server.run(stop.clone()).await {
                        Ok(()) => return,
                        Err(error) => readiness.blocked(DNS, chain(&error)),
                    }
                }
                Err(error) => readiness.blocked(DNS, chain(&error)),
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Tells pods by the datapath's maps. They are opened when the first query comes, and again when they fail.
#[derive(Debug)]
pub struct PodIdentities {
    root: PathBuf,
    maps: ArcSwapOption<stackube_datapath::Identities>,
}

impl PodIdentities {
    /// For the maps pinned under `root`.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            maps: ArcSwapOption::empty(),
        }
    }

    /// Opens the maps anew: they may have been pinned again.
    pub fn reopen(&self) {
        match stackube_datapath::Identities::open(&self.root) {
            Ok(maps) => self.maps.store(Some(Arc::new(maps))),
            Err(error) => warn!(error = %chain(&error), "cannot tell who asks for names"),
        }
    }
}

impl dns::Identities for PodIdentities {
    fn client(&self, source: Ipv4Addr) -> Option<Client> {
        if self.maps.load().is_none() {
            self.reopen();
        }
        let maps = self.maps.load();
        match maps.as_ref()?.by_alias(source) {
            Ok(found) => found.map(|identity| Client {
                network: identity.network.0,
                pod: identity.uid,
                address: identity.ip,
            }),
            Err(error) => {
                warn!(error = %chain(&error), "cannot tell who asks for names");
                self.maps.store(None);
                None
            }
        }
    }
}

/// Passes a change on to the DNS server's store. `cluster` is as it was before the change.
pub fn feed(store: &dns::Store, cluster: &Cluster, change: &Change) {
    match change {
        Change::Is(Object::Service(service)) => store.apply_service(service),
        Change::Gone(Kind::Service, name) => store.remove_service(&name.namespace, &name.name),
        Change::Is(Object::EndpointSlice(slice)) => {
            // Its label may name another Service than before.
            let name = ObjectName::new(slice.namespace().unwrap_or_default(), slice.name_any());
            forget_slice(store, cluster, &name);
            store.apply_slice(slice);
        }
        Change::Gone(Kind::EndpointSlice, name) => forget_slice(store, cluster, name),
        Change::Is(Object::Namespace(namespace)) => {
            let name = namespace.metadata.name.as_deref().unwrap_or_default();
            let tenant = namespace
                .metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get(TENANT_LABEL));
            match tenant {
                None => store.set_namespace(name, NetworkKey::of(SYSTEM_NAMESPACE).0, SYSTEM_NAMESPACE),
                Some(tenant) if tenant == name => store.set_namespace(name, NetworkKey::of(name).0, name),
                Some(_) => store.remove_namespace(name),
            }
        }
        Change::Gone(Kind::Namespace, name) => store.remove_namespace(&name.name),
        Change::Is(Object::Port(port)) if port.spec.holder == PortHolder::Pod => {
            let name = ObjectName::new(port.namespace().unwrap_or_default(), port.name_any());
            let address = pod_address(port).map(|range| range.addr());
            if cluster.address_of_port(&name) != address {
                forget_pod(store, cluster, &name);
            }
            if let Some(address) = address {
                store.set_pod(&name.namespace, address);
            }
        }
        Change::Gone(Kind::Port, name) => forget_pod(store, cluster, name),
        _ => {}
    }
}

fn forget_slice(store: &dns::Store, cluster: &Cluster, name: &ObjectName) {
    if let Some(service) = cluster.service_of_slice(name) {
        store.remove_slice(&name.namespace, &service.name, &name.name);
    }
}

fn forget_pod(store: &dns::Store, cluster: &Cluster, port: &ObjectName) {
    // An address may have its next pod before its last is gone.
    if let Some(address) = cluster.address_of_port(port)
        && !cluster.is_address_of_another(port, address)
    {
        store.remove_pod(&port.namespace, address);
    }
}
