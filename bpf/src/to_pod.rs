//! What a pod receives from its network.

use crate::{
    abi::{BUCKET_FRAGMENT, FLOW_DIRECT, FLOW_NETWORK, Fragment, FragmentKey, HANDLED_MARK, HOOK_TO_POD, ICMP, REVERSE, reason},
    flow,
    head::{ARP, Ends, Frame, IPV4, Inside, Piece, read, rewrite},
    icmp,
    maps::{FRAGMENTS, PODS_MAP},
    packet::{Packet, Verdict},
    tally::{Told, drop, drop_unread, take},
};

#[inline(always)]
pub fn to_pod<P: Packet>(packet: &P) -> Verdict {
    if packet.mark() == HANDLED_MARK {
        packet.set_mark(0);
        return Verdict::Pass;
    }
    let ifindex = packet.ifindex();
    let Some(pod) = (unsafe { PODS_MAP.get(ifindex) }) else {
        return drop(reason::DROPPED_UNKNOWN_POD);
    };
    let mut frame = Frame::NOTHING;
    if !packet.load(0, &mut frame) {
        return drop_unread(reason::DROPPED_MALFORMED, pod, ifindex, HOOK_TO_POD, &frame);
    }
    if frame.kind == ARP {
        return Verdict::Pass;
    }
    let mut inside = Inside::NOTHING;
    if frame.kind != IPV4 {
        return drop_unread(reason::DROPPED_PROTOCOL, pod, ifindex, HOOK_TO_POD, &frame);
    }
    if !read(packet, &frame, &mut inside) {
        return drop_unread(reason::DROPPED_MALFORMED, pod, ifindex, HOOK_TO_POD, &frame);
    }
    let told = Told { ifindex, hook: HOOK_TO_POD, pod, inside: &inside };
    let fragment_key = FragmentKey {
        ifindex,
        source: inside.source,
        destination: inside.destination,
        id: inside.id,
        protocol: inside.protocol,
        direction: REVERSE,
    };
    if inside.fragment == Piece::Later {
        let Some(found) = FRAGMENTS.get_ptr_mut(fragment_key).map(|found| unsafe { *found }) else {
            return told.decide(reason::PASSED, Verdict::Pass);
        };
        let ends = Ends { source: found.source, destination: found.destination, source_port: 0, destination_port: 0 };
        if !rewrite(packet, &inside, &ends) {
            return told.drop(reason::DROPPED_MALFORMED);
        }
        return told.decide(reason::TRANSLATED_BACK, Verdict::Pass);
    }
    if inside.protocol == ICMP {
        return icmp::to_pod(packet, &told).unwrap_or_else(|| told.decide(reason::PASSED, Verdict::Pass));
    }
    if !inside.has_ports() || inside.destination != pod.ip {
        return told.decide(reason::PASSED, Verdict::Pass);
    }
    let key = flow::key(ifindex, REVERSE, inside.protocol, inside.source, inside.source_port, inside.destination_port);
    let Some(found) = flow::find(&key) else {
        return told.decide(reason::PASSED, Verdict::Pass);
    };
    if found.kind != FLOW_NETWORK && found.kind != FLOW_DIRECT {
        return told.decide(reason::PASSED, Verdict::Pass);
    }
    flow::touch(found, &inside);
    if found.kind == FLOW_DIRECT && found.local_port == inside.destination_port {
        return told.decide(reason::PASSED, Verdict::Pass);
    }
    let ends = Ends {
        source: found.remote,
        destination: inside.destination,
        source_port: found.remote_port,
        destination_port: found.local_port,
    };
    if inside.fragment == Piece::First {
        if !take(ifindex, BUCKET_FRAGMENT) {
            return told.drop(reason::DROPPED_RATE);
        }
        let fragment = Fragment { source: ends.source, destination: ends.destination, kind: found.kind, pad: [0; 3] };
        let _ = FRAGMENTS.insert(fragment_key, fragment, 0);
    }
    if !rewrite(packet, &inside, &ends) {
        return told.drop(reason::DROPPED_MALFORMED);
    }
    told.translated(reason::TRANSLATED_BACK, Verdict::Pass, ends.source, ends.source_port, ends.destination_port)
}
