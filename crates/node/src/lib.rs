//! kubestack: how a pod gets its network on a node.
//!
//! This crate owns the CNI plugin `kubestack` ([`plugin`]: thin, synchronous, one run a call) and the node daemon
//! `kubestackd` ([`daemon`] and everything else), which plugs pods into Open vSwitch as the `Port` objects of its node
//! say. The daemon keeps no files: what is plugged in is written in the rows of the Open vSwitch database and in the
//! kernel, so it may be killed at any line.
//!
//! It may not touch: OpenStack, other nodes' objects, any OVSDB row or network device that it has not made.

pub mod admin;
pub mod api_servers;
pub mod chassis;
pub mod config;
pub mod daemon;
pub mod datapath;
pub mod firewall;
pub mod install;
pub mod link;
pub mod metrics;
pub mod nodelink;
pub mod ovsdb;
pub mod ownport;
pub mod plugin;
pub mod ports;
pub mod protocol;
pub mod release;
pub mod sandbox;
pub mod server;
