//! CNI CHECK.

use rscni_plugin::types::CNIResult;

use super::super::record::Record;
use super::{Engine, SandboxError};
use crate::link::{HostLink, PodLinks, host_name};
use crate::ports::{Assignment, assignment};
use crate::protocol::Attachment;

impl Engine {
    /// Compares what is plugged in with what ADD answered and with the pod's Port (CNI CHECK).
    ///
    /// # Errors
    /// [`SandboxError::Different`] with every difference.
    pub async fn check(
        &self,
        attachment: &Attachment,
        previous: Option<&CNIResult>,
        links: &PodLinks,
    ) -> Result<(), SandboxError> {
        let view = self.ovsdb.current().await?;
        let device = host_name(attachment);
        let link = self.links.get(&device).await?;
        let record = self.row(&view, attachment);
        let mut differences = host_differences(&device, link.as_ref(), record.as_ref());
        if let Some((record, owner)) = record
            .as_ref()
            .and_then(|record| Some((record, record.owner.as_ref()?)))
        {
            // Without a Port, which a pod that ends may have lost already, the notes of the row are what is known.
            let wanted = assignment(&self.ports.borrow(), &owner.pod).ok();
            if let Some(assignment) = wanted {
                differences.extend(row_differences(record, &assignment));
                differences.extend(links.differences(&assignment.interface(&attachment.ifname)).await?);
            }
            if !self.link.has_pod(owner.address).await? {
                differences.push(format!("kubelet has no route to {}", owner.address));
            }
            let attached = self.datapath.device_of(&owner.pod.uid, owner.address).await?;
            if link.as_ref().is_none_or(|link| attached != Some(link.index)) {
                differences.push(format!("the eBPF programs are not on device {device}"));
            }
            if previous.is_some_and(|p| p.ips.iter().all(|ip| ip.address.addr() != owner.address)) {
                differences.push(format!("ADD answered another address than {}", owner.address));
            }
        }
        if differences.is_empty() {
            Ok(())
        } else {
            Err(SandboxError::Different(differences))
        }
    }
}

/// How the host's side and the row differ from those of a sandbox that works.
fn host_differences(device: &str, link: Option<&HostLink>, record: Option<&Record>) -> Vec<String> {
    let mut differences = vec![];
    match link {
        None => differences.push(format!("there is no device {device}")),
        Some(link) if !link.up => differences.push(format!("device {device} is down")),
        Some(_) => {}
    }
    match record {
        None => differences.push("the pod is not on the bridge".into()),
        Some(Record { error: Some(error), .. }) => differences.push(format!("Open vSwitch: {error}")),
        Some(record) if record.ofport.is_none_or(|port| port <= 0) => {
            differences.push("Open vSwitch has not opened the device".into());
        }
        Some(record) if !record.installed => differences.push("ovn-controller has not installed the flows".into()),
        Some(_) => {}
    }
    differences
}

/// How a row differs from the Port.
fn row_differences(record: &Record, assignment: &Assignment) -> Vec<String> {
    let mut differences = vec![];
    if record.iface_id.as_deref() != Some(&assignment.port_id) {
        differences.push(format!(
            "the interface is not bound to Neutron port {}",
            assignment.port_id
        ));
    }
    if record.mac.as_deref() != Some(&assignment.mac_text()) {
        differences.push(format!(
            "the interface is not noted with MAC address {}",
            assignment.mac_text()
        ));
    }
    differences
}
