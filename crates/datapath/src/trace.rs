//! What the programs counted and decided, for metrics and for the person who asks why a packet did not arrive.

use std::mem::offset_of;
use std::net::SocketAddrV4;
use std::path::Path;
use std::time::Duration;

use crate::Error;
use crate::abi::{self, Event, reason};
use crate::flows::{FlowRecord, Flows};
use crate::table::{Table, address, open_counters, open_ring, refused};

/// Where a packet was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Sent by the pod.
    FromPod,
    /// To the pod, from its network.
    ToPod,
    /// To the pod, from the node.
    FromHost,
}

/// What became of one packet. What could not be read of it is zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Time of the monotonic clock.
    pub time: Duration,
    /// Index of the pod's host-side veth.
    pub ifindex: u32,
    /// Where it was seen.
    pub hook: Hook,
    /// IP protocol number; 0 for what is not IPv4.
    pub protocol: u8,
    /// Source on arrival.
    pub source: SocketAddrV4,
    /// Destination on arrival.
    pub destination: SocketAddrV4,
    /// The other side after translation.
    pub remote: SocketAddrV4,
    /// Why it went where it went: one of [`reasons`].
    pub reason: &'static str,
}

/// All reasons that a decision or a counter can have.
pub const fn reasons() -> &'static [&'static str] {
    &reason::NAMES
}

/// Packets since the maps were made, by reason.
///
/// # Errors
/// The maps are not pinned at `root`, or the kernel refuses.
pub fn counters(root: &Path) -> Result<Vec<(&'static str, u64)>, Error> {
    let map = open_counters(root, "counters")?;
    (0u32..)
        .zip(reason::NAMES)
        .map(|(index, name)| {
            let values = map
                .get(&index, 0)
                .map_err(|source| refused("counters", "read an entry", source))?;
            Ok((name, values.iter().sum()))
        })
        .collect()
}

/// Decisions about the packets of one pod, from now on. One reader at a time: two would share the decisions between them.
pub struct Trace {
    pods: Table<u32, abi::Pod>,
    flows: Flows,
    ring: aya::maps::RingBuf<aya::maps::MapData>,
    ifindex: u32,
}

impl Trace {
    /// Begins with the pod behind the device `ifindex`.
    ///
    /// # Errors
    /// [`Error::NoInterface`] when no pod is known behind it; the maps are not pinned at `root`; the kernel refuses.
    pub fn start(root: &Path, ifindex: u32) -> Result<Self, Error> {
        let mut trace = Self {
            pods: Table::open(root, "pods")?,
            flows: Flows::open(root)?,
            ring: open_ring(root, "events")?,
            ifindex,
        };
        while trace.ring.next().is_some() {} // what an earlier reader left
        trace.mark(true)?;
        Ok(trace)
    }

    /// The next decision, if there is one yet. Wait for more by polling [`Trace::as_fd`](std::os::fd::AsFd::as_fd) for input.
    pub fn read(&mut self) -> Option<Decision> {
        loop {
            let decision = decision(&self.ring.next()?);
            if let Some(decision) = decision.filter(|decision| decision.ifindex == self.ifindex) {
                return Some(decision);
            }
        }
    }

    /// The pod's flows through services.
    ///
    /// # Errors
    /// The kernel refuses to read.
    pub fn flows(&self) -> Result<Vec<FlowRecord>, Error> {
        self.flows.list(self.ifindex)
    }

    fn mark(&self, traced: bool) -> Result<(), Error> {
        let pod = self
            .pods
            .get(&self.ifindex)?
            .ok_or(Error::NoInterface { ifindex: self.ifindex })?;
        let others = pod.flags & !abi::POD_TRACED;
        let flags = others | if traced { abi::POD_TRACED } else { 0 };
        self.pods.set(&self.ifindex, &abi::Pod { flags, ..pod })
    }
}

impl std::os::fd::AsFd for Trace {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        use std::os::fd::AsRawFd as _;
        borrow(&self.ring, self.ring.as_raw_fd())
    }
}

#[expect(unsafe_code, reason = "aya gives the ring buffer's descriptor as a number")]
fn borrow<T>(_owner: &T, fd: std::os::fd::RawFd) -> std::os::fd::BorrowedFd<'_> {
    // SAFETY: the descriptor belongs to `_owner`, which the result borrows, so it stays open.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // A pod that is gone needs nothing.
        let _gone = self.mark(false);
    }
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace")
            .field("ifindex", &self.ifindex)
            .finish_non_exhaustive()
    }
}

/// Reads an entry of the ring buffer; `None` for one of another length.
fn decision(bytes: &[u8]) -> Option<Decision> {
    if bytes.len() != size_of::<Event>() {
        return None;
    }
    let four = |at: usize| {
        bytes
            .get(at..at + 4)
            .and_then(|part| part.try_into().ok())
            .map(u32::from_ne_bytes)
    };
    let port = |at: usize| {
        bytes
            .get(at..at + 2)
            .and_then(|part| part.try_into().ok())
            .map(u16::from_be_bytes)
    };
    let time = bytes
        .get(..8)
        .and_then(|part| part.try_into().ok())
        .map(u64::from_ne_bytes)?;
    let socket = |ip: usize, at: usize| Some(SocketAddrV4::new(address(four(ip)?), port(at)?));
    Some(Decision {
        time: Duration::from_nanos(time),
        ifindex: four(offset_of!(Event, ifindex))?,
        hook: match *bytes.get(offset_of!(Event, hook))? {
            abi::HOOK_FROM_POD => Hook::FromPod,
            abi::HOOK_TO_POD => Hook::ToPod,
            _ => Hook::FromHost,
        },
        protocol: *bytes.get(offset_of!(Event, protocol))?,
        source: socket(offset_of!(Event, source), offset_of!(Event, source_port))?,
        destination: socket(offset_of!(Event, destination), offset_of!(Event, destination_port))?,
        remote: socket(offset_of!(Event, remote), offset_of!(Event, remote_port))?,
        reason: reason::NAMES.get(usize::from(*bytes.get(offset_of!(Event, reason))?))?,
    })
}
