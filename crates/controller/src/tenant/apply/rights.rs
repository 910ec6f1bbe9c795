//! Rights of the tenant's users in Kubernetes.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use kube::{Api, ResourceExt};
use stackube_openstack::id::{ProjectId, RoleId};

use super::Work;
use crate::declare::declare;
use crate::stop::Stop;
use crate::tenant::rights;

impl Work<'_> {
    /// Binds what members of the project may do: in the namespace, and with the Tenant itself.
    pub(super) async fn rights(&self, project: &ProjectId, roles: &BTreeMap<String, RoleId>) -> Result<(), Stop> {
        let client = &self.context.kube;
        let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), &self.tenant.name_any());
        for binding in rights::role_bindings(self.tenant, project, roles) {
            declare(&bindings, &binding).await?;
        }
        let (role, binding) = rights::own_tenant(self.tenant, project, roles);
        declare(&Api::<ClusterRole>::all(client.clone()), &role).await?;
        declare(&Api::<ClusterRoleBinding>::all(client.clone()), &binding).await?;
        Ok(())
    }
}
