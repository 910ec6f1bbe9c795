//! Packets: made with correct checksums, and read back with every checksum verified.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{
    IcmpEchoHeader, Icmpv4Slice, Icmpv4Type, IpNumber, Ipv4HeaderSlice, PacketBuilder, TcpHeaderSlice, TcpSlice,
    UdpHeaderSlice,
};

pub(crate) const POD_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];

/// What a packet is, apart from its checksums, which are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Tcp {
        flags: &'static str,
        sequence: u32,
        acknowledged: u32,
    },
    Udp,
    Echo {
        reply: bool,
        identifier: u16,
    },
    /// An ICMP error with what it quotes.
    Error {
        kind: u8,
        code: u8,
        quoted: Box<Packet>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) destination_mac: [u8; 6],
    pub(crate) source_mac: [u8; 6],
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    pub(crate) body: Body,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn at(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

impl Packet {
    fn new(source: SocketAddrV4, destination: SocketAddrV4, body: Body, payload: &[u8]) -> Self {
        Self {
            destination_mac: ROUTER_MAC,
            source_mac: POD_MAC,
            source,
            destination,
            body,
            payload: payload.to_vec(),
        }
    }

    pub(crate) fn udp(source: SocketAddrV4, destination: SocketAddrV4) -> Self {
        Self::new(source, destination, Body::Udp, b"some payload, not too short")
    }

    /// `flags` of `SAFR`.
    pub(crate) fn tcp(source: SocketAddrV4, destination: SocketAddrV4, flags: &'static str) -> Self {
        let acknowledged = if flags.contains('A') { 77 } else { 0 };
        Self::new(
            source,
            destination,
            Body::Tcp {
                flags,
                sequence: 1000,
                acknowledged,
            },
            if flags == "A" { b"data" } else { b"" },
        )
    }

    pub(crate) fn echo(source: Ipv4Addr, destination: Ipv4Addr, reply: bool, identifier: u16) -> Self {
        Self::new(
            SocketAddrV4::new(source, 0),
            SocketAddrV4::new(destination, 0),
            Body::Echo { reply, identifier },
            b"abcdefgh",
        )
    }

    pub(crate) fn error(source: Ipv4Addr, destination: Ipv4Addr, quoted: Self) -> Self {
        let body = Body::Error {
            kind: 3,
            code: 4,
            quoted: Box::new(quoted),
        };
        Self::new(
            SocketAddrV4::new(source, 0),
            SocketAddrV4::new(destination, 0),
            body,
            b"",
        )
    }

    pub(crate) fn with_macs(mut self, destination: [u8; 6], source: [u8; 6]) -> Self {
        self.destination_mac = destination;
        self.source_mac = source;
        self
    }

    pub(crate) fn ends(mut self, source: SocketAddrV4, destination: SocketAddrV4) -> Self {
        self.source = source;
        self.destination = destination;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2(self.source_mac, self.destination_mac).ipv4(
            self.source.ip().octets(),
            self.destination.ip().octets(),
            64,
        );
        let mut bytes = Vec::new();
        match &self.body {
            Body::Udp => builder
                .udp(self.source.port(), self.destination.port())
                .write(&mut bytes, &self.payload)
                .unwrap(),
            Body::Tcp {
                flags,
                sequence,
                acknowledged,
            } => {
                let mut tcp = builder.tcp(self.source.port(), self.destination.port(), *sequence, 64240);
                for flag in flags.chars() {
                    tcp = match flag {
                        'S' => tcp.syn(),
                        'A' => tcp.ack(*acknowledged),
                        'F' => tcp.fin(),
                        _ => tcp.rst(),
                    };
                }
                tcp.write(&mut bytes, &self.payload).unwrap();
            }
            Body::Echo { reply, identifier } => {
                let echo = IcmpEchoHeader {
                    id: *identifier,
                    seq: 1,
                };
                let kind = if *reply {
                    Icmpv4Type::EchoReply(echo)
                } else {
                    Icmpv4Type::EchoRequest(echo)
                };
                builder.icmpv4(kind).write(&mut bytes, &self.payload).unwrap();
            }
            Body::Error { kind, code, quoted } => {
                // As routers do: the IP header and eight bytes.
                let quoted = quoted.bytes();
                let kind = Icmpv4Type::Unknown {
                    type_u8: *kind,
                    code_u8: *code,
                    bytes5to8: [0, 0, 5, 120],
                };
                builder.icmpv4(kind).write(&mut bytes, &quoted[14..42]).unwrap();
            }
        }
        bytes
    }

    /// Reads a packet, checking its checksums.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self::read_ip(&bytes[14..], true).with_macs(bytes[0..6].try_into().unwrap(), bytes[6..12].try_into().unwrap())
    }

    fn read_ip(bytes: &[u8], whole: bool) -> Self {
        let ip = Ipv4HeaderSlice::from_slice(bytes).unwrap();
        let sum = ip.to_header().calc_header_checksum();
        assert_eq!(sum, ip.header_checksum(), "checksum of the IP header");
        let rest = &bytes[usize::from(ip.ihl()) * 4..];
        if !whole {
            let port = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
            return Self::between(&ip, (port(0), port(2)), Body::Udp, b"");
        }
        assert_eq!(usize::from(ip.total_len()), bytes.len(), "total length");
        match ip.protocol() {
            IpNumber::UDP => Self::read_udp(&ip, rest),
            IpNumber::TCP => Self::read_tcp(&ip, rest),
            IpNumber::ICMP => Self::read_icmp(&ip, rest),
            other => panic!("protocol {other:?}"),
        }
    }

    fn between(ip: &Ipv4HeaderSlice<'_>, ports: (u16, u16), body: Body, payload: &[u8]) -> Self {
        let source = SocketAddrV4::new(ip.source_addr(), ports.0);
        let destination = SocketAddrV4::new(ip.destination_addr(), ports.1);
        Self::new(source, destination, body, payload)
    }

    fn read_udp(ip: &Ipv4HeaderSlice<'_>, rest: &[u8]) -> Self {
        let udp = UdpHeaderSlice::from_slice(rest).unwrap().to_header();
        let sum = udp.calc_checksum_ipv4(&ip.to_header(), &rest[8..]).unwrap();
        assert_eq!(sum, udp.checksum, "checksum of UDP");
        Self::between(ip, (udp.source_port, udp.destination_port), Body::Udp, &rest[8..])
    }

    fn read_tcp(ip: &Ipv4HeaderSlice<'_>, rest: &[u8]) -> Self {
        let payload = TcpSlice::from_slice(rest).unwrap().payload();
        let tcp = TcpHeaderSlice::from_slice(rest).unwrap().to_header();
        let sum = tcp.calc_checksum_ipv4(&ip.to_header(), payload).unwrap();
        assert_eq!(sum, tcp.checksum, "checksum of TCP");
        let flags = match (tcp.syn, tcp.ack, tcp.fin, tcp.rst) {
            (true, false, false, false) => "S",
            (true, true, false, false) => "SA",
            (false, true, false, false) => "A",
            (false, true, true, false) => "FA",
            (false, true, false, true) => "RA",
            (false, false, false, true) => "R",
            other => panic!("flags {other:?}"),
        };
        let body = Body::Tcp {
            flags,
            sequence: tcp.sequence_number,
            acknowledged: tcp.acknowledgment_number,
        };
        Self::between(ip, (tcp.source_port, tcp.destination_port), body, payload)
    }

    fn read_icmp(ip: &Ipv4HeaderSlice<'_>, rest: &[u8]) -> Self {
        let slice = Icmpv4Slice::from_slice(rest).unwrap();
        let header = slice.header();
        let sum = header.icmp_type.calc_checksum(slice.payload());
        assert_eq!(sum, slice.checksum(), "checksum of ICMP");
        let echo = |reply, echo: IcmpEchoHeader| Body::Echo {
            reply,
            identifier: echo.id,
        };
        match header.icmp_type {
            Icmpv4Type::EchoReply(it) => Self::between(ip, (0, 0), echo(true, it), slice.payload()),
            Icmpv4Type::EchoRequest(it) => Self::between(ip, (0, 0), echo(false, it), slice.payload()),
            _ => {
                let quoted = Box::new(Self::read_ip(slice.payload(), false));
                let (kind, code) = (slice.type_u8(), slice.code_u8());
                Self::between(ip, (0, 0), Body::Error { kind, code, quoted }, b"")
            }
        }
    }
}
