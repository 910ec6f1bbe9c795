//! How many queries a pod may send.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::dns::identity::PodId;

/// Pods above which idle ones are forgotten.
const FORGET_ABOVE: usize = 4096;

/// A token bucket for each pod, kept as the time at which it will be full again (the generic cell rate algorithm).
#[derive(Debug)]
pub(crate) struct Limiter {
    start: Instant,
    /// Nanoseconds that one query costs.
    interval: u64,
    /// Nanoseconds that may be owed.
    burst: u64,
    full_at: RwLock<HashMap<PodId, AtomicU64>>,
}

impl Limiter {
    /// A limit of `rate` queries a second with bursts of `burst`. Zero counts as one.
    pub(crate) fn new(rate: u32, burst: u32) -> Self {
        let interval = 1_000_000_000 / u64::from(rate.max(1));
        Self {
            start: Instant::now(),
            interval,
            burst: interval * u64::from(burst.max(1)),
            full_at: RwLock::default(),
        }
    }

    /// Takes one token of the pod's. If there is none: how long until there is.
    pub(crate) fn take(&self, pod: PodId, now: Instant) -> Result<(), Duration> {
        let now = u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX);
        if let Some(full_at) = self.full_at.read().unwrap_or_else(PoisonError::into_inner).get(&pod) {
            return self.charge(full_at, now);
        }
        let mut pods = self.full_at.write().unwrap_or_else(PoisonError::into_inner);
        if pods.len() >= FORGET_ABOVE {
            // A bucket that is full again is as good as none.
            pods.retain(|_, full_at| *full_at.get_mut() > now);
        }
        self.charge(pods.entry(pod).or_default(), now)
    }

    fn charge(&self, full_at: &AtomicU64, now: u64) -> Result<(), Duration> {
        let charge = |current: u64| {
            let next = current.max(now).saturating_add(self.interval);
            (next - now <= self.burst).then_some(next)
        };
        match full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charge) {
            Ok(_) => Ok(()),
            Err(current) => {
                let wait = (current.max(now) + self.interval).saturating_sub(now + self.burst);
                Err(Duration::from_nanos(wait.max(1)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: PodId = [1; 16];

    fn allowed(limiter: &Limiter, pod: PodId, now: Instant) -> usize {
        (0..10_000).take_while(|_| limiter.take(pod, now).is_ok()).count()
    }

    #[test]
    fn burst_then_rate() {
        let limiter = Limiter::new(100, 50);
        let now = Instant::now();
        assert_eq!(allowed(&limiter, POD, now), 50);
        assert_eq!(allowed(&limiter, POD, now + Duration::from_millis(100)), 10);
        assert_eq!(allowed(&limiter, POD, now + Duration::from_secs(60)), 50);
    }

    #[test]
    fn pods_do_not_share() {
        let limiter = Limiter::new(100, 50);
        let now = Instant::now();
        assert_eq!(allowed(&limiter, POD, now), 50);
        assert_eq!(allowed(&limiter, [2; 16], now), 50);
    }

    #[test]
    fn says_how_long_to_wait() {
        let limiter = Limiter::new(100, 1);
        let now = Instant::now();
        limiter.take(POD, now).unwrap();
        let wait = limiter.take(POD, now).unwrap_err();
        assert!(wait <= Duration::from_millis(10), "{wait:?}");
        assert!(limiter.take(POD, now + wait).is_ok());
    }

    #[test]
    fn forgets_idle_pods() {
        let limiter = Limiter::new(1000, 10);
        let now = Instant::now();
        let pod = |n: usize| {
            let mut pod = [0; 16];
            pod[..8].copy_from_slice(&n.to_be_bytes());
            pod
        };
        for n in 0..FORGET_ABOVE {
            limiter.take(pod(n), now).unwrap();
        }
        limiter.take(pod(FORGET_ABOVE), now + Duration::from_secs(1)).unwrap();
        assert_eq!(limiter.full_at.read().unwrap().len(), 1);
    }
}
