//! Carrying out a plan. Each step may be the last one before a crash: what it made is found again by the next reconcile.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use stackube_api::conditions::{NAMESPACE_READY, PROJECT_READY, QUOTA_READY, ROLES_READY};
use stackube_api::names::SYSTEM_NAMESPACE;
use stackube_api::{Network, Tenant};
use stackube_openstack::Session;
use stackube_openstack::id::{ProjectId, RoleId};
use stackube_openstack::identity::{Actor, CreateRole};

use super::dereference::Observed;
use super::password;
use super::plan::{self, MEMBER, Plan, Step};
use super::status::Record;
use super::validate::Valid;
use crate::context::Context;
use crate::declare::declare;
use crate::stop::Stop;

mod limits;
mod namespace;
mod rights;
mod user;

/// A step that stopped, with the condition it belongs to.
pub(super) type Stopped = (&'static str, Stop);

/// Attaches the condition of a step to whatever stops it.
pub(super) fn at<T, E: Into<Stop>>(condition: &'static str, result: Result<T, E>) -> Result<T, Stopped> {
    result.map_err(|error| (condition, error.into()))
}

/// Everything that a step needs.
pub(super) struct Work<'a> {
    pub(super) context: &'a Context,
    pub(super) tenant: &'a Tenant,
    pub(super) valid: &'a Valid,
    pub(super) observed: &'a Observed,
    pub(super) plan: &'a Plan,
    pub(super) record: &'a Record<'a>,
    pub(super) keystone: Session,
}

impl Work<'_> {
    /// Does what the plan says; the Network as it is afterwards.
    ///
    /// # Errors
    /// The first step that stopped. Steps beside it are finished first, so that their results are kept.
    pub(super) async fn apply(&self) -> Result<Option<Network>, Stopped> {
        let roles = at(ROLES_READY, self.roles().await)?;
        let project = at(PROJECT_READY, self.project(&roles).await)?;
        let (people, cluster) = tokio::join!(self.people(&project, &roles), self.cluster(&project, &roles));
        people?;
        cluster
    }

    /// Writes the controller's Secret of the tenant.
    async fn keep(&self, secret: &Secret) -> Result<(), kube::Error> {
        keep(self.context, secret).await
    }

    /// All roles by name, with our own made where Keystone lacks them.
    async fn roles(&self) -> Result<BTreeMap<String, RoleId>, Stop> {
        let mut roles = self.observed.roles.clone();
        for name in &self.plan.roles {
            let new = CreateRole {
                name: (*name).to_owned(),
                description: "Rights in a tenant's Kubernetes namespace, by Stackube; no OpenStack service knows it"
                    .to_owned(),
            };
            let made = match self.keystone.create_role(&new).await {
                Err(error) if error.is_conflict() => self.keystone.find_role(name).await?,
                made => Some(made?),
            };
            roles.extend(made.map(|role| (role.name, role.id)));
        }
        Ok(roles)
    }

    /// The project, with the service user in it.
    async fn project(&self, roles: &BTreeMap<String, RoleId>) -> Result<ProjectId, Stop> {
        let (project, reason) = match &self.plan.project {
            Step::Keep(id) if self.valid.adopted => (id.clone(), "Adopted"),
            Step::Keep(id) => (id.clone(), "Created"),
            Step::Create(new) => {
                let made = self.keystone.create_project(new).await?;
                let note = format!("made project {} in Keystone", made.id);
                self.record.project(made.id.as_str(), "Created").await?;
                self.context
                    .events
                    .normal(self.tenant, "Create", "ProjectCreated", note)
                    .await;
                (made.id, "Created")
            }
        };
        self.record.project(project.as_str(), reason).await?;
        if self.plan.join_project {
            let actor = Actor::User(self.context.identity.user.clone());
            self.keystone.grant_role(&project, &actor, role(roles, MEMBER)?).await?;
        }
        Ok(project)
    }

    /// Namespace, limits, rights, and the Network, which takes longest: so its order goes out first.
    async fn cluster(&self, project: &ProjectId, roles: &BTreeMap<String, RoleId>) -> Result<Option<Network>, Stopped> {
        at(NAMESPACE_READY, self.namespace(project).await)?;
        let network = async {
            match &self.plan.network {
                None => Ok(self.observed.network.clone()),
                Some(wanted) => self.create_network(wanted).await,
            }
        };
        let (network, limits, rights) = tokio::join!(network, self.limits(project, roles), self.rights(project, roles));
        let network = at(NAMESPACE_READY, network)?;
        at(NAMESPACE_READY, limits)?;
        at(NAMESPACE_READY, rights)?;
        if self.valid.class_missing.is_none() {
            self.record.met(NAMESPACE_READY, "Created").await;
        }
        Ok(network)
    }

    async fn create_network(&self, wanted: &Network) -> Result<Option<Network>, Stop> {
        let networks: Api<Network> = Api::namespaced(self.context.kube.clone(), &self.tenant.name_any());
        match networks.create(&PostParams::default(), wanted).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(networks.get_opt(&wanted.name_any()).await?),
            made => Ok(Some(made?)),
        }
    }

    /// The quota of the project. Neutron is asked only here, beside everything that has to go on while it is away.
    async fn quota(&self, project: &ProjectId) -> Result<(), Stop> {
        if let Some(wanted) = &self.plan.quota
            && !plan::is_set(wanted, &self.keystone.get_quota(project).await?)
        {
            self.keystone.set_quota(project, wanted).await?;
        }
        self.record
            .met(QUOTA_READY, if self.valid.adopted { "Kept" } else { "Set" })
            .await;
        Ok(())
    }
}

/// The ID of a role.
///
/// # Errors
/// A Keystone that lacks one of its own default roles.
pub(super) fn role<'a>(roles: &'a BTreeMap<String, RoleId>, name: &str) -> Result<&'a RoleId, Stop> {
    roles.get(name).ok_or_else(|| {
        Stop::refused(
            "RoleMissing",
            format!("Keystone has no role {name}: run `keystone-manage bootstrap` or create it"),
        )
    })
}

/// Moves a password out of the Tenant into the controller's Secret, before anything else: also when the Tenant is refused.
///
/// # Errors
/// Those of the API server; a conflict when the Tenant was changed meanwhile.
pub(super) async fn move_password(
    context: &Context,
    tenant: &Tenant,
    kept: &password::Kept,
) -> Result<(), kube::Error> {
    if tenant.spec.password.is_none() {
        return Ok(());
    }
    if let Some(wanted) = password::wanted(tenant, None, kept) {
        keep(
            context,
            &password::secret(tenant, Some(&wanted.password), kept.applied.as_deref()),
        )
        .await?;
    }
    blank(context, tenant).await
}

async fn keep(context: &Context, secret: &Secret) -> Result<(), kube::Error> {
    let secrets: Api<Secret> = Api::namespaced(context.kube.clone(), SYSTEM_NAMESPACE);
    declare(&secrets, secret).await
}

/// Removes the password, and kubectl's copy of it, from the version of the Tenant that was read.
async fn blank(context: &Context, tenant: &Tenant) -> Result<(), kube::Error> {
    let patch = json!({
        "metadata": {
            "resourceVersion": tenant.resource_version(),
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": null},
        },
        "spec": {"password": null},
    });
    let tenants: Api<Tenant> = Api::all(context.kube.clone());
    tenants
        .patch_metadata(&tenant.name_any(), &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
}
