//! Why the kernel or the file system refused.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Loading, attaching, or a map failed.
#[derive(Debug, Error)]
pub enum Error {
    /// No kubestackd has loaded the datapath on this node.
    #[error("no map is pinned at {}: wait until kubestackd has loaded the datapath on this node, or mount /sys/fs/bpf into this process", path.display())]
    NotLoaded {
        /// The pin that is missing.
        path: PathBuf,
    },
    /// The directory of the pins could not be made.
    #[error("cannot make {}: mount bpffs there (`mount -t bpf bpf /sys/fs/bpf`)", path.display())]
    PinRoot {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused the programs.
    #[error(
        "the kernel refused the eBPF programs; Linux 6.6 or newer with BTF and CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON are needed"
    )]
    Load(#[source] Box<aya::EbpfError>),
    /// A program could not be loaded or attached.
    #[error("program {program}: cannot {action}")]
    Program {
        /// Name of the program.
        program: &'static str,
        /// What was tried.
        action: String,
        /// Why.
        source: Box<aya::programs::ProgramError>,
    },
    /// A pin could not be made or opened.
    #[error("cannot {action} the pin {}", path.display())]
    Pin {
        /// What was tried.
        action: &'static str,
        /// The pin.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The embedded object lacks something: it was built from other sources.
    #[error("the embedded object has no program {0}: run `make bpf`")]
    Missing(&'static str),
    /// A map refused an operation.
    #[error("map {map}: cannot {action}")]
    Map {
        /// Name of the map.
        map: &'static str,
        /// What was tried.
        action: &'static str,
        /// Why.
        source: Box<aya::maps::MapError>,
    },
    /// A network interface does not exist (any more).
    #[error("network interface {ifindex} does not exist")]
    NoInterface {
        /// Its index.
        ifindex: u32,
    },
    /// The cgroup cannot be opened.
    #[error("cannot open the cgroup {}: it must be a directory of the cgroup2 hierarchy", path.display())]
    Cgroup {
        /// The path that was tried.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
