//! The flow table: what a packet becomes, and back.

use crate::{
    abi::{
        Affinity, AffinityKey, Backend, BackendKey, FLOW_DIRECT, FLOW_HAIRPIN, FLOW_HOST, FLOW_NETWORK, Flow, FlowKey, HAIRPIN, POD_NODE,
        Pod, QUESTION, REVERSE, SEEN_DATA, SEEN_FIN, SEEN_RESET, SERVICE_DNS, SERVICE_HOST, Service, ServiceKey, reason,
    },
    from_pod::is_infrastructure,
    head::{FIN, Inside, RST, SYN},
    maps::{AFFINITY, BACKENDS, FLOWS_MAP, SERVICES},
    tally::{added, may_remember, now, remembering, since, within_quota},
};

const ANY: u64 = 0;
const NO_EXIST: u64 = 1;
/// Idle time after which a datagram is taken for a new flow; user space removes it about then, or before.
const IDLE: u64 = 180_000_000_000;
/// Ports that are tried when the pod's own would make two flows one.
const TRIES: u32 = 8;
/// Backends among which the one of a client or a flow is looked for when it is not where it was.
const SCANNED: u32 = 64;

#[inline(always)]
pub fn key(ifindex: u32, direction: u8, protocol: u8, remote: u32, remote_port: u16, local_port: u16) -> FlowKey {
    FlowKey { ifindex, remote, remote_port, local_port, protocol, direction, pad: 0 }
}

#[inline(always)]
pub fn find(key: &FlowKey) -> Option<&'static mut Flow> {
    FLOWS_MAP.get_ptr_mut(key).map(|flow| unsafe { &mut *flow })
}

/// Notes that a packet of the flow came by.
#[inline(always)]
pub fn touch(flow: &mut Flow, inside: &Inside) {
    flow.seen = now();
    let mut state = flow.state;
    if !inside.connects() {
        state |= SEEN_DATA;
    } else {
        if inside.flags & SYN == 0 {
            state |= SEEN_DATA;
        }
        if inside.flags & FIN != 0 {
            state |= SEEN_FIN;
        }
        if inside.flags & RST != 0 {
            state |= SEEN_RESET;
        }
    }
    if state != flow.state {
        flow.state = state;
    }
}

/// Key of the entry that the other direction of a flow from the pod has.
#[inline(always)]
pub fn back(key_: &FlowKey, flow: &Flow) -> FlowKey {
    if flow.kind == FLOW_HAIRPIN {
        key(key_.ifindex, HAIRPIN, key_.protocol, 0, flow.local_port, flow.remote_port)
    } else {
        key(key_.ifindex, REVERSE, key_.protocol, flow.remote, flow.remote_port, flow.local_port)
    }
}

/// Whether a packet that may open a flow belongs to the one that is there: to a backend that the service still has, and not after its end.
#[inline(always)]
pub fn holds(key: &FlowKey, flow: &mut Flow, inside: &Inside, service: &Service) -> bool {
    let ended = if inside.connects() {
        // A SYN after anything else is a new connection from an old port; one that only a reset answered may be a repetition.
        flow.state != 0 || find(&back(key, flow)).is_some_and(|back| back.state & SEEN_RESET != 0)
    } else {
        since(flow.seen) > IDLE
    };
    if ended || flow.service != service.id {
        return false;
    }
    if flow.generation == service.generation {
        return true;
    }
    let slot = slot_of(service.id, service.backends, flow.slot, flow.remote, flow.remote_port.into());
    if slot == NOWHERE {
        return false;
    }
    flow.slot = slot;
    flow.generation = service.generation;
    true
}

/// Removes a flow and its other direction.
#[inline(always)]
pub fn remove(forward: &FlowKey, flow: &Flow) {
    remove_pair(forward, flow);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn remove_pair(forward: *const FlowKey, flow: *const Flow) -> u32 {
    let (Some(forward), Some(flow)) = (unsafe { (forward.as_ref(), flow.as_ref()) }) else {
        return 0;
    };
    let back = back(forward, flow);
    let own = find(&back).is_some_and(|found| found.remote == forward.remote && found.remote_port == forward.remote_port && found.local_port == forward.local_port);
    let weight = i64::from(flow.weight);
    let mut removed = 0;
    if own && FLOWS_MAP.remove(back).is_ok() {
        removed += 1;
    }
    if FLOWS_MAP.remove(forward).is_ok() {
        removed += 1;
    }
    added(forward.ifindex, -removed * weight);
    removed as u32
}

/// A well mixed number from a flow's ends: the same for the same flow, whoever asks and whenever, so that a connection whose entry was lost
/// finds the backend that it had.
#[inline(always)]
pub fn mixed(ip: u32, key: &FlowKey) -> u32 {
    let mut h = ip ^ key.remote.rotate_left(13) ^ (u32::from(key.remote_port) | u32::from(key.local_port) << 16).rotate_left(5) ^ u32::from(key.protocol);
    h = h.wrapping_mul(0xcc9e_2d51);
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

#[inline(always)]
fn backend(service: u32, slot: u32) -> Option<Backend> {
    unsafe { BACKENDS.get(BackendKey { service, slot }) }.copied()
}

/// What [`slot_of`] says of a backend that is gone.
const NOWHERE: u32 = u32::MAX;

/// The slot of a backend: the one that it had, or the one that it moved to when another went.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn slot_of(service: u32, backends: u32, before: u32, ip: u32, port: u32) -> u32 {
    let has_it = |slot: u32| backend(service, slot).is_some_and(|found| found.ip == ip && u32::from(found.port) == port);
    if before < backends && has_it(before) {
        return before;
    }
    for slot in 0..SCANNED {
        if slot >= backends {
            break;
        }
        if has_it(slot) {
            return slot;
        }
    }
    NOWHERE
}

/// The backend that the client has been given before, if it is still there.
#[inline(always)]
fn remembered(ifindex: u32, service: &Service) -> Option<u32> {
    let known = AFFINITY.get_ptr_mut(AffinityKey { ifindex, service: service.id }).map(|known| unsafe { &mut *known })?;
    if since(known.seen) > u64::from(service.affinity) * 1_000_000_000 {
        return None;
    }
    let wanted = known.backend;
    let slot = slot_of(service.id, service.backends, known.slot, wanted.ip, wanted.port.into());
    if slot == NOWHERE {
        return None;
    }
    known.slot = slot;
    known.timeout = service.affinity;
    known.seen = now();
    Some(slot)
}

/// The slot that a flow's hash leads to, and its backend, if it is still there.
#[inline(always)]
fn hashed(hash: u32, service: &Service) -> Option<(u32, Backend)> {
    let slot = ((u64::from(hash) * u64::from(service.backends)) >> 32) as u32;
    Some((slot, backend(service.id, slot)?))
}

/// Chooses a backend: its slot and itself, or why there is none.
#[inline(always)]
fn choose(pod: &Pod, forward: &FlowKey, service: &Service) -> Result<(u32, Backend), u8> {
    if service.backends == 0 {
        return Err(reason::REFUSED_NO_BACKEND);
    }
    let sticky = service.affinity > 0;
    let known = if sticky { remembered(forward.ifindex, service) } else { None };
    let key = AffinityKey { ifindex: forward.ifindex, service: service.id };
    let is_new = sticky && known.is_none() && AFFINITY.get_ptr_mut(key).is_none();
    let forgets = is_new && !may_remember(pod, forward.ifindex);
    let found = match known {
        Some(slot) => backend(service.id, slot).map(|backend| (slot, backend)),
        None => None,
    };
    let (slot, backend) = match found {
        Some(found) => found,
        None => {
            // A pod that has used up its share finds the same backend again without its port, while their number stays.
            let local_port = if forgets { 0 } else { forward.local_port };
            let hash = mixed(pod.ip, &FlowKey { local_port, ..*forward });
            match hashed(hash, service) {
                Some(found) => found,
                None => now_hashed(pod, forward, hash)?,
            }
        }
    };
    if sticky && known.is_none() && !forgets {
        let entry = Affinity { seen: now(), backend, slot, timeout: service.affinity };
        if AFFINITY.insert(key, entry, ANY).is_ok() && is_new {
            remembering(forward.ifindex);
        }
    }
    Ok((slot, backend))
}

/// The service lost backends after it was looked up, and with them the slot: it is looked up once more.
#[inline(always)]
fn now_hashed(pod: &Pod, forward: &FlowKey, hash: u32) -> Result<(u32, Backend), u8> {
    let key = ServiceKey { network: pod.network, vip: forward.remote, port: forward.remote_port, protocol: forward.protocol, pad: 0 };
    let service = unsafe { SERVICES.get(key) }.ok_or(reason::DROPPED_RACE)?;
    if service.backends == 0 {
        return Err(reason::REFUSED_NO_BACKEND);
    }
    hashed(hash, service).ok_or(reason::DROPPED_RACE)
}

/// What a global function says when there is no reason against it.
const DONE: u32 = 256;

/// A flow to a backend of the service, in both directions; or why there is none.
#[inline(always)]
pub fn begin(pod: &Pod, forward: &FlowKey, service: &Service) -> Result<Flow, u8> {
    let mut flow = direct(forward);
    match chosen_flow(pod, forward, service, &mut flow) {
        DONE => entered(pod, forward, flow),
        why => Err(why as u8),
    }
}

#[inline(always)]
fn entered(pod: &Pod, forward: &FlowKey, mut flow: Flow) -> Result<Flow, u8> {
    match enter_pair(pod, forward, &mut flow) {
        DONE => Ok(flow),
        why => Err(why as u8),
    }
}

/// The flow to a backend that is chosen for it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn chosen_flow(pod: *const Pod, forward: *const FlowKey, service: *const Service, flow: *mut Flow) -> u32 {
    let (Some(pod), Some(forward), Some(service), Some(flow)) =
        (unsafe { (pod.as_ref(), forward.as_ref(), service.as_ref(), flow.as_mut()) })
    else {
        return reason::DROPPED_RACE.into();
    };
    let (slot, backend) = match choose(pod, forward, service) {
        Ok(chosen) => chosen,
        Err(why) => return why.into(),
    };
    let host = service.flags & SERVICE_HOST != 0;
    if !host && is_infrastructure(backend.ip) {
        return reason::REFUSED_INFRASTRUCTURE.into();
    }
    *flow = Flow {
        seen: now(),
        remote: backend.ip,
        remote_port: backend.port,
        local_port: forward.local_port,
        service: service.id,
        slot,
        generation: service.generation,
        kind: if host {
            FLOW_HOST
        } else if backend.ip == pod.ip {
            FLOW_HAIRPIN
        } else {
            FLOW_NETWORK
        },
        state: if service.flags & SERVICE_DNS != 0 { QUESTION } else { 0 },
        // Through the node's own port come what the node does itself, and what has counted at a pod.
        weight: if pod.flags & POD_NODE != 0 { 1 } else { service.weight },
    };
    DONE
}

/// A flow that no service changes.
#[inline(always)]
fn direct(key: &FlowKey) -> Flow {
    Flow {
        seen: now(),
        remote: key.remote,
        remote_port: key.remote_port,
        local_port: key.local_port,
        service: 0,
        slot: 0,
        generation: 0,
        kind: FLOW_DIRECT,
        state: 0,
        weight: 1,
    }
}

/// Enters a flow that no service changes, but whose tuple a flow through a service has.
#[inline(always)]
pub fn sidestep(pod: &Pod, forward: &FlowKey) -> Result<Flow, u8> {
    entered(pod, forward, direct(forward))
}

/// Enters a flow in both directions. The pod's port is changed if it would make the answers of two flows look the same.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn enter_pair(pod: *const Pod, forward: *const FlowKey, flow: *mut Flow) -> u32 {
    let (Some(pod), Some(forward), Some(flow)) = (unsafe { (pod.as_ref(), forward.as_ref(), flow.as_mut()) }) else {
        return reason::DROPPED_RACE.into();
    };
    let weight = i64::from(flow.weight);
    if !within_quota(pod, forward.ifindex, 2 * u64::from(flow.weight), 2) {
        return reason::DROPPED_QUOTA.into();
    }
    let seed = mixed(pod.ip, forward);
    let reverse = Flow { remote: forward.remote, remote_port: forward.remote_port, local_port: forward.local_port, ..*flow };
    let mut entries = 0;
    let mut entered = false;
    let mut key; // one for all tries: each would have its own place on the stack
    for attempt in 0..=TRIES {
        if attempt > 0 {
            // 1024 to 65535, as services never listen for answers below.
            let port = 1024 + (seed.wrapping_add(attempt.wrapping_mul(0x9e37_79b9)) >> 8) % 64512;
            flow.local_port = (port as u16).to_be();
        }
        key = back(forward, flow);
        if FLOWS_MAP.insert(&key, &reverse, NO_EXIST).is_ok() {
            entries = 1;
            entered = true;
            break;
        }
        // What is left of a flow between the same ends may be taken over.
        let own = find(&key).is_some_and(|found| {
            found.kind == flow.kind && found.weight == flow.weight && found.remote == forward.remote && found.remote_port == forward.remote_port && found.local_port == forward.local_port
        });
        if own && flow.kind != FLOW_DIRECT {
            entered = FLOWS_MAP.insert(&key, &reverse, ANY).is_ok();
            break;
        }
    }
    if !entered {
        return reason::DROPPED_CONFLICT.into();
    }
    let mut why = DONE;
    if FLOWS_MAP.insert(forward, &*flow, NO_EXIST).is_ok() {
        entries += 1;
    } else if FLOWS_MAP.insert(forward, &*flow, ANY).is_err() {
        why = reason::DROPPED_QUOTA.into();
    }
    added(forward.ifindex, entries * weight);
    why
}

/// Notes a flow that no service changes. If there is no room for it, it goes unnoted: it works all the same.
#[inline(always)]
pub fn note(pod: &Pod, key: &FlowKey) {
    note_flow(pod, key);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn note_flow(pod: *const Pod, key: *const FlowKey) -> u32 {
    let (Some(pod), Some(key)) = (unsafe { (pod.as_ref(), key.as_ref()) }) else {
        return 0;
    };
    if within_quota(pod, key.ifindex, 1, 1) && FLOWS_MAP.insert(key, direct(key), NO_EXIST).is_ok() {
        added(key.ifindex, 1);
        return 1;
    }
    0
}
