//! Whose a Network is: the project it is made in, and the session that acts there.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};
use stackube_api::names::{SYSTEM_NAMESPACE, TENANT_LABEL, TENANT_UID_ANNOTATION};
use stackube_api::{Network, Tenant};
use stackube_openstack::Session;
use stackube_openstack::id::ProjectId;

use crate::context::Context;
use crate::stop::Stop;

/// How soon to look again for a Tenant that is not that far yet.
const LOOK: Duration = Duration::from_secs(2);

/// The project of a Network.
pub(crate) struct Owner {
    /// The project.
    pub(crate) project: ProjectId,
    /// The service user in it.
    pub(crate) session: Session,
    /// The project existed before its Tenant.
    pub(crate) adopted: bool,
}

/// Whether this is the one Network of the administrator's namespaces.
pub(crate) fn is_system(network: &Network) -> bool {
    network.name_any() == SYSTEM_NAMESPACE && network.namespace().as_deref() == Some(SYSTEM_NAMESPACE)
}

/// Finds the owner: the service's own project for the system network, else that of the Tenant for which the namespace was made.
/// Nothing that is written into the Network takes part in the choice.
///
/// # Errors
/// Refused for a Network that no Tenant asked for; waiting for a Tenant that has no project yet.
pub(crate) async fn find(network: &Network, context: &Context) -> Result<Owner, Stop> {
    if is_system(network) {
        let project = context.identity.project.clone();
        return Ok(Owner {
            project,
            session: context.cloud.service(),
            adopted: false,
        });
    }
    let namespace_name = network.namespace().unwrap_or_default();
    if network.name_any() != namespace_name {
        let message =
            format!("a namespace has one Network, named like it: delete this one; the other is {namespace_name}");
        return Err(Stop::refused("NotTheNetwork", message));
    }
    let namespaces: Api<Namespace> = Api::all(context.kube.clone());
    let namespace = namespaces.get(&namespace_name).await?;
    let Some(tenant_name) = namespace.labels().get(TENANT_LABEL) else {
        let message = "this namespace belongs to no Tenant, so its pods use the system network: delete this Network";
        return Err(Stop::refused("NoTenant", message));
    };
    let tenants: Api<Tenant> = Api::all(context.kube.clone());
    let tenant = tenants.get_opt(tenant_name).await?;
    let made_for = namespace.annotations().get(TENANT_UID_ANNOTATION);
    let Some(tenant) = tenant.filter(|tenant| tenant.uid().is_some() && tenant.uid().as_ref() == made_for) else {
        let message = format!("the Tenant {tenant_name} for which this namespace was made does not exist");
        return Err(Stop::refused("NoTenant", message));
    };
    let Some(id) = tenant.status.as_ref().and_then(|status| status.project_id.as_deref()) else {
        let message = format!("the Tenant {tenant_name} has no project yet");
        return Err(Stop::waiting("TenantPending", message, LOOK));
    };
    let project = ProjectId::new(id).map_err(|error| Stop::refused("NoTenant", error.to_string()))?;
    let session = context.cloud.project(&project)?;
    Ok(Owner {
        project,
        session,
        adopted: tenant.spec.tenant_id.is_some(),
    })
}
