//! Filling the address book after an election, before anything is given out.

use std::time::Duration;

use kube::api::ListParams;
use kube::{Api, ResourceExt};
use stackube_api::Port;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::book::{AddressBook, Holder};
use super::place;
use crate::context::Context;

/// Pause before the list is tried again.
const PAUSE: Duration = Duration::from_secs(2);
/// Ports in one page of the list.
const PAGE: u32 = 500;

/// Notes the addresses of all Ports. False when `shutdown` came first.
pub(super) async fn rebuild(context: &Context, book: &AddressBook, shutdown: &CancellationToken) -> bool {
    loop {
        match list(context).await {
            Ok(ports) => {
                fill(book, &ports);
                info!(ports = ports.len(), held = book.usage().held, "address book filled");
                return true;
            }
            Err(error) => warn!("the Ports cannot be listed, trying again: {error}"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return false,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Without a resourceVersion, which makes the API server ask etcd for a quorum's answer: a cache could lack what the leader
/// before this one wrote last.
async fn list(context: &Context) -> Result<Vec<Port>, kube::Error> {
    let api: Api<Port> = Api::all(context.kube.clone());
    let mut parameters = ListParams::default().limit(PAGE);
    let mut ports = vec![];
    loop {
        let page = api.list(&parameters).await?;
        let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
        ports.extend(page.items);
        match next {
            Some(token) => parameters = ListParams::default().limit(PAGE).continue_token(&token),
            None => return Ok(ports),
        }
    }
}

/// Also of Ports that are being deleted: the node may still have their sandboxes.
fn fill(book: &AddressBook, ports: &[Port]) {
    for port in ports {
        let ip = port
            .status
            .as_ref()
            .and_then(|status| status.ip.as_deref()?.parse().ok());
        let Some(ip) = ip else { continue };
        if let Some(taken) = book.observe(&Holder::Pod(port.name_any()), &place(port), ip) {
            warn!(
                port = port.name_any(),
                node = port.spec.node_name,
                "two Ports of a node have one address: {taken}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stackube_api::address::{AddressRules, Subnet};

    use super::*;
    use crate::port::Place;

    fn port(uid: &str, namespace: &str, ip: Option<&str>, deleting: bool) -> Port {
        let mut port = json!({
            "apiVersion": "stackube.kubernetes.io/v1", "kind": "Port",
            "metadata": {"name": uid, "namespace": namespace},
            "spec": {"podName": "web", "podUID": uid, "nodeName": "n1", "networkNamespace": namespace,
                "networkName": namespace},
            "status": {"ip": ip},
        });
        if deleting {
            port["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        serde_json::from_value(port).unwrap()
    }

    #[test]
    fn every_address_of_every_tenant_counts_also_of_ports_that_are_going() {
        let book = AddressBook::new(Duration::from_secs(60));
        let subnet = Subnet::new(
            "10.0.0.0/29",
            None,
            &AddressRules {
                longest_prefix: 29,
                reserved: vec![],
            },
        )
        .unwrap();
        fill(
            &book,
            &[
                port("u-1", "a", Some("10.0.0.2"), false),
                port("u-2", "b", Some("10.0.0.3"), true),
                port("u-3", "c", Some("10.0.0.4"), false),
                port("u-4", "c", None, false),
                port("u-5", "a", Some("10.0.0.5"), false),
            ],
        );
        let place = Place {
            node: "n1".into(),
            network: place(&port("u-9", "d", None, false)).network,
        };
        let new = Holder::Pod("u-9".into());
        assert_eq!(book.reserve(&new, &place, &subnet, 0), Ok("10.0.0.6".parse().unwrap()));
        assert!(book.reserve(&Holder::Pod("u-10".into()), &place, &subnet, 0).is_err());
    }
}
