//! What a pod sends.

use crate::{
    abi::{
        BUCKET_DNS, BUCKET_FRAGMENT, BUCKET_HOST, FLOW_DIRECT, FLOW_HAIRPIN, FLOW_HOST, FLOW_NETWORK, FORWARD, Flow, Fragment, FragmentKey,
        HAIRPIN, HOOK_FROM_POD, HostFlowKey, ICMP, Pod, REVERSE, SCTP, SERVICE_HOST, Service, ServiceKey, Settings, TCP, UDP, reason,
    },
    flow,
    head::{ARP, Ends, Frame, IPV4, Piece, RST, address, frame, inside, rewrite},
    icmp,
    maps::{FRAGMENTS, HOST_FLOWS, INFRASTRUCTURE, NETWORKS, PERMITTED, PODS_MAP, SERVICE_CIDRS, SERVICES},
    packet::{Packet, Verdict},
    refuse::{self, refuse},
    tally::{Told, drop, now, settings, take},
};
use aya_ebpf::maps::lpm_trie::Key;

/// 169.254.0.0/16, as it is in a packet.
const LINK_LOCAL: u32 = u32::from_ne_bytes([169, 254, 0, 0]);
const LINK_LOCAL_MASK: u32 = u32::from_ne_bytes([255, 255, 0, 0]);
const DNS_PORT: u16 = 53u16.to_be();
/// How long after kubelet's last packet a pod may answer.
const ANSWER_TIME: u64 = 120_000_000_000;

#[inline(always)]
pub fn from_pod<P: Packet>(packet: &P) -> Verdict {
    let ifindex = packet.ifindex();
    let (Some(pod), Some(settings)) = (unsafe { PODS_MAP.get(ifindex) }, settings()) else {
        return drop(reason::DROPPED_UNKNOWN_POD);
    };
    let Some(frame) = frame(packet) else {
        return drop(reason::DROPPED_MALFORMED);
    };
    if packet.tagged() {
        return drop(reason::DROPPED_PROTOCOL);
    }
    if frame.source_mac != pod.mac {
        return drop(reason::DROPPED_SPOOFED_MAC);
    }
    if frame.kind == ARP {
        return arp(packet, pod);
    }
    if frame.kind != IPV4 {
        return drop(reason::DROPPED_PROTOCOL);
    }
    if frame.source != pod.ip {
        return drop(reason::DROPPED_SPOOFED_IP);
    }
    let Some(inside) = inside(packet, &frame) else {
        return drop(reason::DROPPED_MALFORMED);
    };
    let told = Told { ifindex, hook: HOOK_FROM_POD, pod, inside: &inside };
    let from = From { packet, settings, frame: &frame, told: &told };
    from.route()
}

/// Only messages in the pod's own name pass: its MAC address with its IP address, or with none while it asks whether somebody has it
/// (RFC 5227).
#[inline(always)]
fn arp<P: Packet>(packet: &P, pod: &Pod) -> Verdict {
    #[repr(C)]
    struct Message {
        hardware: u16,
        protocol: u16,
        lengths: u16,
        operation: u16,
        sender_mac: [u8; 6],
        sender_ip: [u8; 4],
    }
    let mut message = Message { hardware: 0, protocol: 0, lengths: 0, operation: 0, sender_mac: [0; 6], sender_ip: [0; 4] };
    if !packet.load(14, &mut message) || packet.len() < 42 {
        return drop(reason::DROPPED_MALFORMED);
    }
    if message.hardware != 1u16.to_be() || message.protocol != IPV4 || message.lengths != 0x0604u16.to_be() {
        return drop(reason::DROPPED_PROTOCOL);
    }
    let sender = u32::from_ne_bytes(message.sender_ip);
    if message.sender_mac != pod.mac || (sender != pod.ip && (sender != 0 || message.operation != 1u16.to_be())) {
        return drop(reason::DROPPED_SPOOFED_ARP);
    }
    crate::tally::count(reason::PASSED);
    Verdict::Pass
}

struct From<'a, P> {
    packet: &'a P,
    settings: &'a Settings,
    frame: &'a Frame,
    told: &'a Told<'a>,
}

impl<P: Packet> From<'_, P> {
    #[inline(always)]
    fn route(&self) -> Verdict {
        let inside = self.told.inside;
        if inside.fragment == Piece::Later {
            return self.later_fragment();
        }
        if inside.destination & LINK_LOCAL_MASK == LINK_LOCAL {
            return self.link_local();
        }
        if inside.has_ports() {
            return self.flow();
        }
        if inside.protocol == ICMP && let Some(verdict) = icmp::from_pod(self.packet, self.told) {
            return verdict;
        }
        if is_service_address(inside.destination) {
            return self.told.drop(reason::DROPPED_UNANSWERABLE);
        }
        self.direct()
    }

    #[inline(always)]
    fn flow(&self) -> Verdict {
        let (told, inside) = (self.told, self.told.inside);
        let forward = flow::key(told.ifindex, FORWARD, inside.protocol, inside.destination, inside.destination_port, inside.source_port);
        let service_key = ServiceKey {
            network: told.pod.network,
            vip: inside.destination,
            port: inside.destination_port,
            protocol: inside.protocol,
            pad: 0,
        };
        if let Some(found) = flow::find(&forward) {
            if found.kind == FLOW_DIRECT || !inside.opens() {
                flow::touch(found, inside);
                return self.translate(found);
            }
            let service = unsafe { SERVICES.get(service_key) };
            if service.is_some_and(|service| flow::holds(&forward, found, inside, service)) {
                flow::touch(found, inside);
                return self.translate(found);
            }
            flow::remove(&forward, found);
        }
        if let Some(service) = unsafe { SERVICES.get(service_key) } {
            return self.begin(&forward, service);
        }
        if is_service_address(inside.destination) {
            let synced = unsafe { NETWORKS.get(told.pod.network) }.is_some_and(|network| network.synced != 0);
            if !synced {
                return told.drop(reason::DROPPED_NOT_SYNCED);
            }
            return self.refuse(reason::REFUSED_NO_SERVICE, refuse::PORT);
        }
        self.direct()
    }

    /// A new flow to a service.
    #[inline(always)]
    fn begin(&self, forward: &crate::abi::FlowKey, service: &Service) -> Verdict {
        let (told, inside) = (self.told, self.told.inside);
        if inside.protocol == TCP && inside.flags & RST != 0 {
            return told.drop(reason::DROPPED_RACE); // of a connection that nobody knows
        }
        let host = service.flags & SERVICE_HOST != 0;
        if host && inside.protocol != UDP && !take(told.ifindex, BUCKET_HOST) {
            return told.drop(reason::DROPPED_RATE);
        }
        let (slot, backend) = match flow::choose(told.pod, forward, service) {
            Ok(chosen) => chosen,
            Err(reason::REFUSED_NO_BACKEND) => return self.refuse(reason::REFUSED_NO_BACKEND, refuse::PORT),
            Err(other) => return told.drop(other),
        };
        if !host && is_infrastructure(backend.ip) {
            return self.refuse(reason::REFUSED_INFRASTRUCTURE, refuse::PROHIBITED);
        }
        if inside.protocol == SCTP && backend.port != inside.destination_port {
            return self.refuse(reason::REFUSED_NO_BACKEND, refuse::PORT);
        }
        match flow::enter(told.pod, forward, service, slot, backend) {
            Ok(mut flow) => {
                if let Some(entered) = flow::find(forward) {
                    flow::touch(entered, inside);
                    flow = *entered;
                }
                self.translate(&flow)
            }
            Err(other) => told.drop(other),
        }
    }

    /// Gives the packet the ends that its flow says.
    #[inline(always)]
    fn translate(&self, flow: &Flow) -> Verdict {
        let (told, inside) = (self.told, self.told.inside);
        if flow.kind == FLOW_HOST && inside.protocol == UDP && inside.destination_port == DNS_PORT && !take(told.ifindex, BUCKET_DNS) {
            return told.drop(reason::DROPPED_RATE);
        }
        let ends = Ends {
            source: match flow.kind {
                FLOW_HOST => told.pod.alias,
                FLOW_HAIRPIN => self.settings.hairpin_address,
                _ => inside.source,
            },
            destination: flow.remote,
            source_port: flow.local_port,
            destination_port: flow.remote_port,
        };
        if inside.fragment == Piece::First {
            if !take(told.ifindex, BUCKET_FRAGMENT) {
                return told.drop(reason::DROPPED_RATE);
            }
            let fragment = Fragment { source: ends.source, destination: ends.destination, kind: flow.kind, pad: [0; 3] };
            let _ = FRAGMENTS.insert(self.fragment_key(), fragment, 0);
        }
        if !rewrite(self.packet, inside, &ends) {
            return told.drop(reason::DROPPED_MALFORMED);
        }
        let (why, verdict) = self.send(flow.kind);
        told.translated(why, verdict, flow.remote, flow.remote_port, flow.local_port)
    }

    /// Sends a translated packet where its kind of flow goes.
    #[inline(always)]
    fn send(&self, kind: u8) -> (u8, Verdict) {
        match kind {
            FLOW_HOST => (reason::TO_HOST, self.to_host()),
            FLOW_HAIRPIN => (reason::HAIRPINNED, self.to_itself()),
            FLOW_NETWORK => (reason::TRANSLATED, Verdict::Pass),
            _ => (reason::PASSED, Verdict::Pass),
        }
    }

    #[inline(always)]
    fn to_host(&self) -> Verdict {
        if self.settings.far_ifindex == 0 || !address(self.packet, self.settings.node_mac, self.settings.far_mac) {
            return Verdict::Drop;
        }
        Verdict::Redirect(self.settings.far_ifindex)
    }

    #[inline(always)]
    fn to_itself(&self) -> Verdict {
        if !address(self.packet, self.told.pod.mac, self.frame.destination_mac) {
            return Verdict::Drop;
        }
        self.packet.set_mark(crate::abi::HANDLED_MARK);
        Verdict::Redirect(self.told.ifindex)
    }

    /// To an address that is no service's.
    #[inline(always)]
    fn direct(&self) -> Verdict {
        let (told, inside) = (self.told, self.told.inside);
        if is_infrastructure(inside.destination) {
            return self.refuse(reason::REFUSED_INFRASTRUCTURE, refuse::PROHIBITED);
        }
        if !inside.has_ports() || inside.fragment == Piece::Later {
            return told.decide(reason::PASSED, Verdict::Pass);
        }
        let reverse = flow::key(told.ifindex, REVERSE, inside.protocol, inside.destination, inside.destination_port, inside.source_port);
        match flow::find(&reverse) {
            Some(found) if found.kind == FLOW_DIRECT && found.local_port == inside.source_port => flow::touch(found, inside),
            // Answers would be taken for those of a flow that was given this port, or goes through a service: another tells them apart.
            Some(_) if inside.opens() && inside.protocol != SCTP => {
                let forward = crate::abi::FlowKey { direction: FORWARD, ..reverse };
                return match flow::sidestep(told.pod, &forward) {
                    Ok(flow) => self.translate(&flow),
                    Err(other) => told.drop(other),
                };
            }
            None if inside.opens() => flow::note(told.pod, &reverse),
            _ => {}
        }
        told.decide(reason::PASSED, Verdict::Pass)
    }

    /// The link's addresses. Of the node, a pod reaches by them only who asked it something.
    #[inline(always)]
    fn link_local(&self) -> Verdict {
        let (told, inside) = (self.told, self.told.inside);
        if inside.destination == self.settings.hairpin_address && inside.has_ports() {
            let key = flow::key(told.ifindex, HAIRPIN, inside.protocol, 0, inside.destination_port, inside.source_port);
            let Some(found) = flow::find(&key) else {
                return told.drop(reason::DROPPED_NOT_ASKED);
            };
            flow::touch(found, inside);
            let ends = Ends { source: found.remote, destination: told.pod.ip, source_port: found.remote_port, destination_port: found.local_port };
            if inside.fragment == Piece::First {
                let fragment = Fragment { source: ends.source, destination: ends.destination, kind: FLOW_HAIRPIN, pad: [0; 3] };
                let _ = FRAGMENTS.insert(self.fragment_key(), fragment, 0);
            }
            if !rewrite(self.packet, inside, &ends) {
                return told.drop(reason::DROPPED_MALFORMED);
            }
            return told.translated(reason::HAIRPINNED, self.to_itself(), ends.source, ends.source_port, ends.destination_port);
        }
        if inside.destination == self.settings.link_address && self.answers_kubelet() {
            return told.decide(reason::PROBE_ANSWER, self.to_host());
        }
        self.refuse(reason::REFUSED_INFRASTRUCTURE, refuse::PROHIBITED)
    }

    #[inline(always)]
    fn answers_kubelet(&self) -> bool {
        let inside = self.told.inside;
        let (host_port, pod_port) = match inside.protocol {
            TCP if !inside.opens() => (inside.destination_port, inside.source_port),
            ICMP => match icmp::echo_answer(self.packet, inside) {
                Some(identifier) => (identifier, 0),
                None => return false,
            },
            _ => return false,
        };
        let key = HostFlowKey { ifindex: self.told.ifindex, host_port, pod_port, protocol: inside.protocol, pad: [0; 3] };
        inside.fragment == Piece::Whole
            && HOST_FLOWS.get_ptr_mut(key).is_some_and(|seen| now().wrapping_sub(unsafe { *seen }) < ANSWER_TIME)
    }

    #[inline(always)]
    fn fragment_key(&self) -> FragmentKey {
        let inside = self.told.inside;
        FragmentKey {
            ifindex: self.told.ifindex,
            source: inside.source,
            destination: inside.destination,
            id: inside.id,
            protocol: inside.protocol,
            direction: FORWARD,
        }
    }

    /// A piece without ports: it goes where the first one went.
    #[inline(always)]
    fn later_fragment(&self) -> Verdict {
        let (told, inside) = (self.told, self.told.inside);
        if let Some(found) = FRAGMENTS.get_ptr_mut(self.fragment_key()).map(|found| unsafe { *found }) {
            let ends = Ends { source: found.source, destination: found.destination, source_port: 0, destination_port: 0 };
            if !rewrite(self.packet, inside, &ends) {
                return told.drop(reason::DROPPED_MALFORMED);
            }
            let (why, verdict) = self.send(found.kind);
            return told.decide(why, verdict);
        }
        if inside.destination & LINK_LOCAL_MASK == LINK_LOCAL || is_service_address(inside.destination) {
            return told.drop(reason::DROPPED_FRAGMENT);
        }
        self.direct()
    }

    #[inline(always)]
    fn refuse(&self, why: u8, code: u8) -> Verdict {
        refuse(self.packet, self.told, self.frame, why, code)
    }
}

#[inline(always)]
fn is_service_address(address: u32) -> bool {
    SERVICE_CIDRS.get(Key::new(32, address)).is_some()
}

/// An address that no pod may reach: the link's always, others as they are set.
#[inline(always)]
fn is_infrastructure(address: u32) -> bool {
    address & LINK_LOCAL_MASK == LINK_LOCAL
        || (INFRASTRUCTURE.get(Key::new(32, address)).is_some() && PERMITTED.get(Key::new(32, address)).is_none())
}
