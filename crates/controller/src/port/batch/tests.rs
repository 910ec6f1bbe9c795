use std::net::Ipv4Addr;

use futures::future::join_all;

use super::super::fake::{self, Fake, HOST};
use super::super::neutron::create_request;
use super::*;

fn request(n: u8) -> CreatePort {
    let (identity, target) = (fake::identity(&format!("u-{n}")), fake::target("10.244.0.0/16"));
    create_request(&identity, &target, HOST, Ipv4Addr::new(10, 244, 1, n))
}

/// Asks for `count` ports at once, with one place for the project.
async fn burst(fake: &Fake, count: u8) -> Vec<Result<NeutronPort, BatchError>> {
    let (batches, lanes) = (Batches::default(), Lanes::new(1));
    let results = join_all((1..=count).map(|n| batches.create(&lanes, &fake.session, request(n)))).await;
    assert!(batches.0.lock().unwrap().is_empty(), "nothing stays in a queue");
    results
}

#[tokio::test]
async fn what_waits_goes_out_together_and_each_gets_its_own() {
    let fake = Fake::start().await;
    for (n, made) in (1_u8..).zip(burst(&fake, 25).await) {
        let port = made.unwrap();
        assert_eq!(port.device_id, format!("u-{n}"));
        assert_eq!(port.fixed_ips[0].ip_address, Ipv4Addr::new(10, 244, 1, n));
    }
    let posts = fake.state().requests.len();
    assert!(posts <= 7, "{posts} requests for 25 ports");
}

#[tokio::test]
async fn a_refusal_of_some_does_not_touch_the_others() {
    let fake = Fake::start().await;
    fake.state().faults.quota = Some(4);
    let results = burst(&fake, 9).await;
    let refused = results.iter().filter(|result| {
        let Err(BatchError::OpenStack(error)) = result else {
            return false;
        };
        error.is_quota()
    });
    assert_eq!((refused.count(), fake.state().ports.len()), (5, 4));
}

#[tokio::test]
async fn after_a_lost_answer_nothing_is_made_a_second_time() {
    let fake = Fake::start().await;
    fake.state().faults.lose_created = 1;
    let results = burst(&fake, 5).await;
    assert!(results.iter().any(Result::is_err));
    assert_eq!(fake.state().ports.len(), 5);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_made() {
    let fake = Fake::start().await;
    let (batches, lanes) = (Batches::default(), Lanes::new(1));
    let place = lanes.enter(&request(1).project_id).await;
    let given_up = batches.create(&lanes, &fake.session, request(1));
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(20), given_up)
            .await
            .is_err()
    );
    drop(place);
    batches.create(&lanes, &fake.session, request(2)).await.unwrap();
    let made: Vec<_> = fake
        .state()
        .ports
        .iter()
        .map(|port| port["device_id"].clone())
        .collect();
    assert_eq!(made, ["u-2"]);
}
