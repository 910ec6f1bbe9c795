//! How many ports the pool should have where. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use stackube_api::{Port, PortHolder};

use crate::port::{Place, place};

/// How long a place keeps its ports after the last pod has left it: a rollout of one replica leaves none for a moment.
pub(super) const LINGER: Duration = Duration::from_secs(60);

/// Pods at one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Demand {
    /// Their ports are ready.
    pub(super) ready: usize,
    /// Their ports are being made: the pool does not compete with them.
    pub(super) waiting: usize,
}

/// A change of the pool at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Make this many.
    Add(usize),
    /// Delete this many.
    Drop(usize),
}

/// Counts the pods at each place. A node's own port is none: nothing starts after it.
pub(super) fn demand(ports: &[impl AsRef<Port>]) -> HashMap<Place, Demand> {
    let mut demand: HashMap<Place, Demand> = HashMap::new();
    for port in ports
        .iter()
        .map(AsRef::as_ref)
        .filter(|port| port.metadata.deletion_timestamp.is_none() && port.spec.holder == PortHolder::Pod)
    {
        let counted = demand.entry(place(port)).or_default();
        if port.status.as_ref().is_some_and(|status| status.ready) {
            counted.ready += 1;
        } else {
            counted.waiting += 1;
        }
    }
    demand
}

/// What to change. `usable` are the places whose network and node can take ports now; `last_seen` remembers when a place had
/// pods.
pub(super) fn plan(
    size: usize,
    demand: &HashMap<Place, Demand>,
    have: &HashMap<Place, usize>,
    usable: &HashSet<Place>,
    last_seen: &mut HashMap<Place, Instant>,
    now: Instant,
) -> BTreeMap<(String, String), (Place, Change)> {
    last_seen.extend(demand.keys().map(|place| (place.clone(), now)));
    last_seen.retain(|place, seen| now < *seen + LINGER && usable.contains(place));
    let mut changes = BTreeMap::new();
    for place in demand.keys().chain(have.keys()) {
        let has = have.get(place).copied().unwrap_or(0);
        let here = demand.get(place).copied().unwrap_or_default();
        let wants = match (usable.contains(place), here) {
            (false, _) => 0,
            (true, Demand { ready: 0, waiting: 0 }) if last_seen.contains_key(place) => has.min(size),
            (true, Demand { ready: 0, waiting: 0 }) => 0,
            (true, Demand { waiting: 0, .. }) => size,
            (true, _) => has.min(size),
        };
        let change = match has.cmp(&wants) {
            std::cmp::Ordering::Less => Change::Add(wants - has),
            std::cmp::Ordering::Greater => Change::Drop(has - wants),
            std::cmp::Ordering::Equal => continue,
        };
        changes.insert((place.network.to_string(), place.node.clone()), (place.clone(), change));
    }
    changes
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::port::NetworkKey;

    fn here() -> Place {
        Place {
            node: "n1".into(),
            network: NetworkKey {
                namespace: "test".into(),
                name: "test".into(),
            },
        }
    }

    fn planned(size: usize, demand: Option<Demand>, have: usize, usable: bool, seen: Option<u64>) -> Option<Change> {
        let now = Instant::now() + Duration::from_secs(1000);
        let mut last_seen: HashMap<_, _> = seen
            .map(|ago| (here(), now.checked_sub(Duration::from_secs(ago)).unwrap()))
            .into_iter()
            .collect();
        let demand = demand.map(|demand| (here(), demand)).into_iter().collect();
        let have = if have > 0 {
            HashMap::from([(here(), have)])
        } else {
            HashMap::new()
        };
        let usable = if usable {
            HashSet::from([here()])
        } else {
            HashSet::new()
        };
        let mut changes = plan(size, &demand, &have, &usable, &mut last_seen, now);
        changes.pop_first().map(|(_, (_, change))| change)
    }

    #[test]
    fn a_nodes_own_port_is_no_reason_for_spare_ones() {
        let port = |uid: &str, holder: &str, ready: bool| -> std::sync::Arc<Port> {
            let port = serde_json::json!({
                "apiVersion": "stackube.kubernetes.io/v1", "kind": "Port", "metadata": {"name": uid, "namespace": "test"},
                "spec": {"holder": holder, "podName": "p", "podUID": uid, "nodeName": "n1", "networkNamespace": "test",
                    "networkName": "test"},
                "status": {"ready": ready},
            });
            std::sync::Arc::new(serde_json::from_value(port).unwrap())
        };
        assert_eq!(demand(&[port("n", "Node", true)]), HashMap::new());
        let ports = [port("n", "Node", true), port("a", "Pod", true), port("b", "Pod", false)];
        assert_eq!(
            demand(&ports),
            HashMap::from([(here(), Demand { ready: 1, waiting: 1 })])
        );
    }

    fn pods(ready: usize, waiting: usize) -> Option<Demand> {
        Some(Demand { ready, waiting })
    }

    #[rstest]
    #[case::first_pod(2, pods(1, 0), 0, true, None, Some(Change::Add(2)))]
    #[case::refill(2, pods(5, 0), 1, true, Some(0), Some(Change::Add(1)))]
    #[case::full(2, pods(5, 0), 2, true, Some(0), None)]
    #[case::a_burst_goes_first(2, pods(5, 3), 0, true, Some(0), None)]
    #[case::a_burst_keeps_what_is_there(2, pods(0, 3), 2, true, Some(0), None)]
    #[case::nothing_for_pods_that_never_were_ready(2, pods(0, 1), 0, true, None, None)]
    #[case::last_pod_just_left(2, None, 2, true, Some(59), None)]
    #[case::last_pod_left_long_ago(2, None, 2, true, Some(61), Some(Change::Drop(2)))]
    #[case::left_behind_by_an_earlier_leader(2, None, 2, true, None, Some(Change::Drop(2)))]
    #[case::no_refill_after_the_last_pod(2, None, 1, true, Some(5), None)]
    #[case::network_is_deleted(2, pods(1, 0), 2, false, Some(0), Some(Change::Drop(2)))]
    #[case::switched_off(0, pods(5, 0), 0, true, Some(0), None)]
    #[case::just_switched_off(0, pods(5, 0), 2, true, Some(0), Some(Change::Drop(2)))]
    #[case::made_smaller(1, pods(5, 0), 3, true, Some(0), Some(Change::Drop(2)))]
    fn changes(
        #[case] size: usize,
        #[case] demand: Option<Demand>,
        #[case] have: usize,
        #[case] usable: bool,
        #[case] seen: Option<u64>,
        #[case] expected: Option<Change>,
    ) {
        assert_eq!(planned(size, demand, have, usable, seen), expected);
    }
}
