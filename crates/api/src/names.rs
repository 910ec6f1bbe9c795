//! Names, labels, annotations, finalizers and OpenStack tags, each defined once.

/// Namespace of Stackube's own components and of every Secret that they keep.
pub const SYSTEM_NAMESPACE: &str = "stackube-system";

/// Namespace label that decides the network of every pod in it; its value is the Tenant's name.
///
/// It is written in the namespace's create call and immutable from then on (an admission policy refuses changes). A
/// namespace without it belongs to the cluster's administrator and uses the system network.
pub const TENANT_LABEL: &str = "stackube.kubernetes.io/tenant";

/// Namespace annotation with the UID of the Tenant that made it, so that a re-created Tenant of the same name does not
/// take over what an older one left.
pub const TENANT_UID_ANNOTATION: &str = "stackube.kubernetes.io/tenant-uid";

/// Namespace annotation with the ID of the tenant's Keystone project: admission policies tell by it whom a RoleBinding may name.
pub const PROJECT_ANNOTATION: &str = "stackube.kubernetes.io/project-id";

/// Namespace label with the RuntimeClass that every pod in a tenant's namespace gets; no other is admitted.
///
/// Written by the controller from the Tenant, or from the cluster's default. A tenant's namespace without it has pods on the
/// nodes' own default runtime, and they may name no RuntimeClass.
pub const RUNTIME_LABEL: &str = "stackube.kubernetes.io/runtime-class";

/// Namespace annotation by which an administrator hands an existing, empty namespace to the Tenant of that name.
pub const ADOPT_ANNOTATION: &str = "stackube.kubernetes.io/adopt";

/// Node annotation: the hostname under which ovn-controller registered the node's chassis. Neutron binds ports by it.
pub const CHASSIS_ANNOTATION: &str = "stackube.kubernetes.io/chassis-hostname";

/// Port annotation by which a node refuses the address in the Port's status, because a live sandbox on it has the same
/// one; its value is that address. The only annotation that a node may set on a Port.
pub const ADDRESS_REFUSED_ANNOTATION: &str = "stackube.kubernetes.io/address-refused";

/// Label on the objects that the controller makes inside a namespace or in [`SYSTEM_NAMESPACE`].
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "stackube-controller";

/// Finalizer of the controller: what it made in OpenStack still exists.
pub const CONTROLLER_FINALIZER: &str = "stackube.kubernetes.io/controller";
/// Finalizer of the node daemon on a Port: the sandbox on the node may still be plugged in.
pub const NODE_FINALIZER: &str = "stackube.kubernetes.io/node";

/// `device_owner` of every pod port in Neutron. The prefix `compute:` keeps a tenant's own OpenStack users from
/// deleting the port under a running pod by accident, as it does for virtual machines.
pub const PORT_DEVICE_OWNER: &str = "compute:stackube";

/// Keystone roles of a tenant's own users. They mean something to Stackube only; no OpenStack service knows them.
pub const ROLE_ADMIN: &str = "stackube-admin";
/// See [`ROLE_ADMIN`].
pub const ROLE_EDIT: &str = "stackube-edit";
/// See [`ROLE_ADMIN`].
pub const ROLE_VIEW: &str = "stackube-view";

/// Kubernetes group of those who may change Tenants: operators, as stackube-auth names them. It is bound to the ClusterRole
/// `stackube-operator`.
pub const OPERATORS_GROUP: &str = "stackube:operators";

/// Kubernetes group of everybody who holds a role in a Keystone project, as stackube-auth names it. Both are IDs, since
/// whoever administers a domain may choose names.
pub fn project_group(project: &str, role: &str) -> String {
    format!("keystone:project:{project}:{role}")
}

/// Kubernetes group of one user while it is in a Keystone project, as stackube-auth names it: what is bound to it ends with the
/// user's last role in the project, which a binding to the user's name would not.
pub fn project_user_group(project: &str, user: &str) -> String {
    format!("keystone:project:{project}:user:{user}")
}

/// ConfigMap in [`SYSTEM_NAMESPACE`] with the parameters of the admission policies. The controller writes it from its own
/// configuration.
pub const LIMITS: &str = "stackube-limits";

/// ClusterRole, and the ClusterRoleBinding to it, by which a tenant's users read their own Tenant.
pub fn tenant_reader(tenant: &str) -> String {
    format!("stackube:tenant:{tenant}")
}

/// FlowSchema that makes all requests of a tenant one flow in [`TENANTS_PRIORITY_LEVEL`].
pub fn tenant_flow(tenant: &str) -> String {
    format!("stackube-tenant-{tenant}")
}

/// PriorityLevelConfiguration of all tenants (`deployment/flowcontrol.yaml`).
pub const TENANTS_PRIORITY_LEVEL: &str = "stackube-tenants";

/// Keystone roles that the controller never grants to anybody: OpenStack services read `admin` on any project as
/// "administrator of the cloud".
pub const FORBIDDEN_ROLES: [&str; 3] = ["admin", "manager", "service"];

/// Name of Neutron objects of a network, for people to read. It never identifies anything: tenants could write it too.
pub fn display_name(namespace: &str, network: &str) -> String {
    format!("kube-{namespace}-{network}")
}

/// Tag that all OpenStack objects of one Kubernetes cluster carry; `cluster` is the UID of namespace `kube-system`.
pub fn cluster_tag(cluster: &str) -> String {
    format!("stackube-cluster={cluster}")
}

/// Tag that ties an OpenStack object to the UID of the Kubernetes object it was made for.
///
/// A tag alone is no proof of ownership, because members of a project can write tags: compare the project as well.
pub fn owner_tag(uid: &str) -> String {
    format!("stackube-owner={uid}")
}

/// The UID in an [`owner_tag`], if `tag` is one.
pub fn owner_of_tag(tag: &str) -> Option<&str> {
    tag.strip_prefix("stackube-owner=").filter(|uid| !uid.is_empty())
}

/// Secret in [`SYSTEM_NAMESPACE`] that keeps a tenant's password and what was last applied of it.
pub fn password_secret(tenant: &str) -> String {
    format!("tenant-{tenant}")
}

/// Whether a name is reserved for Kubernetes and Stackube, so that no Tenant may have it. The Tenant CRD carries the
/// same rule in CEL; operators add names in the parameters of the admission policy `stackube-tenants`.
pub fn is_reserved(name: &str) -> bool {
    name == "default" || name.starts_with("kube-") || name.starts_with("stackube-")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("default", true)]
    #[case("kube-system", true)]
    #[case("kube-anything", true)]
    #[case("stackube-system", true)]
    #[case("kubernetes", false)]
    #[case("test", false)]
    fn reserved_names(#[case] name: &str, #[case] reserved: bool) {
        assert_eq!(is_reserved(name), reserved);
    }

    #[test]
    fn owner_tags_round_trip() {
        assert_eq!(owner_of_tag(&owner_tag("0f1e")), Some("0f1e"));
        assert_eq!(owner_of_tag("stackube-owner="), None);
        assert_eq!(owner_of_tag("other=0f1e"), None);
    }
}
