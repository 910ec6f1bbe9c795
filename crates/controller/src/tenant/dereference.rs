//! Everything there is of a Tenant, in Keystone and Kubernetes. Only reads. Neutron is not asked: while it is away, rights are taken
//! away all the same.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use secrecy::SecretString;
use stackube_api::names::{SYSTEM_NAMESPACE, password_secret};
use stackube_api::{Network, Tenant};
use stackube_openstack::id::{DomainId, ProjectId, RoleId, UserId};
use stackube_openstack::identity::{Project, RoleAssignment, User};
use stackube_openstack::{Optional, Session};

use super::password::{self, Kept};
use crate::context::Context;
use crate::stop::Stop;

/// What exists for a Tenant, before anything is changed.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    /// Domain of project and user; `None` if the wanted one does not exist.
    pub(crate) domain: Option<DomainId>,
    /// All global roles by name.
    pub(crate) roles: BTreeMap<String, RoleId>,
    /// The project: by the ID in the status, else by `tenantID`, else by its name in the domain (ours or not).
    pub(crate) project: Option<Project>,
    /// Who has which role in the project.
    pub(crate) assignments: Vec<RoleAssignment>,
    /// The user: by the ID in the status, else by its name in the domain (ours or not).
    pub(crate) user: Option<User>,
    /// What the controller keeps of the password.
    pub(crate) kept: Kept,
    /// The password in the referenced Secret.
    pub(crate) referenced: Option<SecretString>,
    /// The namespace of the Tenant's name.
    pub(crate) namespace: Option<Namespace>,
    /// Whether there are pods in the namespace. Only looked up while that matters.
    pub(crate) has_pods: bool,
    /// The Network in the namespace.
    pub(crate) network: Option<Network>,
    /// Names of the cluster's RuntimeClasses.
    pub(crate) runtime_classes: BTreeSet<String>,
}

/// Reads all that Keystone has, and adds it to what is in the cluster.
///
/// # Errors
/// Those of Keystone.
pub(crate) async fn dereference(tenant: &Tenant, context: &Context, cluster: Cluster) -> Result<Observed, Stop> {
    let identity = keystone(tenant, context, &context.cloud.service()).await?;
    Ok(Observed {
        domain: identity.domain,
        roles: identity.roles,
        project: identity.project,
        assignments: identity.assignments,
        user: identity.user,
        kept: cluster.kept,
        referenced: cluster.referenced,
        namespace: cluster.namespace,
        has_pods: cluster.has_pods,
        network: cluster.network,
        runtime_classes: cluster.runtime_classes,
    })
}

/// What Keystone has of a Tenant.
pub(crate) struct Identity {
    pub(crate) domain: Option<DomainId>,
    pub(crate) roles: BTreeMap<String, RoleId>,
    pub(crate) project: Option<Project>,
    pub(crate) assignments: Vec<RoleAssignment>,
    pub(crate) user: Option<User>,
}

pub(crate) async fn keystone(tenant: &Tenant, context: &Context, session: &Session) -> Result<Identity, Stop> {
    let domain = find_domain(tenant.spec.domain.as_deref(), context, session).await?;
    let (roles, project, user) = tokio::join!(
        session.list_roles(),
        find_project(tenant, domain.as_ref(), session),
        find_user(tenant, domain.as_ref(), session)
    );
    let project = project?;
    let assignments = match &project {
        None => Vec::new(),
        Some(Project { id, .. }) => session.list_role_assignments_of_project(id).await?,
    };
    let roles = roles?
        .into_iter()
        .filter(|role| role.domain_id.is_none())
        .map(|role| (role.name, role.id))
        .collect();
    Ok(Identity {
        domain,
        roles,
        project,
        assignments,
        user: user?,
    })
}

/// By ID or name, as an operator may write either; the default one was looked up at start.
async fn find_domain(wanted: Option<&str>, context: &Context, session: &Session) -> Result<Option<DomainId>, Stop> {
    let Some(wanted) = wanted else {
        return Ok(Some(context.identity.tenant_domain.clone()));
    };
    if let Some(domain) = session.find_domain(wanted).await? {
        return Ok(Some(domain.id));
    }
    match DomainId::new(wanted) {
        Ok(id) => Ok(session.get_domain(&id).await.optional()?.map(|domain| domain.id)),
        Err(_) => Ok(None),
    }
}

async fn find_project(tenant: &Tenant, domain: Option<&DomainId>, session: &Session) -> Result<Option<Project>, Stop> {
    let known = tenant.status.as_ref().and_then(|status| status.project_id.as_deref());
    if let Some(id) = known.or(tenant.spec.tenant_id.as_deref()) {
        return match ProjectId::new(id) {
            Ok(id) => Ok(session.get_project(&id).await.optional()?),
            Err(_) => Ok(None),
        };
    }
    match domain {
        Some(domain) => Ok(session.find_project(domain, &tenant.name_any()).await?),
        None => Ok(None),
    }
}

async fn find_user(tenant: &Tenant, domain: Option<&DomainId>, session: &Session) -> Result<Option<User>, Stop> {
    let known = tenant.status.as_ref().and_then(|status| status.user_id.as_deref());
    if let Some(id) = known.and_then(|id| UserId::new(id).ok())
        && let Some(user) = session.get_user(&id).await.optional()?
    {
        return Ok(Some(user));
    }
    match domain {
        Some(domain) => Ok(session.find_user(domain, &tenant.spec.username).await?),
        None => Ok(None),
    }
}

/// What Kubernetes has of a Tenant.
pub(crate) struct Cluster {
    pub(crate) kept: Kept,
    referenced: Option<SecretString>,
    namespace: Option<Namespace>,
    has_pods: bool,
    network: Option<Network>,
    runtime_classes: BTreeSet<String>,
}

/// Reads what the cluster has, side by side.
///
/// # Errors
/// Those of the API server.
pub(crate) async fn kubernetes(tenant: &Tenant, context: &Context) -> Result<Cluster, Stop> {
    let name = tenant.name_any();
    let secrets: Api<Secret> = Api::namespaced(context.kube.clone(), SYSTEM_NAMESPACE);
    let namespaces: Api<Namespace> = Api::all(context.kube.clone());
    let networks: Api<Network> = Api::namespaced(context.kube.clone(), &name);
    let reference = tenant
        .spec
        .password_secret_ref
        .as_ref()
        .map(|reference| reference.name.as_str());
    let secret_name = password_secret(&name);
    let classes: Api<RuntimeClass> = Api::all(context.kube.clone());
    let every = ListParams::default();
    let (own, other, namespace, network, classes) = tokio::join!(
        secrets.get_opt(&secret_name),
        async {
            match reference {
                Some(name) => secrets.get_opt(name).await,
                None => Ok(None),
            }
        },
        namespaces.get_opt(&name),
        networks.get_opt(&name),
        classes.list_metadata(&every),
    );
    let namespace = namespace?;
    let taken_over = tenant.status.as_ref().is_some_and(|status| status.namespace.is_some());
    let has_pods = namespace.is_some() && !taken_over && has_pods(context, &name).await?;
    Ok(Cluster {
        kept: own?
            .map(|secret| password::kept(&secret, &tenant.uid().unwrap_or_default()))
            .unwrap_or_default(),
        referenced: other?.as_ref().and_then(password::referenced),
        namespace,
        has_pods,
        network: network?,
        runtime_classes: classes?.iter().map(ResourceExt::name_any).collect(),
    })
}

/// Whether there is a pod in the namespace.
///
/// # Errors
/// Those of the API server.
pub(crate) async fn has_pods(context: &Context, namespace: &str) -> Result<bool, kube::Error> {
    let pods: Api<Pod> = Api::namespaced(context.kube.clone(), namespace);
    Ok(!pods
        .list_metadata(&ListParams::default().limit(1))
        .await?
        .items
        .is_empty())
}
