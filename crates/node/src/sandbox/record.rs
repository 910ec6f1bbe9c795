//! Reading what is plugged in from the Open vSwitch database, and the notes that a sandbox leaves there.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::ovsdb::{Interface, Uuid, View};
use crate::protocol::{Attachment, PodRef};

/// `external_ids` of an Interface: the logical port, by agreement with ovn-controller.
pub const IFACE_ID: &str = "iface-id";
/// The pod's MAC address, by convention of Open vSwitch integrations.
pub const ATTACHED_MAC: &str = "attached-mac";
/// Always `active`, by the same convention.
pub const IFACE_STATUS: &str = "iface-status";
/// Set by ovn-controller when all flows of the port are in place.
pub const OVN_INSTALLED: &str = "ovn-installed";
/// Ours: the container ID. An Interface without it was not made by this daemon.
pub const CONTAINER: &str = "stackube-container";
/// Ours: the interface's name in the pod.
pub const INTERFACE: &str = "stackube-interface";
/// Ours: the pod's UID.
pub const POD_UID: &str = "stackube-pod-uid";
/// Ours: the pod's namespace.
pub const POD_NAMESPACE: &str = "stackube-pod-namespace";
/// Ours: the pod's name.
pub const POD_NAME: &str = "stackube-pod-name";
/// Ours: the pod's address.
pub const ADDRESS: &str = "stackube-address";

/// Longest alias that the kernel keeps, in bytes (IFALIASZ without the final zero).
const ALIAS_MAX: usize = 255;

/// Whose a row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The attachment that the row was inserted for.
    pub attachment: Attachment,
    /// Its pod.
    pub pod: PodRef,
    /// The pod's address.
    pub address: Ipv4Addr,
}

/// A device on the integration bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Row of table Port: what is taken off the bridge to unplug.
    pub port: Uuid,
    /// Row of table Interface.
    pub interface: Uuid,
    /// Name of the host device.
    pub device: String,
    /// Logical port.
    pub iface_id: Option<String>,
    /// MAC address noted at the time of plugging.
    pub mac: Option<String>,
    /// Who plugged it; `None` for the devices of others.
    pub owner: Option<Owner>,
    /// OpenFlow port: positive when ovs-vswitchd has opened the device.
    pub ofport: Option<i64>,
    /// Why it could not.
    pub error: Option<String>,
    /// ovn-controller has installed the port's flows.
    pub installed: bool,
}

impl Record {
    /// Whether the row belongs to that attachment.
    pub fn is_of(&self, attachment: &Attachment) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.attachment == *attachment)
    }

    /// Whether the row belongs to that pod.
    pub fn is_of_pod(&self, uid: &str) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.pod.uid == uid)
    }
}

/// Everything on the bridge; empty if there is no such bridge.
pub fn records(view: &View, bridge: &str) -> Vec<Record> {
    let Some(bridge) = view.bridge(bridge) else {
        return vec![];
    };
    view.on_bridge(bridge)
        .map(|(port, id, interface)| record(port, id, interface))
        .collect()
}

fn record(port: &Uuid, id: &Uuid, interface: &Interface) -> Record {
    let note = |key: &str| interface.external_ids.get(key).cloned();
    Record {
        port: port.clone(),
        interface: id.clone(),
        device: interface.name.clone(),
        iface_id: note(IFACE_ID),
        mac: note(ATTACHED_MAC),
        owner: owner(&interface.external_ids),
        ofport: interface.ofport,
        error: interface.error.clone(),
        installed: note(OVN_INSTALLED).as_deref() == Some("true"),
    }
}

fn owner(notes: &BTreeMap<String, String>) -> Option<Owner> {
    let note = |key: &str| notes.get(key).cloned();
    Some(Owner {
        attachment: Attachment {
            container_id: note(CONTAINER)?,
            ifname: note(INTERFACE)?,
        },
        pod: PodRef {
            namespace: note(POD_NAMESPACE)?,
            name: note(POD_NAME)?,
            uid: note(POD_UID)?,
        },
        address: note(ADDRESS)?.parse().ok()?,
    })
}

/// Alias of a host device: whose it is, for people (`ip link`) and for [`alias_is_of_pod`].
pub fn alias(attachment: &Attachment, pod_uid: &str) -> String {
    let mut text = format!(
        "stackube pod={pod_uid} interface={} container={}",
        attachment.ifname, attachment.container_id
    );
    while text.len() > ALIAS_MAX {
        text.pop();
    }
    text
}

/// Whether a device with that alias was made for the pod.
pub fn alias_is_of_pod(alias: &str, pod_uid: &str) -> bool {
    alias
        .strip_prefix("stackube pod=")
        .and_then(|rest| rest.split(' ').next())
        == Some(pod_uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_name_the_pod_and_fit_the_kernel() {
        let attachment = Attachment {
            container_id: "c".repeat(300),
            ifname: "eth0".into(),
        };
        let alias = alias(&attachment, "u-1");
        assert_eq!(alias.len(), ALIAS_MAX);
        assert!(alias_is_of_pod(&alias, "u-1"));
        assert!(!alias_is_of_pod(&alias, "u-"));
        assert!(!alias_is_of_pod("", "u-1"));
    }

    #[test]
    fn a_row_without_all_notes_is_somebody_elses() {
        let mut notes: BTreeMap<String, String> = [
            (CONTAINER, "c"),
            (INTERFACE, "eth0"),
            (POD_UID, "u"),
            (POD_NAMESPACE, "n"),
            (POD_NAME, "p"),
            (ADDRESS, "10.0.0.5"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
        assert_eq!(owner(&notes).unwrap().address, Ipv4Addr::new(10, 0, 0, 5));
        notes.remove(CONTAINER);
        assert_eq!(owner(&notes), None);
    }
}
