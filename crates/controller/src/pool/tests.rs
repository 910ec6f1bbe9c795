//! Filling pools without a cluster, and the pool's own bookkeeping.

use super::*;
use crate::port::fake::{self, Fake, HOST};

/// Puts `count` ports into the pool, as [`fill`] does.
pub(crate) async fn fill_for_test(pool: &Pool, book: &AddressBook, fake: &Fake, count: usize) {
    let (place, target) = (fake::place(), fake::target("10.244.0.0/16"));
    for n in 0..count {
        let temporary = Holder::Pool(format!("new-{n}"));
        let ip = book.reserve(&temporary, &place, &target.range, rand::random()).unwrap();
        let port = fake
            .session
            .create_port(&fill::request("c-1", &target, HOST, ip))
            .await
            .unwrap();
        let spare = Spare::of(&port, ip, &target.project);
        assert!(book.hand_over(&temporary, &spare.holder()));
        pool.put(&place, spare);
    }
}

/// Gives a second leader the same picture of the pool.
pub(crate) fn copy_for_test(from: &Pool, to: &Pool, book: &AddressBook) {
    for spare in from.state().spares.values().flatten() {
        book.take(&spare.holder(), &fake::place(), spare.ip).unwrap();
        to.put(&fake::place(), spare.clone());
    }
}

impl Pool {
    pub(crate) fn move_for_test(&self, from: &Place, to: &Place) {
        let mut state = self.state();
        let spares = state.spares.remove(from).unwrap();
        state.spares.insert(to.clone(), spares);
    }
}

fn spare(n: usize, network: &str) -> Spare {
    Spare {
        id: format!("p-{n}").parse().unwrap(),
        ip: Ipv4Addr::new(10, 0, 0, 2),
        revision: 1,
        project: "project".parse().unwrap(),
        network: network.parse().unwrap(),
    }
}

#[test]
fn a_port_is_taken_once_and_only_for_its_own_network() {
    let pool = Pool::new(2);
    pool.put(&fake::place(), spare(1, "old"));
    pool.put(&fake::place(), spare(2, "network"));
    let network = "network".parse().unwrap();
    assert_eq!(pool.take(&fake::place(), &network).unwrap().id.as_str(), "p-2");
    assert_eq!(pool.take(&fake::place(), &network), None);
    assert_eq!(pool.counts().values().sum::<usize>(), 1);
}

#[test]
fn no_more_than_asked_for_give_way() {
    let pool = Pool::new(2);
    (0..5).for_each(|n| pool.put(&fake::place(), spare(n, "network")));
    assert_eq!(pool.take_where(3, |_, _| true).len(), 3);
    assert_eq!(pool.ids().len(), 2);
}

#[test]
fn a_pause_holds_for_what_it_is_about() {
    let pool = Pool::new(2);
    let (project, other) = ("project".parse().unwrap(), "other".parse().unwrap());
    pool.pause(Scarce::Quota("project".parse().unwrap()));
    assert!(pool.is_paused(&fake::place(), &project));
    assert!(!pool.is_paused(&fake::place(), &other));
    pool.pause(Scarce::Node("n1".into()));
    assert!(pool.is_paused(&fake::place(), &other));
}

#[test]
fn a_full_range_takes_only_what_stands_in_its_way() {
    let (here, target) = (fake::place(), fake::target("10.0.0.0/24"));
    let neighbour = Place {
        network: NetworkKey {
            namespace: "other".into(),
            name: "other".into(),
        },
        ..here.clone()
    };
    let project = "other".parse().unwrap();
    let elsewhere = |n| Spare {
        ip: Ipv4Addr::new(10, 1, 0, 2),
        ..spare(n, "other")
    };
    let pool = Pool::new(2);
    pool.put(&here, spare(1, target.network.as_str()));
    pool.put(&neighbour, elsewhere(2));
    let ids = |spares: Vec<(Place, Spare)>| spares.iter().map(|(_, spare)| spare.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(pool.make_way(&here, &target)), ["p-1"]);
    assert!(pool.is_paused(&here, &project) && !pool.is_paused(&neighbour, &project));
    // One that holds an address of the range makes way, and then no other takes its place.
    pool.put(&neighbour, spare(3, "other"));
    assert_eq!(ids(pool.make_way(&here, &target)), ["p-3"]);
    assert!(pool.is_paused(&neighbour, &project));
    assert_eq!(pool.counts().get(&neighbour), Some(&1));
}

#[tokio::test]
async fn what_could_not_be_deleted_stays_in_the_pool_with_its_address() {
    let fake = Fake::start().await;
    let (pool, book) = (Pool::new(3), AddressBook::new(Duration::from_secs(60)));
    fill_for_test(&pool, &book, &fake, 3).await;
    let project = fake::target("10.244.0.0/16").project;
    let holders: Vec<_> = pool.ids().iter().map(|id| Holder::Pool(id.to_string())).collect();
    fake.state().faults.refuse_deleted = 1;
    pool.yield_quota(&book, &fake.session, &project).await.unwrap_err();
    assert_eq!((pool.ids().len(), fake.state().ports.len()), (3, 3));
    assert!(holders.iter().all(|holder| book.address_of(holder).is_some()));
    assert!(pool.yield_quota(&book, &fake.session, &project).await.unwrap());
    assert_eq!((pool.ids().len(), fake.state().ports.len()), (0, 0));
    assert!(holders.iter().all(|holder| book.address_of(holder).is_none()));
}
