//! Owns the eBPF programs, their maps and binary layout, loading, attaching and pinning. The only user of aya. May not talk to Kubernetes or OpenStack.

pub mod abi;
mod attach;
mod error;
mod flows;
mod identities;
mod model;
mod network;
mod pods;
mod programs;
mod services;
mod settings;
mod table;
mod takeover;
mod trace;
mod view;

pub use error::Error;
pub use flows::{Ended, FlowRecord, SWEEP_INTERVAL, Swept};
pub use identities::{Identities, Identity};
pub use model::{Backend, Protocol, Service, ServiceKey};
pub use network::{is_synced, service_ranges};
pub use programs::{Mode, Programs};
pub use services::Services;
pub use settings::{Limits, LinkSettings};
pub use trace::{Decision, Hook, Trace, counters, reasons};
pub use view::View;

/// Where the maps and links are pinned in production; the layout's version is appended.
pub const PIN_ROOT: &str = "/sys/fs/bpf/stackube";
