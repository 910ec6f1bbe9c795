//! The steps of an ADD and of a DEL, so that tests can stop a daemon after each of them.

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
    /// DEL: the database has no row of the container any more.
    RowRemoved,
    /// DEL: the node's probes do not find the pod any more.
    Unrouted,
    /// DEL: the veth pair is gone.
    DeviceDeleted,
    /// DEL: the programs know nothing of the pod any more.
    Forgotten,
}

impl Step {
    /// All steps, in their order: those of an ADD, then those of a DEL.
    pub const ALL: [Self; 15] = [
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
        Self::RowRemoved,
        Self::Unrouted,
        Self::DeviceDeleted,
        Self::Forgotten,
    ];
}

/// Called after each step. The daemon's does nothing.
pub type StepHook = Arc<dyn Fn(Step) + Send + Sync>;
