//! The DNS server for pods: one on each node, answering by the identity of the pod that asks.
