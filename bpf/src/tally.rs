//! Counting decisions, and telling those who asked.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;

use crate::{
    abi::{BUCKET_REFUSE, Bucket, Event, NODE_SHARE, POD_NODE, POD_TRACED, Pod, Settings, Usage},
    head::Inside,
    maps::{COUNTERS, EVENTS, RELEASED, SETTINGS, USAGE},
    packet::Verdict,
};

/// Nanoseconds of the monotonic clock.
#[inline(always)]
pub fn now() -> u64 {
    unsafe { bpf_ktime_get_ns() }
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
            let event = Event {
                time: now(),
                ifindex: self.ifindex,
                source: self.inside.source,
                destination: self.inside.destination,
                source_port: self.inside.source_port,
                destination_port: self.inside.destination_port,
                remote,
                remote_port,
                local_port,
                protocol: self.inside.protocol,
                hook: self.hook,
                reason,
                pad: [0; 5],
            };
            let _ = EVENTS.output::<Event>(&event, 0);
        }
        verdict
    }
}

/// Takes one packet from a bucket of the pod. Two processors that take at once may both get the last one: the bound holds but for that.
#[inline(always)]
pub fn take(ifindex: u32, which: usize) -> bool {
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
    let elapsed = time.wrapping_sub(bucket.last);
    let mut tokens = if bucket.last == 0 || elapsed > 100 * ONE {
        full
    } else {
        bucket.tokens + elapsed * u64::from(rate.per_second)
    };
    if tokens > full {
        tokens = full;
    }
    bucket.last = time;
    let enough = tokens >= ONE;
    bucket.tokens = if enough { tokens - ONE } else { tokens };
    enough
}

/// Whether the pod may have entries that count `more` besides those it has, with so many halves of its quota.
#[inline(always)]
pub fn within_quota(pod: &Pod, ifindex: u32, more: u64, halves: u64) -> bool {
    let (Some(settings), Some(usage)) = (settings(), USAGE.get_ptr_mut(ifindex)) else {
        return false;
    };
    let released = unsafe { RELEASED.get(ifindex) }.copied().unwrap_or(0);
    let held = unsafe { (*usage).added }.wrapping_sub(released);
    // The two counters are read one after the other, so the difference can be below zero for a moment.
    // Reckoned rather than chosen: the verifier follows every branch to its end.
    let share = 1 + u64::from(pod.flags / POD_NODE % 2) * (NODE_SHARE - 1);
    held > u64::MAX / 2 || held + more <= u64::from(settings.flow_quota) * share * halves / 2
}

/// Counts what entries count that came (or, below zero, went).
#[inline(always)]
pub fn added(ifindex: u32, count: i64) {
    if let Some(usage) = USAGE.get_ptr_mut(ifindex) {
        // The target has no compare-and-swap, so core leaves out the whole type AtomicU64; addition alone it has.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*usage).added, count as u64) };
    }
}
