//! Why a call failed, for the runtime and for the person who reads a pod's Events.

use std::net::Ipv4Addr;
use std::time::Duration;

use rscni_plugin::error::Error as CniError;
use stackube_daemon::chain;
use thiserror::Error;

use crate::datapath::DatapathError;
use crate::link::LinkError;
use crate::ovsdb::OvsdbError;

/// CNI error code: the kernel or Open vSwitch refused.
pub const CODE_DATAPATH: u32 = 100;
/// CNI error code: what is plugged in is not what was asked for (CHECK).
pub const CODE_DIFFERENT: u32 = 101;
/// CNI error code: the pod cannot have a network.
pub const CODE_REFUSED: u32 = 102;

/// A call failed.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// The pod's Port did not become ready.
    #[error("no network for the pod after {} s: {reason}", waited.as_secs())]
    NotReady {
        /// How long the call waited.
        waited: Duration,
        /// What for.
        reason: String,
    },
    /// The pod will not get a network.
    #[error("{0}")]
    Refused(String),
    /// The Port's address is held by another live sandbox, and the controller has not chosen another in time.
    #[error(
        "address {address} is held on this node by a sandbox of pod {holder}; the controller has been asked for another"
    )]
    AddressHeld {
        /// The address.
        address: Ipv4Addr,
        /// Namespace and name of the pod that has it.
        holder: String,
    },
    /// The Port changed while the pod was plugged in.
    #[error("the pod's Port changed while the pod was plugged in")]
    Changed,
    /// The plugin went away, or a DEL came.
    #[error("the call was given up by the runtime")]
    Aborted,
    /// ovs-vswitchd could not use the device.
    #[error("Open vSwitch cannot use device {device}: {problem}")]
    NotOpened {
        /// Host device.
        device: String,
        /// What ovs-vswitchd says, or that it says nothing.
        problem: String,
    },
    /// ovn-controller did not install the port's flows.
    #[error(
        "ovn-controller has not installed the flows of logical port {port_id} after {} s: \
         is it running, and does its chassis hold the port?",
        waited.as_secs()
    )]
    NotInstalled {
        /// Neutron port.
        port_id: String,
        /// How long the call waited.
        waited: Duration,
    },
    /// stackube-proxy did not write the network's services.
    #[error(
        "stackube-proxy has not written the services of network {network} after {} s: is it running on this node?",
        waited.as_secs()
    )]
    NoServices {
        /// Namespace of the Network.
        network: String,
        /// How long the call waited.
        waited: Duration,
    },
    /// The programs do not know yet what pods may not reach.
    #[error(
        "the addresses of the nodes, which no pod may reach, are not known after {} s: \
         does the API server answer kubestack on this node?",
        waited.as_secs()
    )]
    Unprotected {
        /// How long the call waited.
        waited: Duration,
    },
    /// The bridge is missing.
    #[error("there is no bridge {0}: is ovn-controller running on this node?")]
    NoBridge(String),
    /// The row disappeared while it was waited for.
    #[error("the pod's interface was taken off the bridge by somebody else")]
    RowGone,
    /// CHECK found differences.
    #[error("the pod's network is not as it should be: {}", .0.join("; "))]
    Different(Vec<String>),
    /// The database.
    #[error("Open vSwitch database")]
    Ovsdb(#[from] OvsdbError),
    /// The kernel.
    #[error("network devices")]
    Link(#[from] LinkError),
    /// The programs.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// Parts of a GC failed.
    #[error("{failed} of {total} attachments could not be removed")]
    Incomplete {
        /// How many failed.
        failed: usize,
        /// Of how many.
        total: usize,
        /// The first failure.
        #[source]
        source: Box<Self>,
    },
}

impl SandboxError {
    /// The error with its causes in one line.
    pub fn report(&self) -> String {
        chain(self)
    }

    /// The error for the runtime. Code 11 says that trying again may help, which kubelet does anyway.
    pub fn to_cni(&self) -> CniError {
        let details = self.report();
        match self {
            Self::NotReady { .. }
            | Self::AddressHeld { .. }
            | Self::Changed
            | Self::Aborted
            | Self::NotInstalled { .. }
            | Self::NoServices { .. }
            | Self::Unprotected { .. }
            | Self::NoBridge(_)
            | Self::RowGone
            | Self::Ovsdb(_)
            | Self::Datapath(DatapathError::NotLoaded)
            | Self::Incomplete { .. } => CniError::TryAgainLater(details),
            Self::NotOpened { .. } | Self::Link(_) | Self::Datapath(_) => {
                CniError::Custom(CODE_DATAPATH, "The pod could not be plugged in".into(), details)
            }
            Self::Different(_) => CniError::Custom(CODE_DIFFERENT, "The pod's network differs".into(), details),
            Self::Refused(_) => CniError::Custom(CODE_REFUSED, "The pod cannot be plugged in".into(), details),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_reads_the_whole_chain_once() {
        let error = SandboxError::from(OvsdbError::Disconnected).to_cni();
        assert_eq!(u32::from(&error), 11);
        assert_eq!(
            error.details(),
            "Open vSwitch database: no connection to the Open vSwitch database: is ovsdb-server running on this node?"
        );
    }
}
