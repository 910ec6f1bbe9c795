//! Which Events are counted as one. The API server changes no Event's note, so what is told anew in other words needs an Event of its
//! own; but what changes its words all the time may not fill the list.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// So many Events of one topic begin within [`WINDOW`] at most; what is told in yet other words is counted in the last one.
const LIMIT: usize = 10;
/// See [`LIMIT`].
const WINDOW: Duration = Duration::from_secs(300);
/// After this time without another one, an Event is not counted on; recorders of kube forget as soon.
const FORGET: Duration = Duration::from_secs(360);

/// The Events of each topic `T` (an object and a reason); `R` is what publishes those of one note.
#[derive(Debug)]
pub(super) struct Series<T, R>(HashMap<T, Vec<Told<R>>>);

#[derive(Debug)]
struct Told<R> {
    gist: String,
    begun: Instant,
    last: Instant,
    by: R,
}

impl<T, R> Default for Series<T, R> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Eq + Hash, R: Clone> Series<T, R> {
    /// What publishes this note: that of the Event which has it already, one that `begin` makes, or, when too many were begun, that of
    /// the last Event.
    pub(super) fn of(&mut self, topic: T, note: &str, now: Instant, begin: impl FnOnce() -> R) -> R {
        let gist = gist(note);
        self.0.retain(|_, told| {
            told.retain(|told| now.saturating_duration_since(told.last) < FORGET);
            !told.is_empty()
        });
        let told = self.0.entry(topic).or_default();
        let lately = |told: &&Told<R>| now.saturating_duration_since(told.begun) < WINDOW;
        let is_full = told.iter().filter(lately).count() >= LIMIT;
        let found = match told.iter().position(|told| told.gist == gist) {
            None if is_full => (0..told.len()).max_by_key(|at| told[*at].last),
            found => found,
        };
        if let Some(told) = found.and_then(|at| told.get_mut(at)) {
            told.last = now;
            return told.by.clone();
        }
        let by = begin();
        told.push(Told {
            gist,
            begun: now,
            last: now,
            by: by.clone(),
        });
        by
    }
}

/// The note without what differs with each try: what OpenStack called the request.
fn gist(note: &str) -> String {
    let lasting = |word: &&str| !word.trim_start_matches('(').starts_with("req-");
    note.split(' ').filter(lasting).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Tells notes, each `pause` after the one before; the number of the Event that each is counted in.
    fn tell(notes: &[&str], pause: Duration) -> Vec<usize> {
        let (mut series, mut begun, mut now) = (Series::default(), 0, Instant::now());
        let mut of = |note: &&str| {
            now += pause;
            series.of("a topic", note, now, || {
                begun += 1;
                begun
            })
        };
        notes.iter().map(&mut of).collect()
    }

    #[test]
    fn another_note_is_another_event_and_the_same_one_is_counted() {
        assert_eq!(tell(&["a", "a", "b", "a", "b", "c"], SECOND), [1, 1, 2, 1, 2, 3]);
    }

    #[test]
    fn another_try_of_the_same_is_the_same() {
        let of = |try_: &str, why| format!("Neutron failed (POST http://neutron/v2.0/ports, req-{try_}): 500: {why}");
        let notes = [of("1", "no"), of("2", "no"), of("3", "never")];
        assert_eq!(tell(&notes.each_ref().map(String::as_str), SECOND), [1, 1, 2]);
    }

    #[test]
    fn what_was_told_long_ago_is_told_anew() {
        assert_eq!(tell(&["a", "a"], FORGET - SECOND), [1, 1]);
        assert_eq!(tell(&["a", "a"], FORGET), [1, 2]);
    }

    #[test]
    fn topics_do_not_mix() {
        let (mut series, now) = (Series::default(), Instant::now());
        assert_eq!(series.of("one", "a", now, || 1), 1);
        assert_eq!(series.of("other", "a", now, || 2), 2);
        assert_eq!(series.of("one", "a", now, || 3), 1);
    }

    #[test]
    fn a_note_that_changes_each_second_makes_few_events() {
        let notes: Vec<String> = (0..1200).map(|count| format!("{count} are left")).collect();
        let notes: Vec<&str> = notes.iter().map(String::as_str).collect();
        let of = tell(&notes, SECOND);
        assert_eq!(of[..LIMIT], (1..=LIMIT).collect::<Vec<_>>());
        assert_eq!(of[LIMIT], LIMIT, "counted in the last one");
        assert_eq!(of[301], LIMIT + 2, "begun again when the first ones are old");
        assert_eq!(of.last(), Some(&(4 * LIMIT)), "a bounded number in each five minutes");
    }

    #[test]
    fn nothing_is_kept_of_what_is_no_longer_told() {
        let (mut series, now) = (Series::default(), Instant::now());
        for topic in 0..100 {
            series.of(topic, "a", now, || ());
        }
        series.of(100, "a", now + FORGET, || ());
        assert_eq!(series.0.len(), 1);
    }
}
