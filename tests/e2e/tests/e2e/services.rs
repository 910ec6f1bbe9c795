//! Services of tenants, by name and by address, and what changes, restarts and neighbours may do to them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use serde_json::json;
use stackube_e2e::{
    devbox::Devbox,
    pods,
    services::{expose, label},
    tenant::{with_tenant, with_two_tenants},
    wait,
};

use crate::{inspect, shared};

mod rules;

/// What a connection to `address:80` comes to: the page, `refused`, or `nothing` when nobody answers at all within two seconds.
pub(crate) async fn outcome(devbox: &Devbox, namespace: &str, pod: &str, address: &str) -> Result<String> {
    let script = format!(
        "wget -q -O - -T 2 http://{address}/ 2>/tmp/error || {{ grep -q refused /tmp/error && echo refused || echo nothing; }}"
    );
    Ok(pods::exec(devbox, namespace, pod, &script).await?.trim().to_owned())
}

pub(crate) async fn assert_outcome(devbox: &Devbox, namespace: &str, pod: &str, address: &str, expected: &str) {
    wait::until(
        &format!("{namespace}/{pod} -> {address} is {expected}"),
        Duration::from_secs(30),
        || async {
            let seen = outcome(devbox, namespace, pod, address).await?;
            ensure!(seen == expected, "it is {seen:?}");
            Ok::<_, anyhow::Error>(())
        },
    )
    .await;
}

#[tokio::test]
async fn a_service_answers_by_name_and_by_address() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "service", "", async |tenant| {
        let name = tenant.name_any();
        pods::run(&devbox, &name, "web", "of-web").await;
        pods::run(&devbox, &name, "client", "client").await;
        label(&devbox, &name, "web", "web").await;
        let address = expose(&devbox, &name, "web", 80).await;
        for host in [
            address.clone(),
            "web".into(),
            format!("web.{name}"),
            format!("web.{name}.svc.cluster.local"),
        ] {
            assert_outcome(&devbox, &name, "client", &host, "of-web").await;
        }
        // A pod reaches itself through its Service, too.
        assert_outcome(&devbox, &name, "web", &address, "of-web").await;
        let seen = pods::exec(&devbox, &name, "client", "nslookup web || true")
            .await
            .unwrap();
        assert!(seen.contains("10.96.0.10") && seen.contains(&address), "{seen}");
        inspect::assert_explains(&devbox, &name, "client", ("web", &address)).await;
    })
    .await;
}

#[tokio::test]
async fn equal_names_and_ports_of_two_tenants_are_two_services() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_two_tenants(&devbox, "services", async |a, b| {
        let (a, b) = (a.name_any(), b.name_any());
        let mut addresses = vec![];
        for namespace in [&a, &b] {
            pods::run(&devbox, namespace, "web", &format!("of-{namespace}")).await;
            pods::run(&devbox, namespace, "client", "client").await;
            label(&devbox, namespace, "web", "web").await;
            addresses.push(expose(&devbox, namespace, "web", 80).await);
        }
        for (own, other, foreign) in [(&a, &b, &addresses[1]), (&b, &a, &addresses[0])] {
            assert_outcome(&devbox, own, "client", "web", &format!("of-{own}")).await;
            // Refused, and at once: no time is lost on what another tenant has.
            assert_outcome(&devbox, own, "client", foreign, "refused").await;
            let name = format!("web.{other}.svc.cluster.local");
            let seen = pods::exec(&devbox, own, "client", &format!("nslookup {name} 2>&1 || true"))
                .await
                .unwrap();
            assert!(seen.contains("NXDOMAIN") && !seen.contains(foreign.as_str()), "{seen}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_service_without_endpoints_is_refused_at_once_and_works_when_it_has_one() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "empty", "", async |tenant| {
        let name = tenant.name_any();
        pods::run(&devbox, &name, "web", "of-web").await;
        pods::run(&devbox, &name, "client", "client").await;
        label(&devbox, &name, "web", "other").await;
        let address = expose(&devbox, &name, "web", 80).await;
        assert_outcome(&devbox, &name, "client", &address, "refused").await;
        label(&devbox, &name, "web", "web").await;
        assert_outcome(&devbox, &name, "client", &address, "of-web").await;
        label(&devbox, &name, "web", "other").await;
        assert_outcome(&devbox, &name, "client", &address, "refused").await;
    })
    .await;
}

/// Puts a kubectl into the pod, that asks with the pod's own service account.
pub(crate) async fn put_kubectl(devbox: &Devbox, namespace: &str, pod: &str) {
    let grant = [
        "-n",
        namespace,
        "create",
        "rolebinding",
        "view",
        "--clusterrole=view",
        &format!("--serviceaccount={namespace}:default"),
    ];
    devbox.kubectl(&grant, "").await.unwrap();
    let kubectl = devbox.program("kubectl").unwrap();
    let target = format!("{namespace}/{pod}:/tmp/kubectl");
    devbox
        .kubectl(&["cp", &kubectl.to_string_lossy(), &target], "")
        .await
        .unwrap();
}

const SERVICES: usize = 6;
const PODS: usize = 4;

/// Services without selector, whose endpoints the test writes itself: what each should answer.
struct Changing<'a> {
    devbox: &'a Devbox,
    namespace: String,
    pods: Vec<String>,
    wanted: Vec<Option<BTreeSet<usize>>>,
    addresses: Vec<String>,
}

impl Changing<'_> {
    /// One random change.
    async fn change(&mut self) {
        let service = rand::random_range(0..SERVICES);
        let name = format!("s{service}");
        let all = |text: &str| self.namespace.clone() + "/" + text;
        if self.wanted[service].is_none() || rand::random_range(0..5) > 0 {
            if self.wanted[service].is_none() {
                let spec = json!({
                    "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": self.namespace},
                    "spec": {"clusterIP": self.addresses[service], "ports": [{"port": 80}]},
                });
                self.devbox
                    .kubectl(&["create", "-f", "-"], &spec.to_string())
                    .await
                    .unwrap_or_else(|e| panic!("{}: {e}", all(&name)));
            }
            let chosen: BTreeSet<usize> = (0..PODS).filter(|_| rand::random()).collect();
            let endpoints: Vec<_> = chosen
                .iter()
                .map(|pod| json!({"addresses": [self.pods[*pod]]}))
                .collect();
            let slice = json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {"name": name, "namespace": self.namespace, "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4", "ports": [{"port": 80, "protocol": "TCP"}], "endpoints": endpoints,
            });
            self.devbox
                .kubectl(&["apply", "-f", "-"], &slice.to_string())
                .await
                .unwrap();
            self.wanted[service] = Some(chosen);
        } else {
            self.devbox
                .kubectl(&["-n", &self.namespace, "delete", "service", &name], "")
                .await
                .unwrap();
            self.wanted[service] = None;
        }
    }

    /// Compares what a pod sees, for all Services at once.
    async fn compare(&self) {
        let script: String = self
            .addresses
            .iter()
            .map(|address| {
                format!(
                    "for i in $(seq 24); do wget -q -O - -T 2 http://{address}/ 2>/tmp/e || {{ grep -q refused /tmp/e && echo refused || echo nothing; }}; \
                     done | sort -u | tr '\\n' ' '; echo; "
                )
            })
            .collect();
        let expected: Vec<String> = self.wanted.iter().map(expected).collect();
        wait::until("a pod sees what was written last", Duration::from_secs(60), || async {
            let seen = pods::exec(self.devbox, &self.namespace, "client", &script).await?;
            let seen: Vec<&str> = seen.lines().map(str::trim).collect();
            ensure!(seen == expected, "it sees {seen:?} instead of {expected:?}");
            Ok::<_, anyhow::Error>(())
        })
        .await;
    }
}

fn expected(wanted: &Option<BTreeSet<usize>>) -> String {
    match wanted {
        Some(pods) if !pods.is_empty() => pods.iter().map(|pod| format!("p{pod}")).collect::<Vec<_>>().join(" "),
        _ => "refused".to_owned(),
    }
}

#[tokio::test]
async fn two_hundred_random_changes_are_what_a_pod_sees() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "changes", "", async |tenant| {
        let namespace = tenant.name_any();
        let mut addresses = vec![];
        for pod in 0..PODS {
            addresses.push(pods::run(&devbox, &namespace, &format!("p{pod}"), &format!("p{pod}")).await);
        }
        pods::run(&devbox, &namespace, "client", "client").await;
        // Addresses that the API server gives, so that parallel tests do not meet; and of the range that stays, since one of these
        // tests has another for a while.
        let stays = |vip: &String| vip.parse::<Ipv4Addr>().unwrap().octets()[1] & 0xf0 == 96;
        let mut vips = vec![];
        while vips.len() < SERVICES {
            let name = format!("s{}", vips.len());
            vips.extend(Some(expose(&devbox, &namespace, &name, 80).await).filter(stays));
            devbox
                .kubectl(&["-n", &namespace, "delete", "service", &name], "")
                .await
                .unwrap();
        }
        let mut changing = Changing {
            devbox: &devbox,
            namespace,
            pods: addresses,
            wanted: vec![None; SERVICES],
            addresses: vips,
        };
        for _ in 0..20 {
            for _ in 0..10 {
                changing.change().await;
            }
            changing.compare().await;
        }
    })
    .await;
}
