//! Owns the eBPF programs, their maps and binary layout, loading, attaching and pinning. The only user of aya. May not talk to Kubernetes or OpenStack.
