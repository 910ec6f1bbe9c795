//! Owns what a node knows about Services: their way into the datapath's maps, and the DNS server of tenants.
//! Replaces kube-proxy and CoreDNS. May not talk to OpenStack.
//!
//! [`watch`] brings changes of the cluster, [`model`] turns them into what each network of this node should have (pure),
//! [`program`] writes the differences into the pinned maps. Nothing of it is in the way of a packet: whatever happens to
//! this process, the kernel goes on with what was written last.

pub mod args;
pub mod dns;
pub mod inspect;
pub mod metrics;
pub mod model;
pub mod names;
pub mod probe;
pub mod program;
pub mod ration;
pub mod run;
pub mod serve;
pub mod watch;
pub mod worker;
