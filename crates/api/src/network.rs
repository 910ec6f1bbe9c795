use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An isolated pod network of one namespace, made in Neutron: a network, a subnet, a router with its external gateway
/// and a security group. There is one for each tenant namespace, named like it; the controller creates it.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "stackube.kubernetes.io",
    version = "v1",
    doc = "An isolated pod network of one namespace, made in Neutron.",
    kind = "Network",
    plural = "networks",
    shortname = "sknet",
    namespaced,
    status = "NetworkStatus",
    derive = "PartialEq",
    annotation(
        "api-approved.kubernetes.io",
        "unapproved, the group name is kept from the Stackube project of 2017"
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "CIDR", type_ = "string", json_path = ".spec.cidr"),
    printcolumn(name = "Network ID", type_ = "string", json_path = ".status.networkID", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("has(self.networkID) == has(oldSelf.networkID)").message("networkID is immutable"))]
pub struct NetworkSpec {
    /// IPv4 range of the pods in CIDR notation, for example `10.244.0.0/16`. Other tenants may use the same range.
    /// Immutable.
    #[x_kube(
        validation = kube::core::Rule::new("isCIDR(self) && cidr(self).ip().family() == 4").message("cidr must be an IPv4 range in CIDR notation, like 10.244.0.0/16 (IPv6 is not supported)"),
        validation = kube::core::Rule::new("!isCIDR(self) || cidr(self) == cidr(self).masked()").message("cidr has host bits set: write the first address of the range"),
        validation = kube::core::Rule::new("!isCIDR(self) || (cidr(self).prefixLength() >= 8 && cidr(self).prefixLength() <= 28)").message("the prefix length of cidr must be between 8 and 28"),
        validation = kube::core::Rule::new("self == oldSelf").message("cidr is immutable")
    )]
    #[schemars(length(max = 43))]
    pub cidr: String,

    /// Address of the tenant's router inside `cidr`. Immutable.
    #[x_kube(
        validation = kube::core::Rule::new("isIP(self) && ip(self).family() == 4").message("gateway must be an IPv4 address"),
        validation = kube::core::Rule::new("self == oldSelf").message("gateway is immutable")
    )]
    #[schemars(length(max = 45))]
    pub gateway: String,

    /// ID of an existing Neutron network of the tenant's own project to use instead of a new one. Immutable. It must
    /// have a subnet with this `cidr` and `gateway` and a router attached to it.
    #[serde(rename = "networkID", default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = kube::core::Rule::new("self == oldSelf").message("networkID is immutable"))]
    #[schemars(length(max = 64), regex(pattern = "^[A-Za-z0-9-]*$"))]
    pub network_id: Option<String>,
}

/// What Stackube has made of a Network.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStatus {
    /// Short state for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<NetworkState>,
    /// One sentence on the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
    /// Keystone project that owns the network.
    #[serde(rename = "projectID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub project_id: Option<String>,
    /// Neutron network.
    #[serde(rename = "networkID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub network_id: Option<String>,
    /// Neutron subnet.
    #[serde(rename = "subnetID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub subnet_id: Option<String>,
    /// Neutron router.
    #[serde(rename = "routerID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub router_id: Option<String>,
    /// Neutron security group of the pods.
    #[serde(rename = "securityGroupID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub security_group_id: Option<String>,
    /// MTU of the network in bytes, as Neutron computed it from the overlay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<i32>,
    /// `metadata.generation` that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions; `Ready` sums them up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// State of a Network.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum NetworkState {
    /// Being made, or waiting for OpenStack.
    Pending,
    /// Pods can use it.
    Active,
    /// Cannot be made as asked; `message` says why.
    Failed,
    /// Being removed.
    Terminating,
}
