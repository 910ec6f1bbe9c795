//! Between [`Table`](super::ruleset::Table) and nftables' netlink messages (linux/netfilter/nf_tables.h).

use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Cmp, DataAttribute, ExpressionAttribute, Expressions, Hook as HookAttribute,
    HookNumber, Immediate, InetHookNumber, ListAttribute, Meta, MetaKey, NfTablesMessage, Operator, Register,
    RuleAttribute, RuleMessage, TableAttribute, TableFlags, TableMessage, Verdict, VerdictAttribute,
};

use super::ruleset::{Chain, Direction, Hook, PREFIX, Rule, Table};

/// `NF_ACCEPT` and `NF_DROP` of linux/netfilter.h.
const NF_ACCEPT: u32 = 1;
const NF_DROP: u32 = 0;
/// `NFTNL_UDATA_RULE_COMMENT` of libnftnl: how `nft` keeps comments, so that it shows ours.
const UDATA_COMMENT: u8 = 0;

/// The messages that replace whatever table of the name there is, for one batch.
pub(super) fn replace(table: &Table) -> Vec<NfTablesMessage> {
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
        messages.push(NfTablesMessage::NewChain(new_chain(table, chain)));
        messages.extend(
            chain
                .rules
                .iter()
                .map(|rule| NfTablesMessage::NewRule(new_rule(table, chain, rule))),
        );
    }
    messages
}

fn new_chain(table: &Table, chain: &Chain) -> ChainMessage {
    ChainMessage {
        attributes: vec![
            ChainAttribute::Table(table.name.clone()),
            ChainAttribute::Name(chain.name.clone()),
            ChainAttribute::Hook(vec![
                HookAttribute::Number(HookNumber::Inet(hook_number(chain.hook))),
                HookAttribute::Priority(chain.priority.cast_unsigned()),
            ]),
            ChainAttribute::Policy(NF_ACCEPT),
            ChainAttribute::Type("filter".into()),
        ],
    }
}

fn new_rule(table: &Table, chain: &Chain, rule: &Rule) -> RuleMessage {
    let key = match rule.direction {
        Direction::In => MetaKey::Iifname,
        Direction::Out => MetaKey::Oifname,
    };
    let load = vec![Meta::Key(key), Meta::DestinationRegister(Register::Reg1)];
    // Comparing fewer bytes than a name has is how nftables matches a prefix.
    let compare = vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(Operator::Equal),
        Cmp::Data(DataAttribute::Value(PREFIX.as_bytes().to_vec())),
    ];
    let drop = vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(vec![VerdictAttribute::Code(Verdict::Other(
            NF_DROP,
        ))])),
    ];
    let counter = ListAttribute::Element(vec![ExpressionAttribute::Name("counter".into())]);
    let expressions = vec![
        Expressions::Meta(load).into(),
        Expressions::Cmp(compare).into(),
        counter,
        Expressions::Immediate(drop).into(),
    ];
    RuleMessage {
        attributes: vec![
            RuleAttribute::Table(table.name.clone()),
            RuleAttribute::Chain(chain.name.clone()),
            RuleAttribute::Expressions(expressions),
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
pub(super) fn read_chain(message: &ChainMessage, table: &str) -> Option<Chain> {
    let (mut name, mut hook, mut priority, mut ours, mut accepts) = (None, None, None, false, false);
    for attribute in &message.attributes {
        match attribute {
            ChainAttribute::Table(value) => ours = value == table,
            ChainAttribute::Name(value) => name = Some(value.clone()),
            ChainAttribute::Policy(policy) => accepts = *policy == NF_ACCEPT,
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
        rules: vec![],
    };
    (ours && accepts).then_some(complete)
}

/// A rule with its chain's name. A rule that is not ours has no direction that we know, and is returned without one.
pub(super) fn read_rule(message: &RuleMessage, table: &str) -> Option<(String, Option<Rule>)> {
    let (mut chain, mut text, mut direction, mut ours) = (None, None, None, false);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Table(value) => ours = value == table,
            RuleAttribute::Chain(value) => chain = Some(value.clone()),
            RuleAttribute::UserData(data) => text = read_comment(data),
            RuleAttribute::Expressions(expressions) => direction = expressions.iter().find_map(read_direction),
            _ => {}
        }
    }
    let rule = direction
        .zip(text)
        .map(|(direction, comment)| Rule { direction, comment });
    chain.filter(|_| ours).map(|chain| (chain, rule))
}

fn read_direction(expression: &ListAttribute<ExpressionAttribute>) -> Option<Direction> {
    let ListAttribute::Element(attributes) = expression else {
        return None;
    };
    attributes.iter().find_map(|attribute| match attribute {
        ExpressionAttribute::Data(Expressions::Meta(meta)) => meta.iter().find_map(|m| match m {
            Meta::Key(MetaKey::Iifname) => Some(Direction::In),
            Meta::Key(MetaKey::Oifname) => Some(Direction::Out),
            _ => None,
        }),
        _ => None,
    })
}

fn hook_number(hook: Hook) -> InetHookNumber {
    match hook {
        Hook::Prerouting => InetHookNumber::PreRouting,
        Hook::Forward => InetHookNumber::Forward,
        Hook::Postrouting => InetHookNumber::PostRouting,
    }
}

fn read_hook(number: InetHookNumber) -> Option<Hook> {
    match number {
        InetHookNumber::PreRouting => Some(Hook::Prerouting),
        InetHookNumber::Forward => Some(Hook::Forward),
        InetHookNumber::PostRouting => Some(Hook::Postrouting),
        _ => None,
    }
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
    use super::super::ruleset::wanted;
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let table = wanted();
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
                    chain.rules.extend(rule);
                }
                _ => {}
            }
        }
        assert_eq!(read, table);
    }

    #[test]
    fn comments_keep_their_form() {
        assert_eq!(comment("ab"), [0, 3, b'a', b'b', 0]);
        assert_eq!(read_comment(&comment("ab")).as_deref(), Some("ab"));
        assert_eq!(read_comment(&[0, 9, b'a', 0]), None);
        assert_eq!(read_comment(&[]), None);
    }
}
