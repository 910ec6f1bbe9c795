//! ICMP: echoes, and errors about packets that were translated.

use crate::{
    abi::{FLOW_HAIRPIN, FLOW_HOST, ICMP, Pod, REVERSE, SCTP, TCP, UDP, reason},
    flow,
    head::{DESTINATION, Ends, IP_SUM, Inner, Inside, Piece, SOURCE, ports},
    packet::{Packet, Sum, Verdict},
    tally::Told,
};

const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

#[inline(always)]
fn kind<P: Packet>(packet: &P, inside: &Inside) -> Option<u8> {
    let mut kind = 0u8;
    (inside.protocol == ICMP && inside.fragment != Piece::Later && packet.load(inside.at, &mut kind)).then_some(kind)
}

/// Whether it is an echo request.
#[inline(always)]
pub fn is_echo<P: Packet>(packet: &P, inside: &Inside) -> bool {
    kind(packet, inside) == Some(ECHO_REQUEST)
}

/// Identifier of an echo request.
#[inline(always)]
pub fn echo_request<P: Packet>(packet: &P, inside: &Inside) -> Option<u16> {
    identifier(packet, inside, ECHO_REQUEST)
}

/// Identifier of an echo reply.
#[inline(always)]
pub fn echo_answer<P: Packet>(packet: &P, inside: &Inside) -> Option<u16> {
    identifier(packet, inside, ECHO_REPLY)
}

#[inline(always)]
fn identifier<P: Packet>(packet: &P, inside: &Inside, wanted: u8) -> Option<u16> {
    let mut identifier = 0u16;
    (kind(packet, inside) == Some(wanted) && packet.load(inside.at + 4, &mut identifier)).then_some(identifier)
}

/// The packet that an ICMP error is about.
pub struct About {
    /// Offset of its IP header.
    at: u32,
    /// Offset of its ports.
    ports_at: u32,
    pub header: Inner,
    pub source_port: u16,
    pub destination_port: u16,
}

/// What an ICMP error is about. An error is too short to come in pieces (RFC 1812, 4.3.2.3), so none of a fragment is: the receiver would
/// keep it for pieces that never come, and no rate bounds those.
#[inline(always)]
pub fn about<P: Packet>(packet: &P, inside: &Inside) -> Option<About> {
    if inside.fragment != Piece::Whole || !matches!(kind(packet, inside)?, UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM) {
        return None;
    }
    let at = inside.at + 8;
    let mut header = Inner::NOTHING;
    let mut pair = [0u16; 2];
    if !packet.load(at, &mut header) || header.version_length >> 4 != 4 || header.version_length & 15 < 5 {
        return None;
    }
    let ports_at = at + u32::from(header.version_length & 15) * 4;
    if !matches!(header.protocol, TCP | UDP | SCTP) || !packet.load(ports_at, &mut pair) {
        return None;
    }
    Some(About { at, ports_at, header, source_port: pair[0], destination_port: pair[1] })
}

impl About {
    /// Gives the quoted packet other ends. An address and the header's own checksum change the message's checksum by as much, in opposite
    /// directions; so only ports need it corrected.
    #[inline(always)]
    fn rewrite<P: Packet>(&self, packet: &P, inside: &Inside, source: u32, destination: u32, source_port: u16, destination_port: u16) {
        if source != self.header.source {
            packet.ip_sum(self.at + 10, self.header.source, source);
        }
        if destination != self.header.destination {
            packet.ip_sum(self.at + 10, self.header.destination, destination);
        }
        let _ = packet.store(self.at + 12, &[source, destination]);
        let (from, to) = (ports(self.source_port, self.destination_port), ports(source_port, destination_port));
        if from != to {
            packet.sum(Sum::Icmp, inside.at + 2, false, from, to);
            let _ = packet.store(self.ports_at, &to);
        }
    }
}

/// Gives the message itself another end.
#[inline(always)]
fn outer<P: Packet>(packet: &P, at: u32, from: u32, to: u32) {
    if from != to {
        packet.ip_sum(IP_SUM, from, to);
        let _ = packet.store(at, &to);
    }
}

/// Makes an error of the pod one about the packet as it was sent: it goes to that one's source, from that one's destination.
#[inline(always)]
pub fn from_pod<P: Packet>(packet: &P, inside: &Inside, about: &About, sent: &Ends) {
    about.rewrite(packet, inside, sent.source, sent.destination, sent.source_port, sent.destination_port);
    outer(packet, SOURCE, inside.source, sent.destination);
    outer(packet, DESTINATION, inside.destination, sent.source);
}

/// An error about a packet of the pod that was translated, on its way to the pod from its network.
#[inline(always)]
pub fn to_pod<P: Packet>(packet: &P, told: &Told<'_>) -> Option<Verdict> {
    let inside = told.inside;
    let about = about(packet, inside)?;
    let header = &about.header;
    let key = flow::key(told.ifindex, REVERSE, header.protocol, header.destination, about.destination_port, about.source_port);
    let flow = flow::find(&key)?;
    if header.source != told.pod.ip || flow.kind == FLOW_HOST || flow.kind == FLOW_HAIRPIN {
        return None;
    }
    about.rewrite(packet, inside, header.source, flow.remote, flow.local_port, flow.remote_port);
    if inside.source == header.destination {
        outer(packet, SOURCE, inside.source, flow.remote);
    }
    Some(told.translated(reason::TRANSLATED_BACK, Verdict::Pass, flow.remote, flow.remote_port, flow.local_port))
}

/// An error about a packet that went over the host link. The pod sees the service as its sender, whoever it was.
#[inline(always)]
pub fn from_host<P: Packet>(packet: &P, ifindex: u32, pod: &Pod, inside: &Inside) -> bool {
    let Some(about) = about(packet, inside) else {
        return false;
    };
    let header = &about.header;
    let key = flow::key(ifindex, REVERSE, header.protocol, header.destination, about.destination_port, about.source_port);
    let Some(flow) = flow::find(&key) else {
        return false;
    };
    if header.source != pod.alias || flow.kind != FLOW_HOST {
        return false;
    }
    about.rewrite(packet, inside, pod.ip, flow.remote, flow.local_port, flow.remote_port);
    outer(packet, SOURCE, inside.source, flow.remote);
    outer(packet, DESTINATION, inside.destination, pod.ip);
    true
}
