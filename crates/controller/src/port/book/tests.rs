//! Histories of the address book: whatever happens, no two live pods of a node or of a network have one address.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::thread;

use proptest::prelude::*;
use rstest::rstest;
use stackube_api::address::AddressRules;

use super::*;

const REST: Duration = Duration::from_secs(60);

/// 13 usable addresses, the same for every network, so that collisions are the rule.
fn subnet() -> Subnet {
    Subnet::new(
        "10.0.0.16/28",
        None,
        &AddressRules {
            longest_prefix: 28,
            reserved: vec![],
        },
    )
    .unwrap()
}

fn network(n: u8) -> NetworkKey {
    NetworkKey {
        namespace: format!("tenant-{n}"),
        name: format!("tenant-{n}"),
    }
}

fn place(node: u8, net: u8) -> Place {
    Place {
        node: format!("node-{node}"),
        network: network(net),
    }
}

fn pod(n: usize) -> Holder {
    Holder::Pod(format!("pod-{n}"))
}

/// What the world outside of the controller's memory knows about a pod.
#[derive(Clone, Debug, PartialEq)]
enum Pod {
    /// Nothing yet.
    Waiting,
    /// Its Neutron port exists, its Port says nothing: what a dead leader leaves behind.
    Made(Ipv4Addr),
    /// Its Port shows the address: the node may plug it in.
    Live(Ipv4Addr),
    Gone,
}

#[derive(Clone, Debug)]
enum Step {
    Bind { node: u8, net: u8 },
    Make { pod: usize, random: u32 },
    Commit { pod: usize },
    GiveUp { pod: usize },
    Release { pod: usize },
    Refuse { pod: usize },
    Fill { node: u8, net: u8, random: u32 },
    Claim { pod: usize },
    NewLeader,
    Pass { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0usize..40;
    prop_oneof![
        6 => (0u8..2, 0u8..3).prop_map(|(node, net)| Step::Bind { node, net }),
        8 => (n.clone(), any::<u32>()).prop_map(|(pod, random)| Step::Make { pod, random }),
        8 => n.clone().prop_map(|pod| Step::Commit { pod }),
        1 => n.clone().prop_map(|pod| Step::GiveUp { pod }),
        3 => n.clone().prop_map(|pod| Step::Release { pod }),
        2 => n.clone().prop_map(|pod| Step::Refuse { pod }),
        2 => (0u8..2, 0u8..3, any::<u32>()).prop_map(|(node, net, random)| Step::Fill { node, net, random }),
        3 => n.prop_map(|pod| Step::Claim { pod }),
        1 => Just(Step::NewLeader),
        2 => (1u64..50).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

struct World {
    ledger: Ledger,
    now: Instant,
    pods: Vec<(Place, Pod)>,
    pool: Vec<(Place, Ipv4Addr)>,
    pool_names: usize,
    /// Since the last election: what was released, where and when.
    released: HashMap<(String, Ipv4Addr), Instant>,
}

impl World {
    fn new() -> Self {
        let (pods, pool, released) = (vec![], vec![], HashMap::new());
        Self {
            ledger: Ledger::new(REST),
            now: Instant::now(),
            pods,
            pool,
            pool_names: 0,
            released,
        }
    }

    fn pool_holder(&self, index: usize) -> Holder {
        Holder::Pool(
            format!("pool-{}", self.pool[index].1) + &self.pool[index].0.node + &self.pool[index].0.network.name,
        )
    }

    fn run(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Bind { node, net } if self.pods.len() < 40 => self.pods.push((place(node, net), Pod::Waiting)),
            Step::Make { pod, random } => self.make(pod, random)?,
            Step::Commit { pod } => self.commit(pod),
            Step::GiveUp { pod: n } => {
                if matches!(self.pods.get(n), Some((_, Pod::Made(_)))) {
                    self.ledger.cancel(&pod(n));
                    self.pods[n].1 = Pod::Waiting;
                }
            }
            Step::Release { pod } => self.end(pod, true),
            Step::Refuse { pod } => self.end(pod, false),
            Step::Fill { node, net, random } => self.fill(&place(node, net), random)?,
            Step::Claim { pod } => self.claim(pod),
            Step::NewLeader => self.elect(),
            Step::Pass { seconds } => {
                self.now += Duration::from_secs(seconds);
                self.ledger.expire(self.now);
            }
            Step::Bind { .. } => {}
        }
        self.check()
    }

    fn make(&mut self, n: usize, random: u32) -> Result<(), TestCaseError> {
        let Some((place, Pod::Waiting)) = self.pods.get(n).cloned() else {
            return Ok(());
        };
        if let Ok(ip) = self.ledger.reserve(&pod(n), &place, &subnet(), random, self.now) {
            let rested = self
                .released
                .get(&(place.node.clone(), ip))
                .is_none_or(|at| self.now >= *at + REST);
            prop_assert!(rested, "{ip} was given out again before it had rested");
            // Neutron itself refuses an address twice in one network: take what the old leader made into account.
            if self.made_in_neutron(&place.network, ip, n) {
                self.ledger.cancel(&pod(n));
                self.ledger.foreign(&place.network, [ip], self.now + REST);
            } else {
                self.pods[n].1 = Pod::Made(ip);
            }
        }
        Ok(())
    }

    fn made_in_neutron(&self, network: &NetworkKey, ip: Ipv4Addr, except: usize) -> bool {
        let pods = self.pods.iter().enumerate().any(|(n, (place, pod))| {
            n != except && place.network == *network && matches!(pod, Pod::Made(a) | Pod::Live(a) if *a == ip)
        });
        pods || self.pool.iter().any(|(place, a)| place.network == *network && *a == ip)
    }

    /// Writes the Port's status, after looking whether the address may be used: an old leader may have made the port.
    fn commit(&mut self, n: usize) {
        let Some((place, Pod::Made(ip))) = self.pods.get(n).cloned() else {
            return;
        };
        self.pods[n].1 = match self.ledger.take(&pod(n), &place, ip, self.now) {
            Ok(()) => Pod::Live(ip),
            Err(_) => Pod::Waiting,
        };
    }

    fn end(&mut self, n: usize, pod_is_gone: bool) {
        let Some((place, Pod::Live(ip))) = self.pods.get(n).cloned() else {
            return;
        };
        if pod_is_gone {
            self.ledger.release(&pod(n), self.now);
        } else {
            self.ledger.refuse(&pod(n), self.now);
        }
        self.released.insert((place.node, ip), self.now);
        self.pods[n].1 = if pod_is_gone { Pod::Gone } else { Pod::Waiting };
    }

    fn fill(&mut self, place: &Place, random: u32) -> Result<(), TestCaseError> {
        self.pool_names += 1;
        let temporary = Holder::Pool(format!("new-{}", self.pool_names));
        let Ok(ip) = self.ledger.reserve(&temporary, place, &subnet(), random, self.now) else {
            return Ok(());
        };
        if self.made_in_neutron(&place.network, ip, usize::MAX) {
            self.ledger.cancel(&temporary);
            return Ok(());
        }
        self.pool.push((place.clone(), ip));
        prop_assert!(
            self.ledger
                .hand_over(&temporary, &self.pool_holder(self.pool.len() - 1))
        );
        Ok(())
    }

    fn claim(&mut self, n: usize) {
        let Some((place, Pod::Waiting)) = self.pods.get(n).cloned() else {
            return;
        };
        let Some(index) = self.pool.iter().position(|(at, _)| *at == place) else {
            return;
        };
        let from = self.pool_holder(index);
        if self.ledger.hand_over(&from, &pod(n)) {
            let (_, ip) = self.pool.remove(index);
            self.pods[n].1 = Pod::Made(ip);
        }
    }

    fn elect(&mut self) {
        self.ledger = Ledger::new(REST);
        self.released.clear();
        for (n, (place, state)) in self.pods.iter().enumerate() {
            if let Pod::Live(ip) = state {
                assert_eq!(self.ledger.observe(&pod(n), place, *ip), None);
            }
        }
        // The pool is found again in Neutron; what does not fit the book any more is thrown away.
        for index in (0..self.pool.len()).rev() {
            let (holder, (place, ip)) = (self.pool_holder(index), self.pool[index].clone());
            if self.ledger.take(&holder, &place, ip, self.now).is_err() {
                self.pool.remove(index);
            }
        }
    }

    /// When everybody has left and everything has rested, the book is empty: nothing is ever lost to it.
    fn end_of_all(&mut self) -> Result<(), TestCaseError> {
        for n in 0..self.pods.len() {
            self.ledger.release(&pod(n), self.now);
        }
        for index in 0..self.pool.len() {
            self.ledger.cancel(&self.pool_holder(index));
        }
        self.ledger.expire(self.now + REST);
        prop_assert_eq!(self.ledger.usage(), Usage::default());
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let (mut on_node, mut in_network) = (HashSet::new(), HashSet::new());
        for (place, state) in &self.pods {
            if let Pod::Live(ip) = state {
                prop_assert!(
                    on_node.insert((place.node.clone(), *ip)),
                    "{ip} twice on {}",
                    place.node
                );
                prop_assert!(
                    in_network.insert((place.network.clone(), *ip)),
                    "{ip} twice in {}",
                    place.network
                );
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn live_pods_never_share_an_address(steps in prop::collection::vec(step(), 1..200)) {
        let mut world = World::new();
        for step in steps {
            world.run(step)?;
        }
        world.end_of_all()?;
    }
}

#[test]
fn many_tasks_at_once_get_different_addresses() {
    let book = Arc::new(AddressBook::new(REST));
    let wide = Subnet::new("10.244.0.0/16", None, &AddressRules::default()).unwrap();
    let threads: Vec<_> = (0..16)
        .map(|t: usize| {
            let book = Arc::clone(&book);
            thread::spawn(move || {
                (0..100)
                    .map(|i| {
                        // One starting point for everybody: the worst case.
                        let place = place(0, u8::try_from(i % 3).unwrap());
                        book.reserve(&pod(t * 100 + i), &place, &wide, 7).unwrap()
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert_eq!(all.len(), 1600);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 1600);
    assert_eq!(book.usage(), Usage { held: 1600, resting: 0 });
}

#[test]
fn a_reservation_repeats_itself() {
    let book = AddressBook::new(REST);
    let first = book.reserve(&pod(1), &place(0, 0), &subnet(), 3).unwrap();
    assert_eq!(book.reserve(&pod(1), &place(0, 0), &subnet(), 9), Ok(first));
    assert_eq!(book.address_of(&pod(1)), Some(first));
}

#[test]
fn equal_addresses_are_fine_on_different_nodes_only() {
    let book = AddressBook::new(REST);
    let ip = book.reserve(&pod(1), &place(0, 0), &subnet(), 3).unwrap();
    assert_eq!(book.take(&pod(2), &place(1, 1), ip), Ok(()));
    assert!(
        book.take(&pod(3), &place(0, 2), ip).is_err(),
        "another tenant on the same node"
    );
    assert!(
        book.take(&pod(4), &place(2, 0), ip).is_err(),
        "the same tenant on another node"
    );
}

#[rstest]
#[case::other_pods_of_the_node(0, 1, Exhausted::Node { resting: 0 })]
#[case::own_pods_elsewhere(1, 0, Exhausted::Network { resting: 0 })]
fn says_why_nothing_is_free(#[case] node: u8, #[case] net: u8, #[case] why: Exhausted) {
    let book = AddressBook::new(REST);
    for n in 0..13 {
        book.reserve(&pod(n), &place(node, net), &subnet(), 0).unwrap();
    }
    assert_eq!(book.reserve(&pod(99), &place(0, 0), &subnet(), 0), Err(why));
}

#[test]
fn a_released_address_rests_in_network_and_on_node() {
    let mut ledger = Ledger::new(REST);
    let start = Instant::now();
    let ip = ledger.reserve(&pod(1), &place(0, 0), &subnet(), 3, start).unwrap();
    ledger.release(&pod(1), start);
    let soon = start + Duration::from_secs(59);
    assert!(ledger.take(&pod(2), &place(0, 1), ip, soon).is_err());
    assert!(ledger.take(&pod(2), &place(1, 0), ip, soon).is_err());
    assert!(ledger.take(&pod(2), &place(0, 0), ip, start + REST).is_ok());
}

#[test]
fn a_refused_address_rests_on_that_node_only() {
    let mut ledger = Ledger::new(REST);
    let now = Instant::now();
    let ip = ledger.reserve(&pod(1), &place(0, 0), &subnet(), 3, now).unwrap();
    ledger.refuse(&pod(1), now);
    assert!(ledger.take(&pod(2), &place(0, 0), ip, now).is_err());
    assert!(ledger.take(&pod(2), &place(1, 0), ip, now).is_ok());
    assert_ne!(ledger.reserve(&pod(1), &place(0, 0), &subnet(), 3, now), Ok(ip));
}

#[test]
fn a_cancelled_reservation_is_free_at_once() {
    let book = AddressBook::new(REST);
    let ip = book.reserve(&pod(1), &place(0, 0), &subnet(), 3).unwrap();
    book.cancel(&pod(1));
    assert_eq!(book.take(&pod(2), &place(0, 0), ip), Ok(()));
}

#[test]
fn a_collision_that_exists_is_reported_and_never_widened() {
    let mut ledger = Ledger::new(REST);
    let now = Instant::now();
    let ip = Ipv4Addr::new(10, 0, 0, 20);
    assert_eq!(ledger.observe(&pod(1), &place(0, 0), ip), None);
    assert_eq!(ledger.observe(&pod(2), &place(0, 1), ip).unwrap().by, "pod pod-1");
    ledger.release(&pod(1), now);
    assert!(
        ledger.take(&pod(3), &place(0, 2), ip, now + REST).is_err(),
        "the second pod still has it"
    );
    ledger.release(&pod(2), now);
    assert!(ledger.take(&pod(3), &place(0, 2), ip, now + REST).is_ok());
}

#[test]
fn addresses_of_foreign_ports_are_left_alone_for_a_while() {
    let mut ledger = Ledger::new(REST);
    let now = Instant::now();
    let hosts: Vec<_> = subnet()
        .range()
        .hosts()
        .filter(|ip| *ip != subnet().gateway())
        .collect();
    let (free, foreign) = hosts.split_first().unwrap();
    ledger.foreign(&network(0), foreign.iter().copied(), now + REST);
    assert_eq!(ledger.reserve(&pod(1), &place(0, 0), &subnet(), 9, now), Ok(*free));
    assert_eq!(
        ledger.reserve(&pod(2), &place(0, 0), &subnet(), 9, now),
        Err(Exhausted::Network { resting: 0 }),
        "theirs are not free within a minute"
    );
    assert!(ledger.reserve(&pod(2), &place(0, 0), &subnet(), 9, now + REST).is_ok());
}

#[test]
fn a_node_is_full_for_good_where_other_ports_have_the_rest() {
    let mut ledger = Ledger::new(REST);
    let now = Instant::now();
    let elsewhere = ledger.reserve(&pod(1), &place(0, 1), &subnet(), 3, now).unwrap();
    let hosts = subnet().range().hosts();
    ledger.foreign(&network(0), hosts.filter(|ip| *ip != elsewhere), now + REST);
    let full = |resting| Err(Exhausted::Node { resting });
    assert_eq!(ledger.reserve(&pod(2), &place(0, 0), &subnet(), 3, now), full(0));
    ledger.release(&pod(1), now);
    assert_eq!(ledger.reserve(&pod(2), &place(0, 0), &subnet(), 3, now), full(1));
    let rested = now + REST;
    assert!(ledger.reserve(&pod(2), &place(0, 0), &subnet(), 3, rested).is_ok());
}

#[test]
fn expiry_forgets_what_has_rested() {
    let mut ledger = Ledger::new(REST);
    let now = Instant::now();
    ledger.reserve(&pod(1), &place(0, 0), &subnet(), 3, now).unwrap();
    ledger.release(&pod(1), now);
    assert_eq!(ledger.usage(), Usage { held: 0, resting: 1 });
    ledger.expire(now + REST);
    assert_eq!(ledger.usage(), Usage::default());
}
