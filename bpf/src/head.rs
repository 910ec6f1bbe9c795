//! Headers, and what of them the programs look at.

use crate::{
    abi::{ICMP, SCTP, TCP, UDP},
    packet::{Packet, Sum},
    sctp,
};

/// Ethernet type of IPv4, as it is in a packet.
pub const IPV4: u16 = 0x0800u16.to_be();
/// Ethernet type of ARP, as it is in a packet.
pub const ARP: u16 = 0x0806u16.to_be();

pub const IP: u32 = 14;
pub const IP_SUM: u32 = 24;
pub const SOURCE: u32 = 26;
pub const DESTINATION: u32 = 30;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// Ethernet and IPv4 headers.
#[repr(C, packed(2))]
#[derive(Clone, Copy)]
pub struct Frame {
    pub destination_mac: [u8; 6],
    pub source_mac: [u8; 6],
    pub kind: u16,
    pub version_length: u8,
    pub service: u8,
    pub total: u16,
    pub id: u16,
    pub fragment: u16,
    pub ttl: u8,
    pub protocol: u8,
    pub sum: u16,
    pub source: u32,
    pub destination: u32,
}

impl Frame {
    /// Of a packet that cannot be read.
    pub const NOTHING: Self = Self {
        destination_mac: [0; 6],
        source_mac: [0; 6],
        kind: 0,
        version_length: 0,
        service: 0,
        total: 0,
        id: 0,
        fragment: 0,
        ttl: 0,
        protocol: 0,
        sum: 0,
        source: 0,
        destination: 0,
    };
}

/// An IPv4 header without options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Inner {
    pub version_length: u8,
    pub service: u8,
    pub total: u16,
    pub id: u16,
    pub fragment: u16,
    pub ttl: u8,
    pub protocol: u8,
    pub sum: u16,
    pub source: u32,
    pub destination: u32,
}

impl Inner {
    pub const NOTHING: Self = Self {
        version_length: 0,
        service: 0,
        total: 0,
        id: 0,
        fragment: 0,
        ttl: 0,
        protocol: 0,
        sum: 0,
        source: 0,
        destination: 0,
    };
}

/// What is inside of an IPv4 packet.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Inside {
    /// Offset of the header after IP's.
    pub at: u32,
    pub source: u32,
    pub destination: u32,
    pub source_port: u16,
    pub destination_port: u16,
    /// Identification of the IP header.
    pub id: u16,
    pub protocol: u8,
    /// Flags of TCP, or what the first chunk of SCTP means in their terms; 0 of others.
    pub flags: u8,
    /// Bytes after IP's header.
    pub length: u16,
    pub fragment: Piece,
}

#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    Whole,
    First,
    Later,
}

impl Inside {
    /// Of a packet that cannot be read.
    pub const NOTHING: Self = Self {
        at: 0,
        source: 0,
        destination: 0,
        source_port: 0,
        destination_port: 0,
        id: 0,
        protocol: 0,
        flags: 0,
        length: 0,
        fragment: Piece::Whole,
    };

    /// Whether the protocol has connections, so that a packet tells whether it opens one.
    #[inline(always)]
    pub fn connects(&self) -> bool {
        matches!(self.protocol, TCP | SCTP)
    }

    /// Whether the packet opens a flow, or may.
    #[inline(always)]
    pub fn opens(&self) -> bool {
        !self.connects() || self.flags & (SYN | ACK) == SYN
    }

    #[inline(always)]
    pub fn has_ports(&self) -> bool {
        matches!(self.protocol, TCP | UDP | SCTP)
    }
}

/// Reads what the frame carries; false if its lengths contradict each other or it is cut short.
#[inline(always)]
pub fn read<P: Packet>(packet: &P, frame: &Frame, inside: &mut Inside) -> bool {
    let header = u32::from(frame.version_length & 15) * 4;
    let total = u32::from(u16::from_be(frame.total));
    if frame.version_length >> 4 != 4 || header < 20 || total < header || total + IP > packet.len() {
        return false;
    }
    let fragment = u16::from_be(frame.fragment);
    *inside = Inside {
        at: IP + header,
        source: frame.source,
        destination: frame.destination,
        source_port: 0,
        destination_port: 0,
        id: frame.id,
        protocol: frame.protocol,
        flags: 0,
        length: (total - header) as u16,
        fragment: match (fragment & 0x1fff, fragment & 0x2000) {
            (0, 0) => Piece::Whole,
            (0, _) => Piece::First,
            _ => Piece::Later,
        },
    };
    if inside.fragment == Piece::Later || !(inside.has_ports() || inside.protocol == ICMP) {
        return true;
    }
    let least = match inside.protocol {
        TCP => 20,
        SCTP => 16,
        _ => 8,
    };
    if total < header + least {
        return false;
    }
    if inside.protocol != ICMP {
        let mut ports = [0u16; 2];
        if !packet.load(inside.at, &mut ports) {
            return false;
        }
        inside.source_port = ports[0];
        inside.destination_port = ports[1];
    }
    if inside.protocol == TCP && !packet.load(inside.at + 13, &mut inside.flags) {
        return false;
    }
    if inside.protocol == SCTP {
        let mut chunk = 0u8;
        if !packet.load(inside.at + 12, &mut chunk) {
            return false;
        }
        inside.flags = sctp::meaning(chunk);
    }
    true
}

/// New ends of a packet.
#[derive(Clone, Copy)]
pub struct Ends {
    pub source: u32,
    pub destination: u32,
    pub source_port: u16,
    pub destination_port: u16,
}

/// Two ports as the four bytes that they are in a packet.
#[inline(always)]
pub fn ports(source: u16, destination: u16) -> u32 {
    u32::from_le(u32::from(source) | u32::from(destination) << 16)
}

/// Gives a packet other ends and corrects its checksums. Ports stay where `inside` has none.
#[inline(always)]
pub fn rewrite<P: Packet>(packet: &P, inside: &Inside, ends: &Ends) -> bool {
    let ported = inside.fragment != Piece::Later && inside.has_ports();
    let sum = match inside.protocol {
        TCP => Some((Sum::Tcp, inside.at + 16)),
        UDP => Some((Sum::Udp, inside.at + 6)),
        _ => None, // SCTP's goes over its own bytes only
    };
    if ends.source != inside.source {
        if let (true, Some((kind, at))) = (ported, sum) {
            packet.sum(kind, at, true, inside.source, ends.source);
        }
        packet.ip_sum(IP_SUM, inside.source, ends.source);
    }
    if ends.destination != inside.destination {
        if let (true, Some((kind, at))) = (ported, sum) {
            packet.sum(kind, at, true, inside.destination, ends.destination);
        }
        packet.ip_sum(IP_SUM, inside.destination, ends.destination);
    }
    if !packet.store(SOURCE, &[ends.source, ends.destination]) {
        return false;
    }
    if !ported {
        return true;
    }
    let (from, to) = (ports(inside.source_port, inside.destination_port), ports(ends.source_port, ends.destination_port));
    if from == to {
        return true;
    }
    if let Some((kind, at)) = sum {
        packet.sum(kind, at, false, from, to);
    } else if inside.fragment != Piece::Whole || !sctp::correct(packet, inside, from, to) {
        return false;
    }
    packet.store(inside.at, &to)
}

/// Gives a frame other MAC addresses.
#[inline(always)]
pub fn address<P: Packet>(packet: &P, destination: [u8; 6], source: [u8; 6]) -> bool {
    packet.store(0, &[destination, source])
}
