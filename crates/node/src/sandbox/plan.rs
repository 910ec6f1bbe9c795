//! Decisions: given what is on the bridge and which devices exist, what is to be done. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{Owner, Record};
use crate::link::{HostLink, host_name};
use crate::ovsdb::Uuid;
use crate::ports::Assignment;
use crate::protocol::{Attachment, PodRef};

/// Host devices by name.
pub type Devices = BTreeMap<String, HostLink>;

/// A row to take off the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Row of table Port.
    pub port: Uuid,
    /// Row of table Interface.
    pub interface: Uuid,
}

impl From<&Record> for Removal {
    fn from(record: &Record) -> Self {
        Self {
            port: record.port.clone(),
            interface: record.interface.clone(),
        }
    }
}

/// What an ADD has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddPlan {
    /// Everything is there already, as far as the database and the host can tell.
    Keep,
    /// Plug in anew.
    Plug {
        /// Rows that must go in the same transaction: leftovers of this attachment, older sandboxes of the pod,
        /// whatever else has the logical port, and dead rows with the address.
        removals: Vec<Removal>,
        /// The attachment's own device is left from an earlier try.
        stale_device: bool,
    },
    /// Another live sandbox has the address.
    AddressHeld(Owner),
    /// The container has another interface already. A pod has one.
    SecondInterface(String),
}

/// Plans an ADD.
pub fn add(
    records: &[Record],
    devices: &Devices,
    attachment: &Attachment,
    pod: &PodRef,
    assignment: &Assignment,
) -> AddPlan {
    let device = host_name(attachment);
    let live = |record: &Record| devices.contains_key(&record.device);
    let address = assignment.address.addr();
    let owned = || {
        records
            .iter()
            .filter_map(|record| Some((record, record.owner.as_ref()?)))
    };
    let same_container = |owner: &Owner| owner.attachment.container_id == attachment.container_id;
    if let Some((_, other)) =
        owned().find(|(r, o)| same_container(o) && o.attachment.ifname != attachment.ifname && live(r))
    {
        return AddPlan::SecondInterface(other.attachment.ifname.clone());
    }
    if let Some((_, holder)) = owned().find(|(r, o)| o.address == address && o.pod.uid != pod.uid && live(r)) {
        return AddPlan::AddressHeld(holder.clone());
    }
    let removals: Vec<&Record> = records
        .iter()
        .filter(|record| {
            record.iface_id.as_deref() == Some(&assignment.port_id)
                || record.device == device
                || record.is_of(attachment)
                || record.is_of_pod(&pod.uid)
                || record.owner.as_ref().is_some_and(|owner| owner.address == address)
        })
        .collect();
    let device_exists = devices.contains_key(&device);
    match removals.as_slice() {
        [own] if device_exists && is_as_wanted(own, &device, attachment, assignment) => AddPlan::Keep,
        _ => AddPlan::Plug {
            removals: removals.into_iter().map(Removal::from).collect(),
            stale_device: device_exists,
        },
    }
}

/// Whether a row is what the assignment asks for.
fn is_as_wanted(record: &Record, device: &str, attachment: &Attachment, assignment: &Assignment) -> bool {
    record.is_of(attachment)
        && record.device == device
        && record.iface_id.as_deref() == Some(&assignment.port_id)
        && record.mac.as_deref() == Some(&assignment.mac_text())
        && record
            .owner
            .as_ref()
            .is_some_and(|owner| owner.address == assignment.address.addr())
}

/// Rows of an attachment. Rows of a newer sandbox of the same pod are not among them.
pub fn del(records: &[Record], attachment: &Attachment) -> Vec<Removal> {
    records
        .iter()
        .filter(|record| record.is_of(attachment))
        .map(Removal::from)
        .collect()
}

/// What nobody uses any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// Rows of ours whose device has gone: after a reboot, or with a namespace that died.
    pub rows: Vec<Owner>,
    /// Host devices without a row: an ADD that was killed half way, or an older sandbox that was replaced.
    pub devices: Vec<String>,
}

/// Plans the clean-up. `busy` are the devices of calls that are being served.
pub fn purge(records: &[Record], devices: &Devices, busy: &BTreeSet<String>) -> Purge {
    let plugged: BTreeSet<&str> = records.iter().map(|record| record.device.as_str()).collect();
    let dead = |record: &&Record| !devices.contains_key(&record.device) && !busy.contains(&record.device);
    Purge {
        rows: records
            .iter()
            .filter(dead)
            .filter_map(|record| record.owner.clone())
            .collect(),
        devices: devices
            .keys()
            .filter(|d| !plugged.contains(d.as_str()) && !busy.contains(*d))
            .cloned()
            .collect(),
    }
}

/// Attachments of ours that the runtime does not know any more (CNI GC).
pub fn gc(records: &[Record], valid: &BTreeSet<Attachment>, busy: &BTreeSet<String>) -> Vec<Owner> {
    let owners = records
        .iter()
        .filter(|r| !busy.contains(&r.device))
        .filter_map(|r| r.owner.clone());
    owners.filter(|owner| !valid.contains(&owner.attachment)).collect()
}

#[cfg(test)]
mod tests;
