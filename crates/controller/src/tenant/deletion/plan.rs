//! What of a Tenant is to be taken away in OpenStack, in order. Pure.

use kube::ResourceExt;
use stackube_api::Tenant;
use stackube_openstack::id::{ProjectId, UserId};
use stackube_openstack::identity::{Actor, Project, RoleAssignment, User};

use crate::context::Identity;
use crate::tenant::dereference::Identity as Found;
use crate::tenant::marks;
use crate::tenant::plan::{MEMBER, OWN_ROLES, direct};

/// One step of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tenant) enum Removal {
    /// Take a role away that we gave.
    Revoke(ProjectId, RoleAssignment),
    /// Delete the tenant's user, with its application credentials.
    User(UserId),
    /// Delete everything that the project still owns in Neutron, and its quota.
    Leftovers(ProjectId),
    /// Delete the project.
    Project(ProjectId),
    /// Leave an adopted project.
    Leave(ProjectId),
}

/// What ends the tenant's access, before anything else is waited for: roles of its users, and its own user. What the service
/// needs in order to clean up stays.
pub(in crate::tenant) fn access(tenant: &Tenant, found: &Found, identity: &Identity) -> Vec<Removal> {
    let service = Actor::User(identity.user.clone());
    let own = ours(tenant, found, identity);
    let mut steps = Vec::new();
    if let Some(project) = own.or_else(|| adopted(tenant, found)) {
        let given = found
            .assignments
            .iter()
            .filter(|held| direct(held) && held.actor != service);
        let ends = given.filter(|held| own.is_some() || is_ours(held, tenant, found, identity));
        steps.extend(ends.map(|held| Removal::Revoke(project.id.clone(), held.clone())));
    }
    steps.extend(our_user(tenant, found, identity).map(|user| Removal::User(user.id.clone())));
    steps
}

/// Everything, when the namespace is gone.
pub(in crate::tenant) fn plan(tenant: &Tenant, found: &Found, identity: &Identity) -> Vec<Removal> {
    let mut steps = Vec::new();
    let adopted = adopted(tenant, found);
    if let Some(project) = adopted {
        let given = found
            .assignments
            .iter()
            .filter(|held| direct(held) && is_ours(held, tenant, found, identity));
        steps.extend(given.map(|held| Removal::Revoke(project.id.clone(), held.clone())));
    }
    steps.extend(our_user(tenant, found, identity).map(|user| Removal::User(user.id.clone())));
    if let Some(project) = ours(tenant, found, identity) {
        steps.push(Removal::Leftovers(project.id.clone()));
        steps.push(Removal::Project(project.id.clone()));
    }
    steps.extend(orphaned(tenant, found, identity).map(Removal::Leftovers));
    steps.extend(adopted.map(|project| Removal::Leave(project.id.clone())));
    steps
}

/// The project that was made for the Tenant.
fn ours<'a>(tenant: &Tenant, found: &'a Found, identity: &Identity) -> Option<&'a Project> {
    found.project.as_ref().filter(|project| {
        let uid = tenant.uid().unwrap_or_default();
        tenant.spec.tenant_id.is_none()
            && project.id != identity.project
            && (is_known(tenant, &project.id) || marks::is_project_of(project, &identity.cluster, &uid))
    })
}

/// The project that was made for the Tenant, when somebody has deleted it in Keystone: Neutron keeps what it owned.
fn orphaned(tenant: &Tenant, found: &Found, identity: &Identity) -> Option<ProjectId> {
    let known = tenant.status.as_ref().and_then(|status| status.project_id.as_deref());
    let is_gone = found.project.is_none() && tenant.spec.tenant_id.is_none();
    known
        .filter(|_| is_gone)
        .and_then(|id| ProjectId::new(id).ok())
        .filter(|id| *id != identity.project)
}

/// The project that the Tenant took over.
fn adopted<'a>(tenant: &Tenant, found: &'a Found) -> Option<&'a Project> {
    let project = found.project.as_ref();
    project.filter(|project| tenant.spec.tenant_id.is_some() && is_known(tenant, &project.id))
}

/// The status is written only by us, so an ID in it is proof.
fn is_known(tenant: &Tenant, project: &ProjectId) -> bool {
    tenant.status.as_ref().and_then(|status| status.project_id.as_deref()) == Some(project.as_str())
}

fn our_user<'a>(tenant: &Tenant, found: &'a Found, identity: &Identity) -> Option<&'a User> {
    let known = tenant.status.as_ref().and_then(|status| status.user_id.as_deref());
    found.user.as_ref().filter(|user| {
        let owner = marks::owner_of_user(user.description.as_deref().unwrap_or_default(), &identity.cluster);
        let marked = owner.is_some() && owner == tenant.uid().as_deref();
        user.id != identity.user && (marked || known == Some(user.id.as_str()))
    })
}

/// In an adopted project: our own roles of anybody, and `member` of the service user. The tenant's user goes as a whole.
fn is_ours(held: &RoleAssignment, tenant: &Tenant, found: &Found, identity: &Identity) -> bool {
    let Some((name, _)) = found.roles.iter().find(|(_, id)| **id == held.role) else {
        return false;
    };
    let tenant_user = our_user(tenant, found, identity).is_some_and(|user| held.actor == Actor::User(user.id.clone()));
    let service = held.actor == Actor::User(identity.user.clone());
    !tenant_user && (OWN_ROLES.contains(&name.as_str()) || (service && name == MEMBER))
}
