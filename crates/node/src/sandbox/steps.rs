//! The steps of an ADD, so that tests can stop a daemon after each of them.

use std::sync::Arc;

/// What has just been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The Port is ready.
    PortReady,
    /// The pod's lock is held.
    Locked,
    /// The veth pair exists.
    VethMade,
    /// The pod's side has its address and route.
    PodConfigured,
    /// The host's side is up.
    HostConfigured,
    /// The programs are on the host's side.
    Attached,
    /// The database has the row.
    RowInserted,
    /// The node's probes find the pod.
    Routed,
    /// ovs-vswitchd has opened the device.
    Opened,
    /// ovn-controller has installed the flows.
    Installed,
    /// stackube-proxy has written the network's services, if they are waited for.
    Synced,
}

impl Step {
    /// All steps, in their order.
    pub const ALL: [Self; 11] = [
        Self::PortReady,
        Self::Locked,
        Self::VethMade,
        Self::PodConfigured,
        Self::HostConfigured,
        Self::Attached,
        Self::RowInserted,
        Self::Routed,
        Self::Opened,
        Self::Installed,
        Self::Synced,
    ];
}

/// Called after each step. The daemon's does nothing.
pub type StepHook = Arc<dyn Fn(Step) + Send + Sync>;
