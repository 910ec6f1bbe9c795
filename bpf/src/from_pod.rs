//! What a pod sends.

use crate::{
    abi::{
        BUCKET_DNS, BUCKET_FRAGMENT, BUCKET_HOST, FLOW_DIRECT, FLOW_HAIRPIN, FLOW_HOST, FLOW_NETWORK, FORWARD, Flow, FlowKey, Fragment,
        FragmentKey, HAIRPIN, HOOK_FROM_POD, HostFlowKey, ICMP, POD_NODE, Pod, QUESTION, REVERSE, SERVICE_DNS, SERVICE_HOST, Service,
        ServiceKey, Settings, TCP, reason,
    },
    flow,
    head::{ARP, Ends, Frame, IPV4, Inside, Piece, RST, address, read, rewrite},
    icmp::{self, About},
    maps::{FRAGMENTS, HOST_FLOWS, INFRASTRUCTURE, NETWORKS, PERMITTED, PODS_MAP, SERVICE_CIDRS, SERVICES},
    packet::{Packet, Verdict},
    refuse::refuse,
    tally::{Told, count, drop, drop_unread, settings, since, take},
};
use aya_ebpf::maps::lpm_trie::Key;

/// 169.254.0.0/16, as it is in a packet.
const LINK_LOCAL: u32 = u32::from_ne_bytes([169, 254, 0, 0]);
const LINK_LOCAL_MASK: u32 = u32::from_ne_bytes([255, 255, 0, 0]);
/// How long after kubelet's last packet a pod may answer.
const ANSWER_TIME: u64 = 120_000_000_000;

#[inline(always)]
pub fn from_pod<P: Packet>(packet: &P) -> Verdict {
    let ifindex = packet.ifindex();
    let (Some(pod), Some(settings)) = (unsafe { PODS_MAP.get(ifindex) }, settings()) else {
        return drop(reason::DROPPED_UNKNOWN_POD);
    };
    let mut frame = Frame::NOTHING;
    let why = 'read: {
        if !packet.load(0, &mut frame) {
            break 'read reason::DROPPED_MALFORMED;
        }
        if packet.tagged() {
            break 'read reason::DROPPED_PROTOCOL;
        }
        if frame.source_mac != pod.mac {
            break 'read reason::DROPPED_SPOOFED_MAC;
        }
        if frame.kind == ARP {
            match arp(packet, pod) {
                reason::PASSED => {
                    count(reason::PASSED);
                    return Verdict::Pass;
                }
                why => break 'read why,
            }
        }
        if frame.kind != IPV4 {
            break 'read reason::DROPPED_PROTOCOL;
        }
        if frame.source != pod.ip {
            break 'read reason::DROPPED_SPOOFED_IP;
        }
        let mut inside = Inside::NOTHING;
        if !read(packet, &frame, &mut inside) {
            break 'read reason::DROPPED_MALFORMED;
        }
        let told = Told { ifindex, hook: HOOK_FROM_POD, pod, inside: &inside };
        let from = From { packet, settings, frame: &frame, told: &told };
        return from.finish(from.route());
    };
    drop_unread(why, pod, ifindex, HOOK_FROM_POD, &frame)
}

/// Only messages in the pod's own name pass: its MAC address with its IP address, or with none while it asks whether somebody has it
/// (RFC 5227).
#[inline(always)]
fn arp<P: Packet>(packet: &P, pod: &Pod) -> u8 {
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
        return reason::DROPPED_MALFORMED;
    }
    if message.hardware != 1u16.to_be() || message.protocol != IPV4 || message.lengths != 0x0604u16.to_be() {
        return reason::DROPPED_PROTOCOL;
    }
    let sender = u32::from_ne_bytes(message.sender_ip);
    if message.sender_mac != pod.mac || (sender != pod.ip && (sender != 0 || message.operation != 1u16.to_be())) {
        return reason::DROPPED_SPOOFED_ARP;
    }
    reason::PASSED
}

struct From<'a, P> {
    packet: &'a P,
    settings: &'a Settings,
    frame: &'a Frame,
    told: &'a Told<'a>,
}

/// What is to be done with a packet. Each is done at one place, [`From::finish`], so that the verifier need not follow it from everywhere.
enum Next {
    /// Nothing but to say so.
    Decided(u8, Verdict),
    /// Answer with a refusal.
    Refuse(u8),
    /// Give it other ends, and send it where its kind of flow goes; `back` if it is an answer.
    Send { ends: Ends, kind: u8, back: bool },
    /// It is an ICMP error: make it one about the packet with the ends that this had when it was sent, and bring it to its sender.
    Report { about: About, sent: Ends, kind: u8 },
}

impl Next {
    #[inline(always)]
    fn drop(why: u8) -> Self {
        Self::Decided(why, Verdict::Drop)
    }
}

impl<P: Packet> From<'_, P> {
    #[inline(always)]
    fn finish(&self, next: Next) -> Verdict {
        match next {
            Next::Decided(why, verdict) => self.told.decide(why, verdict),
            Next::Refuse(why) => refuse(self.packet, self.told, self.frame, why),
            Next::Send { ends, kind, back } => self.send(&ends, kind, back),
            Next::Report { about, sent, kind } => self.report(&about, &sent, kind),
        }
    }

    #[inline(always)]
    fn route(&self) -> Next {
        let inside = self.told.inside;
        if inside.fragment == Piece::Later {
            return self.later_fragment();
        }
        if inside.protocol == ICMP && let Some(next) = self.error() {
            return next;
        }
        if inside.destination & LINK_LOCAL_MASK == LINK_LOCAL {
            return self.link_local();
        }
        if inside.has_ports() {
            return self.flow();
        }
        if is_service_address(inside.destination) {
            return Next::drop(reason::DROPPED_UNANSWERABLE);
        }
        self.direct()
    }

    #[inline(always)]
    fn flow(&self) -> Next {
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
            // Most packets need no look at the service.
            if found.kind == FLOW_DIRECT
                || !inside.opens()
                || unsafe { SERVICES.get(service_key) }.is_some_and(|service| flow::holds(&forward, found, inside, service))
            {
                if found.kind == FLOW_HOST && !self.may_ask_host(found.state & QUESTION != 0, false) {
                    return Next::drop(reason::DROPPED_RATE);
                }
                flow::touch(found, inside);
                return self.translated(found);
            }
            flow::remove(&forward, found);
        }
        if let Some(service) = unsafe { SERVICES.get(service_key) } {
            return self.begin(&forward, service);
        }
        if is_service_address(inside.destination) {
            let synced = unsafe { NETWORKS.get(told.pod.network) }.is_some_and(|network| network.synced != 0);
            if !synced {
                return Next::drop(reason::DROPPED_NOT_SYNCED);
            }
            return Next::Refuse(reason::REFUSED_NO_SERVICE);
        }
        self.direct()
    }

    /// A new flow to a service.
    #[inline(always)]
    fn begin(&self, forward: &FlowKey, service: &Service) -> Next {
        let (told, inside) = (self.told, self.told.inside);
        if inside.connects() && inside.flags & RST != 0 {
            return Next::drop(reason::DROPPED_RACE); // of a connection that nobody knows
        }
        // Before the flow is entered: a question too many is not to take room in the table.
        if service.flags & SERVICE_HOST != 0 && !self.may_ask_host(service.flags & SERVICE_DNS != 0, true) {
            return Next::drop(reason::DROPPED_RATE);
        }
        match flow::begin(told.pod, forward, service) {
            Ok(flow) => {
                if let Some(entered) = flow::find(forward) {
                    flow::touch(entered, inside);
                }
                self.translated(&flow)
            }
            Err(why @ (reason::REFUSED_NO_BACKEND | reason::REFUSED_INFRASTRUCTURE)) => Next::Refuse(why),
            Err(why) => Next::drop(why),
        }
    }

    /// Whether the pod's rates let the packet over the host link: each question to DNS counts, and each flow that begins. What comes by
    /// the node's own port is the node's, or was counted at a pod.
    #[inline(always)]
    fn may_ask_host(&self, question: bool, begins: bool) -> bool {
        let told = self.told;
        if question {
            return take(told.ifindex, BUCKET_DNS);
        }
        !begins || told.pod.flags & POD_NODE != 0 || take(told.ifindex, BUCKET_HOST)
    }

    /// The ends that its flow gives the packet.
    #[inline(always)]
    fn translated(&self, flow: &Flow) -> Next {
        let ends = Ends {
            source: match flow.kind {
                FLOW_HOST => self.told.pod.alias,
                FLOW_HAIRPIN => self.settings.hairpin_address,
                _ => self.told.inside.source,
            },
            destination: flow.remote,
            source_port: flow.local_port,
            destination_port: flow.remote_port,
        };
        Next::Send { ends, kind: flow.kind, back: false }
    }

    #[inline(always)]
    fn send(&self, ends: &Ends, kind: u8, back: bool) -> Verdict {
        let (told, inside) = (self.told, self.told.inside);
        if inside.fragment == Piece::First {
            // The node would keep each until the rest came, in a memory that all have in common.
            if kind == FLOW_HOST {
                return told.drop(reason::DROPPED_FRAGMENT);
            }
            if !take(told.ifindex, BUCKET_FRAGMENT) {
                return told.drop(reason::DROPPED_RATE);
            }
            let fragment = Fragment { source: ends.source, destination: ends.destination, kind, pad: [0; 3] };
            let _ = FRAGMENTS.insert(self.fragment_key(), fragment, 0);
        }
        if !rewrite(self.packet, inside, ends) {
            return told.drop(reason::DROPPED_MALFORMED);
        }
        let (why, verdict) = match kind {
            FLOW_HOST => (reason::TO_HOST, self.to_host()),
            FLOW_HAIRPIN => (reason::HAIRPINNED, self.to_itself()),
            FLOW_NETWORK => (reason::TRANSLATED, Verdict::Pass),
            _ => (reason::PASSED, Verdict::Pass),
        };
        if back {
            told.translated(why, verdict, ends.source, ends.source_port, ends.destination_port)
        } else {
            told.translated(why, verdict, ends.destination, ends.destination_port, ends.source_port)
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
    fn direct(&self) -> Next {
        let (told, inside) = (self.told, self.told.inside);
        if is_infrastructure(inside.destination) {
            return Next::Refuse(reason::REFUSED_INFRASTRUCTURE);
        }
        if !inside.has_ports() || inside.fragment == Piece::Later {
            return Next::Decided(reason::PASSED, Verdict::Pass);
        }
        let mut key = flow::key(told.ifindex, REVERSE, inside.protocol, inside.destination, inside.destination_port, inside.source_port);
        match flow::find(&key) {
            Some(found) if found.kind == FLOW_DIRECT && found.local_port == inside.source_port => flow::touch(found, inside),
            // Answers would be taken for those of a flow that was given this port, or goes through a service: another tells them apart.
            Some(_) if inside.opens() => {
                key.direction = FORWARD;
                return match flow::sidestep(told.pod, &key) {
                    Ok(flow) => self.translated(&flow),
                    Err(why) => Next::drop(why),
                };
            }
            None if inside.opens() => flow::note(told.pod, &key),
            _ => {}
        }
        Next::Decided(reason::PASSED, Verdict::Pass)
    }

    /// An ICMP error about a packet that was translated, or a probe, on its way to the pod. `None` if it is about no such packet.
    #[inline(always)]
    fn error(&self) -> Option<Next> {
        let (told, inside, settings) = (self.told, self.told.inside, self.settings);
        let about = icmp::about(self.packet, inside)?;
        let header = &about.header;
        if header.destination != told.pod.ip || inside.destination != header.source {
            return None;
        }
        if header.source == settings.link_address {
            let asked = self.was_asked_by_kubelet(header.protocol, about.source_port, about.destination_port);
            return asked.then(|| Next::Decided(reason::PROBE_ANSWER, self.to_host()));
        }
        let from_itself = header.source == settings.hairpin_address;
        let (direction, remote) = if from_itself { (HAIRPIN, 0) } else { (FORWARD, header.source) };
        let flow = flow::find(&flow::key(told.ifindex, direction, header.protocol, remote, about.source_port, about.destination_port))?;
        // A server elsewhere would narrow its path to the node's own address, which all pods of the node share.
        if flow.kind == FLOW_HOST {
            return Some(Next::drop(reason::DROPPED_UNANSWERABLE));
        }
        let (local, other) = ((told.pod.ip, flow.local_port), (flow.remote, flow.remote_port));
        let (from, to) = match (from_itself, flow.kind) {
            (true, _) => (local, other),
            (false, FLOW_HAIRPIN) => (other, (settings.hairpin_address, flow.local_port)),
            (false, _) => (other, local),
        };
        let sent = Ends { source: from.0, destination: to.0, source_port: from.1, destination_port: to.1 };
        Some(Next::Report { about, sent, kind: flow.kind })
    }

    #[inline(always)]
    fn report(&self, about: &About, sent: &Ends, kind: u8) -> Verdict {
        let (told, inside) = (self.told, self.told.inside);
        icmp::from_pod(self.packet, inside, about, sent);
        let (why, verdict) = match kind {
            FLOW_HAIRPIN => (reason::HAIRPINNED, self.to_itself()),
            _ => (reason::TRANSLATED, Verdict::Pass),
        };
        told.translated(why, verdict, sent.source, sent.source_port, sent.destination_port)
    }

    /// The link's addresses. Of the node, a pod reaches by them only who asked it something.
    #[inline(always)]
    fn link_local(&self) -> Next {
        let (told, inside) = (self.told, self.told.inside);
        if inside.destination == self.settings.hairpin_address && inside.has_ports() {
            let key = flow::key(told.ifindex, HAIRPIN, inside.protocol, 0, inside.destination_port, inside.source_port);
            let Some(found) = flow::find(&key) else {
                return Next::drop(reason::DROPPED_NOT_ASKED);
            };
            flow::touch(found, inside);
            let ends = Ends { source: found.remote, destination: told.pod.ip, source_port: found.remote_port, destination_port: found.local_port };
            return Next::Send { ends, kind: FLOW_HAIRPIN, back: true };
        }
        if inside.destination == self.settings.link_address && self.answers_kubelet() {
            return Next::Decided(reason::PROBE_ANSWER, self.to_host());
        }
        Next::Refuse(reason::REFUSED_INFRASTRUCTURE)
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
        inside.fragment == Piece::Whole && self.was_asked_by_kubelet(inside.protocol, host_port, pod_port)
    }

    #[inline(always)]
    fn was_asked_by_kubelet(&self, protocol: u8, host_port: u16, pod_port: u16) -> bool {
        let key = HostFlowKey { ifindex: self.told.ifindex, host_port, pod_port, protocol, pad: [0; 3] };
        HOST_FLOWS.get_ptr_mut(key).is_some_and(|seen| since(unsafe { *seen }) < ANSWER_TIME)
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
    fn later_fragment(&self) -> Next {
        let inside = self.told.inside;
        if let Some(found) = FRAGMENTS.get_ptr_mut(self.fragment_key()).map(|found| unsafe { *found }) {
            let ends = Ends { source: found.source, destination: found.destination, source_port: 0, destination_port: 0 };
            return Next::Send { ends, kind: found.kind, back: false };
        }
        if inside.destination & LINK_LOCAL_MASK == LINK_LOCAL || is_service_address(inside.destination) {
            return Next::drop(reason::DROPPED_FRAGMENT);
        }
        self.direct()
    }
}

#[inline(always)]
fn is_service_address(address: u32) -> bool {
    in_service_ranges(address) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn in_service_ranges(address: u32) -> u32 {
    u32::from(SERVICE_CIDRS.get(Key::new(32, address)).is_some())
}

/// An address that no pod may reach: the link's always, others as they are set.
#[inline(always)]
pub fn is_infrastructure(address: u32) -> bool {
    in_infrastructure(address) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn in_infrastructure(address: u32) -> u32 {
    u32::from(
        address & LINK_LOCAL_MASK == LINK_LOCAL
            || (INFRASTRUCTURE.get(Key::new(32, address)).is_some() && PERMITTED.get(Key::new(32, address)).is_none()),
    )
}
