//! How long an object rests after a reconcile that did not reach its end.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::stop::Verdict;

/// The first pause after a transient failure.
pub(crate) const FIRST: Duration = Duration::from_secs(1);
/// The longest pause after a transient failure. An outage of OpenStack ends for every object within this time.
const LONGEST: Duration = Duration::from_secs(30);
/// The pause after a refusal. Changes of the object itself are seen at once; this is for what cannot be watched, such as a
/// quota that an operator raises.
const REFUSED: Duration = Duration::from_secs(300);

/// Counts the failures in a row of each object. Objects that succeed or vanish are forgotten.
#[derive(Debug)]
pub(crate) struct Retries<K> {
    failures: Mutex<HashMap<K, u32>>,
}

impl<K> Default for Retries<K> {
    fn default() -> Self {
        Self {
            failures: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash> Retries<K> {
    /// Forgets the failures of an object.
    pub(crate) fn clear(&self, key: &K) {
        self.lock().remove(key);
    }

    /// The pause before the next try, from `random` in 0..1.
    pub(crate) fn pause(&self, key: K, verdict: Verdict, random: f64) -> Duration {
        let full = match verdict {
            Verdict::Waiting(after) => {
                self.clear(&key);
                return after;
            }
            Verdict::Refused => {
                self.clear(&key);
                REFUSED
            }
            Verdict::Transient => {
                let mut failures = self.lock();
                let count = failures.entry(key).or_insert(0);
                *count = count.saturating_add(1);
                FIRST.saturating_mul(1 << (*count - 1).min(16)).min(LONGEST)
            }
        };
        // Half fixed, half random: objects that failed together come back one after the other.
        full.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_start_anew_after_success() {
        let retries = Retries::default();
        let pauses: Vec<u64> = (0..7)
            .map(|_| retries.pause("a", Verdict::Transient, 1.0).as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(
            retries.pause("b", Verdict::Transient, 1.0),
            FIRST,
            "objects do not share their count"
        );
        retries.clear(&"a");
        assert_eq!(retries.pause("a", Verdict::Transient, 1.0), FIRST);
    }

    #[test]
    fn pauses_are_spread_over_half_their_length() {
        let retries = Retries::default();
        assert_eq!(retries.pause("a", Verdict::Refused, 0.0), REFUSED / 2);
        assert_eq!(retries.pause("a", Verdict::Refused, 1.0), REFUSED);
        let exact = Duration::from_secs(3);
        assert_eq!(retries.pause("a", Verdict::Waiting(exact), 0.0), exact);
    }
}
