//! The Kubernetes cluster: how it is reached, and what it says about itself.

use std::path::Path;

use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::api::ListParams;
use kube::client::ClientBuilder;
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client};
use stackube_api::address::ReservedRange;

use crate::config::ApiServer;
use crate::leader::fence::Fence;

/// The API server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Not in a pod, and no kubeconfig.
    #[error("no service account of a pod is mounted; give --kubeconfig to run outside of the cluster")]
    NotInCluster(#[source] InClusterError),
    /// A kubeconfig that cannot be used.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[source] KubeconfigError),
    /// kubernetes-host and kubernetes-port make no URL.
    #[error("kubernetes-host and kubernetes-port make no URL: {0}")]
    Address(String),
    /// A client that cannot be made, or a call that failed.
    #[error("the Kubernetes API cannot be used")]
    Api(#[from] kube::Error),
    /// The namespace has no UID.
    #[error("the namespace kube-system has no UID")]
    NoUid,
}

/// How the cluster is reached: by `kubeconfig`, else as the pod's service account at `server` (or where kubelet says).
///
/// # Errors
/// [`ClusterError`] when there is neither.
pub(crate) async fn config(
    kubeconfig: Option<&Path>,
    server: Option<&ApiServer>,
) -> Result<kube::Config, ClusterError> {
    match kubeconfig {
        Some(path) => {
            let text = Kubeconfig::read_from(path).map_err(ClusterError::Kubeconfig)?;
            let options = KubeConfigOptions::default();
            kube::Config::from_custom_kubeconfig(text, &options)
                .await
                .map_err(ClusterError::Kubeconfig)
        }
        None => {
            let mut config = kube::Config::incluster().map_err(ClusterError::NotInCluster)?;
            if let Some(ApiServer { host, port }) = server {
                let text = format!("https://{host}:{port}/");
                config.cluster_url = text.parse().map_err(|_| ClusterError::Address(text))?;
            }
            Ok(config)
        }
    }
}

/// A client that may always write.
///
/// # Errors
/// A configuration that cannot work.
pub(crate) fn connect(config: kube::Config) -> Result<Client, ClusterError> {
    Ok(Client::try_from(config)?)
}

/// A client that writes only as long as `fence` lets it.
///
/// # Errors
/// As [`connect`].
pub(crate) fn connect_behind(config: kube::Config, fence: &Fence) -> Result<Client, ClusterError> {
    Ok(ClientBuilder::try_from(config)?.with_layer(&fence.layer()).build())
}

/// Purpose of reserved ranges that are the cluster's Service addresses.
pub(crate) const SERVICES: &str = "addresses of Services";

/// UID of the namespace `kube-system`, which stands for the cluster.
///
/// # Errors
/// Those of the API server.
pub(crate) async fn uid(client: &Client) -> Result<String, ClusterError> {
    let namespace = Api::<Namespace>::all(client.clone()).get("kube-system").await?;
    namespace.metadata.uid.ok_or(ClusterError::NoUid)
}

/// The ranges of Services that the API server knows, also those that were added after the first.
///
/// # Errors
/// Those of the API server.
pub(crate) async fn service_ranges(client: &Client) -> Result<Vec<ReservedRange>, ClusterError> {
    let found = Api::<ServiceCIDR>::all(client.clone())
        .list(&ListParams::default())
        .await?;
    let ranges = found
        .items
        .into_iter()
        .filter_map(|range| range.spec)
        .flat_map(|spec| spec.cidrs.unwrap_or_default());
    Ok(ranges
        .filter_map(|text| text.parse::<Ipv4Net>().ok())
        .map(|range| ReservedRange::new(range, SERVICES))
        .collect())
}
