use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use rstest::rstest;
use tower::{Layer, ServiceExt, service_fn};

use super::*;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// A Lease of `holder` for 20 s that was renewed `age` seconds ago.
fn lease(holder: Option<&str>, age: i64) -> Lease {
    Lease {
        spec: Some(LeaseSpec {
            holder_identity: holder.map(Into::into),
            lease_duration_seconds: Some(20),
            renew_time: Some(MicroTime(now() - SignedDuration::from_secs(age))),
            ..LeaseSpec::default()
        }),
        ..Lease::default()
    }
}

#[rstest]
#[case::just_renewed(lease(Some("me"), 0), Some(20))]
#[case::later(lease(Some("me"), 15), Some(5))]
#[case::run_out(lease(Some("me"), 20), Some(0))]
#[case::long_ago(lease(Some("me"), 3600), Some(0))]
#[case::by_a_clock_that_went_back(lease(Some("me"), -5), Some(20))]
#[case::somebody_elses(lease(Some("other"), 0), None)]
#[case::nobodys(lease(None, 0), None)]
#[case::given_back(Lease::default(), None)]
fn a_lease_holds_for_the_rest_of_its_length(#[case] lease: Lease, #[case] seconds: Option<u64>) {
    assert_eq!(remaining(&lease, "me", now()), seconds.map(Duration::from_secs));
}

#[test]
fn a_lease_without_a_length_holds_for_no_time() {
    let mut endless = lease(Some("me"), 0);
    for seconds in [None, Some(-1)] {
        endless.spec.as_mut().unwrap().lease_duration_seconds = seconds;
        assert_eq!(remaining(&endless, "me", now()), None);
    }
}

#[rstest]
#[case(lease(Some("other"), 19), true)]
#[case::run_out(lease(Some("other"), 21), false)]
#[case::own(lease(Some("me"), 0), false)]
#[case::nobodys(lease(None, 0), false)]
fn only_a_lease_that_holds_is_another_leaders(#[case] lease: Lease, #[case] expected: bool) {
    assert_eq!(is_another_leading(&lease, "me", now()), expected);
}

#[test]
fn two_instances_never_write_the_lease_under_one_name() {
    assert_eq!(field_manager("stackube-controller-1"), "stackube-controller-1");
    let host = "h".repeat(253);
    let (one, two) = (field_manager(&format!("{host}_1")), field_manager(&format!("{host}_2")));
    assert_ne!(one, two);
    assert_eq!(one.chars().count(), MAX_FIELD_MANAGER);
}

#[test]
fn the_fence_goes_by_the_clock_and_stays_shut() {
    let (fence, now) = (Fence::default(), Instant::now());
    let second = Duration::from_secs(1);
    assert!(fence.is_open(), "who does not lead yet may tell Tenants why they wait");
    fence.move_to(now + 20 * second);
    assert!(fence.is_open_at(now + 18 * second));
    assert!(!fence.is_open_at(now + 19 * second), "two seconds before the end");
    fence.move_to(now + 30 * second);
    assert!(fence.is_open_at(now + 28 * second), "renewed");
    fence.shut();
    fence.move_to(now + 40 * second);
    assert!(
        !fence.is_open_at(now),
        "what was given away does not come back to this process"
    );
}

#[tokio::test]
async fn behind_the_fence_only_reading_is_left() {
    let fence = Fence::default();
    let server = service_fn(async |_: http::Request<kube::client::Body>| Ok::<_, tower::BoxError>("answered"));
    let client = fence.layer().layer(server);
    let send = async |method: &str| {
        let request = http::Request::builder().method(method);
        let request = request.body(kube::client::Body::empty()).unwrap();
        client.clone().oneshot(request).await.map_err(|error| error.to_string())
    };
    for method in ["GET", "POST", "PATCH", "PUT", "DELETE"] {
        assert_eq!(send(method).await.as_deref(), Ok("answered"), "{method}");
    }
    fence.shut();
    assert_eq!(send("GET").await.as_deref(), Ok("answered"));
    for method in ["POST", "PATCH", "PUT", "DELETE"] {
        let refused = send(method).await.unwrap_err();
        assert!(refused.contains("the lease has run out"), "{method}: {refused}");
    }
}
