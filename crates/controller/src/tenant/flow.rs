//! The tenant's place in the API server's queues, as a FlowSchema
//! (<https://kubernetes.io/docs/concepts/cluster-administration/flow-control/>). Pure.
//!
//! One for each tenant, and without a distinguisher, so that all that the tenant sends is one flow. One FlowSchema for all
//! tenants would need one, and both kinds are the sender's choice: the namespace is any that stands in the URL, since fairness
//! comes before authorization, and a tenant has as many users as it makes service accounts.

use std::collections::BTreeMap;

use k8s_openapi::api::flowcontrol::v1::{
    FlowSchema, FlowSchemaSpec, GroupSubject, NonResourcePolicyRule, PolicyRulesWithSubjects,
    PriorityLevelConfigurationReference, ResourcePolicyRule, ServiceAccountSubject, Subject,
};
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};
use stackube_api::Tenant;
use stackube_api::names::{TENANTS_PRIORITY_LEVEL, project_group, tenant_flow};
use stackube_openstack::id::{ProjectId, RoleId};

use super::manifests::managed;

/// After Kubernetes' own for its control plane, nodes and `kube-system` (at most 900), so that these are not compared with every
/// tenant's; before those for whoever is left (from 9000).
const PRECEDENCE: i32 = 8000;

/// Everything that is sent by the tenant's service accounts and by whoever holds a role in its project, one of Keystone's own
/// included. It goes with the Tenant, which owns it.
pub(super) fn flow_schema(tenant: &Tenant, project: &ProjectId, roles: &BTreeMap<String, RoleId>) -> FlowSchema {
    let subjects = std::iter::once(service_accounts(&tenant.name_any())).chain(roles.values().map(|role| Subject {
        kind: "Group".to_owned(),
        group: Some(GroupSubject {
            name: project_group(project.as_str(), role.as_str()),
        }),
        ..Subject::default()
    }));
    FlowSchema {
        metadata: ObjectMeta {
            name: Some(tenant_flow(&tenant.name_any())),
            labels: Some(managed()),
            owner_references: tenant.owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(FlowSchemaSpec {
            matching_precedence: Some(PRECEDENCE),
            priority_level_configuration: PriorityLevelConfigurationReference {
                name: TENANTS_PRIORITY_LEVEL.to_owned(),
            },
            rules: Some(vec![everything(subjects.collect())]),
            ..FlowSchemaSpec::default()
        }),
        ..FlowSchema::default()
    }
}

fn service_accounts(namespace: &str) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        service_account: Some(ServiceAccountSubject {
            namespace: namespace.to_owned(),
            name: "*".to_owned(),
        }),
        ..Subject::default()
    }
}

/// Also what will be refused: refusing takes a seat too.
fn everything(subjects: Vec<Subject>) -> PolicyRulesWithSubjects {
    let all = || vec!["*".to_owned()];
    PolicyRulesWithSubjects {
        subjects,
        resource_rules: Some(vec![ResourcePolicyRule {
            api_groups: all(),
            cluster_scope: Some(true),
            namespaces: Some(all()),
            resources: all(),
            verbs: all(),
        }]),
        non_resource_rules: Some(vec![NonResourcePolicyRule {
            non_resource_urls: all(),
            verbs: all(),
        }]),
    }
}
