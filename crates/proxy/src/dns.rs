//! The DNS server for pods: one on each node, answering by the identity of the pod that asks.
//!
//! A pod sees the names of its own network and a few shared Services of the system network; every other name of the
//! cluster does not exist for it, whoever has it. Names outside the cluster are asked of upstream servers.

mod cache;
mod config;
mod handler;
mod identity;
mod limit;
mod message;
mod metrics;
mod offline;
mod records;
mod server;
mod tcp;
mod tenant;
mod udp;
mod upstream;
mod zone;

pub use config::Config;
pub use identity::{Client, Identities, NetworkId, PodId};
pub use metrics::Metrics;
pub use offline::Offline;
pub use records::Store;
pub use server::{Error, Server};
