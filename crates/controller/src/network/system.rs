//! The system network: one Network for all namespaces of the administrator, in the service's own project, never shared.

use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use stackube_api::address::Subnet;
use stackube_api::names::{CONTROLLER_FINALIZER, MANAGED_BY, MANAGED_BY_LABEL, SYSTEM_NAMESPACE};
use stackube_api::{Network, NetworkSpec};
use tracing::{info, warn};

/// Orders the system network, unless it was ordered before. A range that was changed in the configuration since has no effect,
/// since pods are on the old one.
///
/// # Errors
/// Those of the API server.
pub(crate) async fn ensure(client: &Client, subnet: Subnet) -> Result<(), kube::Error> {
    let networks: Api<Network> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    if let Some(found) = networks.get_opt(SYSTEM_NAMESPACE).await? {
        if found.spec.cidr != subnet.range().to_string() || found.spec.gateway != subnet.gateway().to_string() {
            warn!(
                cidr = found.spec.cidr,
                gateway = found.spec.gateway,
                "the system network was made with another range than system-cidr and system-gateway say now; it keeps its own"
            );
        }
        return Ok(());
    }
    let wanted = Network {
        metadata: ObjectMeta {
            name: Some(SYSTEM_NAMESPACE.to_owned()),
            namespace: Some(SYSTEM_NAMESPACE.to_owned()),
            labels: Some([(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned())].into()),
            finalizers: Some(vec![CONTROLLER_FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        },
        spec: NetworkSpec {
            cidr: subnet.range().to_string(),
            gateway: subnet.gateway().to_string(),
            network_id: None,
        },
        status: None,
    };
    match networks.create(&PostParams::default(), &wanted).await {
        Ok(_) => info!(cidr = wanted.spec.cidr, "ordered the system network"),
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
