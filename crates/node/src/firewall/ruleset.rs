//! What the table has to look like.

use crate::link::HOST_PREFIX;

/// Name of the table, in family `inet`.
const TABLE: &str = "stackube-kubestack";

/// Place of a chain in a packet's way (netfilter hook).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// A packet has arrived; nothing has been decided yet.
    Prerouting,
    /// The host forwards a packet.
    Forward,
    /// A packet leaves, forwarded or the host's own; everything has been decided.
    Postrouting,
}

/// Which device a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// The device that the packet came in by.
    In,
    /// The device that the packet goes out by.
    Out,
}

/// A rule: drop, and count, what comes from or goes to a pod's device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// Which device is compared.
    pub(super) direction: Direction,
    /// Comment, by which the rule is recognised when it is read back.
    pub(super) comment: String,
}

/// A base chain. Its policy is accept: it judges nothing but pods' devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// Name.
    pub(super) name: String,
    /// Where it is called.
    pub(super) hook: Hook,
    /// When, among the chains of the same hook: lower is earlier.
    pub(super) priority: i32,
    /// Rules in their order.
    pub(super) rules: Vec<Rule>,
}

/// A table of family `inet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Name.
    pub(super) name: String,
    /// Chains by their hook.
    pub(super) chains: Vec<Chain>,
    /// Switched off as a whole (flag `dormant`).
    pub(super) dormant: bool,
}

/// Beginning of the names of the devices that are cut off.
pub(super) const PREFIX: &str = HOST_PREFIX;

/// The table as it should be. A changed rule needs a changed comment.
pub(super) fn wanted() -> Table {
    let from = || Rule {
        direction: Direction::In,
        comment: "from a pod to the host".into(),
    };
    let to = || Rule {
        direction: Direction::Out,
        comment: "from the host to a pod".into(),
    };
    let chain = |name: &str, hook, priority, rules| Chain {
        name: name.into(),
        hook,
        priority,
        rules,
    };
    Table {
        name: TABLE.into(),
        chains: vec![
            // `raw`: before connection tracking and address translation.
            chain("prerouting", Hook::Prerouting, -300, vec![from()]),
            chain("forward", Hook::Forward, -300, vec![from(), to()]),
            // After `srcnat`: nothing changes the device any more.
            chain("postrouting", Hook::Postrouting, 300, vec![to()]),
        ],
        dormant: false,
    }
}
