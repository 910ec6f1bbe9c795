//! What the node holds for a pod: rows on the integration bridge, devices, calls of the plugin that are under way.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};

use crate::devbox::Devbox;

/// UID of a pod.
///
/// # Panics
/// When there is no such pod.
pub async fn uid(devbox: &Devbox, namespace: &str, pod: &str) -> String {
    let pods: Api<Pod> = Api::namespaced(devbox.kube.clone(), namespace);
    let pod = pods.get(pod).await.expect("the pod should be there");
    pod.uid().expect("what the API server has made has a UID")
}

/// Containers (of the runtime's sandboxes) that are plugged in for the pod.
///
/// # Errors
/// When the host does not answer.
pub async fn plugged(devbox: &Devbox, uid: &str) -> Result<Vec<String>> {
    let script = format!(
        "for name in $(ovs-vsctl --bare --columns=name find interface external_ids:stackube-pod-uid={uid}); do \
           ovs-vsctl --if-exists get interface $name external_ids:stackube-container; done"
    );
    let seen = devbox.host(&script).await?;
    let containers = seen.lines().map(|line| line.trim_matches('"').to_owned());
    // A row without a container is not kubestackd's.
    Ok(containers.filter(|container| !container.is_empty()).collect())
}

/// Devices of the host that are the pod's.
///
/// # Errors
/// When the host does not answer.
pub async fn devices(devbox: &Devbox, uid: &str) -> Result<Vec<String>> {
    let script = format!("grep -l -s 'pod={uid} ' /sys/class/net/sk*/ifalias || true");
    let seen = devbox.host(&script).await?;
    Ok(seen.lines().map(ToOwned::to_owned).collect())
}

/// A process of the plugin that serves a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// On the host.
    pub process: u32,
    /// The sandbox's.
    pub container: String,
}

/// Calls for the pod that are under way.
///
/// # Errors
/// When the host does not answer.
pub async fn calls(devbox: &Devbox, uid: &str) -> Result<Vec<Call>> {
    let script = format!(
        "for process in $(pgrep -x kubestack); do \
           grep -q -s 'K8S_POD_UID={uid}' /proc/$process/environ || continue; \
           container=$(tr '\\0' '\\n' 2>/dev/null </proc/$process/environ | sed -n 's/^CNI_CONTAINERID=//p'); \
           [ -z \"$container\" ] || echo $process $container; done"
    );
    let seen = devbox.host(&script).await?;
    seen.lines()
        .map(|line| {
            let (process, container) = line.split_once(' ').context("two words")?;
            Ok(Call {
                process: process.parse()?,
                container: container.to_owned(),
            })
        })
        .collect()
}
