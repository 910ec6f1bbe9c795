//! What a pod's Neutron port looks like, and whether one that was found is it. Pure.

use std::net::{IpAddr, Ipv4Addr};

use stackube_api::Port;
use stackube_api::names::{self, PORT_DEVICE_OWNER, cluster_tag, owner_tag};
use stackube_openstack::network::{BindingVifType, CreatePort, FixedIpRequest, Port as NeutronPort, UpdatePort};

use super::dereference::Target;

/// See [`PORT_DEVICE_OWNER`].
pub(crate) const DEVICE_OWNER: &str = PORT_DEVICE_OWNER;

/// Neutron's limit for names and descriptions, in characters.
const MAX_NAME: usize = 255;

/// For which pod of which cluster a Neutron port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// UID of the cluster.
    pub(crate) cluster: String,
    /// UID of the pod.
    pub(crate) uid: String,
    /// `kube-<namespace>-<pod>`, for people.
    pub(crate) name: String,
}

impl Identity {
    /// Of the pod of a Port.
    pub(crate) fn of(port: &Port, cluster: &str) -> Self {
        let namespace = port.metadata.namespace.as_deref().unwrap_or_default();
        let name = names::display_name(namespace, &port.spec.pod_name);
        Self {
            cluster: cluster.to_owned(),
            uid: port.spec.pod_uid.clone(),
            name: name.chars().take(MAX_NAME).collect(),
        }
    }

    /// All tags of its Neutron port.
    pub(crate) fn tags(&self) -> Vec<String> {
        vec![cluster_tag(&self.cluster), owner_tag(&self.uid)]
    }
}

/// A port for a pod: everything that tells whose it is goes into the one call that makes it.
pub(crate) fn create_request(identity: &Identity, target: &Target, chassis: &str, ip: Ipv4Addr) -> CreatePort {
    CreatePort {
        project_id: target.project.clone(),
        network_id: target.network.clone(),
        name: identity.name.clone(),
        description: identity.uid.clone(),
        tags: identity.tags(),
        fixed_ips: vec![FixedIpRequest {
            subnet_id: target.subnet.clone(),
            ip_address: Some(IpAddr::V4(ip)),
        }],
        security_groups: vec![target.group.clone()],
        device_owner: DEVICE_OWNER.to_owned(),
        device_id: identity.uid.clone(),
        admin_state_up: true,
        binding_host_id: Some(chassis.to_owned()),
    }
}

/// What the ports that were found for a pod mean.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Settlement {
    /// There is none.
    Make,
    /// This is it, once the change is made.
    Use {
        /// The port.
        port: Box<NeutronPort>,
        /// Its address.
        ip: Ipv4Addr,
        /// What has to be put right first.
        change: Option<Box<UpdatePort>>,
    },
    /// It was made for the pod but cannot serve it.
    Discard {
        /// The port.
        port: Box<NeutronPort>,
        /// Why not.
        why: String,
    },
    /// There are several and none is preferred.
    Refuse {
        /// Their IDs.
        ids: Vec<String>,
    },
}

/// Judges the ports that a look-up by project, network and device has found.
///
/// Members of a project can write tags, descriptions and devices of its ports, so none of these proves anything by itself: the
/// project and the network must be exactly the pod's own. A tenant that forges all of it within its own network adopts its own
/// port.
pub(super) fn settle(mut found: Vec<NeutronPort>, identity: &Identity, target: &Target, chassis: &str) -> Settlement {
    found.retain(|port| belongs(port, identity, target));
    match found.pop() {
        None => Settlement::Make,
        Some(port) if found.is_empty() => match address(&port, target) {
            Some(ip) => {
                let change = differences(&port, identity, target, chassis, ip).map(Box::new);
                Settlement::Use {
                    port: Box::new(port),
                    ip,
                    change,
                }
            }
            None => {
                let why = format!("it has not exactly one address of {}", target.range.range());
                Settlement::Discard {
                    port: Box::new(port),
                    why,
                }
            }
        },
        Some(last) => {
            let mut ids: Vec<_> = found.iter().map(|port| port.id.to_string()).collect();
            ids.push(last.id.to_string());
            ids.sort();
            Settlement::Refuse { ids }
        }
    }
}

/// Whether a port was made for this pod, in this network.
pub(super) fn belongs(port: &NeutronPort, identity: &Identity, target: &Target) -> bool {
    port.project_id.as_ref() == Some(&target.project)
        && port.network_id == target.network
        && port.device_owner == DEVICE_OWNER
        && port.device_id == identity.uid
        && port.description == identity.uid
}

/// The one address of a port, if it is a usable one of the pod's subnet.
pub(crate) fn address(port: &NeutronPort, target: &Target) -> Option<Ipv4Addr> {
    match (port.fixed_ips.as_slice(), target.range.range()) {
        ([fixed], range) if fixed.subnet_id == target.subnet => match fixed.ip_address {
            IpAddr::V4(ip) if range.contains(&ip) && ip != target.range.gateway() => Some(ip),
            _ => None,
        },
        _ => None,
    }
}

/// What has to be changed about a port so that it is as it was made; `None` if nothing.
pub(crate) fn differences(
    port: &NeutronPort,
    identity: &Identity,
    target: &Target,
    chassis: &str,
    ip: Ipv4Addr,
) -> Option<UpdatePort> {
    let wanted = create_request(identity, target, chassis, ip);
    let is_bound_here = binding_problem(port, chassis).is_none();
    let fixed_as_wanted = address(port, target) == Some(ip);
    let text = |found: &str, wanted: String| (found != wanted).then_some(wanted);
    let change = UpdatePort {
        name: None,
        description: text(&port.description, wanted.description),
        fixed_ips: (!fixed_as_wanted).then_some(wanted.fixed_ips),
        security_groups: (port.security_groups != wanted.security_groups).then_some(wanted.security_groups),
        device_owner: text(&port.device_owner, wanted.device_owner),
        device_id: text(&port.device_id, wanted.device_id),
        admin_state_up: (!port.admin_state_up).then_some(true),
        port_security_enabled: (port.port_security_enabled == Some(false)).then_some(true),
        clear_allowed_address_pairs: !port.allowed_address_pairs.is_empty(),
        binding_host_id: (!is_bound_here).then(|| chassis.to_owned()),
    };
    (!is_empty(&change)).then_some(change)
}

fn is_empty(change: &UpdatePort) -> bool {
    change.description.is_none()
        && change.fixed_ips.is_none()
        && change.security_groups.is_none()
        && change.device_owner.is_none()
        && change.device_id.is_none()
        && change.admin_state_up.is_none()
        && change.port_security_enabled.is_none()
        && !change.clear_allowed_address_pairs
        && change.binding_host_id.is_none()
}

/// Why a port cannot be plugged in on `chassis`, with what to do; `None` if it can.
pub(crate) fn binding_problem(port: &NeutronPort, chassis: &str) -> Option<String> {
    let host = port.binding_host_id.as_deref().unwrap_or_default();
    if host != chassis {
        return Some(format!(
            "Neutron port {} is bound to host {host:?} instead of {chassis:?}",
            port.id
        ));
    }
    match &port.binding_vif_type {
        Some(BindingVifType::Ovs | BindingVifType::Other(_)) => None,
        Some(BindingVifType::Failed) => Some(format!(
            "Neutron cannot bind port {} to host {chassis:?}: check that `openstack network agent list` shows an alive OVN \
             Controller agent on a host of exactly this name, and that ovn-controller runs there",
            port.id
        )),
        Some(BindingVifType::Unbound) | None => {
            Some(format!("Neutron has not bound port {} to host {chassis:?}", port.id))
        }
    }
}

/// Whether an error says that the address, rather than the request, is the problem.
pub(crate) fn is_address_conflict(error: &stackube_openstack::Error) -> bool {
    error.is_conflict() && matches!(error.kind(), Some("IpAddressAlreadyAllocated" | "IpAddressInUse"))
}

#[cfg(test)]
mod tests;
