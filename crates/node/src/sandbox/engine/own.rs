//! The node's own port: plugged in with the same steps as a pod, except that its end stays here.

use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, open};
use stackube_api::PortHolder;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::super::plan::{self, AddPlan, Removal};
use super::super::record::alias;
use super::super::transaction;
use super::add::held;
use super::{Engine, SandboxError};
use crate::link::{LinkError, host_name};
use crate::ownport::{OwnPort, attachment, is_own, zone};
use crate::ports::Assignment;
use crate::protocol::PodRef;

/// The network namespace of this process.
const NAMESPACE: &str = "/proc/self/ns/net";

impl Engine {
    /// Makes the node's own port as it should be, whatever there is, and says what it had to do: nothing, usually. `node` is
    /// the Node in place of a pod.
    ///
    /// # Errors
    /// [`SandboxError`]; what was done stays, and the next look goes on from there.
    pub async fn ensure_own(&self, node: &PodRef, assignment: &Assignment) -> Result<Vec<&'static str>, SandboxError> {
        let attachment = attachment();
        // Purges leave alone what is being made.
        let _busy = self.locks.begin_add(&attachment, &CancellationToken::new());
        let _guard = self.locks.lock(&node.uid).await;
        let view = self.ovsdb.current().await?;
        let bridge = view.bridge(&self.settings.bridge);
        let bridge = bridge.ok_or_else(|| SandboxError::NoBridge(self.settings.bridge.clone()))?;
        let userspace = bridge.datapath_type == "netdev";
        self.datapath.load(userspace).await?;
        let (records, devices) = (self.records(&view), self.devices().await?);
        let device = host_name(&attachment);
        let mut done = vec![];
        match plan::add(&records, &devices, &attachment, node, assignment) {
            AddPlan::SecondInterface(first) => return Err(SandboxError::Refused(format!("it is there as {first}"))),
            AddPlan::AddressHeld(holder) => return Err(held(assignment, &holder)),
            AddPlan::Keep if self.own.exists().await? => {
                let known = self.datapath.device_of(&node.uid, assignment.address.addr()).await?;
                if devices.get(&device).is_none_or(|link| known != Some(link.index)) {
                    self.attach(&node.uid, &device, assignment).await?;
                    done.push("attached the programs");
                }
            }
            AddPlan::Keep => {
                self.unplug(&attachment).await?;
                self.make_own(node, assignment, &[], userspace).await?;
                done.push("plugged in");
            }
            AddPlan::Plug { removals, stale_device } => {
                if stale_device {
                    self.links.delete(&device).await?;
                }
                self.make_own(node, assignment, &removals, userspace).await?;
                done.push("plugged in");
            }
        }
        let mut services = self.datapath.service_ranges().await?;
        if services.is_empty() {
            // A cluster has ranges: stackube-proxy has not written them yet, into maps of another layout, say.
            services = self.own.services().await?;
        }
        done.extend(
            self.own
                .ensure(&OwnPort::interface(assignment), &services, self.settings.shares)
                .await?,
        );
        Ok(done)
    }

    async fn make_own(
        &self,
        node: &PodRef,
        assignment: &Assignment,
        removals: &[Removal],
        userspace: bool,
    ) -> Result<(), SandboxError> {
        let (attachment, interface) = (attachment(), OwnPort::interface(assignment));
        let device = host_name(&attachment);
        let here = open(NAMESPACE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let here = here.map_err(|source| LinkError::System {
            action: "open the namespace of",
            device: "this host".to_owned(),
            source,
        })?;
        self.links.create(&device, &interface, here.as_fd()).await?;
        if userspace {
            self.own.disable_tx_checksum()?;
        }
        self.links.configure(&device, &alias(&attachment, &node.uid)).await?;
        self.attach(&node.uid, &device, assignment).await?;
        let operations = transaction::plug(&self.settings.bridge, &device, &attachment, node, assignment, removals);
        self.ovsdb.transact(&operations).await?;
        self.forget_dead_devices().await?;
        info!(address = %assignment.address, port = %assignment.port_id, %device, "plugged the node itself in");
        Ok(())
    }

    /// Unplugs the node's own port, if it is plugged in; whether it was.
    ///
    /// # Errors
    /// [`SandboxError`]; the next look tries again.
    pub async fn remove_own(&self) -> Result<bool, SandboxError> {
        let attachment = attachment();
        let view = self.ovsdb.current().await?;
        let row = self.row(&view, &attachment);
        let is_there = row.is_some() || self.links.get(&host_name(&attachment)).await?.is_some();
        if !is_there {
            self.own.clear().await?;
            return Ok(false);
        }
        let uid = row.and_then(|row| row.owner).map(|owner| owner.pod.uid);
        let _guard = self
            .locks
            .lock(uid.as_deref().unwrap_or(&attachment.container_id))
            .await;
        self.own.clear().await?;
        self.unplug(&attachment).await?;
        info!("unplugged the node itself");
        Ok(true)
    }

    /// Lets Open vSwitch track as many connections for the node's own port as it may have. `port` is its logical port, if that
    /// is known.
    ///
    /// # Errors
    /// [`SandboxError`]; the next look tries again.
    pub async fn limit_own(&self, port: Option<&str>) -> Result<(), SandboxError> {
        if let Some(zone) = zone::ensure(&self.ovsdb, &self.settings.bridge, port).await? {
            info!(zone, "set the limit of connections of the node's own port");
        }
        Ok(())
    }

    /// Whether the node's own port is plugged in and ovn-controller has installed its flows; false while nobody knows.
    pub fn is_own_installed(&self) -> bool {
        let Some(view) = self.ovsdb.view() else {
            return false;
        };
        let mut rows = self.records(&view).into_iter();
        rows.any(|row| row.installed && row.owner.is_some_and(|owner| is_own(&owner.attachment)))
    }

    /// Asks the controller for another address for the node's own port than the one that a live sandbox has; whether it
    /// could be asked.
    pub async fn refuse_own(&self, node: &PodRef, assignment: &Assignment, holder: &str) -> bool {
        let address = assignment.address.addr();
        self.refuse(PortHolder::Node, node, address, holder).await
    }
}
