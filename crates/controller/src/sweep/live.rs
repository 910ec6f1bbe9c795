//! What exists in Kubernetes, by quorum lists: a cache that lags behind would make strays of new objects.

use std::collections::HashMap;
use std::fmt::Debug;

use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use stackube_api::{Network, NetworkStatus, Port, Tenant};

use super::compare::{Kind, Live};
use crate::port::Shared;

/// Objects in one page.
const PAGE: u32 = 500;

/// Lists Ports, Networks and Tenants.
///
/// # Errors
/// Those of the API server.
pub(super) async fn list(shared: &Shared) -> Result<Live, kube::Error> {
    let kube = &shared.context.kube;
    let (ports, networks, tenants) = tokio::try_join!(
        all(Api::<Port>::all(kube.clone())),
        all(Api::<Network>::all(kube.clone())),
        all(Api::<Tenant>::all(kube.clone()))
    )?;
    let mut live = Live::default();
    live.projects.insert(shared.context.identity.project.to_string());
    for port in ports {
        let id = port.status.and_then(|status| status.port_id);
        live.pods.insert(port.spec.pod_uid, id);
    }
    for network in networks {
        let uid = network.uid();
        let status = network.status.unwrap_or_default();
        live.networks.extend(uid.map(|uid| (uid, made(&status))));
        live.projects.extend(status.project_id.clone());
        live.used.extend(status.project_id.zip(status.network_id));
    }
    for tenant in tenants {
        live.tenants.extend(tenant.uid());
        let status = tenant.status.unwrap_or_default();
        live.projects.extend(status.project_id);
        live.users.extend(status.user_id);
    }
    Ok(live)
}

/// The objects of a Network.
fn made(status: &NetworkStatus) -> HashMap<Kind, String> {
    let ids = [
        (Kind::Network, &status.network_id),
        (Kind::Subnet, &status.subnet_id),
        (Kind::Router, &status.router_id),
        (Kind::SecurityGroup, &status.security_group_id),
    ];
    ids.into_iter()
        .filter_map(|(kind, id)| Some((kind, id.clone()?)))
        .collect()
}

/// All objects of a kind, without a resourceVersion: etcd answers, not a cache.
async fn all<K>(api: Api<K>) -> Result<Vec<K>, kube::Error>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut parameters = ListParams::default().limit(PAGE);
    let mut found = vec![];
    loop {
        let page = api.list(&parameters).await?;
        let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
        found.extend(page.items);
        match next {
            Some(token) => parameters = ListParams::default().limit(PAGE).continue_token(&token),
            None => return Ok(found),
        }
    }
}
