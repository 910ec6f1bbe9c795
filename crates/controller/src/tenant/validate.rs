//! Whether a Tenant can be made as asked. Pure.

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use stackube_api::address::{AddressRules, Subnet};
use stackube_api::conditions::{NAMESPACE_READY, NETWORK_READY, PROJECT_READY, ROLES_READY};
use stackube_api::names::{ADOPT_ANNOTATION, TENANT_LABEL, TENANT_UID_ANNOTATION, is_reserved};
use stackube_api::{Member, Tenant};
use stackube_openstack::id::{DomainId, GroupId, NetworkId, ProjectId, UserId};
use stackube_openstack::identity::{Actor, Project};

use super::dereference::Observed;
use super::marks;
use super::password;
use crate::config::Admission;
use crate::context::Identity;
use crate::network::range::judge;

mod runtime;
mod user;

/// Something in the Tenant, or around it, that a person has to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The condition that does not hold.
    pub(crate) condition: &'static str,
    /// Stable reason.
    pub(crate) reason: &'static str,
    /// What is wrong and what to do about it.
    pub(crate) message: String,
}

/// What a valid Tenant asks for, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Valid {
    /// Domain of project and user.
    pub(crate) domain: DomainId,
    /// The network's range.
    pub(crate) subnet: Subnet,
    /// The Neutron network to use instead of a new one.
    pub(crate) network: Option<NetworkId>,
    /// The project belongs to somebody else and is only used.
    pub(crate) adopted: bool,
    /// Further users and groups with the names of their roles.
    pub(crate) members: Vec<(Actor, &'static str)>,
    /// The password that the user should have.
    pub(crate) password: Option<password::Wanted>,
    /// The RuntimeClass of all pods; `None` is the nodes' own default.
    pub(crate) runtime_class: Option<String>,
    /// The RuntimeClass does not exist: told when the rest is done, as the namespace with its pods is there already.
    pub(crate) class_missing: Option<Refusal>,
    /// The Secret with the password does not exist any more: told when the rest is done, as the user has its password already.
    pub(crate) password_missing: Option<Refusal>,
}

/// What validation needs beside the Tenant and what exists.
pub(crate) struct Rules<'a> {
    /// Who the controller is.
    pub(crate) identity: &'a Identity,
    /// Ranges that are allowed.
    pub(crate) addresses: &'a AddressRules,
    /// Range of Tenants that name none.
    pub(crate) default_subnet: Subnet,
    /// Name of another Tenant that uses the same project, if any.
    pub(crate) project_used_by: Option<String>,
    /// What the operator says about names and runtimes.
    pub(crate) admission: &'a Admission,
}

pub(crate) fn validate(tenant: &Tenant, observed: &Observed, rules: &Rules<'_>) -> Result<Valid, Refusal> {
    let subnet = subnet(tenant, rules)?;
    let network = network(tenant)?;
    let members = tenant.spec.members.iter().map(member).collect::<Result<_, _>>()?;
    let domain = domain(tenant, observed)?;
    project(tenant, observed, &domain, rules)?;
    let password = password::wanted(tenant, observed.referenced.as_ref(), &observed.kept);
    let password_missing = user::judge(tenant, observed, password.as_ref(), rules)?;
    namespace(tenant, observed, rules.admission)?;
    let runtime = runtime::class(tenant, observed, rules.admission)?;
    Ok(Valid {
        domain,
        subnet,
        network,
        adopted: tenant.spec.tenant_id.is_some(),
        members,
        password,
        runtime_class: runtime.class,
        class_missing: runtime.missing,
        password_missing,
    })
}

fn refuse<T>(condition: &'static str, reason: &'static str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        condition,
        reason,
        message: message.into(),
    })
}

fn subnet(tenant: &Tenant, rules: &Rules<'_>) -> Result<Subnet, Refusal> {
    let Some(network) = &tenant.spec.network else {
        return Ok(rules.default_subnet);
    };
    // A Tenant that has its namespace was judged before that; what its Network thinks of new rules, the Network says.
    let exists = tenant.status.as_ref().is_some_and(|status| status.namespace.is_some());
    judge(&network.cidr, network.gateway.as_deref(), rules.addresses, exists)
        .map(|judged| judged.range)
        .or_else(|error| refuse(NETWORK_READY, "InvalidNetwork", format!("spec.network: {error}")))
}

fn network(tenant: &Tenant) -> Result<Option<NetworkId>, Refusal> {
    let Some(id) = tenant
        .spec
        .network
        .as_ref()
        .and_then(|network| network.network_id.as_deref())
    else {
        return Ok(None);
    };
    if id.is_empty() {
        return Ok(None);
    }
    if tenant.spec.tenant_id.is_none() {
        let message = "spec.network.networkID names a network of an existing project: give that project's ID as \
                       spec.tenantID as well";
        return refuse(NETWORK_READY, "InvalidNetwork", message);
    }
    NetworkId::new(id)
        .map(Some)
        .or_else(|error| refuse(NETWORK_READY, "InvalidNetwork", error.to_string()))
}

fn member(member: &Member) -> Result<(Actor, &'static str), Refusal> {
    let invalid = |error: &dyn std::fmt::Display| Refusal {
        condition: ROLES_READY,
        reason: "InvalidMember",
        message: format!("spec.members: {error}"),
    };
    let actor = match (&member.user, &member.group) {
        (Some(id), None) => Actor::User(UserId::new(id.as_str()).map_err(|error| invalid(&error))?),
        (None, Some(id)) => Actor::Group(GroupId::new(id.as_str()).map_err(|error| invalid(&error))?),
        _ => return Err(invalid(&"a member is either a user or a group: give exactly one ID")),
    };
    Ok((actor, member.role.keystone_role()))
}

fn domain(tenant: &Tenant, observed: &Observed) -> Result<DomainId, Refusal> {
    observed.domain.clone().ok_or_else(|| Refusal {
        condition: PROJECT_READY,
        reason: "DomainNotFound",
        message: format!(
            "Keystone has no domain with the name or ID {:?}: create it, or make the Tenant anew with another spec.domain",
            tenant.spec.domain.as_deref().unwrap_or_default()
        ),
    })
}

fn project(tenant: &Tenant, observed: &Observed, domain: &DomainId, rules: &Rules<'_>) -> Result<(), Refusal> {
    let no = |reason, message: String| refuse(PROJECT_READY, reason, message);
    if let Some(id) = &tenant.spec.tenant_id {
        return adopted(tenant, id, observed, domain, rules);
    }
    let known = tenant.status.as_ref().and_then(|status| status.project_id.as_deref());
    match (&observed.project, known) {
        (None, None) => Ok(()),
        (None, Some(id)) => no(
            "ProjectGone",
            format!(
                "the project {id} of this Tenant was deleted in Keystone, so its networks have no owner: delete the Tenant"
            ),
        ),
        (Some(project), _) if !project.enabled => no(
            "ProjectDisabled",
            format!(
                "the project {} is disabled in Keystone: enable it, or delete the Tenant",
                project.id
            ),
        ),
        (Some(_), Some(_)) => Ok(()),
        (Some(project), None) if is_ours(project, tenant, rules) => Ok(()),
        (Some(project), None) => no(
            "ProjectExists",
            format!(
                "Keystone has a project named {:?} already ({}), which Stackube did not make: give its ID as spec.tenantID of a \
                 new Tenant to use it, or choose another name",
                project.name, project.id
            ),
        ),
    }
}

fn is_ours(project: &Project, tenant: &Tenant, rules: &Rules<'_>) -> bool {
    marks::is_project_of(project, &rules.identity.cluster, &tenant.uid().unwrap_or_default())
}

/// Roles whose holders act for a service or for the cloud itself.
const SERVICE_ROLES: [&str; 2] = ["admin", "service"];

/// A project that exists and is not ours: whatever could give a tenant somebody else's rights is refused.
fn adopted(
    tenant: &Tenant,
    id: &str,
    observed: &Observed,
    domain: &DomainId,
    rules: &Rules<'_>,
) -> Result<(), Refusal> {
    let no = |reason, message: String| refuse(PROJECT_READY, reason, message);
    if let Err(error) = ProjectId::new(id) {
        return no("InvalidTenantID", format!("spec.tenantID: {error}"));
    }
    let Some(project) = &observed.project else {
        return no(
            "ProjectNotFound",
            format!("Keystone has no project with the ID {id}: correct spec.tenantID"),
        );
    };
    if project.id == rules.identity.project {
        return no(
            "ProjectReserved",
            format!("{id} is the project of Stackube itself: it cannot be a tenant's"),
        );
    }
    if project.is_domain || &project.domain_id != domain {
        return no(
            "ForeignDomain",
            format!(
                "the project {id} is in the domain {}, not in {domain}: name its domain in spec.domain",
                project.domain_id
            ),
        );
    }
    if !project.enabled {
        return no(
            "ProjectDisabled",
            format!("the project {id} is disabled in Keystone: enable it first"),
        );
    }
    if let Some(other) = &rules.project_used_by {
        return no(
            "ProjectInUse",
            format!("the project {id} is used by the Tenant {other} already: one Tenant for a project"),
        );
    }
    let held = |role: &str| {
        observed
            .roles
            .get(role)
            .is_some_and(|id| observed.assignments.iter().any(|held| &held.role == id))
    };
    // Only before the project is taken: what the cloud's operators do in it later does not stop the tenant.
    let first = tenant.status.as_ref().is_none_or(|status| status.project_id.is_none());
    if let Some(role) = SERVICE_ROLES.into_iter().find(|role| first && held(role)) {
        return no(
            "ProjectReserved",
            format!(
                "somebody holds the role {role} in the project {id}, so it belongs to a service or to the cloud's operators: it \
                 cannot be a tenant's (`openstack role assignment list --project {id} --names` shows who)"
            ),
        );
    }
    Ok(())
}

/// Whose a namespace is, seen from a Tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// Made for this very Tenant (or handed over to it earlier).
    Ours,
    /// Handed over by the administrator, not yet taken.
    Offered,
    /// Somebody else's.
    Foreign,
}

pub(crate) fn ownership(namespace: &Namespace, tenant: &Tenant) -> Ownership {
    let name = tenant.name_any();
    let labelled = namespace.labels().get(TENANT_LABEL);
    let owner = namespace.annotations().get(TENANT_UID_ANNOTATION);
    if labelled == Some(&name) && owner.is_some() && owner == tenant.uid().as_ref() {
        Ownership::Ours
    } else if labelled.is_none_or(|label| *label == name)
        && namespace.annotations().get(ADOPT_ANNOTATION) == Some(&name)
    {
        Ownership::Offered
    } else {
        Ownership::Foreign
    }
}

fn namespace(tenant: &Tenant, observed: &Observed, admission: &Admission) -> Result<(), Refusal> {
    let no = |reason, message: String| refuse(NAMESPACE_READY, reason, message);
    let name = tenant.name_any();
    if is_reserved(&name) {
        return no(
            "NameReserved",
            format!("{name} is a name of Kubernetes or Stackube: choose another"),
        );
    }
    // Only before the namespace is made: a name that is reserved later stays with who has it.
    let first = tenant.status.as_ref().is_none_or(|status| status.namespace.is_none());
    if first && admission.reserved_names.contains(&name) {
        return no(
            "NameReserved",
            format!("{name} is a name that the operator of this cluster has reserved: choose another"),
        );
    }
    let Some(namespace) = &observed.namespace else {
        return Ok(());
    };
    let handed_over = namespace.annotations().get(ADOPT_ANNOTATION) == Some(&name);
    match ownership(namespace, tenant) {
        Ownership::Foreign => no(
            "NamespaceExists",
            format!(
                "the namespace {name} exists and was not made for this Tenant: delete it, or hand it over without pods in it by \
                 `kubectl annotate namespace {name} {ADOPT_ANNOTATION}={name}`"
            ),
        ),
        Ownership::Offered | Ownership::Ours if observed.has_pods && handed_over => no(
            "NamespaceHasPods",
            format!(
                "the namespace {name} is handed over, but has pods, which are on another network: delete them first"
            ),
        ),
        Ownership::Offered | Ownership::Ours => Ok(()),
    }
}
