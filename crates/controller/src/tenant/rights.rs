//! What members of a tenant's project may do in Kubernetes, as RBAC objects. Pure.
//!
//! stackube-auth puts the holder of a Keystone role in a project into a group named by the IDs of both. The rights themselves
//! are in three ClusterRoles that the operator can read (`deployment/rbac`); here they are only bound.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleBinding, RoleRef, Subject};
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};
use stackube_api::Tenant;
use stackube_api::names::{project_group, tenant_reader};
use stackube_openstack::id::{ProjectId, RoleId};

use super::manifests::managed;
use super::plan::OWN_ROLES;

const RBAC: &str = "rbac.authorization.k8s.io";

/// One for each of our own roles: the ClusterRole of the same name, in the tenant's namespace only.
pub(super) fn role_bindings(
    tenant: &Tenant,
    project: &ProjectId,
    roles: &BTreeMap<String, RoleId>,
) -> Vec<RoleBinding> {
    held(roles)
        .map(|(name, role)| RoleBinding {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(tenant.name_any()),
                labels: Some(managed()),
                ..ObjectMeta::default()
            },
            role_ref: cluster_role(name),
            subjects: Some(vec![group(project, role)]),
        })
        .collect()
}

/// The right to read this one Tenant, for all who have any role in it. Lists cannot be filtered by RBAC, so there is no more.
/// Both objects go with the Tenant, which owns them.
pub(super) fn own_tenant(
    tenant: &Tenant,
    project: &ProjectId,
    roles: &BTreeMap<String, RoleId>,
) -> (ClusterRole, ClusterRoleBinding) {
    let name = tenant_reader(&tenant.name_any());
    let metadata = ObjectMeta {
        name: Some(name.clone()),
        labels: Some(managed()),
        owner_references: tenant.owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    let rule = PolicyRule {
        api_groups: Some(vec![Tenant::group(&()).into_owned()]),
        resources: Some(vec![Tenant::plural(&()).into_owned()]),
        resource_names: Some(vec![tenant.name_any()]),
        verbs: vec!["get".to_owned()],
        ..PolicyRule::default()
    };
    let role = ClusterRole {
        metadata: metadata.clone(),
        rules: Some(vec![rule]),
        ..ClusterRole::default()
    };
    let binding = ClusterRoleBinding {
        metadata,
        role_ref: cluster_role(&name),
        subjects: Some(held(roles).map(|(_, role)| group(project, role)).collect()),
    };
    (role, binding)
}

fn held(roles: &BTreeMap<String, RoleId>) -> impl Iterator<Item = (&'static str, &RoleId)> {
    OWN_ROLES
        .into_iter()
        .filter_map(|name| roles.get(name).map(|role| (name, role)))
}

fn cluster_role(name: &str) -> RoleRef {
    RoleRef {
        api_group: Some(RBAC.to_owned()),
        kind: "ClusterRole".to_owned(),
        name: name.to_owned(),
    }
}

fn group(project: &ProjectId, role: &RoleId) -> Subject {
    Subject {
        api_group: Some(RBAC.to_owned()),
        kind: "Group".to_owned(),
        name: project_group(project.as_str(), role.as_str()),
        namespace: None,
    }
}
