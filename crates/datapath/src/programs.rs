//! The programs of this node: loaded once, attached to each pod's device, to the host link and to kubelet's cgroup.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use ipnet::Ipv4Net;

use crate::Error;
use crate::abi::LAYOUT;
use crate::attach::{self, Hook};
use crate::flows::{Ended, Flows, Swept};
use crate::identities::Identity;
use crate::pods::Pods;
use crate::settings::LinkSettings;
use crate::table::Ranges;
use crate::takeover;

/// The programs, compiled from `bpf/` by `make bpf`.
pub(crate) static OBJECT: &[u8] = include_bytes_aligned!("../object/stackube.o");

/// How packets that a pod sends are caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// XDP (generic): Open vSwitch in user space takes packets before tc sees them. The pod must not leave checksums to its device
    /// (`ethtool -K eth0 tx off`).
    Xdp,
    /// tcx: the kernel's Open vSwitch. Offloads stay on.
    Tcx,
}

/// The programs. Everything they are attached to outlives the process, by pins; a new process replaces the programs in place.
pub struct Programs {
    root: PathBuf,
    mode: Mode,
    loaded: Mutex<Ebpf>,
    pods: Pods,
    infrastructure: Ranges,
    permitted: Ranges,
    flows: Flows,
}

impl Programs {
    /// Loads the programs with the maps that are pinned under `root` ([`crate::PIN_ROOT`]), or makes the maps. Whatever an earlier process
    /// attached runs the new programs afterwards; no packet passes without one, and no flow is lost. If that process had another layout, its
    /// maps are given up: what it attached drops everything until [`Programs::attach`] has been called again.
    ///
    /// # Errors
    /// `root` is not on bpffs, or the kernel refuses.
    pub fn load_or_open(root: &Path, mode: Mode) -> Result<Self, Error> {
        let pins = root.join(LAYOUT);
        let links = attach::directory(root);
        std::fs::create_dir_all(&links).map_err(|source| Error::PinRoot { path: links, source })?;
        let mut loaded = EbpfLoader::new()
            // The programs use nothing of the running kernel's own types.
            .btf(None)
            .default_map_pin_directory(pins)
            .load(OBJECT)
            .map_err(|source| Error::Load(Box::new(source)))?;
        attach::load(&mut loaded, mode)?;
        takeover::links(root)?;
        attach::renew(&mut loaded, root, mode)?;
        takeover::maps(root)?;
        Ok(Self {
            root: root.to_owned(),
            mode,
            loaded: Mutex::new(loaded),
            pods: Pods::open(root)?,
            infrastructure: Ranges::open(root, "infrastructure")?,
            permitted: Ranges::open(root, "permitted")?,
            flows: Flows::open(root)?,
        })
    }

    /// Tells the programs the addresses and devices of the host link. To be done before the first pod.
    ///
    /// # Errors
    /// The kernel refuses a write.
    pub fn set_link(&self, settings: &LinkSettings) -> Result<(), Error> {
        settings.write(&self.root)
    }

    /// Attaches `from_host` to the far end of the host link. Repeats safely; another device's is detached.
    ///
    /// # Errors
    /// The device does not exist, or the kernel refuses.
    pub fn attach_link(&self, far_ifindex: u32) -> Result<(), Error> {
        attach::only(&mut self.loaded(), &self.root, Hook::Link(far_ifindex))
    }

    /// Writes the pod's entries, then attaches the programs to its host-side veth. To be done before the device is plugged in. Repeats safely.
    ///
    /// # Errors
    /// The device does not exist, or the kernel refuses. What was done is undone by [`Programs::detach`].
    pub fn attach(&self, identity: &Identity) -> Result<(), Error> {
        self.pods.add(identity)?;
        let mut loaded = self.loaded();
        attach::one(&mut loaded, &self.root, Hook::From(identity.ifindex, self.mode))?;
        attach::one(&mut loaded, &self.root, Hook::To(identity.ifindex))
    }

    /// Detaches the programs from the device, if it still exists, and removes what the maps say about it. Repeats safely.
    ///
    /// # Errors
    /// The kernel refuses a write.
    pub fn detach(&self, ifindex: u32) -> Result<(), Error> {
        attach::remove(&self.root, Hook::From(ifindex, self.mode))?;
        attach::remove(&self.root, Hook::To(ifindex))?;
        self.pods.remove(ifindex)
    }

    /// The devices that have programs or entries in the maps. An entry may be left of a device that is gone.
    ///
    /// # Errors
    /// The kernel refuses to read.
    pub fn attached(&self) -> Result<Vec<Identity>, Error> {
        self.pods.list()
    }

    /// Devices with pinned programs: also those whose entries a crash kept from being written.
    ///
    /// # Errors
    /// The directory of the pins cannot be read.
    pub fn pinned(&self) -> Result<Vec<u32>, Error> {
        attach::devices(&self.root)
    }

    /// Marks the sockets that processes of `cgroup` (a directory of the cgroup2 hierarchy) open from now on: kubelet's. Repeats safely; a
    /// cgroup of the same name that was made anew is found by its inode, and the old one released.
    ///
    /// # Errors
    /// The directory cannot be opened, or the kernel refuses.
    pub fn mark_kubelet(&self, cgroup: &Path) -> Result<(), Error> {
        attach::cgroup(&mut self.loaded(), &self.root, cgroup)
    }

    /// Sets the addresses that pods may not reach: every address of a node, the external bridge, tunnels, databases. Replaces all.
    ///
    /// # Errors
    /// The kernel refuses a write.
    pub fn set_infrastructure(&self, ranges: &[Ipv4Net]) -> Result<(), Error> {
        self.infrastructure.replace(ranges)
    }

    /// Sets the addresses that pods may reach although they are in the infrastructure's ranges. Replaces all.
    ///
    /// # Errors
    /// The kernel refuses a write.
    pub fn set_permitted(&self, ranges: &[Ipv4Net]) -> Result<(), Error> {
        self.permitted.replace(ranges)
    }

    /// Removes flows that have ended or timed out, and those of pods that are gone. To be called every [`crate::SWEEP_INTERVAL`]: a pod that has
    /// used up its quota gets new flows only after this.
    ///
    /// # Errors
    /// The kernel refuses to read or write.
    pub fn sweep(&self) -> Result<Swept, Error> {
        self.remove_ended(&self.find_ended()?)
    }

    /// The first half of a sweep: finds what has had its time.
    ///
    /// # Errors
    /// The kernel refuses to read.
    pub fn find_ended(&self) -> Result<Ended, Error> {
        self.find_ended_after(Duration::ZERO)
    }

    /// As [`Programs::find_ended`], but finds what will have had its time after so much more of it, if nothing uses it. For tests: no entry
    /// can be made older than the machine.
    ///
    /// # Errors
    /// The kernel refuses to read.
    #[doc(hidden)]
    pub fn find_ended_after(&self, time: Duration) -> Result<Ended, Error> {
        self.flows.ended_after(time)
    }

    /// The second half of a sweep: removes it, but for what was used meanwhile.
    ///
    /// # Errors
    /// The kernel refuses to read or write. What is left is found again.
    pub fn remove_ended(&self, ended: &Ended) -> Result<Swept, Error> {
        self.flows.remove(ended)
    }

    fn loaded(&self) -> MutexGuard<'_, Ebpf> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Programs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Programs")
            .field("root", &self.root)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}
