//! Refusing at once: the packet becomes the answer.

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    helpers::generated::bpf_csum_diff,
};

use crate::{
    abi::{BUCKET_REFUSE, HANDLED_MARK, ICMP, TCP, reason},
    head::{ACK, FIN, Frame, Inner, Inside, Piece, RST, SYN},
    packet::{Packet, Skb, Verdict, Xdp},
    tally::{Told, take},
};

/// ICMP code: port unreachable.
const PORT: u8 = 3;
/// ICMP code: administratively prohibited (RFC 1812).
const PROHIBITED: u8 = 13;

#[inline(always)]
fn folded(mut sum: u32) -> u16 {
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}

/// One's complement sum of `of`, whose size is a multiple of 4, on top of `seed`.
#[inline(always)]
fn summed<T>(of: &mut T, seed: u32) -> u32 {
    let size = core::mem::size_of::<T>() as u32;
    unsafe { bpf_csum_diff(core::ptr::null_mut(), 0, core::ptr::from_mut(of).cast(), size, seed) as u32 }
}

/// Answers with a reset or an ICMP message, within the pod's rate.
#[inline(always)]
pub fn refuse<P: Packet>(packet: &P, told: &Told<'_>, frame: &Frame, why: u8) -> Verdict {
    let inside = told.inside;
    let echo = inside.protocol == ICMP && crate::icmp::is_echo(packet, inside);
    let answerable = (inside.has_ports() && (inside.protocol != TCP || inside.flags & RST == 0)) || echo;
    if inside.fragment == Piece::Later || !answerable {
        return told.drop(reason::DROPPED_UNANSWERABLE);
    }
    if !take(told.ifindex, BUCKET_REFUSE) {
        return told.drop(reason::DROPPED_RATE);
    }
    let code = if why == reason::REFUSED_INFRASTRUCTURE { PROHIBITED } else { PORT };
    if !packet.answer(frame, inside, code) {
        return told.drop(reason::DROPPED_UNANSWERABLE);
    }
    packet.set_mark(HANDLED_MARK);
    told.decide(why, Verdict::Redirect(told.ifindex))
}

/// Makes the packet its own answer.
#[inline(always)]
fn answer<P: Packet>(packet: &P, frame: *const Frame, inside: *const Inside, code: u32) -> u32 {
    let (Some(frame), Some(inside)) = (unsafe { (frame.as_ref(), inside.as_ref()) }) else {
        return 0;
    };
    u32::from(if inside.protocol == TCP { reset(packet, inside, frame) } else { unreachable(packet, inside, frame, code as u8) })
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn answer_xdp(context: *mut xdp_md, frame: *const Frame, inside: *const Inside, code: u32) -> u32 {
    answer(&Xdp(context), frame, inside, code)
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn answer_tcx(context: *mut __sk_buff, frame: *const Frame, inside: *const Inside, code: u32) -> u32 {
    answer(&Skb(context), frame, inside, code)
}

#[repr(C)]
struct Answer<T> {
    ip: Inner,
    body: T,
}

#[inline(always)]
fn ip_header(inside: &Inside, protocol: u8, total: u16) -> Inner {
    let mut ip = Inner {
        version_length: 0x45,
        service: 0,
        total: total.to_be(),
        id: 0,
        fragment: 0x4000u16.to_be(),
        ttl: 64,
        protocol,
        sum: 0,
        source: inside.destination,
        destination: inside.source,
    };
    ip.sum = folded(summed(&mut ip, 0));
    ip
}

/// RFC 9293, 3.10.7.1: the answer to a segment of a connection that does not exist.
#[inline(always)]
fn reset<P: Packet>(packet: &P, inside: &Inside, frame: &Frame) -> bool {
    #[repr(C)]
    struct Tcp {
        source_port: u16,
        destination_port: u16,
        sequence: u32,
        acknowledged: u32,
        offset: u8,
        flags: u8,
        window: u16,
        sum: u16,
        urgent: u16,
    }
    let mut tcp = Tcp { source_port: 0, destination_port: 0, sequence: 0, acknowledged: 0, offset: 0, flags: 0, window: 0, sum: 0, urgent: 0 };
    if !packet.load(inside.at, &mut tcp) {
        return false;
    }
    let header = inside.at - 14 + u32::from(tcp.offset >> 4) * 4;
    let length = u32::from(u16::from_be(frame.total)).wrapping_sub(header)
        + u32::from(inside.flags & SYN != 0)
        + u32::from(inside.flags & FIN != 0);
    let (sequence, acknowledged, flags) = if inside.flags & ACK != 0 {
        (tcp.acknowledged, 0, RST)
    } else {
        (0, u32::from_be(tcp.sequence).wrapping_add(length).to_be(), RST | ACK)
    };
    let mut answer = Answer {
        ip: ip_header(inside, TCP, 40),
        body: Tcp {
            source_port: inside.destination_port,
            destination_port: inside.source_port,
            sequence,
            acknowledged,
            offset: 0x50,
            flags,
            window: 0,
            sum: 0,
            urgent: 0,
        },
    };
    let mut pseudo = [answer.ip.source, answer.ip.destination, (u32::from(TCP) << 16 | 20).to_be()];
    let seed = summed(&mut pseudo, 0);
    answer.body.sum = folded(summed(&mut answer.body, seed));
    packet.resize(54) && crate::head::address(packet, frame.source_mac, frame.destination_mac) && packet.store(14, &answer)
}

/// RFC 792: destination unreachable, with the header and eight bytes of what was sent.
#[inline(always)]
fn unreachable<P: Packet>(packet: &P, inside: &Inside, frame: &Frame, code: u8) -> bool {
    #[repr(C)]
    struct Unreachable {
        kind: u8,
        code: u8,
        sum: u16,
        unused: u32,
        sent: Inner,
        body: [u32; 2],
    }
    let mut body = [0u32; 2];
    if !packet.load(inside.at, &mut body) {
        return false;
    }
    let mut message = Unreachable {
        kind: 3,
        code,
        sum: 0,
        unused: 0,
        sent: Inner {
            version_length: 0x45, // options are left out
            service: frame.service,
            total: frame.total,
            id: frame.id,
            fragment: frame.fragment,
            ttl: frame.ttl,
            protocol: frame.protocol,
            sum: frame.sum,
            source: frame.source,
            destination: frame.destination,
        },
        body,
    };
    message.sum = folded(summed(&mut message, 0));
    let answer = Answer { ip: ip_header(inside, ICMP, 56), body: message };
    packet.resize(70) && crate::head::address(packet, frame.source_mac, frame.destination_mac) && packet.store(14, &answer)
}
