//! Owns what a node knows about Services: their way into the datapath's maps, and the DNS server of tenants.
//! Replaces kube-proxy and CoreDNS. May not talk to OpenStack.

pub mod dns;
