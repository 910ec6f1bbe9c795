//! Finding, making and claiming ports against a Neutron that misbehaves.

use std::collections::HashSet;
use std::time::Duration;

use prometheus_client::registry::Registry;
use serde_json::json;

use super::super::fake::{self, Fake, HOST};
use super::*;
use crate::port::NetworkKey;

/// One controller process.
struct Controller {
    book: AddressBook,
    pool: Pool,
    lanes: Lanes,
    batches: Batches,
    fresh: Fresh,
    metrics: Metrics,
}

impl Controller {
    fn new(pool: u16) -> Self {
        Self {
            book: AddressBook::new(Duration::from_secs(60)),
            pool: Pool::new(pool),
            lanes: Lanes::new(4),
            batches: Batches::default(),
            fresh: Fresh::default(),
            metrics: Metrics::new(&mut Registry::default()),
        }
    }

    async fn provide(&self, fake: &Fake, uid: &str, range: &str) -> Result<(NeutronPort, Ipv4Addr), Stop> {
        let (target, identity) = (fake::target(range), fake::identity(uid));
        let attempt = Attempt {
            book: &self.book,
            pool: &self.pool,
            lanes: &self.lanes,
            batches: &self.batches,
            fresh: &self.fresh,
            metrics: &self.metrics,
            session: &fake.session,
            identity: &identity,
            target: &target,
            chassis: HOST,
            holder: Holder::Pod(uid.into()),
            place: fake::place(),
        };
        attempt.neutron_port().await
    }

    async fn address(&self, fake: &Fake, uid: &str) -> String {
        let (port, ip) = self.provide(fake, uid, "10.244.0.0/16").await.unwrap();
        assert_eq!(port.fixed_ips[0].ip_address, IpAddr::V4(ip));
        assert_eq!(self.book.address_of(&Holder::Pod(uid.into())), Some(ip));
        ip.to_string()
    }
}

#[tokio::test]
async fn a_new_port_costs_one_request() {
    let (fake, controller) = (Fake::start().await, Controller::new(0));
    controller.fresh.making("u-1");
    controller.fresh.made("u-1");
    controller.address(&fake, "u-1").await;
    assert_eq!(fake.state().requests, ["POST /v2.0/ports"]);
}

#[tokio::test]
async fn after_a_restart_the_port_that_exists_is_found_and_kept() {
    let fake = Fake::start().await;
    let before = Controller::new(0).address(&fake, "u-1").await;
    assert_eq!(Controller::new(0).address(&fake, "u-1").await, before);
    assert_eq!(fake.state().ports.len(), 1);
}

#[tokio::test]
async fn a_port_whose_answer_was_lost_is_not_made_twice() {
    let (fake, controller) = (Fake::start().await, Controller::new(0));
    controller.fresh.making("u-1");
    controller.fresh.made("u-1");
    fake.state().faults.lose_created = 1;
    let stop = controller.provide(&fake, "u-1", "10.244.0.0/16").await.unwrap_err();
    assert_eq!(stop.reason(), "OpenStackUnavailable");
    controller.address(&fake, "u-1").await;
    assert_eq!(fake.state().ports.len(), 1);
}

#[tokio::test]
async fn an_address_that_another_pod_of_the_node_got_meanwhile_is_not_taken_over() {
    let (fake, controller) = (Fake::start().await, Controller::new(0));
    fake.port(&json!({}));
    let elsewhere = NetworkKey {
        namespace: "other".into(),
        name: "other".into(),
    };
    let other = Place {
        network: elsewhere,
        ..fake::place()
    };
    let ip = "10.244.0.9".parse().unwrap();
    controller.book.take(&Holder::Pod("u-2".into()), &other, ip).unwrap();
    assert_ne!(controller.address(&fake, "u-1").await, "10.244.0.9");
    assert_eq!(
        fake.state().ports.len(),
        1,
        "the port that could not be used is deleted"
    );
}

#[tokio::test]
async fn what_was_changed_about_the_port_is_put_right_before_it_is_used() {
    let (fake, controller) = (Fake::start().await, Controller::new(0));
    fake.port(&json!({"port_security_enabled": false, "security_groups": [], "binding:host_id": "gone.example"}));
    let (port, _) = controller.provide(&fake, "u-1", "10.244.0.0/16").await.unwrap();
    assert_eq!(binding_problem(&port, HOST), None);
    assert_eq!(port.port_security_enabled, Some(true));
    assert_eq!(port.security_groups, [fake::target("10.244.0.0/16").group]);
}

#[tokio::test]
async fn two_ports_of_one_pod_are_refused() {
    let (fake, controller) = (Fake::start().await, Controller::new(0));
    fake.port(&json!({}));
    fake.port(&json!({"fixed_ips": [{"subnet_id": "subnet", "ip_address": "10.244.0.10"}]}));
    let stop = controller.provide(&fake, "u-1", "10.244.0.0/16").await.unwrap_err();
    assert_eq!(stop.reason(), "PortAmbiguous");
    assert!(stop.sentence().contains("p-1, p-2"), "{}", stop.sentence());
    assert_eq!(fake.state().ports.len(), 2);
}

#[tokio::test]
async fn ports_of_other_projects_with_the_same_tags_are_passed_over() {
    let (fake, controller) = (Fake::start().await, Controller::new(0));
    fake.port(&json!({"project_id": "attacker", "network_id": "attackers"}));
    controller.address(&fake, "u-1").await;
    assert_eq!(fake.state().ports.len(), 2);
}

#[tokio::test]
async fn foreign_ports_are_learned_from_the_first_conflict() {
    let (fake, controller) = (Fake::start().await, Controller::new(0));
    // 10.244.0.2 to 10.244.0.6 are hosts; all but one belong to ports that are not ours.
    for last in [2, 3, 4, 6] {
        let fixed_ips = json!([{"subnet_id": "subnet", "ip_address": format!("10.244.0.{last}")}]);
        fake.port(&json!({"device_id": "vm", "device_owner": "", "fixed_ips": fixed_ips}));
    }
    let (_, ip) = controller.provide(&fake, "u-1", "10.244.0.0/29").await.unwrap();
    assert_eq!(ip.to_string(), "10.244.0.5");
    let posts = fake
        .state()
        .requests
        .iter()
        .filter(|request| request.starts_with("POST"))
        .count();
    assert!(posts <= 2, "{posts} tries");
}

#[tokio::test]
async fn a_full_range_says_so() {
    let (fake, controller) = (Fake::start().await, Controller::new(0));
    for n in 0..5 {
        controller
            .provide(&fake, &format!("u-{n}"), "10.244.0.0/29")
            .await
            .unwrap();
    }
    let stop = controller.provide(&fake, "u-9", "10.244.0.0/29").await.unwrap_err();
    assert_eq!(stop.reason(), "AddressesExhausted");
    assert!(stop.sentence().contains("10.244.0.0/29"));
}

#[tokio::test]
async fn a_quota_that_is_used_up_leaves_no_reservation() {
    let (fake, controller) = (Fake::start().await, Controller::new(0));
    fake.state().faults.quota = Some(0);
    let stop = controller.provide(&fake, "u-1", "10.244.0.0/16").await.unwrap_err();
    assert_eq!(stop.reason(), QUOTA_EXCEEDED);
    assert_eq!(controller.book.address_of(&Holder::Pod("u-1".into())), None);
}

#[tokio::test]
async fn the_pool_gives_way_to_a_pod_when_the_quota_is_used_up() {
    let (fake, controller) = (Fake::start().await, Controller::new(2));
    crate::pool::fill_for_test(&controller.pool, &controller.book, &fake, 2).await;
    // Of another node, so that the pod cannot claim them.
    let other_node = Place {
        node: "n2".into(),
        ..fake::place()
    };
    controller.pool.move_for_test(&fake::place(), &other_node);
    fake.state().faults.quota = Some(2);
    controller.address(&fake, "u-1").await;
    assert_eq!(fake.state().ports.len(), 1);
}

#[tokio::test]
async fn claims_of_many_pods_at_once_get_a_port_each() {
    let (fake, controller) = (Fake::start().await, Controller::new(4));
    crate::pool::fill_for_test(&controller.pool, &controller.book, &fake, 4).await;
    let uids: Vec<_> = (0..12).map(|n| format!("u-{n}")).collect();
    let all = futures::future::join_all(uids.iter().map(|uid| controller.address(&fake, uid))).await;
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 12);
    let state = fake.state();
    assert_eq!(state.ports.len(), 12, "4 from the pool and 8 made");
    let owners: HashSet<_> = state
        .ports
        .iter()
        .map(|port| port["device_id"].as_str().unwrap())
        .collect();
    assert_eq!(owners, uids.iter().map(String::as_str).collect());
}

#[tokio::test]
async fn two_leaders_cannot_both_claim_one_port() {
    let fake = Fake::start().await;
    let (old, new) = (Controller::new(1), Controller::new(1));
    crate::pool::fill_for_test(&old.pool, &old.book, &fake, 1).await;
    crate::pool::copy_for_test(&old.pool, &new.pool, &new.book);
    let (a, b) = tokio::join!(old.address(&fake, "u-1"), new.address(&fake, "u-2"));
    assert_ne!(a, b);
    assert_eq!(fake.state().ports.len(), 2);
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_counts() {
    let (fake, controller) = (Fake::start().await, Controller::new(1));
    crate::pool::fill_for_test(&controller.pool, &controller.book, &fake, 1).await;
    fake.state().faults.lose_updated = 1;
    controller.address(&fake, "u-1").await;
    let state = fake.state();
    assert_eq!(
        (state.ports.len(), state.ports[0]["device_id"].as_str()),
        (1, Some("u-1"))
    );
}

#[tokio::test]
async fn a_pool_port_that_somebody_has_changed_is_not_used() {
    let (fake, controller) = (Fake::start().await, Controller::new(1));
    crate::pool::fill_for_test(&controller.pool, &controller.book, &fake, 1).await;
    let revision = json!(2);
    fake.state().ports[0]["revision_number"] = revision;
    let spoilt = fake.state().ports[0]["id"].clone();
    controller.address(&fake, "u-1").await;
    let state = fake.state();
    assert_eq!(state.ports.len(), 1);
    assert_ne!(state.ports[0]["id"], spoilt);
}
