use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One pod's interface on its network, or a node's own on the system network. Internal: the controller creates it when a
/// pod is bound to a node, makes the Neutron port, and writes the result into the status, where the node's daemon reads it.
/// Its name is the pod's UID, or the Node's.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "stackube.kubernetes.io",
    version = "v1",
    doc = "One interface of a pod, or of a node, on its network. Internal to Stackube.",
    kind = "Port",
    plural = "ports",
    shortname = "skport",
    namespaced,
    status = "PortStatus",
    derive = "PartialEq",
    selectable = ".spec.nodeName",
    annotation(
        "api-approved.kubernetes.io",
        "unapproved, the group name is kept from the Stackube project of 2017"
    ),
    printcolumn(name = "Holder", type_ = "string", json_path = ".spec.holder"),
    printcolumn(name = "Pod", type_ = "string", json_path = ".spec.podName"),
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.nodeName"),
    printcolumn(name = "IP", type_ = "string", json_path = ".status.ip"),
    printcolumn(name = "Ready", type_ = "boolean", json_path = ".status.ready"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("self == oldSelf").message("the spec of a Port is immutable"))]
pub struct PortSpec {
    /// Who has the interface.
    #[serde(default)]
    pub holder: PortHolder,
    /// Name of the pod, in the Port's namespace; of a node's own port, the Node's name.
    #[schemars(length(max = 253))]
    pub pod_name: String,
    /// UID of the pod, or of the Node, equal to the Port's name.
    #[serde(rename = "podUID")]
    #[schemars(length(max = 64))]
    pub pod_uid: String,
    /// Node that the pod is bound to, or whose own port it is.
    #[schemars(length(max = 253))]
    pub node_name: String,
    /// Namespace of the Network that the pod uses: the pod's own, or that of the system network.
    #[schemars(length(max = 63))]
    pub network_namespace: String,
    /// Name of that Network.
    #[schemars(length(max = 253))]
    pub network_name: String,
}

/// Who has an interface.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum PortHolder {
    /// A pod.
    #[default]
    Pod,
    /// A node itself: by it, host processes reach the system network. Only in namespace `stackube-system`.
    Node,
}

/// The Neutron port behind a Port, with all that a node needs to plug the pod in.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortStatus {
    /// Neutron port; the `iface-id` of the OVS interface.
    #[serde(rename = "portID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub port_id: Option<String>,
    /// Address, IPv4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 45))]
    pub ip: Option<String>,
    /// Prefix length of the pod's subnet, 8 to 28.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 32))]
    pub prefix_length: Option<i32>,
    /// MAC address of the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 17))]
    pub mac: Option<String>,
    /// Default gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 45))]
    pub gateway: Option<String>,
    /// MTU in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 68, max = 65535))]
    pub mtu: Option<i32>,
    /// The port is bound to the node's chassis: the node may plug the pod in.
    #[serde(default)]
    pub ready: bool,
    /// Why the port is not ready, for the person who asks why a pod does not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
}
