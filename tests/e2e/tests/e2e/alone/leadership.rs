//! A leader that stood still past its lease, and goes on after another one has done its work: nothing is done twice, and nothing is
//! undone.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use stackube_api::{Network, NetworkState};
use stackube_e2e::{
    always::always,
    cloud,
    controller::{self, holder, other_leader, process, with_instance},
    devbox::Devbox,
    pods,
    tenant::{self, with_tenant},
    wait,
};

use crate::alone;

const NAMESPACE: &str = "stackube-system";
/// The instance that is to stand still.
const FIRST: &str = "stackube-controller-e2e";
/// So often at most the Deployment's instance is deleted for another one to lead.
const TRIES: u32 = 10;
/// A stopped process goes on after so many seconds, also when nobody lives to let it.
const LONGEST: u32 = 240;

/// Waits until the leader has begun with the Tenant's Network; it may not have ended.
async fn under_way(devbox: &Devbox, name: &str) {
    let networks: Api<Network> = Api::namespaced(devbox.kube.clone(), name);
    let limit = tenant::ACTIVE;
    let status = wait::until_every(Duration::from_millis(20), "the Network is begun", limit, || async {
        let network = networks.get_opt(name).await?.context("not ordered")?;
        let status = network.status.unwrap_or_default();
        ensure!(status.project_id.is_some(), "ordered");
        Ok::<_, anyhow::Error>(status)
    })
    .await;
    assert_ne!(
        status.state,
        Some(NetworkState::Active),
        "too late to stop anybody in its work"
    );
}

/// Exit status of the instance [`FIRST`].
async fn ended(devbox: &Devbox) -> Result<i32> {
    let pod = Api::<Pod>::namespaced(devbox.kube.clone(), NAMESPACE)
        .get(FIRST)
        .await?;
    let containers = pod.status.and_then(|status| status.container_statuses);
    let state = containers
        .into_iter()
        .flatten()
        .next()
        .and_then(|container| container.state);
    let terminated = state
        .and_then(|state| state.terminated)
        .context("its process goes on")?;
    Ok(terminated.exit_code)
}

/// Makes [`FIRST`], which stands by, the leader: the Deployment's instance gives the lease back and is made anew. If that is the quicker
/// one, it has to give way in turn. The name of the Deployment's instance, which stands by then.
async fn lead_first(devbox: &Devbox) -> String {
    for _ in 0..TRIES {
        let old = holder(devbox).await.unwrap();
        if old == FIRST {
            break;
        }
        let delete = ["-n", NAMESPACE, "delete", "pod", &old, "--timeout=60s"];
        devbox.kubectl(&delete, "").await.unwrap();
        other_leader(devbox, &old).await;
    }
    assert_eq!(holder(devbox).await.unwrap(), FIRST);
    controller::ready(devbox).await;
    let call = [
        "-n",
        NAMESPACE,
        "get",
        "pods",
        "-l",
        "app.kubernetes.io/name=stackube-controller",
        "-o",
        "jsonpath={.items[*].metadata.name}",
    ];
    devbox.kubectl(&call, "").await.unwrap()
}

#[tokio::test]
async fn a_leader_that_stood_still_changes_nothing_any_more() {
    let _guard = alone().await;
    let devbox = Devbox::connect().await;
    let alone = |spec: &mut Value| {
        // Kubelet would kill what answers no more, and start what has ended.
        spec["containers"][0]["livenessProbe"] = Value::Null;
        spec["restartPolicy"] = json!("Never");
    };
    with_tenant(&devbox, "leader", "", async |tenant| {
        let name = tenant.name_any();
        for pod in ["a", "b", "c"] {
            pods::create(&devbox, &name, pod, pod).await.unwrap();
        }
        with_instance(&devbox, FIRST, 10363, alone, async {
            let ready = ["-n", NAMESPACE, "wait", "--for=condition=Ready", "pod", FIRST];
            devbox
                .kubectl(&[&ready[..], &["--timeout=120s"]].concat(), "")
                .await
                .unwrap();
            let second = lead_first(&devbox).await;
            Box::pin(hand_over(&devbox, &second, &name)).await;
        })
        .await;
    })
    .await;
}

/// Stops the leader [`FIRST`] in the middle of its work, lets it go on when `second` has done that work, and looks what it does.
async fn hand_over(devbox: &Devbox, second: &str, name: &str) {
    let new = tenant::unique("between");
    let process = process(devbox, FIRST).await.unwrap();
    let go_on = async || devbox.host(&format!("kill -CONT {process}")).await.map(drop);
    tenant::create(devbox, &new, "").await.unwrap();
    let body = async {
        under_way(devbox, &new).await;
        let stop = format!(
            "setsid sh -c 'sleep {LONGEST}; kill -CONT {process}' </dev/null >/dev/null 2>&1 & kill -STOP {process}"
        );
        devbox.host(&stop).await.unwrap();
        // Nobody leads for a while.
        for pod in ["d", "e", "f"] {
            pods::create(devbox, name, pod, pod).await.unwrap();
        }
        assert_eq!(other_leader(devbox, FIRST).await, second);
        let tenant = tenant::active(devbox, &new).await;
        let project = tenant::project_of(&tenant);
        let before = cloud::assert_made_once(devbox, &project).await;
        let mut addresses = BTreeSet::new();
        for pod in ["a", "b", "c", "d", "e", "f"] {
            let fresh = addresses.insert(pods::ready(devbox, name, pod).await);
            assert!(fresh, "two pods share an address");
        }
        go_on().await.unwrap();
        let limit = Duration::from_secs(30);
        let status = wait::until("the old leader has ended", limit, || ended(devbox)).await;
        let told = devbox.kubectl(&["-n", NAMESPACE, "logs", FIRST], "").await.unwrap();
        assert_eq!(status, 1, "{told}");
        assert!(told.contains("the leader's lease was lost"), "{told}");
        assert_eq!(holder(devbox).await.unwrap(), second);
        assert_eq!(cloud::assert_made_once(devbox, &project).await, before);
        let still = tenant::active(devbox, &new).await.status.unwrap();
        assert_eq!(still.user_id, tenant.status.unwrap().user_id);
        project
    };
    let project = always(body, async {
        let _ = go_on().await;
        tenant::delete(devbox, &new).await;
    })
    .await;
    cloud::assert_nothing_left(devbox, &project).await;
    tenant::assert_nothing_named(devbox, &new).await;
}
