//! The rules.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{ApiServer, Chain, Device, Found, Hook, Kind, Match, Rule, Table, Verdict};
use crate::link::HOST_PREFIX;
use crate::nodelink::{ADDRESS, ALIASES, MARK, NEAR, SYSTEM_ALIASES};
use crate::ownport;

/// Name of the table, in family `inet`.
pub(in crate::firewall) const TABLE: &str = "stackube-kubestack";
/// Pods' devices.
const PODS: Device = Device::Prefix(HOST_PREFIX);
/// The near end of the link.
const LINK: Device = Device::Named(NEAR);
/// The node's own port on the system network.
const OWN_PORT: Device = Device::Named(ownport::DEVICE);
/// What the host sends to itself.
const LOOPBACK: Device = Device::Named("lo");
/// IP protocols, and the port of DNS.
const TCP: u8 = 6;
const UDP: u8 = 17;
const DNS: u16 = 53;
/// `raw`: before connection tracking (-200) and address translation.
const RAW: i32 = -300;
/// `mangle`: after connection tracking, before everybody's filters.
const TRACKED: i32 = -150;
/// `srcnat`.
const SOURCE_NAT: i32 = 100;
/// After `srcnat`: nothing changes the device any more.
const LAST: i32 = 300;
/// Beginning of the comment of a rule for an API server; the address follows.
const TO_API_SERVER: &str = "from pods to the API server ";
/// The same of a rule for an address of the node's own port.
const TO_OWN_PORT: &str = "to the node's own port from elsewhere ";
/// Comment of the rule that is there when Services are shared.
const SHARED: &str = "from pods to shared services";

/// The table as it should be.
pub(in crate::firewall) fn wanted(known: &Known) -> Table<Rule> {
    let Known {
        api_servers,
        own,
        shares,
    } = known;
    Table {
        name: TABLE.into(),
        chains: vec![
            chain("prerouting", Hook::Prerouting, RAW, arriving(own)),
            chain("input", Hook::Input, TRACKED, to_the_host(api_servers)),
            chain("forward", Hook::Forward, RAW, forwarded(api_servers, *shares)),
            chain(
                "output-untracked",
                Hook::Output,
                RAW,
                answers_of_dns(Verdict::Untracked),
            ),
            chain("output", Hook::Output, TRACKED, of_the_host()),
            Chain {
                kind: Kind::Nat,
                ..chain("masquerade", Hook::Postrouting, SOURCE_NAT, vec![masquerade()])
            },
            chain("postrouting", Hook::Postrouting, LAST, vec![to_pods(), unmarked()]),
        ],
        dormant: false,
    }
}

/// What is different from node to node and from time to time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::firewall) struct Known {
    /// The API servers that pods may reach.
    pub(in crate::firewall) api_servers: BTreeSet<ApiServer>,
    /// The addresses of the node's own port.
    pub(in crate::firewall) own: BTreeSet<Ipv4Addr>,
    /// Whether pods use Services by it.
    pub(in crate::firewall) shares: bool,
}

/// What a table was made for.
pub(in crate::firewall) fn known(table: &Found) -> Known {
    let comments = || table.chains.iter().flat_map(|chain| chain.rules.iter().flatten());
    Known {
        api_servers: comments()
            .filter_map(|comment| comment.strip_prefix(TO_API_SERVER)?.parse().ok())
            .collect(),
        own: comments()
            .filter_map(|comment| comment.strip_prefix(TO_OWN_PORT)?.parse().ok())
            .collect(),
        shares: comments().any(|comment| comment == SHARED),
    }
}

fn arriving(own: &BTreeSet<Ipv4Addr>) -> Vec<Rule> {
    use Match::{Destination, From, NotDestination, NotFrom, NotSource, Source};
    // The host answers to any of its addresses wherever it is asked: by a router of a tenant, too.
    let own = own.iter().map(|address| {
        let matches = [
            NotFrom(OWN_PORT),
            NotFrom(LOOPBACK),
            Destination(Ipv4Net::from(*address)),
        ];
        rule(&format!("{TO_OWN_PORT}{address}"), Verdict::Drop, matches)
    });
    let mut rules = vec![
        from_pods(),
        rule(
            "to the link's address from elsewhere",
            Verdict::Drop,
            [NotFrom(LINK), NotFrom(LOOPBACK), Destination(one())],
        ),
        rule(
            "with an alias from elsewhere",
            Verdict::Drop,
            [NotFrom(LINK), NotFrom(LOOPBACK), Source(ALIASES)],
        ),
        rule(
            "over the link without an alias",
            Verdict::Drop,
            [From(LINK), NotSource(ALIASES), NotDestination(one())],
        ),
        // One entry a query would let a pod fill the host's table of connections.
        rule(
            "questions of pods, untracked",
            Verdict::Untracked,
            [From(LINK), Destination(one()), Match::DestinationPort(UDP, DNS)],
        ),
    ];
    rules.extend(own);
    rules
}

fn to_the_host(api_servers: &BTreeSet<ApiServer>) -> Vec<Rule> {
    use Match::{Destination, DestinationPort, Established, From, Source};
    let dns = |name: &str, protocol| {
        let matches = [
            From(LINK),
            Source(ALIASES),
            Destination(one()),
            DestinationPort(protocol, DNS),
        ];
        rule(&format!("questions of pods by {name}"), Verdict::Accept, matches)
    };
    let mut rules = vec![
        rule(
            "answers to the host by the link",
            Verdict::Accept,
            [From(LINK), Established],
        ),
        dns("UDP", UDP),
        dns("TCP", TCP),
    ];
    rules.extend(api_servers.iter().map(to_api_server));
    rules.push(to_services_of_nodes());
    rules.push(rule(
        "anything else to the host by the link",
        Verdict::Drop,
        [From(LINK)],
    ));
    rules.extend([
        rule(
            "answers by the node's own port",
            Verdict::Accept,
            [From(OWN_PORT), Established],
        ),
        rule("anything else by the node's own port", Verdict::Drop, [From(OWN_PORT)]),
    ]);
    rules
}

fn forwarded(api_servers: &BTreeSet<ApiServer>, shares: bool) -> Vec<Rule> {
    use Match::{Established, From, To};
    let mut rules = vec![from_pods(), to_pods()];
    if shares {
        // To which Services, the programs decide that let pods send them here.
        rules.extend([
            rule(
                SHARED,
                Verdict::Accept,
                [From(LINK), Match::Source(ALIASES), To(OWN_PORT)],
            ),
            rule(
                "answers of shared services",
                Verdict::Accept,
                [From(OWN_PORT), To(LINK), Established],
            ),
        ]);
    }
    rules.extend([
        rule("forwarded from the node's own port", Verdict::Drop, [From(OWN_PORT)]),
        rule("forwarded to the node's own port", Verdict::Drop, [To(OWN_PORT)]),
    ]);
    rules.extend(api_servers.iter().map(to_api_server));
    rules.extend([
        to_services_of_nodes(),
        rule("anything else forwarded from the link", Verdict::Drop, [From(LINK)]),
        rule(
            "answers forwarded to the link",
            Verdict::Accept,
            [To(LINK), Established],
        ),
        rule("anything else forwarded to the link", Verdict::Drop, [To(LINK)]),
    ]);
    rules
}

fn answers_of_dns(verdict: Verdict) -> Vec<Rule> {
    let answer = [
        Match::To(LINK),
        Match::Source(one()),
        Match::Destination(ALIASES),
        Match::SourcePort(UDP, DNS),
    ];
    vec![rule("answers to questions of pods", verdict, answer)]
}

fn of_the_host() -> Vec<Rule> {
    use Match::{Established, Mark, NotDestination, To};
    let mut rules = vec![rule(
        "probes",
        Verdict::Accept,
        [To(LINK), NotDestination(ALIASES), Mark(MARK)],
    )];
    rules.extend(answers_of_dns(Verdict::Accept));
    rules.extend([
        // Sockets of others may use the link's address, but begin nothing.
        rule(
            "answers by the link",
            Verdict::Accept,
            [To(LINK), Established, Match::Destination(ALIASES)],
        ),
        rule("anything else from the host by the link", Verdict::Drop, [To(LINK)]),
    ]);
    rules
}

/// A mark of the host's would stay with a packet on its way through the host's own devices, and lead it elsewhere.
fn unmarked() -> Rule {
    rule(
        "by the node's own port, unmarked",
        Verdict::Unmarked,
        [Match::To(OWN_PORT)],
    )
}

fn masquerade() -> Rule {
    let matches = [Match::Source(ALIASES), Match::NotTo(LINK), Match::NotTo(LOOPBACK)];
    rule("pods to API servers and nodes elsewhere", Verdict::Masquerade, matches)
}

fn to_api_server(server: &ApiServer) -> Rule {
    let matches = [
        Match::From(LINK),
        Match::Source(ALIASES),
        Match::Destination(Ipv4Net::from(*server.ip())),
        Match::DestinationPort(TCP, server.port()),
    ];
    rule(&format!("{TO_API_SERVER}{server}"), Verdict::Accept, matches)
}

/// Where Services of the system network lead to hostNetwork pods. To which, the programs decide that let the node and the
/// administrator's pods send them here; a tenant's pod has no such alias.
fn to_services_of_nodes() -> Rule {
    let matches = [Match::From(LINK), Match::Source(SYSTEM_ALIASES)];
    rule("from the system network to services of nodes", Verdict::Accept, matches)
}

fn from_pods() -> Rule {
    rule("from a pod to the host", Verdict::Drop, [Match::From(PODS)])
}

fn to_pods() -> Rule {
    rule("from the host to a pod", Verdict::Drop, [Match::To(PODS)])
}

/// The link's address.
fn one() -> Ipv4Net {
    Ipv4Net::from(ADDRESS)
}

fn rule<const N: usize>(comment: &str, verdict: Verdict, matches: [Match; N]) -> Rule {
    Rule {
        matches: matches.into(),
        verdict,
        comment: comment.to_owned(),
    }
}

fn chain(name: &str, hook: Hook, priority: i32, rules: Vec<Rule>) -> Chain<Rule> {
    Chain {
        name: name.into(),
        hook,
        priority,
        kind: Kind::Filter,
        rules,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_table_was_made_for_is_read_from_its_comments() {
        let full = Known {
            api_servers: ["10.0.0.1:6443", "10.0.0.2:443"].map(|s| s.parse().unwrap()).into(),
            own: [Ipv4Addr::new(10, 240, 0, 7)].into(),
            shares: true,
        };
        assert_eq!(known(&wanted(&full).as_found()), full);
        assert_eq!(known(&wanted(&Known::default()).as_found()), Known::default());
    }

    #[test]
    fn a_table_as_wanted_is_in_the_order_in_which_it_is_read() {
        let found = wanted(&Known::default()).as_found();
        let mut sorted = found.clone();
        sorted.sort();
        assert_eq!(found, sorted);
    }
}
