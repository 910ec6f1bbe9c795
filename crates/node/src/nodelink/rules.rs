//! Who is sent to the pods' table: kubelet's marked sockets, and, for the check of the way back, the link's own address.

use std::net::{IpAddr, Ipv4Addr};

use futures::TryStreamExt;
use netlink_packet_route::route::RouteHeader;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Handle, IpVersion, RuleAddRequest};

use super::{ADDRESS, MARK, TABLE};
use crate::link::LinkError;

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selector {
    /// A packet's mark.
    Mark(u32),
    /// A packet's source.
    From(Ipv4Addr),
}

/// The rules, each with its priority: before those of the main table, after those of the host's own addresses.
const RULES: [(u32, Selector); 2] = [(770, Selector::Mark(MARK)), (771, Selector::From(ADDRESS))];

/// What errors call them.
pub(crate) const SUBJECT: &str = "routing rules";

/// All rules of the namespace.
pub(crate) async fn list(handle: &Handle) -> Result<Vec<RuleMessage>, LinkError> {
    let rules = handle.rule().get(IpVersion::V4).execute().try_collect().await;
    rules.map_err(LinkError::netlink("list", SUBJECT))
}

/// Makes the rules be there once.
pub(super) async fn ensure(handle: &Handle, done: &mut Vec<&'static str>) -> Result<(), LinkError> {
    let held = list(handle).await?;
    for (priority, selector) in RULES {
        if held.iter().any(|rule| is(rule, priority, selector)) {
            continue;
        }
        let added = request(handle, priority, selector).execute().await;
        match added.map_err(LinkError::netlink("add", SUBJECT)) {
            Err(error) if !error.is_present() => return Err(error),
            _ => done.push("added a routing rule"),
        }
    }
    // Rules of ours that no longer fit would send others to the pods.
    let ours = |rule: &RuleMessage| table(rule) == TABLE;
    for rule in held.into_iter().filter(ours) {
        if RULES.iter().any(|(priority, selector)| is(&rule, *priority, *selector)) {
            continue;
        }
        let deleted = handle.rule().del(rule).execute().await;
        deleted.map_err(LinkError::netlink("delete", SUBJECT))?;
        done.push("deleted a routing rule");
    }
    Ok(())
}

fn request(handle: &Handle, priority: u32, selector: Selector) -> RuleAddRequest<Ipv4Addr> {
    let rule = handle
        .rule()
        .add()
        .v4()
        .table_id(TABLE)
        .priority(priority)
        .action(RuleAction::ToTable);
    match selector {
        Selector::Mark(mark) => rule.fw_mark(mark),
        Selector::From(address) => rule.source_prefix(address, 32),
    }
}

fn is(rule: &RuleMessage, priority: u32, selector: Selector) -> bool {
    let has = |attribute: RuleAttribute| rule.attributes.contains(&attribute);
    let selected = match selector {
        Selector::Mark(mark) => {
            let other = |a: &RuleAttribute| matches!(a, RuleAttribute::FwMask(mask) if *mask != u32::MAX);
            has(RuleAttribute::FwMark(mark)) && rule.header.src_len == 0 && !rule.attributes.iter().any(other)
        }
        Selector::From(address) => {
            let marked = |a: &RuleAttribute| matches!(a, RuleAttribute::FwMark(_));
            has(RuleAttribute::Source(IpAddr::V4(address)))
                && rule.header.src_len == 32
                && !rule.attributes.iter().any(marked)
        }
    };
    selected
        && has(RuleAttribute::Priority(priority))
        && table(rule) == TABLE
        && rule.header.action == RuleAction::ToTable
        && rule.header.dst_len == 0
}

/// The table that a rule sends to.
pub(crate) fn table(rule: &RuleMessage) -> u32 {
    let long = rule.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Table(table) => Some(*table),
        _ => None,
    });
    long.unwrap_or_else(|| match rule.header.table {
        RouteHeader::RT_TABLE_UNSPEC => 0,
        table => u32::from(table),
    })
}
