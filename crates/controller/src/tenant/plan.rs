//! What has to be done so that what exists becomes what a Tenant asks for. Pure.

use k8s_openapi::api::core::v1::{LimitRange, Namespace, ResourceQuota};
use kube::ResourceExt;
use serde_json::Value;
use stackube_api::names::{ROLE_ADMIN, ROLE_EDIT, ROLE_VIEW};
use stackube_api::{Network, OpenStackAccess, Tenant};
use stackube_openstack::id::{ProjectId, UserId};
use stackube_openstack::identity::{Actor, AssignmentScope, CreateProject, RoleAssignment};
use stackube_openstack::network::{Quota, QuotaChange};

use super::dereference::Observed;
use super::validate::{Ownership, Valid, ownership};
use super::{manifests, marks};
use crate::config::Defaults;
use crate::context::Identity;

/// Stackube's own roles in Keystone.
pub(crate) const OWN_ROLES: [&str; 3] = [ROLE_ADMIN, ROLE_EDIT, ROLE_VIEW];
/// What the service user needs in a tenant's project.
pub(crate) const MEMBER: &str = "member";
/// What `openstackAccess: reader` stands for.
pub(crate) const READER: &str = "reader";

/// Everything that is to be done, in the order of the fields.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Own roles that Keystone lacks.
    pub(crate) roles: Vec<&'static str>,
    /// The project.
    pub(crate) project: Step<ProjectId, CreateProject>,
    /// The service user needs its role in the project.
    pub(crate) join_project: bool,
    /// The user.
    pub(crate) user: UserStep,
    /// Roles to give.
    pub(crate) grants: Vec<Grant>,
    /// Roles to take away.
    pub(crate) revocations: Vec<RoleAssignment>,
    /// The project's quota in Neutron; `None` leaves that of an adopted one.
    pub(crate) quota: Option<QuotaChange>,
    /// The namespace.
    pub(crate) namespace: NamespaceStep,
    /// Wanted as they are here.
    pub(crate) limits: (ResourceQuota, LimitRange),
    /// The Network, if it has to be made.
    pub(crate) network: Option<Network>,
}

/// An object that exists, or has to be made.
#[derive(Clone, Debug)]
pub(crate) enum Step<I, C> {
    /// It is there.
    Keep(I),
    /// It has to be made.
    Create(C),
}

/// What to do with the user. The password is in [`Valid`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserStep {
    /// It is as wanted.
    Keep(UserId),
    /// It has to be made.
    Create,
    /// It has to be changed.
    Change {
        /// The user.
        id: UserId,
        /// It gets a new password.
        password: bool,
        /// It was disabled outside.
        enable: bool,
    },
}

/// A role that somebody is to have in the project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Grant {
    /// Who.
    pub(crate) to: Grantee,
    /// The role's name: one of our own, `member` or `reader`.
    pub(crate) role: &'static str,
}

/// Who gets a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grantee {
    /// The tenant's user, which may not exist yet.
    TenantUser,
    /// A member that the Tenant names.
    Member(Actor),
}

/// What to do with the namespace.
#[derive(Clone, Debug)]
pub(crate) enum NamespaceStep {
    /// It is as wanted.
    Keep,
    /// It has to be made.
    Create(Box<Namespace>),
    /// Its labels and annotations have to be changed.
    Change(Value),
    /// It is handed over: take it, then make sure that it has no pods.
    Adopt(Value),
    /// An old one of this name is going away.
    Await,
}

pub(crate) fn plan(
    tenant: &Tenant,
    valid: &Valid,
    observed: &Observed,
    identity: &Identity,
    defaults: &Defaults,
) -> Plan {
    let wanted_grants = wanted_grants(tenant, valid);
    let (grants, revocations) = roles(&wanted_grants, observed);
    Plan {
        roles: OWN_ROLES
            .into_iter()
            .filter(|role| !observed.roles.contains_key(*role))
            .collect(),
        project: project(tenant, valid, observed, identity),
        join_project: !holds(observed, &Actor::User(identity.user.clone()), MEMBER),
        user: user(valid, observed),
        grants,
        revocations,
        quota: quota(tenant, valid, defaults),
        namespace: namespace(tenant, valid, observed),
        limits: (
            manifests::resource_quota(tenant, defaults),
            manifests::limit_range(tenant, defaults),
        ),
        network: observed.network.is_none().then(|| manifests::network(tenant, valid)),
    }
}

fn project(tenant: &Tenant, valid: &Valid, observed: &Observed, identity: &Identity) -> Step<ProjectId, CreateProject> {
    match &observed.project {
        Some(project) => Step::Keep(project.id.clone()),
        None => Step::Create(CreateProject {
            name: tenant.name_any(),
            domain_id: valid.domain.clone(),
            description: format!("Tenant {} of a Kubernetes cluster, made by Stackube", tenant.name_any()),
            tags: marks::project_tags(&identity.cluster, &tenant.uid().unwrap_or_default()),
            enabled: true,
        }),
    }
}

fn user(valid: &Valid, observed: &Observed) -> UserStep {
    let Some(user) = &observed.user else {
        return UserStep::Create;
    };
    let password = valid.password.as_ref().is_some_and(|password| !password.applied);
    let enable = !user.enabled;
    if password || enable {
        UserStep::Change {
            id: user.id.clone(),
            password,
            enable,
        }
    } else {
        UserStep::Keep(user.id.clone())
    }
}

/// Who should have which role, beside the service user.
fn wanted_grants(tenant: &Tenant, valid: &Valid) -> Vec<Grant> {
    let mut grants = vec![Grant {
        to: Grantee::TenantUser,
        role: ROLE_ADMIN,
    }];
    let access = match tenant.spec.openstack_access {
        OpenStackAccess::None => None,
        OpenStackAccess::Reader => Some(READER),
        OpenStackAccess::Member => Some(MEMBER),
    };
    grants.extend(access.map(|role| Grant {
        to: Grantee::TenantUser,
        role,
    }));
    grants.extend(valid.members.iter().map(|(actor, role)| Grant {
        to: Grantee::Member(actor.clone()),
        role,
    }));
    grants.sort();
    grants.dedup();
    grants
}

/// What is missing, and what is too much. Too much is: our own roles of whoever should not have them, and OpenStack's roles
/// of the tenant's user. What others have of OpenStack's roles is not ours to judge.
fn roles(wanted: &[Grant], observed: &Observed) -> (Vec<Grant>, Vec<RoleAssignment>) {
    let tenant_user = observed.user.as_ref().map(|user| Actor::User(user.id.clone()));
    let actor = |grant: &Grant| match &grant.to {
        Grantee::TenantUser => tenant_user.clone(),
        Grantee::Member(actor) => Some(actor.clone()),
    };
    let missing = wanted
        .iter()
        .filter(|grant| actor(grant).is_none_or(|actor| !holds(observed, &actor, grant.role)))
        .cloned();
    let judged = |held: &&RoleAssignment| {
        let name = observed
            .roles
            .iter()
            .find(|(_, id)| **id == held.role)
            .map(|(name, _)| name.as_str());
        let own = name.is_some_and(|name| OWN_ROLES.contains(&name));
        let access =
            name.is_some_and(|name| [MEMBER, READER].contains(&name)) && Some(&held.actor) == tenant_user.as_ref();
        let wanted = wanted
            .iter()
            .any(|grant| Some(grant.role) == name && actor(grant).is_some_and(|actor| actor == held.actor));
        direct(held) && (own || access) && !wanted
    };
    (
        missing.collect(),
        observed.assignments.iter().filter(judged).cloned().collect(),
    )
}

fn holds(observed: &Observed, actor: &Actor, role: &str) -> bool {
    let Some(role) = observed.roles.get(role) else {
        return false;
    };
    observed
        .assignments
        .iter()
        .any(|held| direct(held) && &held.actor == actor && &held.role == role)
}

/// Given in the project itself, not inherited to projects below it.
pub(crate) fn direct(held: &RoleAssignment) -> bool {
    !held.inherited && matches!(held.scope, AssignmentScope::Project(_))
}

/// The quota of an adopted project is its owner's.
fn quota(tenant: &Tenant, valid: &Valid, defaults: &Defaults) -> Option<QuotaChange> {
    if valid.adopted {
        return None;
    }
    let (asked, default) = (&tenant.spec.quota.network, &defaults.network);
    Some(QuotaChange {
        port: asked.ports.or(default.ports),
        floatingip: asked.floating_ips.or(default.floating_ips),
        security_group: asked.security_groups.or(default.security_groups),
        security_group_rule: asked.security_group_rules.or(default.security_group_rules),
        rbac_policy: Some(0),
        ..QuotaChange::default()
    })
}

/// Whether the quota is as wanted already.
pub(crate) fn is_set(wanted: &QuotaChange, quota: &Quota) -> bool {
    let equal = |wanted: Option<i32>, is: i32| wanted.is_none_or(|wanted| wanted == is);
    equal(wanted.port, quota.port)
        && equal(wanted.floatingip, quota.floatingip)
        && equal(wanted.security_group, quota.security_group)
        && equal(wanted.security_group_rule, quota.security_group_rule)
        && equal(wanted.rbac_policy, quota.rbac_policy)
}

fn namespace(tenant: &Tenant, valid: &Valid, observed: &Observed) -> NamespaceStep {
    let runtime_class = valid.runtime_class.as_deref();
    let project = observed.project.as_ref().map(|project| &project.id);
    let Some(namespace) = &observed.namespace else {
        return NamespaceStep::Create(Box::new(manifests::namespace(tenant, runtime_class)));
    };
    if namespace.metadata.deletion_timestamp.is_some() {
        return NamespaceStep::Await;
    }
    let handed_over = tenant.status.as_ref().is_none_or(|status| status.namespace.is_none());
    match (
        ownership(namespace, tenant),
        manifests::namespace_change(tenant, namespace, runtime_class, project),
    ) {
        (Ownership::Ours, None) => NamespaceStep::Keep,
        (Ownership::Ours, Some(change)) => NamespaceStep::Change(change),
        (_, Some(change)) if handed_over => NamespaceStep::Adopt(change),
        // Refused before; never touch what is somebody else's.
        _ => NamespaceStep::Await,
    }
}
