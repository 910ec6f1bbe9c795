//! CNI ADD.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rscni_plugin::types::{CNIResult, Interface, IpConfig, Route};
use stackube_api::PortHolder;
use stackube_daemon::chain;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::super::plan::{AddPlan, Removal};
use super::super::record::{Owner, alias};
use super::super::{plan, transaction};
use super::{Engine, SandboxError, Step};
use crate::link::{LinkError, PodInterface, PodLinks, host_name};
use crate::metrics::Phase;
use crate::ports::{Assignment, Refusal};
use crate::protocol::{Attachment, PodRef};

/// How often a plan may turn out to be outdated before the call gives up; kubelet tries again.
const ATTEMPTS: u32 = 3;

/// One ADD.
#[derive(Debug)]
pub struct Add {
    /// Which interface.
    pub attachment: Attachment,
    /// Whose.
    pub pod: PodRef,
    /// Path of the network namespace, for the result.
    pub netns: String,
    /// The network namespace.
    pub namespace: OwnedFd,
    /// The devices in it.
    pub links: PodLinks,
}

impl Engine {
    /// Plugs a pod in (CNI ADD). When it fails or `cancel` fires, whatever was done is undone before it returns.
    ///
    /// # Errors
    /// [`SandboxError`]; kubelet makes a new sandbox then.
    pub async fn add(&self, call: &Add, cancel: &CancellationToken) -> Result<CNIResult, SandboxError> {
        let _counted = self.metrics.add_in_progress();
        let running = self.locks.begin_add(&call.attachment, cancel);
        let cancel = &running.cancel;
        let deadline = Instant::now() + self.settings.port_timeout;
        self.wait_for_protection(deadline, cancel).await?;
        let mut refused: BTreeSet<Ipv4Addr> = BTreeSet::new();
        let mut attempts = 0;
        loop {
            let started = Instant::now();
            // Without the pod's lock: waiting may take long, and a DEL for an older sandbox must not wait with it.
            let assignment = self.wait_for_assignment(&call.pod, &refused, deadline, cancel).await?;
            self.metrics.phase(Phase::Port, started.elapsed());
            self.reached(Step::PortReady);
            match self.plug(call, &assignment, cancel).await {
                Err(SandboxError::AddressHeld { address, holder }) => {
                    // Whether or not it could be asked for: this call waits for another.
                    self.refuse(PortHolder::Pod, &call.pod, address, &holder).await;
                    refused.insert(address);
                }
                // The node changed under the plan: make another.
                Err(SandboxError::Ovsdb(error)) if error.is_failed_wait() && attempts < ATTEMPTS => attempts += 1,
                other => return other,
            }
        }
    }

    /// Plugs in under the pod's lock, and takes back what it did if that fails.
    async fn plug(
        &self,
        call: &Add,
        assignment: &Assignment,
        cancel: &CancellationToken,
    ) -> Result<CNIResult, SandboxError> {
        let _guard = tokio::select! {
            () = cancel.cancelled() => return Err(SandboxError::Aborted),
            guard = self.locks.lock(&call.pod.uid) => guard,
        };
        self.reached(Step::Locked);
        // Under the lock no Port is released: what is assigned now stays so until the pod is unplugged.
        self.still_assigned(&call.pod, assignment)?;
        let outcome = self.try_plug(call, assignment, cancel).await;
        if outcome.is_err()
            && let Err(error) = self.unplug(&call.attachment).await
        {
            warn!(error = %error.report(), "cannot undo a failed ADD yet; DEL or the next purge will");
        }
        outcome
    }

    async fn try_plug(
        &self,
        call: &Add,
        assignment: &Assignment,
        cancel: &CancellationToken,
    ) -> Result<CNIResult, SandboxError> {
        let view = self.ovsdb.current().await?;
        let bridge = view.bridge(&self.settings.bridge);
        let bridge = bridge.ok_or_else(|| SandboxError::NoBridge(self.settings.bridge.clone()))?;
        let userspace = bridge.datapath_type == "netdev";
        // A bridge that was made anew may have another datapath.
        self.datapath.load(userspace).await?;
        let records = self.records(&view);
        let device = host_name(&call.attachment);
        let interface = assignment.interface(&call.attachment.ifname);
        match plan::add(
            &records,
            &self.devices().await?,
            &call.attachment,
            &call.pod,
            assignment,
        ) {
            AddPlan::SecondInterface(first) => {
                return Err(SandboxError::Refused(format!(
                    "the pod has its interface already: {first}"
                )));
            }
            AddPlan::AddressHeld(holder) => return Err(held(assignment, &holder)),
            AddPlan::Keep if call.links.differences(&interface).await?.is_empty() => {
                self.attach(&call.pod.uid, &device, assignment).await?;
            }
            AddPlan::Keep => {
                self.unplug(&call.attachment).await?;
                self.make(call, &interface, assignment, &[], userspace).await?;
            }
            AddPlan::Plug { removals, stale_device } => {
                if stale_device {
                    self.links.delete(&device).await?;
                }
                self.make(call, &interface, assignment, &removals, userspace).await?;
            }
        }
        self.link.add_pod(assignment.address.addr()).await?;
        self.reached(Step::Routed);
        self.wait_until_open(&call.attachment, &device, cancel).await?;
        self.reached(Step::Opened);
        self.wait_until_installed(&call.attachment, assignment, cancel).await?;
        self.reached(Step::Installed);
        self.wait_for_services(&assignment.network, cancel).await?;
        self.reached(Step::Synced);
        self.still_assigned(&call.pod, assignment)?;
        info!(address = %assignment.address, port = %assignment.port_id, %device, "plugged in");
        Ok(result(call, &device, &interface, assignment))
    }

    /// Makes the veth pair and puts it on the bridge. Between the two nothing can reach the pod yet, nor it anything.
    async fn make(
        &self,
        call: &Add,
        interface: &PodInterface,
        assignment: &Assignment,
        removals: &[Removal],
        userspace: bool,
    ) -> Result<(), SandboxError> {
        let device = host_name(&call.attachment);
        let started = Instant::now();
        self.links.create(&device, interface, call.namespace.as_fd()).await?;
        self.reached(Step::VethMade);
        call.links.configure(interface).await?;
        if userspace {
            call.links.disable_tx_checksum(&interface.name)?;
        }
        self.reached(Step::PodConfigured);
        self.links
            .configure(&device, &alias(&call.attachment, &call.pod.uid))
            .await?;
        self.reached(Step::HostConfigured);
        self.metrics.phase(Phase::Veth, started.elapsed());
        let started = Instant::now();
        self.attach(&call.pod.uid, &device, assignment).await?;
        self.reached(Step::Attached);
        self.metrics.phase(Phase::Attach, started.elapsed());
        let started = Instant::now();
        let operations = transaction::plug(
            &self.settings.bridge,
            &device,
            &call.attachment,
            &call.pod,
            assignment,
            removals,
        );
        self.ovsdb.transact(&operations).await?;
        self.reached(Step::RowInserted);
        self.metrics.phase(Phase::Ovsdb, started.elapsed());
        Ok(())
    }

    /// Puts the programs on the host's side: before the pod can send anything.
    pub(super) async fn attach(
        &self,
        pod_uid: &str,
        device: &str,
        assignment: &Assignment,
    ) -> Result<(), SandboxError> {
        let link = self.links.get(device).await?;
        let link = link.ok_or_else(|| LinkError::Missing(device.to_owned()))?;
        Ok(self.datapath.attach(link.index, pod_uid, assignment).await?)
    }

    /// Asks the controller for another address; whether it could be asked. If not, the next try asks again.
    pub(super) async fn refuse(&self, whose: PortHolder, pod: &PodRef, address: Ipv4Addr, holder: &str) -> bool {
        warn!(%address, %holder, "refusing an address that a live sandbox has");
        let refusal = Refusal {
            holder: whose,
            namespace: pod.namespace.clone(),
            pod_uid: pod.uid.clone(),
            pod_name: pod.name.clone(),
            address,
        };
        let write = self.writer.refuse_address(&refusal);
        match tokio::time::timeout(Duration::from_secs(10), write).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => warn!(error = %chain(&error), "cannot ask for another address"),
            Err(_) => warn!("cannot ask for another address: the API server does not answer"),
        }
        false
    }
}

pub(super) fn held(assignment: &Assignment, holder: &Owner) -> SandboxError {
    SandboxError::AddressHeld {
        address: assignment.address.addr(),
        holder: format!("{}/{}", holder.pod.namespace, holder.pod.name),
    }
}

/// The answer to the runtime (CNI specification 1.1, "ADD Success").
fn result(call: &Add, device: &str, interface: &PodInterface, assignment: &Assignment) -> CNIResult {
    let host = Interface {
        name: device.to_owned(),
        mac: String::new(),
        mtu: Some(interface.mtu),
        sandbox: None,
        socket_path: None,
        pci_id: None,
    };
    let pod = Interface {
        name: interface.name.clone(),
        mac: assignment.mac_text(),
        sandbox: Some(call.netns.clone()),
        ..host.clone()
    };
    let default = ipnet::IpNet::V4(ipnet::Ipv4Net::default());
    let gateway = Some(assignment.gateway.into());
    CNIResult {
        interfaces: vec![host, pod],
        ips: vec![IpConfig {
            interface: Some(1),
            address: assignment.address.into(),
            gateway,
        }],
        routes: vec![Route {
            dst: default,
            gw: gateway,
            mtu: None,
            advmss: None,
            priority: None,
            table: None,
            scope: None,
        }],
        dns: None,
    }
}
