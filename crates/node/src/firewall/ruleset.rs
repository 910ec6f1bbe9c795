//! What the table has to look like.

mod expected;

use std::net::SocketAddrV4;

use ipnet::Ipv4Net;

pub(super) use expected::{Known, TABLE, known, wanted};

/// Place of a chain in a packet's way (netfilter hook).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hook {
    /// A packet has arrived; nothing has been decided yet.
    Prerouting,
    /// A packet is for the host.
    Input,
    /// The host forwards a packet.
    Forward,
    /// The host has made a packet.
    Output,
    /// A packet leaves, forwarded or the host's own; everything has been decided.
    Postrouting,
}

/// What a chain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Let pass or drop.
    Filter,
    /// Translate addresses.
    Nat,
}

/// A network device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Device {
    /// All whose names begin so.
    Prefix(&'static str),
    /// The one of that name.
    Named(&'static str),
}

/// Something that has to hold of a packet for a rule to act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// It came in by the device.
    From(Device),
    /// It did not.
    NotFrom(Device),
    /// It goes out by the device.
    To(Device),
    /// It does not.
    NotTo(Device),
    /// Source address of IPv4.
    Source(Ipv4Net),
    /// Any other source address of IPv4.
    NotSource(Ipv4Net),
    /// Destination address of IPv4.
    Destination(Ipv4Net),
    /// Any other destination address of IPv4.
    NotDestination(Ipv4Net),
    /// IP protocol and source port.
    SourcePort(u8, u16),
    /// IP protocol and destination port.
    DestinationPort(u8, u16),
    /// The mark of its socket.
    Mark(u32),
    /// It belongs to something that has begun already (`ct state established,related`).
    Established,
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is dropped and counted.
    Drop,
    /// The chain ends for it.
    Accept,
    /// Its connection is not tracked.
    Untracked,
    /// It leaves with the host's address.
    Masquerade,
    /// It loses its mark.
    Unmarked,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// All of these have to hold.
    pub(super) matches: Vec<Match>,
    /// What happens then.
    pub(super) verdict: Verdict,
    /// Comment, by which the rule is recognised when it is read back: a changed rule needs a changed comment.
    pub(super) comment: String,
}

/// A base chain. Its policy is accept: it judges nothing but what its rules name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain<R> {
    /// Name.
    pub(super) name: String,
    /// Where it is called.
    pub(super) hook: Hook,
    /// When, among the chains of the same hook: lower is earlier.
    pub(super) priority: i32,
    /// What it may do.
    pub(super) kind: Kind,
    /// Rules in their order.
    pub(super) rules: Vec<R>,
}

/// A table of family `inet`, of rules that are to be, or of their comments as they are: `None` is a foreign rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table<R> {
    /// Name.
    pub(super) name: String,
    /// Chains by their hook and priority.
    pub(super) chains: Vec<Chain<R>>,
    /// Switched off as a whole (flag `dormant`).
    pub(super) dormant: bool,
}

/// A table as it is read back.
pub(super) type Found = Table<Option<String>>;

impl Table<Rule> {
    /// What reading this table back gives.
    pub(super) fn as_found(&self) -> Found {
        let chain = |chain: &Chain<Rule>| Chain {
            name: chain.name.clone(),
            hook: chain.hook,
            priority: chain.priority,
            kind: chain.kind,
            rules: chain.rules.iter().map(|rule| Some(rule.comment.clone())).collect(),
        };
        Table {
            name: self.name.clone(),
            chains: self.chains.iter().map(chain).collect(),
            dormant: self.dormant,
        }
    }
}

impl Found {
    /// Brings the chains into the order of [`wanted`].
    pub(super) fn sort(&mut self) {
        self.chains
            .sort_by_key(|chain| (chain.hook, chain.priority, chain.kind));
    }
}

/// An API server's address.
pub(super) type ApiServer = SocketAddrV4;
