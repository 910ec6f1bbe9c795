//! The key `default-quota`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::Deserialize;
use stackube_api::NetworkQuota;

use super::Defaults;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Text {
    kubernetes: BTreeMap<String, Quantity>,
    network: NetworkQuota,
    container_requests: BTreeMap<String, Quantity>,
    container_limits: BTreeMap<String, Quantity>,
}

impl Default for Text {
    fn default() -> Self {
        let Defaults {
            kubernetes,
            network,
            container_requests,
            container_limits,
        } = built_in();
        Self {
            kubernetes,
            network,
            container_requests,
            container_limits,
        }
    }
}

/// Parts that are left out keep the built-in values.
pub(super) fn parse(yaml: &str) -> Result<Defaults, String> {
    let Text {
        kubernetes,
        network,
        container_requests,
        container_limits,
    } = serde_saphyr::from_str(yaml).map_err(|error| format!("is not valid: {error}"))?;
    let limits = ["cpu", "memory"].map(|resource| (resource, container_limits.get(resource)));
    if let Some((resource, _)) = limits.iter().find(|(_, limit)| limit.is_some_and(is_zero)) {
        return Err(format!(
            "containerLimits.{resource} may not be 0, which kubelet takes for no limit: leave containerLimits out for the built-in values"
        ));
    }
    Ok(Defaults {
        kubernetes,
        network,
        container_requests,
        container_limits,
    })
}

/// Whether a quantity is 0, however it is written (`0`, `0.0Gi`, `0e3`).
fn is_zero(quantity: &Quantity) -> bool {
    let digits = quantity.0.trim_start_matches(['+', '-']);
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.');
    !digits[..end.unwrap_or(digits.len())].contains(|c: char| ('1'..='9').contains(&c))
}

/// A tenant of moderate size. Every kind of object that a tenant can create is counted, so that no tenant fills etcd
/// (`deployment/rbac/tenants.yaml`, which a test compares). Events end after an hour, and tenants do not write them.
pub(crate) fn built_in() -> Defaults {
    let quantities = |list: &[(&str, &str)]| {
        list.iter()
            .map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned())))
            .collect()
    };
    Defaults {
        kubernetes: quantities(&[
            // Those that have not ended, and all.
            ("pods", "100"),
            ("count/pods", "1000"),
            ("requests.cpu", "20"),
            ("requests.memory", "40Gi"),
            ("limits.cpu", "40"),
            ("limits.memory", "80Gi"),
            ("requests.ephemeral-storage", "100Gi"),
            ("limits.ephemeral-storage", "200Gi"),
            ("requests.storage", "500Gi"),
            ("persistentvolumeclaims", "50"),
            ("services", "100"),
            ("services.loadbalancers", "5"),
            ("services.nodeports", "0"),
            ("configmaps", "200"),
            ("secrets", "200"),
            ("count/serviceaccounts", "50"),
            ("count/podtemplates", "50"),
            ("count/replicationcontrollers", "100"),
            ("count/deployments.apps", "100"),
            ("count/replicasets.apps", "500"),
            ("count/statefulsets.apps", "50"),
            ("count/daemonsets.apps", "20"),
            // Kept by Kubernetes for each StatefulSet and DaemonSet, ten unless its history is set to be longer.
            ("count/controllerrevisions.apps", "1000"),
            ("count/jobs.batch", "200"),
            ("count/cronjobs.batch", "50"),
            ("count/roles.rbac.authorization.k8s.io", "50"),
            ("count/rolebindings.rbac.authorization.k8s.io", "50"),
            ("count/networkpolicies.networking.k8s.io", "50"),
            ("count/ingresses.networking.k8s.io", "50"),
            ("count/horizontalpodautoscalers.autoscaling", "50"),
            ("count/poddisruptionbudgets.policy", "50"),
            // Kubernetes makes one for each Service that selects pods, and slices besides.
            ("count/endpoints", "200"),
            ("count/endpointslices.discovery.k8s.io", "500"),
            ("count/leases.coordination.k8s.io", "100"),
        ]),
        network: NetworkQuota {
            ports: Some(500),
            floating_ips: Some(10),
            security_groups: Some(50),
            security_group_rules: Some(500),
        },
        container_requests: quantities(&[("cpu", "10m"), ("memory", "64Mi"), ("ephemeral-storage", "256Mi")]),
        container_limits: quantities(&[("cpu", "1"), ("memory", "512Mi"), ("ephemeral-storage", "1Gi")]),
    }
}
