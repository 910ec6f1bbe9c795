//! What the node sends over the host link: answers to what a pod asked, and kubelet's probes. Nothing else.

use crate::{
    abi::{
        FLOW_HOST, Fragment, FragmentKey, HANDLED_MARK, HOOK_FROM_HOST, HostFlowKey, ICMP, KUBELET_MARK, Pod, REVERSE, Settings, TCP, UDP, reason,
    },
    flow,
    head::{Ends, Frame, IPV4, Inside, Piece, address, read, rewrite},
    icmp,
    maps::{ADDRESSES, ALIASES, FRAGMENTS, HOST_FLOWS, PODS_MAP},
    packet::{Packet, Verdict},
    tally::{Told, drop, now, settings},
};

#[inline(always)]
pub fn from_host<P: Packet>(packet: &P) -> Verdict {
    let Some(settings) = settings() else {
        return drop(reason::DROPPED_MALFORMED);
    };
    let mut frame = Frame::NOTHING;
    if !packet.load(0, &mut frame) {
        return drop(reason::DROPPED_MALFORMED);
    }
    if frame.kind != IPV4 {
        return drop(reason::DROPPED_PROTOCOL);
    }
    let mut inside = Inside::NOTHING;
    if !read(packet, &frame, &mut inside) {
        return drop(reason::DROPPED_MALFORMED);
    }
    let aliased = inside.destination & settings.alias_mask == settings.alias_network;
    let index = if aliased { &ALIASES } else { &ADDRESSES };
    let Some(ifindex) = (unsafe { index.get(inside.destination) }).copied() else {
        return drop(reason::DROPPED_UNKNOWN_POD);
    };
    let Some(pod) = (unsafe { PODS_MAP.get(ifindex) }) else {
        return drop(reason::DROPPED_UNKNOWN_POD);
    };
    // Between two writes of an entry it may lead to a device that has another pod.
    if inside.destination != if aliased { pod.alias } else { pod.ip } {
        return drop(reason::DROPPED_UNKNOWN_POD);
    }
    let told = Told { ifindex, hook: HOOK_FROM_HOST, pod, inside: &inside };
    if aliased {
        let Some((why, remote)) = answer(packet, ifindex, pod, &inside) else {
            return told.drop(reason::DROPPED_NOT_KUBELET);
        };
        let verdict = deliver(packet, settings, ifindex, pod);
        return told.translated(why, verdict, remote, 0, 0);
    }
    if inside.source != settings.link_address || !is_probe(packet, ifindex, &inside) {
        return told.drop(reason::DROPPED_NOT_KUBELET);
    }
    told.decide(reason::PROBE, deliver(packet, settings, ifindex, pod))
}

#[inline(always)]
fn deliver<P: Packet>(packet: &P, settings: &Settings, ifindex: u32, pod: &Pod) -> Verdict {
    if !address(packet, pod.mac, settings.far_mac) {
        return Verdict::Drop;
    }
    packet.set_mark(HANDLED_MARK);
    Verdict::Redirect(ifindex)
}

/// Translates an answer to the pod back; `None` if the pod did not ask.
#[inline(always)]
fn answer<P: Packet>(packet: &P, ifindex: u32, pod: &Pod, inside: &Inside) -> Option<(u8, u32)> {
    let fragment_key = FragmentKey {
        ifindex,
        source: inside.source,
        destination: inside.destination,
        id: inside.id,
        protocol: inside.protocol,
        direction: REVERSE,
    };
    if inside.fragment == Piece::Later {
        let found = FRAGMENTS.get_ptr_mut(fragment_key).map(|found| unsafe { *found })?;
        let ends = Ends { source: found.source, destination: found.destination, source_port: 0, destination_port: 0 };
        return rewrite(packet, inside, &ends).then_some((reason::TRANSLATED_BACK, ends.source));
    }
    if inside.protocol == ICMP {
        return icmp::from_host(packet, ifindex, pod, inside).then_some((reason::TRANSLATED_BACK, 0));
    }
    if !matches!(inside.protocol, TCP | UDP) {
        return None;
    }
    let key = flow::key(ifindex, REVERSE, inside.protocol, inside.source, inside.source_port, inside.destination_port);
    let found = flow::find(&key)?;
    if found.kind != FLOW_HOST {
        return None;
    }
    flow::touch(found, inside);
    let ends = Ends { source: found.remote, destination: pod.ip, source_port: found.remote_port, destination_port: found.local_port };
    if inside.fragment == Piece::First {
        let fragment = Fragment { source: ends.source, destination: ends.destination, kind: FLOW_HOST, pad: [0; 3] };
        let _ = FRAGMENTS.insert(fragment_key, fragment, 0);
    }
    rewrite(packet, inside, &ends).then_some((reason::TRANSLATED_BACK, ends.source))
}

/// Whether kubelet sent it, or it belongs to what kubelet began: sockets lose their mark when only the kernel is left to end a connection.
#[inline(always)]
fn is_probe<P: Packet>(packet: &P, ifindex: u32, inside: &Inside) -> bool {
    let (host_port, pod_port) = match inside.protocol {
        TCP => (inside.source_port, inside.destination_port),
        ICMP => match icmp::echo_request(packet, inside) {
            Some(identifier) => (identifier, 0),
            None => return false,
        },
        _ => return false,
    };
    if inside.fragment != Piece::Whole {
        return false;
    }
    let key = HostFlowKey { ifindex, host_port, pod_port, protocol: inside.protocol, pad: [0; 3] };
    if packet.mark() == KUBELET_MARK {
        return HOST_FLOWS.insert(key, now(), 0).is_ok();
    }
    inside.protocol == TCP && !inside.opens() && HOST_FLOWS.get_ptr_mut(key).is_some()
}
