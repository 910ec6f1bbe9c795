//! The rules.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::{ApiServer, Chain, Device, Found, Hook, Kind, Match, Rule, Table, Verdict};
use crate::link::HOST_PREFIX;
use crate::nodelink::{ADDRESS, ALIASES, MARK, NEAR};

/// Name of the table, in family `inet`.
pub(in crate::firewall) const TABLE: &str = "stackube-kubestack";
/// Pods' devices.
const PODS: Device = Device::Prefix(HOST_PREFIX);
/// The near end of the link.
const LINK: Device = Device::Named(NEAR);
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

/// The table as it should be.
pub(in crate::firewall) fn wanted(api_servers: &BTreeSet<ApiServer>) -> Table<Rule> {
    Table {
        name: TABLE.into(),
        chains: vec![
            chain("prerouting", Hook::Prerouting, RAW, arriving()),
            chain("input", Hook::Input, TRACKED, to_the_host(api_servers)),
            chain("forward", Hook::Forward, RAW, forwarded(api_servers)),
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
            chain("postrouting", Hook::Postrouting, LAST, vec![to_pods()]),
        ],
        dormant: false,
    }
}

/// The API servers that a table lets pods reach.
pub(in crate::firewall) fn api_servers(table: &Found) -> BTreeSet<ApiServer> {
    let comments = table.chains.iter().flat_map(|chain| chain.rules.iter().flatten());
    comments
        .filter_map(|comment| comment.strip_prefix(TO_API_SERVER)?.parse().ok())
        .collect()
}

fn arriving() -> Vec<Rule> {
    use Match::{Destination, From, NotDestination, NotFrom, NotSource, Source};
    vec![
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
    ]
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
    rules.push(rule(
        "anything else to the host by the link",
        Verdict::Drop,
        [From(LINK)],
    ));
    rules
}

fn forwarded(api_servers: &BTreeSet<ApiServer>) -> Vec<Rule> {
    use Match::{Established, From, To};
    let mut rules = vec![from_pods(), to_pods()];
    rules.extend(api_servers.iter().map(to_api_server));
    rules.extend([
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

fn masquerade() -> Rule {
    let matches = [Match::Source(ALIASES), Match::NotTo(LINK), Match::NotTo(LOOPBACK)];
    rule("pods to API servers elsewhere", Verdict::Masquerade, matches)
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
    fn the_api_servers_of_a_table_are_read_from_its_comments() {
        let servers: BTreeSet<ApiServer> = ["10.0.0.1:6443", "10.0.0.2:443"].map(|s| s.parse().unwrap()).into();
        assert_eq!(api_servers(&wanted(&servers).as_found()), servers);
        assert_eq!(api_servers(&wanted(&BTreeSet::new()).as_found()), BTreeSet::new());
    }

    #[test]
    fn a_table_as_wanted_is_in_the_order_in_which_it_is_read() {
        let found = wanted(&BTreeSet::new()).as_found();
        let mut sorted = found.clone();
        sorted.sort();
        assert_eq!(found, sorted);
    }
}
