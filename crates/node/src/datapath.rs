//! The eBPF programs on this node's pods: loaded once, attached to each pod's device before it is plugged in.
//!
//! Whatever is attached outlives the daemon, by pins; a new daemon puts its programs into the links that it finds.

mod aliases;
pub mod infrastructure;
pub mod kubelet;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::Ipv4Net;
use stackube_api::PortHolder;
use stackube_datapath::abi::NetworkKey;
use stackube_datapath::{Identity, Limits, LinkSettings, Mode, Programs};
use thiserror::Error;

use crate::nodelink::Ends;
use crate::ports::Assignment;

/// The programs could not be used.
#[derive(Debug, Error)]
pub enum DatapathError {
    /// The programs have not been loaded yet.
    #[error("the eBPF programs are not loaded yet: the node daemon is still starting, or its log says why it cannot")]
    NotLoaded,
    /// No alias is left.
    #[error("all aliases that this node has for pods of this kind are in use")]
    NoAlias,
    /// The UID is none.
    #[error("{0:?} is not the UID of a pod")]
    Uid(String),
    /// The kernel refused.
    #[error("eBPF programs")]
    Kernel(#[from] stackube_datapath::Error),
    /// A task died.
    #[error("a task that works on eBPF programs died")]
    Task(#[from] tokio::task::JoinError),
}

/// Handle to the programs. Clones share them.
#[derive(Clone, Debug)]
pub struct Datapath {
    root: Arc<PathBuf>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    loaded: Option<(Mode, Arc<Programs>)>,
    /// The link, and whether the loaded programs know it.
    link: Option<(Ends, bool)>,
}

impl Datapath {
    /// Programs whose maps and links are pinned under `root`, a directory of bpffs. Nothing is loaded yet.
    pub fn new(root: PathBuf) -> Self {
        Self {
            root: Arc::new(root),
            state: Arc::default(),
        }
    }

    /// Loads the programs for the userspace or the kernel's datapath of Open vSwitch, unless they are loaded.
    ///
    /// # Errors
    /// [`DatapathError::Kernel`].
    pub async fn load(&self, userspace: bool) -> Result<(), DatapathError> {
        let mode = if userspace { Mode::Xdp } else { Mode::Tcx };
        self.run(move |datapath| {
            let mut state = datapath.state();
            if state.loaded.as_ref().is_none_or(|(loaded, _)| *loaded != mode) {
                let programs = Programs::load_or_open(&datapath.root, mode)?;
                state.loaded = Some((mode, Arc::new(programs)));
                if let Some((_, told)) = &mut state.link {
                    *told = false;
                }
            }
            state.tell_link()
        })
        .await
    }

    /// Whether the programs are loaded.
    ///
    /// # Errors
    /// [`DatapathError::NotLoaded`].
    pub fn status(&self) -> Result<(), DatapathError> {
        self.programs().map(drop)
    }

    /// Tells the programs the node's link, now or when they are loaded. `again` is for a link that was touched.
    ///
    /// # Errors
    /// [`DatapathError::Kernel`].
    pub async fn set_link(&self, ends: Ends, again: bool) -> Result<(), DatapathError> {
        self.run(move |datapath| {
            let mut state = datapath.state();
            let known = matches!(state.link, Some((known, told)) if known == ends && told && !again);
            if !known {
                state.link = Some((ends, false));
            }
            state.tell_link()
        })
        .await
    }

    /// Puts a pod on the maps and the programs on its device. Repeats safely.
    ///
    /// # Errors
    /// [`DatapathError`]; what was done is undone by [`Self::detach`].
    pub async fn attach(&self, ifindex: u32, pod_uid: &str, assignment: &Assignment) -> Result<(), DatapathError> {
        let uid = uid_bytes(pod_uid)?;
        let assignment = assignment.clone();
        self.run(move |datapath| {
            // Held until the alias is written: nobody else may choose it meanwhile.
            let state = datapath.state();
            let (_, programs) = state.loaded.as_ref().ok_or(DatapathError::NotLoaded)?;
            let network = NetworkKey::of(&assignment.network);
            let alias = aliases::choose(&programs.attached()?, ifindex, network, uid).ok_or(DatapathError::NoAlias)?;
            programs.attach(&Identity {
                ifindex,
                network,
                uid,
                ip: assignment.address.addr(),
                gateway: assignment.gateway,
                alias,
                mac: assignment.mac,
                is_node: assignment.holder == PortHolder::Node,
            })?;
            Ok(())
        })
        .await
    }

    /// Takes the programs off devices and forgets who was behind them. Repeats safely.
    ///
    /// # Errors
    /// [`DatapathError`]
    pub async fn detach(&self, devices: BTreeSet<u32>) -> Result<(), DatapathError> {
        self.with(move |programs| {
            devices.into_iter().try_for_each(|device| programs.detach(device))?;
            Ok(())
        })
        .await
    }

    /// Devices that programs or maps know.
    ///
    /// # Errors
    /// [`DatapathError`]
    pub async fn known(&self) -> Result<BTreeSet<u32>, DatapathError> {
        self.with(|programs| {
            let mut known: BTreeSet<u32> = programs.pinned()?.into_iter().collect();
            known.extend(programs.attached()?.iter().map(|identity| identity.ifindex));
            Ok(known)
        })
        .await
    }

    /// Devices that have programs to which their pod is known.
    ///
    /// # Errors
    /// [`DatapathError`]
    pub async fn served(&self) -> Result<BTreeSet<u32>, DatapathError> {
        self.with(|programs| {
            let pinned = programs.pinned()?;
            let attached = programs.attached()?.into_iter().map(|identity| identity.ifindex);
            Ok(attached.filter(|device| pinned.contains(device)).collect())
        })
        .await
    }

    /// The device behind which the programs know exactly this pod.
    ///
    /// # Errors
    /// [`DatapathError`]
    pub async fn device_of(&self, pod_uid: &str, address: Ipv4Addr) -> Result<Option<u32>, DatapathError> {
        let uid = uid_bytes(pod_uid)?;
        self.with(move |programs| {
            let pinned = programs.pinned()?;
            let attached = programs.attached()?;
            let found = attached
                .iter()
                .find(|identity| identity.uid == uid && identity.ip == address && pinned.contains(&identity.ifindex));
            Ok(found.map(|identity| identity.ifindex))
        })
        .await
    }

    /// Whether stackube-proxy has written all services of a network.
    ///
    /// # Errors
    /// [`DatapathError`]
    pub async fn is_synced(&self, network: &str) -> Result<bool, DatapathError> {
        let key = NetworkKey::of(network);
        self.run(move |datapath| Ok(stackube_datapath::is_synced(&datapath.root, key)?))
            .await
    }

    /// The ranges of services, as stackube-proxy has written them.
    ///
    /// # Errors
    /// [`DatapathError`]
    pub async fn service_ranges(&self) -> Result<BTreeSet<Ipv4Net>, DatapathError> {
        self.run(|datapath| {
            let ranges = stackube_datapath::service_ranges(&datapath.root)?;
            Ok(ranges.into_iter().collect())
        })
        .await
    }

    /// Sets what pods may not reach, and what of that they may after all.
    ///
    /// # Errors
    /// [`DatapathError`]
    pub async fn set_ranges(&self, refused: Vec<Ipv4Net>, permitted: Vec<Ipv4Net>) -> Result<(), DatapathError> {
        self.with(move |programs| {
            programs.set_permitted(&permitted)?;
            Ok(programs.set_infrastructure(&refused)?)
        })
        .await
    }

    /// Removes flows that have ended; the number of those that are left.
    ///
    /// # Errors
    /// [`DatapathError`]
    pub async fn sweep(&self) -> Result<usize, DatapathError> {
        self.with(|programs| Ok(programs.sweep()?.live)).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn programs(&self) -> Result<Arc<Programs>, DatapathError> {
        let state = self.state();
        let (_, programs) = state.loaded.as_ref().ok_or(DatapathError::NotLoaded)?;
        Ok(Arc::clone(programs))
    }

    /// System calls that may wait for other processors: off the runtime's threads.
    async fn run<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Self) -> Result<T, DatapathError> + Send + 'static,
    ) -> Result<T, DatapathError> {
        let datapath = self.clone();
        tokio::task::spawn_blocking(move || what(&datapath)).await?
    }

    async fn with<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Programs) -> Result<T, DatapathError> + Send + 'static,
    ) -> Result<T, DatapathError> {
        let programs = self.programs()?;
        tokio::task::spawn_blocking(move || what(&programs)).await?
    }
}

impl State {
    fn tell_link(&mut self) -> Result<(), DatapathError> {
        if let (Some((_, programs)), Some((ends, told @ false))) = (&self.loaded, &mut self.link) {
            programs.set_link(&LinkSettings::on(
                ends.far.index,
                ends.near.mac,
                ends.far.mac,
                Limits::default(),
            ))?;
            programs.attach_link(ends.far.index)?;
            *told = true;
        }
        Ok(())
    }
}

/// The 16 bytes of a UID (RFC 9562).
fn uid_bytes(text: &str) -> Result<[u8; 16], DatapathError> {
    let wrong = || DatapathError::Uid(text.to_owned());
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    // from_str_radix takes a sign, too.
    if digits.len() != 32 || text.len() != 36 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    u128::from_str_radix(&digits, 16)
        .map(u128::to_be_bytes)
        .map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_read_and_nothing_else() {
        let uid = uid_bytes("00112233-4455-6677-8899-aabbccddeeff").unwrap();
        assert_eq!((uid[0], uid[1], uid[15]), (0, 0x11, 0xff));
        for text in [
            "",
            "u-1",
            "00112233445566778899aabbccddeeff",
            "00112233-4455-6677-8899-aabbccddeefg",
            "+0112233-4455-6677-8899-aabbccddeeff",
        ] {
            assert!(uid_bytes(text).is_err(), "{text}");
        }
    }
}
