//! The daemon and the plugin against real network namespaces, a real ovsdb-server and a real ovs-vswitchd (userspace
//! datapath). Two parts stand in: a Kubernetes API that serves Ports and takes patches ([`lab::api`]), and something
//! that sets `ovn-installed` where ovn-controller would ([`lab::ovs`]); the real ones are used by the end-to-end tests.
//!
//! Needs root, openvswitch-switch, iproute2, iputils-ping and util-linux, and Go for cnitool. Without them it fails.

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
mod outage;
#[cfg(test)]
mod release;
