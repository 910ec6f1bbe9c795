//! Finds a pod: in the API by its name, in the datapath by its UID.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use stackube_api::Port;
use stackube_api::names::SYSTEM_NAMESPACE;
use stackube_datapath::{Error as MapError, Identities, Identity};
use thiserror::Error;

use crate::args::PodOptions;
use crate::model::ObjectName;

/// A pod cannot be found.
#[derive(Debug, Error)]
pub enum PodError {
    /// No access to the API server.
    #[error("cannot ask the API server")]
    Api(#[from] kube::Error),
    /// No client for it.
    #[error("no access to the Kubernetes API")]
    Client(#[source] anyhow::Error),
    /// There is no Port for it.
    #[error(
        "pod {0} has no Port on this node: ask on the node that it runs on (kubectl get pod -o wide); pods with hostNetwork have none"
    )]
    NoPort(ObjectName),
    /// It has a Port, but no device.
    #[error("pod {0} is not plugged in on this node: look at its Events and at kubestackd's log")]
    NotPlugged(ObjectName),
    /// The maps cannot be read.
    #[error("cannot read the datapath's maps")]
    Maps(#[from] MapError),
}

/// What is known of a pod.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) name: ObjectName,
    pub(super) uid: String,
    /// Namespace of its Network.
    pub(super) network: String,
    pub(super) identity: Option<Identity>,
    /// Names of its network's Services by their cluster IP.
    pub(super) services: HashMap<Ipv4Addr, String>,
}

/// Looks for the pod on this node.
pub(super) async fn find(options: &PodOptions) -> Result<Found, PodError> {
    let client = crate::run::connect(options.kubeconfig.as_deref())
        .await
        .map_err(PodError::Client)?;
    let name = options.pod.clone();
    let ports: Api<Port> = Api::namespaced(client.clone(), &name.namespace);
    let here = ListParams::default().fields(&format!("spec.nodeName={}", options.node_name));
    let ports = ports.list(&here).await?.items;
    let port = ports.into_iter().find(|port| port.spec.pod_name == name.name);
    let port = port.ok_or_else(|| PodError::NoPort(name.clone()))?;
    let identities = Identities::open(&options.root())?.list()?;
    let uid = binary(&port.spec.pod_uid);
    let network = port.spec.network_namespace;
    Ok(Found {
        services: names(client, &network).await?,
        identity: identities.into_iter().find(|identity| Some(identity.uid) == uid),
        uid: port.spec.pod_uid,
        name,
        network,
    })
}

/// Names by address: of the tenant's namespace, or of all in the system network, and the API server's.
async fn names(client: Client, network: &str) -> Result<HashMap<Ipv4Addr, String>, kube::Error> {
    let system = network == SYSTEM_NAMESPACE;
    let services: Api<Service> = if system {
        Api::all(client.clone())
    } else {
        Api::namespaced(client.clone(), network)
    };
    let mut services = services.list(&ListParams::default()).await?.items;
    for (namespace, name) in [("default", "kubernetes"), ("kube-system", "kube-dns")] {
        services.extend(Api::namespaced(client.clone(), namespace).get_opt(name).await?);
    }
    let address = |service: &Service| service.spec.as_ref()?.cluster_ip.as_ref()?.parse().ok();
    let named = |service: &Service| format!("{}/{}", service.namespace().unwrap_or_default(), service.name_any());
    Ok(services
        .iter()
        .filter_map(|service| Some((address(service)?, named(service))))
        .collect())
}

/// A pod's UID as the datapath has it: sixteen bytes, written in hexadecimal with or without hyphens.
fn binary(uid: &str) -> Option<[u8; 16]> {
    let digits: String = uid.chars().filter(|c| *c != '-').collect();
    if digits.len() != 32 || !digits.is_ascii() {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, at) in bytes.iter_mut().zip((0..32).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_with_and_without_hyphens() {
        let bytes = binary("00010203-0405-0607-0809-0a0b0c0d0eff").unwrap();
        assert_eq!(bytes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(binary("000102030405060708090a0b0c0d0eff"), Some(bytes));
        for wrong in ["", "0001", "zz010203-0405-0607-0809-0a0b0c0d0eff", "äöüäöüäöüäöüäöüä"] {
            assert_eq!(binary(wrong), None, "{wrong}");
        }
    }
}
