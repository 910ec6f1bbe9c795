//! Which backend has which slot.

use std::collections::HashSet;

use crate::model::{Backend, Service};

/// Whether what the maps hold is what is wanted: the order of the backends does not matter. One that has two slots is not: a process that
/// ended while it moved the last into a gap leaves that behind.
pub(super) fn same(held: &Service, wanted: &Service) -> bool {
    let backends: HashSet<_> = wanted.backends.iter().collect();
    held.host == wanted.host
        && held.affinity.map(|time| time.as_secs()) == wanted.affinity.map(|time| time.as_secs())
        && held.backends.len() == backends.len()
        && held.backends.iter().collect::<HashSet<_>>() == backends
}

/// Slots for `wanted`, each once. A backend that stays keeps its slot, the first if it has two; new ones take the slots of those that go; if more go than come, the
/// last ones move into the gaps. So few slots change as can be, and clients that stay with a backend do so.
pub(super) fn arrange(before: &[Backend], wanted: &[Backend]) -> Vec<Backend> {
    let mut seen = HashSet::new();
    let wanted: Vec<Backend> = wanted.iter().copied().filter(|backend| seen.insert(*backend)).collect();
    let held: HashSet<&Backend> = before.iter().collect();
    let mut kept = HashSet::new();
    let mut fresh = wanted.iter().filter(|backend| !held.contains(backend)).copied();
    let mut slots: Vec<Option<Backend>> = before
        .iter()
        .map(|backend| {
            if seen.contains(backend) && kept.insert(*backend) {
                Some(*backend)
            } else {
                fresh.next()
            }
        })
        .collect();
    slots.extend(fresh.map(Some));
    let mut from = 0;
    while let Some(gap) = slots
        .iter()
        .skip(from)
        .position(Option::is_none)
        .map(|found| found + from)
    {
        let last = slots.pop().flatten();
        if let Some(slot) = slots.get_mut(gap) {
            *slot = last;
        }
        from = gap;
    }
    slots.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn backends(ports: &[u16]) -> Vec<Backend> {
        ports
            .iter()
            .map(|port| Backend::new(Ipv4Addr::new(10, 0, 0, 1), *port))
            .collect()
    }

    proptest! {
        #[test]
        fn slots_hold_exactly_the_wanted_and_few_move(before in proptest::collection::hash_set(1u16..30, 0..20), wanted in proptest::collection::vec(1u16..30, 0..20)) {
            let before = backends(&before.into_iter().collect::<Vec<_>>());
            let wanted = backends(&wanted);
            let after = arrange(&before, &wanted);
            let as_set: HashSet<_> = after.iter().collect();
            prop_assert_eq!(as_set.len(), after.len());
            prop_assert_eq!(&as_set, &wanted.iter().collect::<HashSet<_>>());
            let gone = before.iter().filter(|backend| !wanted.contains(backend)).count();
            let moved = before.iter().enumerate().filter(|(slot, backend)| as_set.contains(backend) && after.get(*slot) != Some(backend)).count();
            prop_assert!(moved <= gone);
        }

        #[test]
        fn what_has_two_slots_keeps_one(before in proptest::collection::vec(1u16..6, 0..20), wanted in proptest::collection::hash_set(1u16..6, 0..6)) {
            let wanted = backends(&wanted.into_iter().collect::<Vec<_>>());
            let after = arrange(&backends(&before), &wanted);
            prop_assert_eq!(after.len(), wanted.len());
            prop_assert_eq!(after.iter().collect::<HashSet<_>>(), wanted.iter().collect::<HashSet<_>>());
        }
    }

    #[test]
    fn the_last_moves_into_a_gap() {
        assert_eq!(
            arrange(&backends(&[1, 2, 3, 4]), &backends(&[4, 3, 1])),
            backends(&[1, 4, 3])
        );
        assert_eq!(
            arrange(&backends(&[1, 2, 3]), &backends(&[9, 3, 1])),
            backends(&[1, 9, 3])
        );
        assert_eq!(arrange(&backends(&[1, 2]), &[]), []);
    }
}
