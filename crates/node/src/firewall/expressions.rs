//! What a rule looks like to nftables: a list of expressions (linux/netfilter/nf_tables.h, `nft --debug=netlink`).

use ipnet::Ipv4Net;
use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute, Meta, MetaKey, Operator, Register,
    Verdict as Code, VerdictAttribute,
};

use super::ruleset::{Device, Match, Rule, Verdict};

/// `NF_DROP` and `NF_ACCEPT` of linux/netfilter.h.
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
/// `NFPROTO_IPV4` of linux/netfilter.h.
const NFPROTO_IPV4: u8 = 2;
/// Longest device name with its final zero (linux/if.h).
const IFNAMSIZ: usize = 16;
/// `enum nft_registers`: the first register of 16 bytes.
const REGISTER_1: u32 = 1;
/// `enum nft_payload_bases`.
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// Where things are in the header of IPv4 (RFC 791) and of TCP and UDP.
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;
const SOURCE_PORT: u32 = 0;
const DESTINATION_PORT: u32 = 2;
/// `NFT_META_MARK` of `enum nft_meta_keys`.
const META_MARK: u32 = 3;
/// `NFT_CT_STATE` of `enum nft_ct_keys`.
const CT_STATE: u32 = 0;
/// `NF_CT_STATE_BIT` of `IP_CT_ESTABLISHED` and `IP_CT_RELATED` (linux/netfilter/nf_conntrack_common.h).
const ESTABLISHED_OR_RELATED: u32 = 1 << 1 | 1 << 2;

type Expression = ListAttribute<ExpressionAttribute>;

/// The expressions of a rule.
pub(super) fn expressions(rule: &Rule) -> Vec<Expression> {
    let mut list: Vec<Expression> = rule.matches.iter().flat_map(matching).collect();
    list.extend(match rule.verdict {
        Verdict::Drop => vec![plain("counter"), code(NF_DROP)],
        Verdict::Accept => vec![code(NF_ACCEPT)],
        Verdict::Untracked => vec![plain("notrack")],
        Verdict::Masquerade => vec![plain("masq")],
        Verdict::Unmarked => vec![
            // NFTA_IMMEDIATE_DREG, _DATA
            raw("immediate", [(1, number(REGISTER_1)), (2 | NESTED, data(vec![0; 4]))]),
            // NFTA_META_KEY, _SREG
            raw("meta", [(2, number(META_MARK)), (3, number(REGISTER_1))]),
        ],
    });
    list
}

fn matching(what: &Match) -> Vec<Expression> {
    let equal = |yes| if yes { Operator::Equal } else { Operator::NotEqual };
    match what {
        Match::From(device) => vec![load(MetaKey::Iifname), compare(Operator::Equal, name(*device))],
        Match::NotFrom(device) => vec![load(MetaKey::Iifname), compare(Operator::NotEqual, name(*device))],
        Match::To(device) => vec![load(MetaKey::Oifname), compare(Operator::Equal, name(*device))],
        Match::NotTo(device) => vec![load(MetaKey::Oifname), compare(Operator::NotEqual, name(*device))],
        Match::Source(net) => address(SOURCE, equal(true), *net),
        Match::NotSource(net) => address(SOURCE, equal(false), *net),
        Match::Destination(net) => address(DESTINATION, equal(true), *net),
        Match::NotDestination(net) => address(DESTINATION, equal(false), *net),
        Match::SourcePort(protocol, number) => port(SOURCE_PORT, *protocol, *number),
        Match::DestinationPort(protocol, number) => port(DESTINATION_PORT, *protocol, *number),
        Match::Mark(mark) => vec![
            load(MetaKey::Mark),
            compare(Operator::Equal, mark.to_ne_bytes().to_vec()),
        ],
        Match::Established => vec![
            // NFTA_CT_DREG, NFTA_CT_KEY
            raw("ct", [(1, number(REGISTER_1)), (2, number(CT_STATE))]),
            mask(&ESTABLISHED_OR_RELATED.to_ne_bytes()),
            compare(Operator::NotEqual, vec![0; 4]),
        ],
    }
}

/// A device's name, whole with its zeros; comparing fewer bytes is how nftables matches a prefix.
fn name(device: Device) -> Vec<u8> {
    match device {
        Device::Prefix(prefix) => prefix.as_bytes().to_vec(),
        Device::Named(name) => {
            let mut bytes = name.as_bytes().to_vec();
            bytes.resize(IFNAMSIZ, 0);
            bytes
        }
    }
}

/// The table is for both families, so the family comes first.
fn address(offset: u32, operator: Operator, net: Ipv4Net) -> Vec<Expression> {
    let mut list = vec![
        load(MetaKey::Nfproto),
        compare(Operator::Equal, vec![NFPROTO_IPV4]),
        payload(NETWORK_HEADER, offset, 4),
    ];
    if net.prefix_len() < 32 {
        list.push(mask(&net.netmask().octets()));
    }
    list.push(compare(operator, net.network().octets().to_vec()));
    list
}

fn port(offset: u32, protocol: u8, port: u16) -> Vec<Expression> {
    vec![
        load(MetaKey::L4Proto),
        compare(Operator::Equal, vec![protocol]),
        payload(TRANSPORT_HEADER, offset, 2),
        compare(Operator::Equal, port.to_be_bytes().to_vec()),
    ]
}

fn load(key: MetaKey) -> Expression {
    Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(Register::Reg1)]).into()
}

fn compare(operator: Operator, value: Vec<u8>) -> Expression {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(operator),
        Cmp::Data(DataAttribute::Value(value)),
    ])
    .into()
}

fn code(code: u32) -> Expression {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(vec![VerdictAttribute::Code(Code::Other(code))])),
    ])
    .into()
}

/// NFTA_PAYLOAD_DREG, _BASE, _OFFSET, _LEN.
fn payload(base: u32, offset: u32, length: u32) -> Expression {
    raw(
        "payload",
        [
            (1, number(REGISTER_1)),
            (2, number(base)),
            (3, number(offset)),
            (4, number(length)),
        ],
    )
}

/// NFTA_BITWISE_SREG, _DREG, _LEN, _MASK, _XOR: keeps the bits of the mask.
fn mask(bits: &[u8]) -> Expression {
    let length = u32::try_from(bits.len()).unwrap_or(0);
    raw(
        "bitwise",
        [
            (1, number(REGISTER_1)),
            (2, number(REGISTER_1)),
            (3, number(length)),
            (4 | NESTED, data(bits.to_vec())),
            (5 | NESTED, data(vec![0; bits.len()])),
        ],
    )
}

/// A value as an attribute inside of another: NFTA_DATA_VALUE.
fn data(bytes: Vec<u8>) -> Vec<u8> {
    let value = DefaultNla::new(1, bytes);
    let mut buffer = vec![0; netlink_packet_core::Emitable::buffer_len(&value)];
    netlink_packet_core::Emitable::emit(&value, &mut buffer);
    buffer
}

/// `NLA_F_NESTED` of linux/netlink.h.
const NESTED: u16 = 1 << 15;

fn number(value: u32) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

fn raw<const N: usize>(name: &str, attributes: [(u16, Vec<u8>); N]) -> Expression {
    Expressions::Other {
        expression_type: name.to_owned(),
        attributes: attributes.map(|(kind, value)| DefaultNla::new(kind, value)).into(),
    }
    .into()
}

fn plain(name: &str) -> Expression {
    ListAttribute::Element(vec![ExpressionAttribute::Name(name.into())])
}
