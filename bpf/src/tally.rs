//! Counting decisions, and telling those who asked.
//!
//! What has a linker's name here and in other modules is a global function to the verifier: it looks at it once by itself, with any arguments
//! of its types, instead of at every call on every way to it. Pointers it takes for absent until they are tested.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;

use crate::{
    abi::{BUCKET_REFUSE, Bucket, Event, NODE_SHARE, POD_AFFINITIES, POD_NODE, POD_TRACED, Pod, Settings, Usage},
    head::{Frame, IPV4, Inside},
    maps::{COUNTERS, EVENTS, RELEASED, SETTINGS, USAGE},
    packet::Verdict,
};

/// Nanoseconds of the monotonic clock.
#[inline(always)]
pub fn now() -> u64 {
    unsafe { bpf_ktime_get_ns() }
}

/// Nanoseconds since then; none if another processor has noted a later time meanwhile.
#[inline(always)]
pub fn since(time: u64) -> u64 {
    now().saturating_sub(time)
}

#[inline(always)]
pub fn settings() -> Option<&'static Settings> {
    SETTINGS.get(0)
}

#[inline(always)]
pub fn count(reason: u8) {
    if let Some(counter) = COUNTERS.get_ptr_mut(u32::from(reason)) {
        unsafe { *counter += 1 };
    }
}

/// Counts a drop.
#[inline(always)]
pub fn drop(reason: u8) -> Verdict {
    count(reason);
    Verdict::Drop
}

/// Counts a drop of a packet that is not the pod's own or cannot be read, and tells a reader of this pod's decisions what the header says.
#[inline(always)]
pub fn drop_unread(reason: u8, pod: &Pod, ifindex: u32, hook: u8, frame: &Frame) -> Verdict {
    let mut inside = Inside::NOTHING;
    if frame.kind == IPV4 {
        (inside.source, inside.destination, inside.protocol) = (frame.source, frame.destination, frame.protocol);
    }
    Told { ifindex, hook, pod, inside: &inside }.drop(reason)
}

/// A packet's decision: whose, and what became of it.
pub struct Told<'a> {
    pub ifindex: u32,
    pub hook: u8,
    pub pod: &'a Pod,
    pub inside: &'a Inside,
}

impl Told<'_> {
    /// Counts, and tells a reader of this pod's decisions.
    #[inline(always)]
    pub fn decide(&self, reason: u8, verdict: Verdict) -> Verdict {
        self.translated(reason, verdict, 0, 0, 0)
    }

    #[inline(always)]
    pub fn drop(&self, reason: u8) -> Verdict {
        self.decide(reason, Verdict::Drop)
    }

    #[inline(always)]
    pub fn translated(&self, reason: u8, verdict: Verdict, remote: u32, remote_port: u16, local_port: u16) -> Verdict {
        count(reason);
        if self.pod.flags & POD_TRACED != 0 {
            let ports = u32::from(remote_port) << 16 | u32::from(local_port);
            tell(self.inside, self.ifindex, remote, ports, u32::from(self.hook) << 8 | u32::from(reason));
        }
        verdict
    }
}

/// Sends an event. `ports` are the remote and the local one, `what` the hook and the reason; five arguments are all that there can be.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tell(inside: *const Inside, ifindex: u32, remote: u32, ports: u32, what: u32) -> u32 {
    let Some(inside) = (unsafe { inside.as_ref() }) else {
        return 0;
    };
    let event = Event {
        time: now(),
        ifindex,
        source: inside.source,
        destination: inside.destination,
        source_port: inside.source_port,
        destination_port: inside.destination_port,
        remote,
        remote_port: (ports >> 16) as u16,
        local_port: ports as u16,
        protocol: inside.protocol,
        hook: (what >> 8) as u8,
        reason: what as u8,
        pad: [0; 5],
    };
    u32::from(EVENTS.output::<Event>(&event, 0).is_ok())
}

/// Takes one packet from a bucket of the pod. Two processors that take at once may both get the same one: the bound holds but for that.
#[inline(always)]
pub fn take(ifindex: u32, which: usize) -> bool {
    take_one(ifindex, which as u32) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn take_one(ifindex: u32, which: u32) -> u32 {
    u32::from(taken(ifindex, which as usize))
}

#[inline(always)]
fn taken(ifindex: u32, which: usize) -> bool {
    let (Some(settings), Some(usage)) = (settings(), USAGE.get_ptr_mut(ifindex)) else {
        return false;
    };
    const ONE: u64 = 1_000_000_000;
    let usage: &mut Usage = unsafe { &mut *usage };
    if which > BUCKET_REFUSE + 1 {
        return false;
    }
    let (rate, bucket): (_, &mut Bucket) = unsafe { (settings.rates.get_unchecked(which), usage.buckets.get_unchecked_mut(which)) };
    let time = now();
    let full = u64::from(rate.burst) * ONE;
    // Another processor may have written a later time since: nothing has been added then.
    let elapsed = time.saturating_sub(bucket.last);
    let mut tokens = if bucket.last == 0 || elapsed > 100 * ONE {
        full
    } else {
        bucket.tokens + elapsed * u64::from(rate.per_second)
    };
    if tokens > full {
        tokens = full;
    }
    if bucket.last < time {
        bucket.last = time;
    }
    let enough = tokens >= ONE;
    bucket.tokens = if enough { tokens - ONE } else { tokens };
    enough
}

/// Whether the pod may have entries that count `more` besides those it has, with so many halves of its quota.
#[inline(always)]
pub fn within_quota(pod: &Pod, ifindex: u32, more: u64, halves: u64) -> bool {
    has_room(ifindex, pod.flags, more, halves) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn has_room(ifindex: u32, flags: u32, more: u64, halves: u64) -> u32 {
    let (Some(settings), Some(usage)) = (settings(), USAGE.get_ptr_mut(ifindex)) else {
        return 0;
    };
    let released = unsafe { RELEASED.get(ifindex) }.map_or(0, |released| released.flows);
    let held = unsafe { (*usage).added }.wrapping_sub(released);
    // The two counters are read one after the other, so the difference can be below zero for a moment.
    let share = if flags & POD_NODE != 0 { NODE_SHARE } else { 1 };
    u32::from(held > u64::MAX / 2 || held + more <= u64::from(settings.flow_quota) * share * halves / 2)
}

/// Whether a backend may be remembered for the pod besides those that are.
#[inline(always)]
pub fn may_remember(pod: &Pod, ifindex: u32) -> bool {
    has_room_to_remember(ifindex, pod.flags) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn has_room_to_remember(ifindex: u32, flags: u32) -> u32 {
    let Some(usage) = USAGE.get_ptr_mut(ifindex) else {
        return 0;
    };
    let released = unsafe { RELEASED.get(ifindex) }.map_or(0, |released| released.affinities);
    let held = unsafe { (*usage).affinities }.wrapping_sub(released);
    let share = if flags & POD_NODE != 0 { NODE_SHARE } else { 1 };
    u32::from(held > u64::MAX / 2 || held < POD_AFFINITIES * share)
}

/// Counts a backend that is remembered.
#[inline(always)]
pub fn remembering(ifindex: u32) {
    if let Some(usage) = USAGE.get_ptr_mut(ifindex) {
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*usage).affinities, 1) };
    }
}

/// Counts what entries count that came (or, below zero, went).
#[inline(always)]
pub fn added(ifindex: u32, count: i64) {
    count_added(ifindex, count as u64);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn count_added(ifindex: u32, count: u64) -> u32 {
    if let Some(usage) = USAGE.get_ptr_mut(ifindex) {
        // The target has no compare-and-swap, so core leaves out the whole type AtomicU64; addition alone it has.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*usage).added, count) };
    }
    0
}
