//! Since when each stray has been seen. In memory only: a new leader starts to count anew, which only makes it more careful.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::compare::{Kind, Stray};

/// A first sight may be an object on its way out, whose Kubernetes object went between the two lists.
const SIGHTS: u32 = 2;

#[derive(Debug)]
struct Sighting {
    since: Instant,
    times: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Memory(HashMap<(Kind, String), Sighting>);

impl Memory {
    /// Notes what was found now, forgets the rest, and answers with what has just been confirmed as stray.
    pub(super) fn note(&mut self, found: &[Stray], now: Instant) -> Vec<Stray> {
        let key = |stray: &Stray| (stray.kind, stray.id.clone());
        let present: HashMap<_, _> = found.iter().map(|stray| (key(stray), stray)).collect();
        self.0.retain(|key, _| present.contains_key(key));
        let mut news = vec![];
        for (key, stray) in present {
            let sighting = self.0.entry(key).or_insert(Sighting { since: now, times: 0 });
            sighting.times = sighting.times.saturating_add(1);
            if sighting.times == SIGHTS {
                news.push(stray.clone());
            }
        }
        news.sort_by(|a, b| (a.kind, &a.id).cmp(&(b.kind, &b.id)));
        news
    }

    /// How many strays of a kind are confirmed.
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.0
            .iter()
            .filter(|((of, _), sighting)| *of == kind && sighting.times >= SIGHTS)
            .count()
    }

    /// What has been confirmed, is provably ours, and has been seen for `grace`.
    pub(super) fn due(&self, found: &[Stray], now: Instant, grace: Duration) -> Vec<Stray> {
        let is_due = |stray: &&Stray| {
            stray.is_provably_ours
                && self
                    .0
                    .get(&(stray.kind, stray.id.clone()))
                    .is_some_and(|sighting| sighting.times >= SIGHTS && now >= sighting.since + grace)
        };
        found.iter().filter(is_due).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(3600);

    fn stray(id: &str, is_provably_ours: bool) -> Stray {
        Stray {
            kind: Kind::Port,
            id: id.into(),
            name: String::new(),
            project: None,
            is_provably_ours,
        }
    }

    #[test]
    fn reported_once_at_the_second_sight() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        let found = [stray("a", true)];
        assert_eq!(memory.note(&found, now), []);
        assert_eq!(memory.count(Kind::Port), 0);
        assert_eq!(memory.note(&found, now), found);
        assert_eq!(memory.note(&found, now), []);
        assert_eq!(memory.count(Kind::Port), 1);
        assert_eq!(memory.note(&[], now), []);
        assert_eq!(memory.count(Kind::Port), 0);
    }

    #[test]
    fn due_after_the_grace_counted_from_the_first_sight() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let found = [stray("ours", true), stray("foreign", false)];
        memory.note(&found, start);
        assert_eq!(memory.due(&found, start + GRACE, GRACE), [], "seen once only");
        memory.note(&found, start + GRACE / 2);
        assert_eq!(memory.due(&found, start + GRACE / 2, GRACE), []);
        assert_eq!(memory.due(&found, start + GRACE, GRACE), [stray("ours", true)]);
    }

    #[test]
    fn what_was_away_for_a_round_starts_anew() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let found = [stray("a", true)];
        memory.note(&found, start);
        memory.note(&[], start);
        memory.note(&found, start + GRACE);
        memory.note(&found, start + GRACE);
        assert_eq!(memory.due(&found, start + GRACE, GRACE), []);
    }
}
