//! Requests to nftables: dumps, and batches that happen as a whole or not at all.

use std::io;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::nftables::{ChainMessage, NfTablesMessage, RuleAttribute, RuleMessage, TableMessage};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::FirewallError;
use super::messages::{read_chain, read_rule, read_table, replace};
use super::ruleset::{Found, Rule, Table};

/// `NFNL_SUBSYS_NFTABLES` of linux/netfilter/nfnetlink.h, which a batch names in its first and last message.
const SUBSYSTEM: u16 = 10;
/// The kernel answers at once; longer means that it will not.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A netlink socket for nftables.
pub(super) struct NftSocket {
    socket: Socket,
}

impl NftSocket {
    pub(super) fn open() -> Result<Self, FirewallError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_NETFILTER)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
            Ok(socket)
        };
        open()
            .map(|socket| Self { socket })
            .map_err(|source| FirewallError::Socket { action: "open", source })
    }

    /// The table of that name, `None` if there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<Found>, FirewallError> {
        let tables = self.dump(
            "list tables",
            NfTablesMessage::GetTable(TableMessage { attributes: vec![] }),
        )?;
        let dormant = tables.iter().find_map(|m| match m {
            NfTablesMessage::NewTable(message) => read_table(message, name),
            _ => None,
        });
        let Some(dormant) = dormant else { return Ok(None) };
        let chains = self.dump(
            "list chains",
            NfTablesMessage::GetChain(ChainMessage { attributes: vec![] }),
        )?;
        let chains = chains.iter().filter_map(|m| match m {
            NfTablesMessage::NewChain(message) => read_chain(message, name),
            _ => None,
        });
        let mut table = Table {
            name: name.to_owned(),
            chains: chains.collect(),
            dormant,
        };
        table.sort();
        let of_table = vec![RuleAttribute::Table(name.to_owned())];
        let rules = self.dump(
            "list rules",
            NfTablesMessage::GetRule(RuleMessage { attributes: of_table }),
        )?;
        for message in rules {
            let NfTablesMessage::NewRule(message) = message else {
                continue;
            };
            let Some((chain, rule)) = read_rule(&message, name) else {
                continue;
            };
            table
                .chains
                .iter_mut()
                .filter(|c| c.name == chain)
                .for_each(|c| c.rules.push(rule.clone()));
        }
        Ok(Some(table))
    }

    /// Writes the table in the place of whatever has its name.
    pub(super) fn replace(&self, table: &Table<Rule>) -> Result<(), FirewallError> {
        const ACTION: &str = "write Stackube's table";
        let messages = replace(table);
        let last = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        let mut bytes = serialize(control(ControlMessage::BatchBegin, 0));
        for (number, message) in (1..).zip(messages) {
            let flags = NLM_F_CREATE | NLM_F_ACK | if is_rule(&message) { NLM_F_APPEND } else { 0 };
            bytes.extend(serialize(request(message, flags, number)));
        }
        bytes.extend(serialize(control(ControlMessage::BatchEnd, last + 1)));
        self.send(&bytes, ACTION)?;
        let mut acknowledged = 0;
        while acknowledged < last {
            for message in self.receive(ACTION)? {
                if let NetlinkPayload::Error(error) = message.payload {
                    if error.code.is_some() {
                        return Err(FirewallError::Refused {
                            action: ACTION,
                            source: error.to_io(),
                        });
                    }
                    acknowledged += 1;
                }
            }
        }
        Ok(())
    }

    fn dump(&self, action: &'static str, message: NfTablesMessage) -> Result<Vec<NfTablesMessage>, FirewallError> {
        self.send(&serialize(request(message, NLM_F_DUMP, 1)), action)?;
        let mut found = vec![];
        loop {
            for message in self.receive(action)? {
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(error) => {
                        return Err(FirewallError::Refused {
                            action,
                            source: error.to_io(),
                        });
                    }
                    NetlinkPayload::InnerMessage(NetfilterMessage {
                        inner: NetfilterMessageInner::NfTables(message),
                        ..
                    }) => found.push(message),
                    _ => {}
                }
            }
        }
    }

    fn send(&self, bytes: &[u8], action: &'static str) -> Result<(), FirewallError> {
        self.socket
            .send(bytes, 0)
            .map(drop)
            .map_err(|source| FirewallError::Socket { action, source })
    }

    /// The messages of one datagram.
    fn receive(&self, action: &'static str) -> Result<Vec<NetlinkMessage<NetfilterMessage>>, FirewallError> {
        let failed = |source: io::Error| FirewallError::Socket { action, source };
        let (bytes, _) = self.socket.recv_from_full().map_err(failed)?;
        let (mut messages, mut rest) = (vec![], bytes.as_slice());
        while !rest.is_empty() {
            let message = NetlinkMessage::deserialize(rest).map_err(FirewallError::Unreadable)?;
            // Messages are padded to 4 bytes; a length of 0 would never end.
            let length = (message.header.length as usize).next_multiple_of(4).max(4);
            rest = rest.get(length..).unwrap_or_default();
            messages.push(message);
        }
        Ok(messages)
    }
}

fn is_rule(message: &NfTablesMessage) -> bool {
    matches!(message, NfTablesMessage::NewRule(_))
}

fn request(message: NfTablesMessage, flags: u16, number: u32) -> NetlinkMessage<NetfilterMessage> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0);
    framed(NetfilterMessage::new(header, message), NLM_F_REQUEST | flags, number)
}

fn control(message: ControlMessage, number: u32) -> NetlinkMessage<NetfilterMessage> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM);
    framed(NetfilterMessage::new(header, message), NLM_F_REQUEST, number)
}

fn framed(message: NetfilterMessage, flags: u16, number: u32) -> NetlinkMessage<NetfilterMessage> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = number;
    let mut framed = NetlinkMessage::new(header, NetlinkPayload::from(message));
    framed.finalize();
    framed
}

fn serialize(message: NetlinkMessage<NetfilterMessage>) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}
