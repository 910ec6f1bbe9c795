//! Tables for validation, plans and removal of Tenants.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use rstest::rstest;
use serde_json::{Value, json};
use stackube_api::address::{AddressRules, ReservedRange, Subnet};
use stackube_api::names::{ADOPT_ANNOTATION, FORBIDDEN_ROLES, PROJECT_ANNOTATION, TENANT_LABEL, TENANT_UID_ANNOTATION};
use stackube_api::{Tenant, TenantStatus};
use stackube_openstack::id::{DomainId, ProjectId, RoleId, UserId};
use stackube_openstack::identity::{Actor, AssignmentScope, Project, RoleAssignment, User};

use super::dereference::Observed;
use super::plan::{Grantee, NamespaceStep, Plan, Step, UserStep, plan};
use super::validate::{Refusal, Rules, Valid, validate};
use super::{marks, password};
use crate::config::{Admission, DefaultRuntime, Defaults};
use crate::context::Identity;

mod access;
mod claims;
mod flow;
mod messages;
mod planning;
mod removal;
mod rights;
mod runtime;
mod validation;

const UID: &str = "11111111-aaaa";
const CLUSTER: &str = "cccccccc-0000";

pub(super) fn identity() -> Identity {
    Identity {
        cluster: CLUSTER.into(),
        project: ProjectId::new("service-project").unwrap(),
        user: UserId::new("service-user").unwrap(),
        tenant_domain: DomainId::new("default").unwrap(),
    }
}

/// A Tenant named `test` from the YAML of the user guide, with `spec` merged in.
pub(super) fn tenant(spec: Value) -> Tenant {
    let mut object = json!({
        "apiVersion": "stackube.kubernetes.io/v1",
        "kind": "Tenant",
        "metadata": {"name": "test", "uid": UID},
        "spec": {"username": "test", "password": "password"},
    });
    let fields = object["spec"].as_object_mut().unwrap();
    fields.extend(spec.as_object().unwrap().clone());
    serde_json::from_value(object).unwrap()
}

/// With what an earlier reconcile wrote.
pub(super) fn with_status(mut tenant: Tenant, project: &str, user: &str) -> Tenant {
    tenant.status = Some(TenantStatus {
        project_id: Some(project.into()),
        user_id: Some(user.into()),
        namespace: Some("test".into()),
        ..TenantStatus::default()
    });
    tenant
}

pub(super) fn roles() -> BTreeMap<String, RoleId> {
    [
        "admin",
        "manager",
        "service",
        "member",
        "reader",
        "stackube-admin",
        "stackube-edit",
        "stackube-view",
    ]
    .into_iter()
    .map(|name| (name.to_owned(), RoleId::new(format!("role-{name}")).unwrap()))
    .collect()
}

/// Nothing exists but roles and the domain.
pub(super) fn nothing() -> Observed {
    Observed {
        domain: Some(DomainId::new("default").unwrap()),
        roles: roles(),
        project: None,
        assignments: vec![],
        user: None,
        kept: password::Kept::default(),
        referenced: None,
        namespace: None,
        has_pods: false,
        network: None,
        runtime_classes: ["runc", "gvisor"].map(str::to_owned).into(),
    }
}

pub(super) fn project(id: &str, tags: &[String]) -> Project {
    serde_json::from_value(json!({
        "id": id, "name": "test", "domain_id": "default", "enabled": true, "tags": tags,
    }))
    .unwrap()
}

pub(super) fn our_project() -> Project {
    project("p1", &marks::project_tags(CLUSTER, UID))
}

pub(super) fn user(id: &str, description: &str) -> User {
    serde_json::from_value(json!({
        "id": id, "name": "test", "domain_id": "default", "enabled": true, "description": description,
    }))
    .unwrap()
}

pub(super) fn our_user() -> User {
    user("u1", &marks::user_description(CLUSTER, "test", UID))
}

pub(super) fn held(actor: Actor, role: &str) -> RoleAssignment {
    RoleAssignment {
        role: roles()[role].clone(),
        actor,
        scope: AssignmentScope::Project(ProjectId::new("p1").unwrap()),
        inherited: false,
    }
}

pub(super) fn by_user(id: &str) -> Actor {
    Actor::User(UserId::new(id).unwrap())
}

pub(super) fn namespace(labels: Value, annotations: Value) -> Namespace {
    serde_json::from_value(json!({"metadata": {"name": "test", "labels": labels, "annotations": annotations}})).unwrap()
}

pub(super) fn defaults() -> Defaults {
    crate::config::built_in_defaults()
}

pub(super) fn check(tenant: &Tenant, observed: &Observed) -> Result<Valid, Refusal> {
    check_used(tenant, observed, None)
}

pub(super) fn check_used(tenant: &Tenant, observed: &Observed, used_by: Option<&str>) -> Result<Valid, Refusal> {
    let admission = Admission {
        default_runtime: DefaultRuntime::Class("runc".into()),
        reserved_names: vec!["service".into()],
        ..Admission::default()
    };
    check_by(tenant, observed, used_by, &admission)
}

pub(super) fn check_by(
    tenant: &Tenant,
    observed: &Observed,
    used_by: Option<&str>,
    admission: &Admission,
) -> Result<Valid, Refusal> {
    let mut addresses = AddressRules::default();
    addresses.reserved.push(ReservedRange::new(
        "10.96.0.0/12".parse().unwrap(),
        "addresses of Services",
    ));
    let identity = identity();
    let default_subnet = Subnet::new("10.244.0.0/16", None, &addresses).unwrap();
    let rules = Rules {
        identity: &identity,
        addresses: &addresses,
        default_subnet,
        project_used_by: used_by.map(str::to_owned),
        admission,
    };
    validate(tenant, observed, &rules)
}

pub(super) fn planned(tenant: &Tenant, observed: &Observed) -> Plan {
    let valid = check(tenant, observed).unwrap();
    plan(tenant, &valid, observed, &identity(), &defaults())
}
