use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::PlainPassword;

/// A customer of the cluster: a Keystone project and user, a namespace of the same name, and an isolated network.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "stackube.kubernetes.io",
    version = "v1",
    doc = "A customer of the cluster: a Keystone project and user, a namespace and an isolated network.",
    kind = "Tenant",
    plural = "tenants",
    shortname = "tn",
    status = "TenantStatus",
    derive = "PartialEq",
    annotation(
        "api-approved.kubernetes.io",
        "unapproved, the group name is kept from the Stackube project of 2017"
    ),
    validation = kube::core::Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63").message("a Tenant's name is also its namespace's: at most 63 lower-case letters, digits and hyphens"),
    validation = kube::core::Rule::new("self.metadata.name != 'default' && !self.metadata.name.startsWith('kube-') && !self.metadata.name.startsWith('stackube-')").message("this name is reserved for Kubernetes and Stackube: choose another"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Project", type_ = "string", json_path = ".status.projectID"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = kube::core::Rule::new("!(has(self.password) && self.password != '' && has(self.passwordSecretRef))").message("give either password or passwordSecretRef, not both"),
    validation = kube::core::Rule::new("has(self.tenantID) == has(oldSelf.tenantID)").message("tenantID is immutable"),
    validation = kube::core::Rule::new("has(self.domain) == has(oldSelf.domain)").message("domain is immutable"),
    validation = kube::core::Rule::new("has(self.network) == has(oldSelf.network)").message("network is immutable")
)]
pub struct TenantSpec {
    /// Name of the tenant's first user in Keystone. A user of that name that Stackube did not make is never taken over.
    /// Immutable.
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = kube::core::Rule::new("self == oldSelf").message("username is immutable"))]
    pub username: String,

    /// Password of that user. The controller moves it into a Secret in namespace stackube-system and removes it from
    /// here; write it again to change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PlainPassword>,

    /// A Secret in namespace stackube-system whose key `password` is used instead of `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretReference>,

    /// ID of an existing Keystone project to adopt instead of creating one. The project and its quota stay when the
    /// Tenant is deleted. Immutable.
    #[serde(rename = "tenantID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^[A-Za-z0-9_-]*$"))]
    #[x_kube(validation = kube::core::Rule::new("self == oldSelf").message("tenantID is immutable"))]
    pub tenant_id: Option<String>,

    /// Keystone domain of project and user, by name or ID. Default: the domain of Stackube's configuration. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = kube::core::Rule::new("self == oldSelf").message("domain is immutable"))]
    pub domain: Option<String>,

    /// Further Keystone users and groups with a role in this tenant. The list is authoritative: who is taken off loses
    /// the role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub members: Vec<Member>,

    /// What the tenant's own user may do in the OpenStack APIs themselves.
    #[serde(default)]
    pub openstack_access: OpenStackAccess,

    /// Limits of the tenant.
    #[serde(default)]
    pub quota: TenantQuota,

    /// RuntimeClass that all pods of the tenant get, and the only one that they may name. Pods that run already keep theirs.
    /// Default: what the operator has chosen (`default-runtime-class`), else gvisor; a class that the cluster lacks is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub runtime_class_name: Option<String>,

    /// Pod Security level of the namespace.
    #[serde(default)]
    pub pod_security: PodSecurity,

    /// Addresses of the tenant's network. Default: those of Stackube's configuration. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<TenantNetwork>,
}

/// A Secret in namespace stackube-system.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
pub struct SecretReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A user or a group of Keystone, by ID, with a role.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = kube::core::Rule::new("has(self.user) != has(self.group)").message("a member is either a user or a group: give exactly one ID"))]
pub struct Member {
    /// Keystone user ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub user: Option<String>,
    /// Keystone group ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub group: Option<String>,
    /// What the member may do in the namespace.
    pub role: MemberRole,
}

/// Rights of a member in the tenant's namespace.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// Everything a tenant can have.
    Admin,
    /// Change workloads, not access.
    Edit,
    /// Read, except Secrets.
    View,
}

impl MemberRole {
    /// Name of the Keystone role that stands for it.
    pub fn keystone_role(self) -> &'static str {
        match self {
            Self::Admin => crate::names::ROLE_ADMIN,
            Self::Edit => crate::names::ROLE_EDIT,
            Self::View => crate::names::ROLE_VIEW,
        }
    }
}

/// Access of the tenant's user to the OpenStack APIs of its project.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OpenStackAccess {
    /// None: networks and volumes are reached through Kubernetes only.
    #[default]
    None,
    /// Keystone role `reader`.
    Reader,
    /// Keystone role `member`. Such a user can break the tenant's own network.
    Member,
}

/// Pod Security level (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>).
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PodSecurity {
    /// Refuses known privilege escalations.
    #[default]
    Baseline,
    /// Current hardening practice.
    Restricted,
}

/// Limits of a tenant in Kubernetes and OpenStack, in one place. What is left out gets the defaults of Stackube's
/// configuration.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
pub struct TenantQuota {
    /// `hard` of the namespace's ResourceQuota, for example `pods: "50"` or `requests.cpu: "8"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kubernetes: BTreeMap<String, Quantity>,
    /// Neutron quota of the project.
    #[serde(default)]
    pub network: NetworkQuota,
}

/// Neutron quota of a tenant's project; -1 is unlimited.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkQuota {
    /// Ports: one for each pod, besides one for the router and one for DHCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 1_000_000))]
    pub ports: Option<i32>,
    /// Floating IPs.
    #[serde(rename = "floatingIPs", default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 1_000_000))]
    pub floating_ips: Option<i32>,
    /// Security groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 1_000_000))]
    pub security_groups: Option<i32>,
    /// Security group rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 1_000_000))]
    pub security_group_rules: Option<i32>,
}

/// Addresses of a tenant's network.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = kube::core::Rule::new("self == oldSelf").message("network is immutable"))]
pub struct TenantNetwork {
    /// IPv4 range of the pods in CIDR notation. Other tenants may use the same range.
    #[schemars(length(max = 43))]
    #[x_kube(
        validation = kube::core::Rule::new("isCIDR(self) && cidr(self).ip().family() == 4").message("cidr must be an IPv4 range in CIDR notation, like 10.244.0.0/16 (IPv6 is not supported)"),
        validation = kube::core::Rule::new("!isCIDR(self) || cidr(self) == cidr(self).masked()").message("cidr has host bits set: write the first address of the range"),
        validation = kube::core::Rule::new("!isCIDR(self) || (cidr(self).prefixLength() >= 8 && cidr(self).prefixLength() <= 28)").message("the prefix length of cidr must be between 8 and 28")
    )]
    pub cidr: String,
    /// Address of the router in it. Default: the first address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 45))]
    #[x_kube(validation = kube::core::Rule::new("isIP(self) && ip(self).family() == 4").message("gateway must be an IPv4 address"))]
    pub gateway: Option<String>,
    /// ID of an existing Neutron network of the adopted project to use instead of a new one.
    #[serde(rename = "networkID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^[A-Za-z0-9-]*$"))]
    pub network_id: Option<String>,
}

/// What Stackube has made of a Tenant.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// Short state for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<TenantState>,
    /// One sentence on the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
    /// Keystone project.
    #[serde(rename = "projectID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub project_id: Option<String>,
    /// Keystone user of `spec.username`.
    #[serde(rename = "userID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub user_id: Option<String>,
    /// Namespace of the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// What the tenant used of its quotas when they were last looked at: at changes of the Tenant, and every `drift-interval`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["resource"]))]
    pub usage: Vec<ResourceUsage>,
    /// `metadata.generation` that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions, one for each step; `Ready` sums them up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// What a tenant uses of one resource.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, JsonSchema)]
pub struct ResourceUsage {
    /// As in the namespace's ResourceQuota (`pods`, `limits.cpu`), or of the network: `network.ports` and so on, as in
    /// `spec.quota.network`.
    #[schemars(length(max = 317))]
    pub resource: String,
    /// What is in use.
    pub used: Quantity,
    /// The limit; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard: Option<Quantity>,
}

/// State of a Tenant.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum TenantState {
    /// Seen for the first time.
    Initializing,
    /// Being made, or waiting for OpenStack.
    Pending,
    /// Ready for use.
    Active,
    /// Cannot be made as asked; `message` says why.
    Failed,
    /// Being removed.
    Terminating,
}
