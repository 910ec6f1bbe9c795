//! The daemon and the plugin against real network namespaces, a real ovsdb-server and a real ovs-vswitchd.
//!
//! Two parts stand in: a Kubernetes API that serves Ports and takes patches ([`lab::api`]), and something that sets
//! `ovn-installed` where ovn-controller would ([`lab::ovs`]). The real ones are used by the end-to-end tests.
//!
//! Open vSwitch's datapath is that of userspace; with `TEST_DATAPATH=system` it is the kernel's, for a machine that has
//! it (`devbox/vm/run`).
//!
//! Needs root, openvswitch-switch, nftables, iproute2, iputils-ping, iputils-arping and util-linux, and Go for cnitool.
//! Without them it fails.

#[cfg(test)]
mod abort;
#[cfg(test)]
mod addresses;
#[cfg(test)]
mod chassis;
#[cfg(test)]
mod cnitool;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod datapath;
#[cfg(test)]
mod firewall;
#[cfg(test)]
mod garbage;
#[cfg(test)]
mod input;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod nodelink;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod ownport;
#[cfg(test)]
mod release;
#[cfg(test)]
mod tunnel;
