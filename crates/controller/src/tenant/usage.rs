//! What a tenant uses of its quotas, for the Tenant's status.

use k8s_openapi::api::core::v1::ResourceQuota;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{Api, ResourceExt};
use stackube_api::{ResourceUsage, Tenant};
use stackube_openstack::Optional;
use stackube_openstack::id::ProjectId;
use stackube_openstack::network::{QuotaUsage, Used};

use super::manifests::LIMITS;
use crate::context::Context;
use crate::stop::Stop;

/// Reads it. A Neutron that cannot say (no extension `quota_details`) is left out.
///
/// # Errors
/// Those of OpenStack and of the API server.
pub(super) async fn read(context: &Context, tenant: &Tenant, project: &ProjectId) -> Result<Vec<ResourceUsage>, Stop> {
    let quotas: Api<ResourceQuota> = Api::namespaced(context.kube.clone(), &tenant.name_any());
    let service = context.cloud.service();
    let (quota, network) = tokio::join!(quotas.get_opt(LIMITS), service.get_quota_usage(project));
    Ok(usage(quota?.as_ref(), network.optional()?.as_ref()))
}

/// By the resources' names. Limited are those that have a limit; what has none counts too where Neutron counts it.
fn usage(quota: Option<&ResourceQuota>, network: Option<&QuotaUsage>) -> Vec<ResourceUsage> {
    let status = quota.and_then(|quota| quota.status.as_ref());
    let used = status.and_then(|status| status.used.as_ref());
    let of_namespace = used.into_iter().flatten().map(|(resource, used)| ResourceUsage {
        resource: resource.clone(),
        used: used.clone(),
        hard: status.and_then(|status| status.hard.as_ref()?.get(resource).cloned()),
    });
    let of_network = network.into_iter().flat_map(|network| {
        [
            ("floatingIPs", network.floatingip),
            ("ports", network.port),
            ("securityGroupRules", network.security_group_rule),
            ("securityGroups", network.security_group),
        ]
    });
    let of_network = of_network.map(|(kind, Used { used, limit })| ResourceUsage {
        resource: format!("network.{kind}"),
        used: Quantity(used.to_string()),
        hard: (limit >= 0).then(|| Quantity(limit.to_string())),
    });
    let mut all: Vec<ResourceUsage> = of_namespace.chain(of_network).collect();
    all.sort_by(|a, b| a.resource.cmp(&b.resource));
    all
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn quota(status: &Value) -> ResourceQuota {
        serde_json::from_value(json!({"metadata": {"name": LIMITS}, "status": status})).unwrap()
    }

    fn network() -> QuotaUsage {
        let of = |used, limit| Used { used, limit };
        QuotaUsage {
            port: of(5, 500),
            floatingip: of(0, -1),
            security_group: of(2, 10),
            security_group_rule: of(8, 100),
        }
    }

    #[test]
    fn both_are_in_one_list_by_name() {
        let quota =
            quota(&json!({"hard": {"pods": "10", "limits.cpu": "4"}, "used": {"pods": "3", "limits.cpu": "250m"}}));
        let all = serde_json::to_value(usage(Some(&quota), Some(&network()))).unwrap();
        let expected = json!([
            {"resource": "limits.cpu", "used": "250m", "hard": "4"},
            {"resource": "network.floatingIPs", "used": "0"},
            {"resource": "network.ports", "used": "5", "hard": "500"},
            {"resource": "network.securityGroupRules", "used": "8", "hard": "100"},
            {"resource": "network.securityGroups", "used": "2", "hard": "10"},
            {"resource": "pods", "used": "3", "hard": "10"},
        ]);
        assert_eq!(all, expected);
    }

    #[test]
    fn what_nobody_has_counted_is_left_out() {
        assert_eq!(usage(None, None), []);
        assert_eq!(usage(Some(&quota(&json!({}))), None), []);
        assert_eq!(
            usage(Some(&quota(&json!({"hard": {"pods": "1"}}))), Some(&network())).len(),
            4
        );
    }
}
