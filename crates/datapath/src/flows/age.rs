//! When a flow is over.

use crate::abi::{
    self, Affinity, FORWARD, Flow, FlowKey, HAIRPIN, REVERSE, SCTP, SEEN_DATA, SEEN_FIN, SEEN_RESET, TCP,
};

pub(crate) const SECOND: u64 = 1_000_000_000;
/// A connection of TCP or SCTP that both sides have used. Kubernetes sets 24 hours for conntrack, too long for a table with quotas; TCP keep-alive
/// probes after two hours by default.
const ESTABLISHED: u64 = 3 * 3600 * SECOND;
/// A connection that was not answered, or has ended: as long as Linux keeps a socket in TIME_WAIT. Until then no other flow may get the
/// pod's port toward the same backend, by another service, say: the backend would take its SYN for a remainder of the old connection.
const TRANSIENT: u64 = 60 * SECOND;
/// A question to DNS, answered or not: stackube-proxy gives up after 4.5 seconds, and resolvers ask again after 5. No longer, since most
/// questions come from a port of their own: all that a pod may ask has to fit into its quota beside its connections (`settings.rs`).
pub(crate) const QUESTION: u64 = 6 * SECOND;
/// Anything else that was answered (RFC 4787 REQ-5 asks for at least 2 minutes).
const ANSWERED: u64 = 180 * SECOND;
/// Anything else that was not.
const UNANSWERED: u64 = 30 * SECOND;

/// Whether the client of a service may be given another backend.
pub(super) fn is_forgotten(now: u64, affinity: &Affinity) -> bool {
    now.saturating_sub(affinity.seen) > u64::from(affinity.timeout) * SECOND
}

/// Key of the entry for the other direction.
pub(super) const fn other(key: &FlowKey, flow: &Flow) -> FlowKey {
    let (direction, remote, remote_port, local_port) = match key.direction {
        // A hairpin's answer comes from the port of the backend, which is the pod's own.
        FORWARD if flow.kind == abi::FLOW_HAIRPIN => (HAIRPIN, 0, flow.local_port, flow.remote_port),
        FORWARD => (REVERSE, flow.remote, flow.remote_port, flow.local_port),
        _ => (FORWARD, flow.remote, flow.remote_port, flow.local_port),
    };
    FlowKey {
        ifindex: key.ifindex,
        remote,
        remote_port,
        local_port,
        protocol: key.protocol,
        direction,
        pad: 0,
    }
}

/// Whether neither direction can see another packet that belongs to the flow.
pub(super) fn is_over(now: u64, key: &FlowKey, flow: &Flow, other: Option<&Flow>) -> bool {
    let seen = flow.seen.max(other.map_or(0, |other| other.seen));
    let both = |flag: u8| flow.state & flag != 0 && other.is_some_and(|other| other.state & flag != 0);
    let either = |flag: u8| flow.state & flag != 0 || other.is_some_and(|other| other.state & flag != 0);
    // A flow without service has one entry, which sees one direction only: that there was data is all that can be known.
    let answered = both(SEEN_DATA) || (flow.kind == abi::FLOW_DIRECT && flow.state & SEEN_DATA != 0);
    let ended = either(SEEN_RESET) || both(SEEN_FIN) || (flow.kind == abi::FLOW_DIRECT && either(SEEN_FIN));
    let limit = match (matches!(key.protocol, TCP | SCTP), answered, ended) {
        (true, true, false) => ESTABLISHED,
        (true, ..) => TRANSIENT,
        _ if flow.state & abi::QUESTION != 0 => QUESTION,
        (false, true, _) => ANSWERED,
        (false, false, _) => UNANSWERED,
    };
    now.saturating_sub(seen) > limit
}
