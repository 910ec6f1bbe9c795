//! What nobody uses any more, and what is missing of what is used.

use std::collections::BTreeSet;

use rscni_plugin::types::GcAttachment;
use tracing::{info, warn};

use super::super::plan;
use super::{Engine, SandboxError};
use crate::datapath::DatapathError;
use crate::link::host_name;
use crate::ownport;
use crate::ports::assignment;
use crate::protocol::Attachment;

impl Engine {
    /// Unplugs everything but `valid` (CNI GC).
    ///
    /// # Errors
    /// The first failure, after having tried all.
    pub async fn gc(&self, valid: &[GcAttachment]) -> Result<(), SandboxError> {
        let mut valid: BTreeSet<Attachment> = valid
            .iter()
            .map(|a| Attachment {
                container_id: a.container_id.clone(),
                ifname: a.ifname.clone(),
            })
            .collect();
        // No runtime knows of it.
        valid.insert(ownport::attachment());
        let view = self.ovsdb.current().await?;
        let garbage = plan::gc(&self.records(&view), &valid, &self.locks.busy());
        let (total, mut failures) = (garbage.len(), vec![]);
        for owner in garbage {
            info!(pod = %owner.pod.name, namespace = %owner.pod.namespace, container = %owner.attachment.container_id,
                "removing a sandbox that the runtime does not know any more");
            failures.extend(self.del(&owner.attachment, Some(&owner.pod)).await.err());
        }
        match failures.len() {
            0 => self.purge().await,
            failed => Err(SandboxError::Incomplete {
                failed,
                total,
                source: Box::new(failures.swap_remove(0)),
            }),
        }
    }

    /// Removes rows without device and devices without row: what a reboot, a dead namespace or a killed daemon left.
    ///
    /// # Errors
    /// [`SandboxError`]; the next purge tries again.
    pub async fn purge(&self) -> Result<(), SandboxError> {
        // In this order, so that an ADD that ends meanwhile shows up as busy or as plugged in.
        let devices = self.links.list().await?;
        let busy = self.locks.busy();
        let view = self.ovsdb.current().await?;
        // Without the bridge every device looks left over; but then it is the bridge that is missing.
        if view.bridge(&self.settings.bridge).is_none() {
            return Err(SandboxError::NoBridge(self.settings.bridge.clone()));
        }
        let purge = plan::purge(&self.records(&view), &devices, &busy);
        for owner in purge.rows {
            let _guard = self.locks.lock(&owner.pod.uid).await;
            if self.links.get(&host_name(&owner.attachment)).await?.is_none() {
                warn!(pod = %owner.pod.name, namespace = %owner.pod.namespace, container = %owner.attachment.container_id,
                    "unplugging a sandbox whose device has gone");
                self.unplug(&owner.attachment).await?;
            }
        }
        for device in purge.devices {
            warn!(%device, "deleting a device that is not plugged in");
            self.links.delete(&device).await?;
            self.unplugged.notify_one();
        }
        self.forget_dead_devices().await?;
        self.set_routes().await.map(drop)
    }

    /// Takes what the programs know of devices that are gone.
    pub(super) async fn forget_dead_devices(&self) -> Result<(), SandboxError> {
        // In this order: what is attached meanwhile has a device.
        let mut dead = match self.datapath.known().await {
            // A daemon that begins: it looks again when the programs are loaded.
            Err(DatapathError::NotLoaded) => return Ok(()),
            known => known?,
        };
        for link in self.links.list().await?.values() {
            dead.remove(&link.index);
        }
        Ok(self.datapath.detach(dead).await?)
    }

    /// Attaches the programs to pods that are plugged in without, or that are unknown to theirs: those of a daemon that had
    /// none, or maps of another layout, or after somebody has removed the pins. A pod whose Port is gone is on its way out
    /// and stays as it is.
    ///
    /// # Errors
    /// [`SandboxError`]; the next look tries again.
    pub async fn attach_missing(&self) -> Result<(), SandboxError> {
        let served = self.datapath.served().await?;
        let devices = self.links.list().await?;
        let view = self.ovsdb.current().await?;
        for record in self.records(&view) {
            let (Some(owner), Some(device)) = (record.owner, devices.get(&record.device)) else {
                continue;
            };
            if served.contains(&device.index) {
                continue;
            }
            let _guard = self.locks.lock(&owner.pod.uid).await;
            let wanted = assignment(&self.ports.borrow(), &owner.pod).ok();
            let wanted = wanted.filter(|wanted| wanted.address.addr() == owner.address);
            let still = self
                .links
                .get(&record.device)
                .await?
                .is_some_and(|now| now.index == device.index);
            if let Some(wanted) = wanted.filter(|_| still) {
                self.datapath.attach(device.index, &owner.pod.uid, &wanted).await?;
                info!(pod = %owner.pod.name, namespace = %owner.pod.namespace, "attached the programs to a pod that had none, or that they did not know");
            }
        }
        Ok(())
    }
}
