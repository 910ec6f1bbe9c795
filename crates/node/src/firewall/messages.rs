//! Between [`Table`](super::ruleset::Table) and nftables' netlink messages (linux/netfilter/nf_tables.h).

use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook as HookAttribute, HookNumber, InetHookNumber, NfTablesMessage, RuleAttribute,
    RuleMessage, TableAttribute, TableFlags, TableMessage,
};

use super::expressions::expressions;
use super::ruleset::{Chain, Hook, Kind, Rule, Table};

/// `NF_ACCEPT` of linux/netfilter.h.
const NF_ACCEPT: u32 = 1;
/// `NFTNL_UDATA_RULE_COMMENT` of libnftnl: how `nft` keeps comments, so that it shows ours.
const UDATA_COMMENT: u8 = 0;

/// The messages that replace whatever table of the name there is, for one batch.
pub(super) fn replace(table: &Table<Rule>) -> Vec<NfTablesMessage> {
    let message = || TableMessage {
        attributes: vec![TableAttribute::Name(table.name.clone())],
    };
    // Made first, so that deleting it cannot fail.
    let mut messages = vec![
        NfTablesMessage::NewTable(message()),
        NfTablesMessage::DeleteTable(message()),
        NfTablesMessage::NewTable(message()),
    ];
    for chain in &table.chains {
        messages.push(NfTablesMessage::NewChain(new_chain(&table.name, chain)));
        let rules = chain.rules.iter().map(|rule| new_rule(&table.name, &chain.name, rule));
        messages.extend(rules.map(NfTablesMessage::NewRule));
    }
    messages
}

fn new_chain(table: &str, chain: &Chain<Rule>) -> ChainMessage {
    ChainMessage {
        attributes: vec![
            ChainAttribute::Table(table.to_owned()),
            ChainAttribute::Name(chain.name.clone()),
            ChainAttribute::Hook(vec![
                HookAttribute::Number(HookNumber::Inet(hook_number(chain.hook))),
                HookAttribute::Priority(chain.priority.cast_unsigned()),
            ]),
            ChainAttribute::Policy(NF_ACCEPT),
            ChainAttribute::Type(kind_name(chain.kind).into()),
        ],
    }
}

fn new_rule(table: &str, chain: &str, rule: &Rule) -> RuleMessage {
    RuleMessage {
        attributes: vec![
            RuleAttribute::Table(table.to_owned()),
            RuleAttribute::Chain(chain.to_owned()),
            RuleAttribute::Expressions(expressions(rule)),
            RuleAttribute::UserData(comment(&rule.comment)),
        ],
    }
}

/// Whether a message is about that table, and dormant or not.
pub(super) fn read_table(message: &TableMessage, name: &str) -> Option<bool> {
    let found = message.attributes.contains(&TableAttribute::Name(name.to_owned()));
    let dormant = |a: &TableAttribute| matches!(a, TableAttribute::Flags(f) if f.contains(TableFlags::Dormant));
    found.then(|| message.attributes.iter().any(dormant))
}

/// A base chain of that table, without its rules; other chains are none.
pub(super) fn read_chain(message: &ChainMessage, table: &str) -> Option<Chain<Option<String>>> {
    let (mut name, mut hook, mut priority, mut kind, mut ours, mut accepts) = (None, None, None, None, false, false);
    for attribute in &message.attributes {
        match attribute {
            ChainAttribute::Table(value) => ours = value == table,
            ChainAttribute::Name(value) => name = Some(value.clone()),
            ChainAttribute::Policy(policy) => accepts = *policy == NF_ACCEPT,
            ChainAttribute::Type(value) => kind = read_kind(value),
            ChainAttribute::Hook(attributes) => {
                for attribute in attributes {
                    match attribute {
                        HookAttribute::Number(HookNumber::Inet(number)) => hook = read_hook(*number),
                        HookAttribute::Priority(value) => priority = Some(value.cast_signed()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let complete = Chain {
        name: name?,
        hook: hook?,
        priority: priority?,
        kind: kind?,
        rules: vec![],
    };
    (ours && accepts).then_some(complete)
}

/// The chain and the comment of a rule of that table. A rule without a comment is not ours.
pub(super) fn read_rule(message: &RuleMessage, table: &str) -> Option<(String, Option<String>)> {
    let (mut chain, mut text, mut ours) = (None, None, false);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Table(value) => ours = value == table,
            RuleAttribute::Chain(value) => chain = Some(value.clone()),
            RuleAttribute::UserData(data) => text = read_comment(data),
            _ => {}
        }
    }
    chain.filter(|_| ours).map(|chain| (chain, text))
}

fn hook_number(hook: Hook) -> InetHookNumber {
    match hook {
        Hook::Prerouting => InetHookNumber::PreRouting,
        Hook::Input => InetHookNumber::LocalIn,
        Hook::Forward => InetHookNumber::Forward,
        Hook::Output => InetHookNumber::LocalOut,
        Hook::Postrouting => InetHookNumber::PostRouting,
    }
}

fn read_hook(number: InetHookNumber) -> Option<Hook> {
    match number {
        InetHookNumber::PreRouting => Some(Hook::Prerouting),
        InetHookNumber::LocalIn => Some(Hook::Input),
        InetHookNumber::Forward => Some(Hook::Forward),
        InetHookNumber::LocalOut => Some(Hook::Output),
        InetHookNumber::PostRouting => Some(Hook::Postrouting),
        _ => None,
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Filter => "filter",
        Kind::Nat => "nat",
    }
}

fn read_kind(name: &str) -> Option<Kind> {
    [Kind::Filter, Kind::Nat]
        .into_iter()
        .find(|kind| kind_name(*kind) == name)
}

/// Type, length with the final zero, text.
fn comment(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    let text = text.as_bytes().iter().copied().take(usize::from(length) - 1);
    [UDATA_COMMENT, length].into_iter().chain(text).chain([0]).collect()
}

fn read_comment(data: &[u8]) -> Option<String> {
    let [UDATA_COMMENT, length, rest @ ..] = data else {
        return None;
    };
    let text = rest.get(..usize::from(*length))?.strip_suffix(&[0])?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::super::ruleset::{Known, wanted};
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let table = wanted(&Known {
            api_servers: ["192.0.2.1:6443".parse().unwrap()].into(),
            own: ["10.240.0.5".parse().unwrap()].into(),
            shares: true,
        });
        let mut read = Table {
            name: table.name.clone(),
            chains: vec![],
            dormant: false,
        };
        for message in replace(&table) {
            match message {
                NfTablesMessage::NewChain(message) => read.chains.extend(read_chain(&message, &table.name)),
                NfTablesMessage::NewRule(message) => {
                    let (chain, rule) = read_rule(&message, &table.name).unwrap();
                    let chain = read.chains.iter_mut().find(|c| c.name == chain).unwrap();
                    chain.rules.push(rule);
                }
                _ => {}
            }
        }
        assert_eq!(read, table.as_found());
    }

    #[test]
    fn comments_keep_their_form() {
        assert_eq!(comment("ab"), [0, 3, b'a', b'b', 0]);
        assert_eq!(read_comment(&comment("ab")).as_deref(), Some("ab"));
        assert_eq!(read_comment(&[0, 9, b'a', 0]), None);
        assert_eq!(read_comment(&[]), None);
    }
}
