//! Who is sent to the table of the node's own port: what the node itself sends to its ranges, unless the main table knows
//! better. Two rules a range,
//!
//! ```text
//! 772: from all to RANGE iif lo lookup main suppress_prefixlength (length of RANGE - 1)
//! 773: from all to RANGE iif lo lookup 78
//! ```
//!
//! and a third where Services are shared, for what comes from pods by the node's link:
//!
//! ```text
//! 774: from all to RANGE iif stackube0 lookup 78
//! ```
//!
//! `iif lo` is what the host sends, not what it forwards (ip-rule(8)). The first takes routes of others that are as specific
//! as the range, or more; a default route, or one to a range around it, is suppressed.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::Ipv4Net;
use netlink_packet_route::route::RouteHeader;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::Handle;

use super::TABLE;
use crate::link::LinkError;
use crate::nodelink::NEAR;
use crate::nodelink::routes::PROTOCOL;
use crate::nodelink::rules::{SUBJECT, list, table};

/// After those of the node's link, before those of the main table.
const OTHERS: u32 = 772;
const OWN: u32 = 773;
const SHARED: u32 = 774;
const MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;
/// The device that stands for the host itself.
const HOST: &str = "lo";

/// A rule, as far as it is ours to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    priority: u32,
    to: Ipv4Net,
    table: u32,
    /// The device by which it comes.
    by: &'static str,
    /// Routes with this prefix length or a shorter one do not count.
    suppressed: Option<u32>,
}

/// Makes the rules for `ranges`, and for pods to `shared`, be there once, and no others of ours.
pub(super) async fn ensure(
    handle: &Handle,
    ranges: &BTreeSet<Ipv4Net>,
    shared: &BTreeSet<Ipv4Net>,
    done: &mut Vec<&'static str>,
) -> Result<(), LinkError> {
    let held = list(handle).await?;
    let mut missing = wanted(ranges, shared);
    let is_ours =
        |rule: &RuleMessage| table(rule) == TABLE || rule.attributes.contains(&RuleAttribute::Protocol(PROTOCOL));
    let before = done.len();
    for rule in held.into_iter().filter(is_ours) {
        if read(&rule).is_some_and(|rule| missing.remove(&rule)) {
            continue;
        }
        let deleted = handle.rule().del(rule).execute().await;
        match deleted.map_err(LinkError::netlink("delete", SUBJECT)) {
            Err(error) if !error.is_no_such() => return Err(error),
            _ => done.push("deleted a routing rule"),
        }
    }
    // The highest first: there is no moment in which a route of somebody else is shadowed.
    for rule in missing {
        let added = request(handle, rule).await;
        match added.map_err(LinkError::netlink("add", SUBJECT)) {
            Err(error) if !error.is_present() => return Err(error),
            _ => done.push("added a routing rule"),
        }
    }
    done.truncate(before + usize::from(done.len() > before));
    Ok(())
}

fn wanted(ranges: &BTreeSet<Ipv4Net>, shared: &BTreeSet<Ipv4Net>) -> BTreeSet<Rule> {
    let rules = |range: &Ipv4Net| {
        let to = range.trunc();
        let others = Rule {
            priority: OTHERS,
            to,
            table: MAIN,
            by: HOST,
            suppressed: Some(u32::from(to.prefix_len()).saturating_sub(1)),
        };
        let own = Rule {
            priority: OWN,
            to,
            table: TABLE,
            by: HOST,
            suppressed: None,
        };
        [others, own]
    };
    let of_pods = shared.iter().map(|range| Rule {
        priority: SHARED,
        to: range.trunc(),
        table: TABLE,
        by: NEAR,
        suppressed: None,
    });
    ranges.iter().flat_map(rules).chain(of_pods).collect()
}

async fn request(handle: &Handle, rule: Rule) -> Result<(), rtnetlink::Error> {
    let mut request = handle
        .rule()
        .add()
        .v4()
        .table_id(rule.table)
        .priority(rule.priority)
        .action(RuleAction::ToTable)
        .input_interface(rule.by)
        .destination_prefix(rule.to.network(), rule.to.prefix_len());
    let attributes = &mut request.message_mut().attributes;
    attributes.push(RuleAttribute::Protocol(PROTOCOL));
    attributes.extend(rule.suppressed.map(RuleAttribute::SuppressPrefixLen));
    request.execute().await
}

/// Reads a rule; `None` if it says anything that ours do not.
fn read(message: &RuleMessage) -> Option<Rule> {
    let (mut priority, mut to, mut by, mut suppressed) = (None, None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(value) => priority = Some(*value),
            RuleAttribute::Destination(IpAddr::V4(address)) => {
                to = Ipv4Net::new(*address, message.header.dst_len).ok();
            }
            RuleAttribute::Iifname(name) => by = [HOST, NEAR].into_iter().find(|known| name == known),
            // The kernel says "none" so.
            RuleAttribute::SuppressPrefixLen(u32::MAX) => {}
            RuleAttribute::SuppressPrefixLen(length) => suppressed = Some(*length),
            RuleAttribute::FwMark(_) | RuleAttribute::Source(_) | RuleAttribute::Oifname(_) => return None,
            _ => {}
        }
    }
    let ours = message.header.action == RuleAction::ToTable && message.header.src_len == 0;
    Some(Rule {
        priority: priority?,
        to: to.filter(|_| ours)?,
        table: table(message),
        by: by?,
        suppressed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_others_come_first_unless_they_are_less_specific() {
        let range: Ipv4Net = "10.96.0.0/12".parse().unwrap();
        let rules: Vec<Rule> = wanted(&BTreeSet::from([range]), &BTreeSet::from([range]))
            .into_iter()
            .collect();
        let [others, own, shared] = rules.as_slice() else {
            panic!("{rules:?}");
        };
        assert_eq!((others.table, others.suppressed, others.to), (MAIN, Some(11), range));
        assert_eq!((own.table, own.suppressed, own.to), (TABLE, None, range));
        assert!(others.priority < own.priority);
        assert_eq!((others.by, own.by, shared.by, shared.table), (HOST, HOST, NEAR, TABLE));
        assert!(wanted(&BTreeSet::new(), &BTreeSet::new()).is_empty());
    }
}
