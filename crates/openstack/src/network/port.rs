use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::tags::{Tagged, push_tags};
use crate::id::{NetworkId, PortId, ProjectId, SecurityGroupId, SubnetId, none_if_empty};
use crate::request::Payload;
use crate::resource::{Owned, Query, Resource, push};
use crate::service::Service;

mod calls;

/// A port: where a pod, a router or a service is plugged into a network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Port {
    /// Its ID, `iface-id` in OVN.
    pub id: PortId,
    /// For display.
    #[serde(default)]
    pub name: String,
    /// The owner; `None` for what Neutron makes for itself, e.g. a router's gateway.
    #[serde(default, deserialize_with = "none_if_empty")]
    pub project_id: Option<ProjectId>,
    /// The network it is on.
    pub network_id: NetworkId,
    /// `ACTIVE` once it is plugged, before that `DOWN`; also `BUILD`, `ERROR`.
    #[serde(default)]
    pub status: String,
    /// Its MAC address, in lower case with colons.
    pub mac_address: String,
    /// Its addresses.
    #[serde(default)]
    pub fixed_ips: Vec<FixedIp>,
    /// Its security groups.
    #[serde(default)]
    pub security_groups: Vec<SecurityGroupId>,
    /// What kind of thing uses it, e.g. `compute:stackube`, `network:router_interface`.
    #[serde(default)]
    pub device_owner: String,
    /// Which one.
    #[serde(default)]
    pub device_id: String,
    /// Whether it lets traffic through.
    #[serde(default)]
    pub admin_state_up: bool,
    /// Whether security groups and anti-spoofing hold. A project member can switch it off.
    #[serde(default)]
    pub port_security_enabled: Option<bool>,
    /// Extra addresses it may send from. A project member can add some.
    #[serde(default)]
    pub allowed_address_pairs: Vec<AddressPair>,
    /// The chassis host name it is bound to. Only administrators see it.
    #[serde(default, rename = "binding:host_id")]
    pub binding_host_id: Option<String>,
    /// How it was bound. Only administrators see it.
    #[serde(default, rename = "binding:vif_type")]
    pub binding_vif_type: Option<BindingVifType>,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Grows with each change.
    #[serde(default)]
    pub revision_number: u64,
    /// When it was made, RFC 3339.
    #[serde(default)]
    pub created_at: Option<jiff::Timestamp>,
}

impl Port {
    /// What [`Port`] needs of Neutron's answer: lists ask for nothing else.
    const FIELDS: [&'static str; 19] = [
        "id",
        "name",
        "project_id",
        "network_id",
        "status",
        "mac_address",
        "fixed_ips",
        "security_groups",
        "device_owner",
        "device_id",
        "admin_state_up",
        "port_security_enabled",
        "allowed_address_pairs",
        "binding:host_id",
        "binding:vif_type",
        "tags",
        "description",
        "revision_number",
        "created_at",
    ];
}

/// An address on a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedIp {
    /// The subnet.
    pub subnet_id: SubnetId,
    /// The address.
    pub ip_address: IpAddr,
}

/// An address to be had; without `ip_address` any free one of the subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FixedIpRequest {
    /// The subnet, always given: a network may have several.
    pub subnet_id: SubnetId,
    /// The address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<IpAddr>,
}

/// An address that a port may send from beside its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AddressPair {
    /// An address or a block.
    pub ip_address: String,
    /// A MAC address.
    #[serde(default)]
    pub mac_address: Option<String>,
}

/// How a port was bound to its host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum BindingVifType {
    /// Plugged into Open vSwitch: what OVN answers for a host that it knows.
    Ovs,
    /// No host was given.
    Unbound,
    /// No mechanism can bind it there: the host is not a chassis, or is down. It stays so until it is bound anew.
    Failed,
    /// Anything else, e.g. `vhostuser`.
    Other(String),
}

impl From<String> for BindingVifType {
    fn from(text: String) -> Self {
        match text.as_str() {
            "ovs" => Self::Ovs,
            "unbound" => Self::Unbound,
            "binding_failed" => Self::Failed,
            _ => Self::Other(text),
        }
    }
}

/// A port to be made. Everything that proves whose it is goes into this one call.
#[derive(Debug, Clone, Serialize)]
pub struct CreatePort {
    /// The owner.
    pub project_id: ProjectId,
    /// The network.
    pub network_id: NetworkId,
    /// For display.
    pub name: String,
    /// Free text, at most 255 characters.
    pub description: String,
    /// At most 50 tags of 1 to 255 characters. Sent with the rest; put on by a second call if Neutron dropped them.
    pub tags: Vec<String>,
    /// Its addresses; empty for none.
    pub fixed_ips: Vec<FixedIpRequest>,
    /// Its security groups; empty for none (and so nothing gets in).
    pub security_groups: Vec<SecurityGroupId>,
    /// What kind of thing will use it.
    pub device_owner: String,
    /// Which one.
    pub device_id: String,
    /// Whether it lets traffic through.
    pub admin_state_up: bool,
    /// The chassis host name to bind it to.
    #[serde(rename = "binding:host_id", skip_serializing_if = "Option::is_none")]
    pub binding_host_id: Option<String>,
}

/// Changes of a port; `None` leaves as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UpdatePort {
    /// New name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// All its addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_ips: Option<Vec<FixedIpRequest>>,
    /// All its security groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<Vec<SecurityGroupId>>,
    /// What kind of thing uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_owner: Option<String>,
    /// Which one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// Whether it lets traffic through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Whether security groups and anti-spoofing hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_security_enabled: Option<bool>,
    /// Removes all extra addresses it may send from.
    #[serde(
        skip_serializing_if = "std::ops::Not::not",
        rename = "allowed_address_pairs",
        serialize_with = "empty_list"
    )]
    pub clear_allowed_address_pairs: bool,
    /// The chassis host name to bind it to; empty unbinds.
    #[serde(rename = "binding:host_id", skip_serializing_if = "Option::is_none")]
    pub binding_host_id: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn empty_list<S: serde::Serializer>(_: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq([(); 0])
}

impl Payload for CreatePort {}
impl Payload for UpdatePort {}

/// Which ports to list; what is set must hold.
#[derive(Debug, Clone, Default)]
pub struct PortFilter {
    /// On this network.
    pub network_id: Option<NetworkId>,
    /// Used by this kind of thing.
    pub device_owner: Option<String>,
    /// Used by this thing.
    pub device_id: Option<String>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// Bound to this host. Only administrators may ask.
    pub binding_host_id: Option<String>,
    /// With this address.
    pub ip_address: Option<IpAddr>,
    /// With this security group, maybe among others.
    pub security_group: Option<SecurityGroupId>,
    /// With exactly this description.
    pub description: Option<String>,
}

impl PortFilter {
    fn query(&self) -> Query {
        let mut query = Query::new();
        push(&mut query, "network_id", self.network_id.as_ref());
        push(&mut query, "device_owner", self.device_owner.as_ref());
        push(&mut query, "device_id", self.device_id.as_ref());
        push(&mut query, "binding:host_id", self.binding_host_id.as_ref());
        push(
            &mut query,
            "fixed_ips",
            self.ip_address.map(|ip| format!("ip_address={ip}")),
        );
        push(&mut query, "security_groups", self.security_group.as_ref());
        push(&mut query, "description", self.description.as_ref());
        push_tags(&mut query, &self.tags);
        query.extend(Port::FIELDS.map(|field| ("fields", field.to_owned())));
        query
    }
}

impl Resource for Port {
    const SERVICE: Service = Service::Network;
    const WHAT: &'static str = "port";
    const COLLECTION: &'static str = "ports";
    const MEMBER: &'static str = "ports/{}";
    const KEY: &'static str = "port";
    const KEYS: &'static str = "ports";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Tagged for Port {
    const TAGS: &'static str = "ports/{}/tags";

    fn tags_mut(&mut self) -> &mut Vec<String> {
        &mut self.tags
    }
}

impl Owned for Port {
    fn project(&self) -> Option<&ProjectId> {
        self.project_id.as_ref()
    }
}
