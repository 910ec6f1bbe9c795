//! Where the API servers are: what pods may reach by the node's link besides DNS.

use std::collections::BTreeSet;
use std::net::SocketAddrV4;

use futures::StreamExt;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::Client;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use stackube_daemon::chain;

/// The addresses, `None` until they are known.
pub type ApiServers = Option<BTreeSet<SocketAddrV4>>;

/// Namespace and name of the EndpointSlice that the API servers keep.
const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";

/// Keeps `publish` at the addresses of the live API servers until `stop`. Errors are retried for ever; the last
/// addresses stay meanwhile.
pub async fn watch(client: Client, publish: watch::Sender<ApiServers>, stop: CancellationToken) {
    let config = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
    let events = watcher(Api::<EndpointSlice>::namespaced(client, NAMESPACE), config).default_backoff();
    futures::pin_mut!(events);
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.next() => event,
        };
        let slice = match event {
            Some(Ok(watcher::Event::InitApply(slice) | watcher::Event::Apply(slice))) => slice,
            // That there is none for a moment is no reason to cut pods off.
            Some(Ok(_)) => continue,
            Some(Err(error)) => {
                warn!(error = %chain(&error), "cannot watch the API servers' addresses");
                continue;
            }
            None => return,
        };
        let found = addresses(&slice);
        let changed = publish.send_if_modified(|known| {
            let changed = !found.is_empty() && known.as_ref() != Some(&found);
            if changed {
                *known = Some(found.clone());
            }
            changed
        });
        if changed {
            info!(servers = ?found, "have the addresses of the API servers");
        }
    }
}

/// IPv4 addresses of a slice, each with each of its ports.
fn addresses(slice: &EndpointSlice) -> BTreeSet<SocketAddrV4> {
    let ports = slice.ports.iter().flatten();
    let ports: Vec<u16> = ports.filter_map(|port| u16::try_from(port.port?).ok()).collect();
    let ready = |endpoint: &&Endpoint| {
        endpoint
            .conditions
            .as_ref()
            .is_none_or(|conditions| conditions.ready != Some(false))
    };
    let ips = slice
        .endpoints
        .iter()
        .flatten()
        .filter(ready)
        .flat_map(|endpoint| &endpoint.addresses);
    ips.filter_map(|ip| ip.parse().ok())
        .flat_map(|ip| ports.iter().map(move |port| SocketAddrV4::new(ip, *port)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_ready_address_counts_with_every_port() {
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "kubernetes", "namespace": "default"},
            "endpoints": [
                {"addresses": ["192.0.2.1"], "conditions": {"ready": true}},
                {"addresses": ["192.0.2.2"]},
                {"addresses": ["192.0.2.3"], "conditions": {"ready": false}},
                {"addresses": ["2001:db8::1"]},
            ],
            "ports": [{"name": "https", "port": 6443}, {"name": "none"}],
        });
        let found = addresses(&serde_json::from_value(slice).unwrap());
        assert_eq!(
            found,
            ["192.0.2.1:6443", "192.0.2.2:6443"].map(|a| a.parse().unwrap()).into()
        );
    }
}
