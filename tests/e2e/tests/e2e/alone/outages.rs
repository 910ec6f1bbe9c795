//! What breaks, and what must not: daemons killed at any moment, OpenStack away for a while.

use std::time::{Duration, Instant};

use anyhow::ensure;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use stackube_api::{Port, TenantState, conditions::READY};
use stackube_e2e::{
    always::always,
    cloud,
    devbox::Devbox,
    events::told,
    pods,
    tenant::{self, with_tenant},
    wait,
};

use crate::alone;

/// Why what needs OpenStack waits.
const AWAY: &str = "OpenStackUnavailable";
/// An outage lasts so long at least: longer than a lease of the controller, and than several tries of its own.
const OUTAGE: Duration = Duration::from_secs(60);
/// From an outage to the Tenant that says so: the tries of a call, and a pause between reconciles.
const TOLD: Duration = Duration::from_secs(180);

/// Kills the processes named `name` on the host, as a crash would. There must be one, or nothing would have been tried.
async fn crash(devbox: &Devbox, name: &str) {
    let killed = devbox.host(&format!("pkill -9 -e -x {name}")).await;
    killed.unwrap_or_else(|error| panic!("no process {name} to kill: {error:#}"));
}

/// Kills the daemon in the middle of an ADD of a pod that `create` makes: the pod's device is there, and OVN, which stands still meanwhile,
/// has not bound its port. The pod.
async fn crash_in_add(devbox: &Devbox, namespace: &str, create: impl AsyncFnOnce()) -> String {
    let under_way = format!(
        "for p in $(pgrep -x kubestack); do
           set -- $(tr '\\0;' '\\n\\n' 2>/dev/null </proc/$p/environ | sed s/^CNI_ARGS=//)
           case \" $* \" in *' CNI_COMMAND=ADD '*) ;; *) continue ;; esac
           case \" $* \" in *' K8S_POD_NAMESPACE={namespace} '*) ;; *) continue ;; esac
           for word; do case $word in K8S_POD_UID=*) uid=${{word#*=}} ;; K8S_POD_NAME=*) pod=${{word#*=}} ;; esac; done
           grep -q -s \"pod=$uid \" /sys/class/net/sk*/ifalias && echo $pod && exit
         done; echo no ADD is under way >&2; exit 1"
    );
    let killed = async {
        devbox.host("pkill -STOP -x ovn-controller").await.unwrap();
        create().await;
        let pod = wait::until("an ADD waits for OVN", Duration::from_secs(60), || {
            devbox.host(&under_way)
        })
        .await;
        crash(devbox, "kubestackd").await;
        pod.trim().to_owned()
    };
    always(killed, async {
        devbox.host("pkill -CONT -x ovn-controller").await.unwrap();
    })
    .await
}

/// Kills the daemon in the middle of a DEL: it stands still until a plugin that deletes waits for it.
async fn crash_in_del(devbox: &Devbox, body: impl AsyncFnOnce()) {
    // After a crash kubelet takes its time (a back-off) to start the daemon again.
    wait::until("the daemon stands still", Duration::from_secs(90), || {
        devbox.host("pkill -STOP -x kubestackd")
    })
    .await;
    let killed = async {
        body().await;
        wait::until("a DEL waits for the daemon", Duration::from_secs(50), || async {
            let call =
                "for p in $(pgrep -x kubestack); do grep -qz CNI_COMMAND=DEL /proc/$p/environ && echo $p; done; true";
            ensure!(!devbox.host(call).await?.is_empty(), "no plugin runs");
            Ok(())
        })
        .await;
    };
    always(killed, crash(devbox, "kubestackd")).await;
}

/// The Neutron port of a pod, by which Open vSwitch knows its interface.
async fn port_of(devbox: &Devbox, namespace: &str, pod: &str) -> String {
    let pods: Api<Pod> = Api::namespaced(devbox.kube.clone(), namespace);
    let ports: Api<Port> = Api::namespaced(devbox.kube.clone(), namespace);
    let pod = pods.get(pod).await.unwrap();
    let port = ports.get(&pod.uid().unwrap()).await.unwrap();
    port.status.unwrap().port_id.unwrap()
}

#[tokio::test]
async fn pods_survive_a_daemon_that_is_killed_while_they_start() {
    let _guard = alone().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "daemon", "", async |tenant| {
        let name = tenant.name_any();
        let address = pods::run(&devbox, &name, "before", "before").await;
        let all = ["a", "b", "c", "d"].map(str::to_owned);
        let create = async || pods::create_all(&devbox, &name, &all).await.unwrap();
        let hit = crash_in_add(&devbox, &name, create).await;
        let hit = Api::<Pod>::namespaced(devbox.kube.clone(), &name)
            .get(&hit)
            .await
            .unwrap();
        let early = hit.status.and_then(|status| status.pod_ip);
        assert_eq!(early, None, "the daemon answered before it was killed");
        for pod in ["a", "b", "c", "d"] {
            pods::ready(&devbox, &name, pod).await;
        }
        pods::assert_reaches(&devbox, &name, "a", &address, "before").await;
        let (a, b) = tokio::join!(port_of(&devbox, &name, "a"), port_of(&devbox, &name, "b"));
        let rows = format!(
            "for id in {a} {b}; do ovs-vsctl --bare --columns=name find interface external_ids:iface-id=$id; done"
        );
        let before = devbox.host(&rows).await.unwrap();
        assert_eq!(before.split_whitespace().count(), 2, "{before}");
        crash_in_del(&devbox, async || {
            devbox
                .kubectl(&["-n", &name, "delete", "pod", "a", "b", "--wait=false"], "")
                .await
                .unwrap();
        })
        .await;
        devbox
            .kubectl(
                &["-n", &name, "wait", "--for=delete", "pod/a", "pod/b", "--timeout=90s"],
                "",
            )
            .await
            .unwrap();
        wait::until("Open vSwitch has lost their rows", Duration::from_secs(60), || async {
            let left = devbox.host(&rows).await?;
            ensure!(left.trim().is_empty(), "{left}");
            Ok(())
        })
        .await;
    })
    .await;
}

/// Stops these services, runs `body`, and starts them again whatever happened: the next test needs them.
async fn with_away(devbox: &Devbox, services: &str, body: impl AsyncFnOnce()) {
    devbox.host(&format!("systemctl stop {services}")).await.unwrap();
    always(body(), async {
        devbox.host(&format!("systemctl start {services}")).await.unwrap();
    })
    .await;
}

/// Asserts that the Tenant says what is away: in its message, its condition and an Event.
async fn assert_says_why(devbox: &Devbox, name: &str, what: &str, limit: Duration) {
    let pending = tenant::in_state(devbox, name, TenantState::Pending, limit).await;
    let status = pending.status.unwrap();
    let message = status.message.unwrap_or_default();
    assert!(
        message.to_lowercase().contains(what),
        "{message:?} does not say what is away"
    );
    let ready = status.conditions.iter().find(|condition| condition.type_ == READY);
    let ready = ready.unwrap();
    let said = (ready.status.as_str(), ready.reason.as_str(), ready.message.as_str());
    assert_eq!(said, ("False", AWAY, message.as_str()));
    told(devbox, "default", Some(name), AWAY, &[what], limit).await;
}

/// Takes one service away while the pod `client` of a tenant talks to `web` at `address`: that goes on, and a new Tenant and `new` pods
/// wait, say why, and are there when the service is.
async fn assert_bears(devbox: &Devbox, name: &str, address: &str, (service, unit): (&str, &str), new: &[String]) {
    let late = tenant::unique("late");
    let walk = with_away(devbox, unit, async || {
        let away = Instant::now();
        tenant::create(devbox, &late, "").await.unwrap();
        pods::create_all(devbox, name, new).await.unwrap();
        let waits = async {
            assert_says_why(devbox, &late, service, TOLD).await;
            if service == "neutron" {
                // Keystone's tokens last: who has one goes on.
                told(devbox, name, None, AWAY, &[service], TOLD).await;
            }
        };
        let runs = async {
            while away.elapsed() < OUTAGE {
                // Each time, and at the first try.
                let answer = pods::fetch(devbox, name, "client", address).await;
                assert_eq!(
                    answer.unwrap(),
                    "still-here",
                    "{:?} after {service} went away",
                    away.elapsed()
                );
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::join!(waits, runs);
    });
    let back = async {
        walk.await;
        for pod in new {
            pods::ready(devbox, name, pod).await;
        }
        tenant::active(devbox, &late).await;
    };
    always(back, tenant::delete(devbox, &late)).await;
}

#[tokio::test]
async fn neutron_or_keystone_away_disturbs_no_running_pod() {
    let _guard = alone().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "outage", "", async |tenant| {
        let name = tenant.name_any();
        let address = pods::run(&devbox, &name, "web", "still-here").await;
        pods::run(&devbox, &name, "client", "x").await;
        for (away, count) in [(("neutron", "neutron-api"), 8), (("keystone", "keystone"), 2)] {
            // Without Neutron more than the pool holds, so that some must wait.
            let new: Vec<_> = (0..count).map(|i| format!("{}-{i}", away.0)).collect();
            assert_bears(&devbox, &name, &address, away, &new).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_controller_that_starts_while_openstack_is_away_says_why_tenants_wait() {
    let _guard = alone().await;
    let devbox = Devbox::connect().await;
    let (new, going) = (tenant::unique("unserved"), tenant::unique("going"));
    tenant::create(&devbox, &going, "").await.unwrap();
    let project = tenant::project_of(&tenant::active(&devbox, &going).await);
    with_away(&devbox, "keystone neutron-api", async || {
        let away = Instant::now();
        crash(&devbox, "stackube-contro").await;
        tenant::create(&devbox, &new, "").await.unwrap();
        devbox
            .kubectl(&["delete", "tenant", &going, "--wait=false"], "")
            .await
            .unwrap();
        assert_says_why(&devbox, &new, "keystone", Duration::from_secs(240)).await;
        wait::until("the deleted Tenant says why", Duration::from_secs(120), || async {
            let shown = devbox
                .kubectl(&["get", "tenant", &going, "-o", "jsonpath={.status.message}"], "")
                .await?;
            ensure!(shown.to_lowercase().contains("keystone"), "{shown:?}");
            Ok(())
        })
        .await;
        tokio::time::sleep(OUTAGE.saturating_sub(away.elapsed())).await;
    })
    .await;
    tenant::active(&devbox, &new).await;
    tenant::delete(&devbox, &new).await;
    tenant::delete(&devbox, &going).await;
    cloud::assert_nothing_left(&devbox, &project).await;
}
