//! An address of a pod that was deleted by force: whose it is while the pod lives on, and when another tenant has it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::ensure;
use kube::{Api, ResourceExt};
use stackube_api::{Port, Tenant};
use stackube_e2e::{
    always::always,
    devbox::Devbox,
    pods::{self, assert_cut_off, assert_reaches},
    sandbox::{plugged, uid},
    tenant::{project_of, with_tenant},
    wait,
};

use crate::{
    exhaustion::{network_of, take_all},
    shared,
};

/// How long an address rests after use.
const REST: Duration = Duration::from_secs(60);
/// The process that containerd asks to end the containers of a sandbox stands still, and the pod lives on, until `body` is done.
async fn with_runtime_standing_still(devbox: &Devbox, sandbox: &str, body: impl Future<Output = ()>) {
    let shim = devbox
        .host(&format!("pgrep -f -- '^[^ ]*containerd-shim.* -id {sandbox}'"))
        .await
        .unwrap();
    devbox.host(&format!("kill -STOP {shim}")).await.unwrap();
    always(body, async {
        devbox.host(&format!("kill -CONT {shim}")).await.unwrap();
    })
    .await;
}

/// Starts to ask for the page at `address`, again and again, with what comes back in `/tmp/seen`.
async fn keep_asking(devbox: &Devbox, namespace: &str, pod: &str, address: &str) {
    let script = format!(
        "(while :; do wget -q -O - -T 1 http://{address}/ >>/tmp/seen; sleep 0.2; done) </dev/null >/dev/null 2>&1 &"
    );
    pods::exec(devbox, namespace, pod, &script).await.unwrap();
}

/// The address of the pod's Port, if it has one.
async fn given(devbox: &Devbox, namespace: &str, pod_uid: &str) -> Option<String> {
    let ports: Api<Port> = Api::namespaced(devbox.kube.clone(), namespace);
    ports.get_opt(pod_uid).await.unwrap()?.status?.ip
}

/// Waits until the pod has said that no address is free, and asserts that it was given none.
async fn assert_waits(devbox: &Devbox, namespace: &str, pod_uid: &str) {
    wait::until("an Event about the addresses", Duration::from_secs(60), || async {
        let events = devbox.kubectl(&["-n", namespace, "get", "events"], "").await?;
        ensure!(events.contains("AddressesExhausted"), "{events}");
        Ok(())
    })
    .await;
    assert_eq!(given(devbox, namespace, pod_uid).await, None);
}

#[tokio::test]
async fn the_address_of_a_force_deleted_pod_is_another_tenants_only_when_it_is_gone() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let range = "network: {cidr: 10.231.0.0/24, gateway: 10.231.0.1}";
    with_tenant(&devbox, "force-a", range, async |a| {
        let old = pods::run(&devbox, &a.name_any(), "old", "of-a").await;
        with_tenant(&devbox, "force-b", range, async |b| {
            hand_on(&devbox, &a, &b, &old).await;
        })
        .await;
    })
    .await;
}

async fn hand_on(devbox: &Devbox, a: &Tenant, b: &Tenant, address: &str) {
    let (of_b, session) = (project_of(b), devbox.cloud.service());
    let (a, b) = (a.name_any(), b.name_any());
    // So that the other tenant has this one address to give, and no other.
    let but_one = (1..=254).map(|host| IpAddr::from([10, 231, 0, host]));
    let but_one = but_one.filter(|other| other.to_string() != address);
    take_all(&session, &of_b, &network_of(devbox, &b).await, but_one).await;
    pods::run(devbox, &a, "client", "client").await;
    keep_asking(devbox, &a, "client", address).await;
    let old = uid(devbox, &a, "old").await;
    pods::create(devbox, &b, "new", "of-b").await.unwrap();
    let new = uid(devbox, &b, "new").await;

    let sandbox = plugged(devbox, &old).await.unwrap().remove(0);
    with_runtime_standing_still(devbox, &sandbox, async {
        let force = ["-n", &a, "delete", "pod", "old", "--force", "--grace-period=0"];
        devbox.kubectl(&force, "").await.unwrap();
        // Its own tenant gets the address no sooner than others.
        let again = pods::run(devbox, &a, "old", "again").await;
        assert_ne!(again, address);
        assert_waits(devbox, &b, &new).await;
        assert_reaches(devbox, &a, "client", address, "of-a").await;
        assert_eq!(plugged(devbox, &old).await.unwrap(), [sandbox.as_str()]);
    })
    .await;
    wait::until("the sandbox is gone", Duration::from_secs(180), || async {
        let address = given(devbox, &b, &new).await;
        let left = plugged(devbox, &old).await?;
        assert!(
            left.is_empty() || address.is_none(),
            "the address of a live sandbox was given away"
        );
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await;
    let gone = Instant::now();
    let again = pods::ready(devbox, &a, "old").await;
    assert_ne!(
        again, address,
        "the address of a force-deleted pod was used again at once"
    );

    assert_eq!(pods::ready(devbox, &b, "new").await, address);
    assert!(gone.elapsed() >= REST, "the address rested for {:?}", gone.elapsed());
    let itself = pods::fetch(devbox, &b, "new", address).await.unwrap();
    assert_eq!(itself, "of-b");
    assert_cut_off(devbox, &a, "client", address, 80).await;
    let seen = pods::exec(devbox, &a, "client", "sort -u /tmp/seen").await.unwrap();
    assert_eq!(seen.trim(), "of-a", "who kept asking for the old pod has met another");
}
