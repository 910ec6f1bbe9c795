//! DNS as a tenant's pod sees it: what kubelet writes into its `/etc/resolv.conf`, and what the server there answers.

mod outside;
pub(crate) mod wire;

use std::time::Duration;

use anyhow::ensure;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{self, A, AAAA, CNAME, PTR, SRV, TXT};
use kube::ResourceExt;
use serde_json::{Value, json};
use stackube_e2e::{
    admin::create, devbox::Devbox, guest::Guest, pods, services::cluster_ip, tenant::with_tenant, wait,
};
use wire::{How, ask, reverse, words};

use crate::{GUEST, shared};

/// Endpoints of a Service that no datagram has room for.
const MANY: u8 = 100;

/// What a tenant has for the test.
fn objects(namespace: &str) -> Vec<Value> {
    let pod = |name: &str, more: Value| {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": {"run": "db"}},
            "spec": {"terminationGracePeriodSeconds": 0, "hostname": name, "subdomain": "db", "containers": [{
                "name": "shell", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "86400"],
            }]},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            pod["spec"][key] = value.clone();
        }
        pod
    };
    let service = |name: &str, spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec});
    let ports = json!([
        {"name": "http", "port": 80}, {"name": "talk", "port": 81, "protocol": "UDP"},
    ]);
    let addresses: Vec<_> = (1..=MANY)
        .map(|host| json!({"addresses": [format!("10.244.254.{host}")]}))
        .collect();
    vec![
        pod("db-0", json!({})),
        pod(
            "db-1",
            json!({"dnsConfig": {"searches": ["example.test"], "options": [{"name": "ndots", "value": "1"}]}}),
        ),
        service("web", json!({"selector": {"run": "db"}, "ports": ports})),
        service(
            "db",
            json!({"clusterIP": "None", "selector": {"run": "db"}, "ports": [{"name": "pg", "port": 5432}]}),
        ),
        service(
            "idle",
            json!({"clusterIP": "None", "selector": {"run": "nobody"}, "ports": [{"port": 80}]}),
        ),
        service(
            "outer",
            json!({"type": "ExternalName", "externalName": "www.example.test"}),
        ),
        service(
            "inner",
            json!({"type": "ExternalName", "externalName": format!("web.{namespace}.svc.cluster.local")}),
        ),
        service("many", json!({"clusterIP": "None", "ports": [{"port": 80}]})),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "many", "namespace": namespace, "labels": {"kubernetes.io/service-name": "many"}},
            "ports": [{"port": 80, "protocol": "TCP"}], "endpoints": addresses,
        }),
    ]
}

#[tokio::test]
async fn a_pod_sees_the_names_of_its_tenant() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "dns", "", async |tenant| {
        let name = tenant.name_any();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects(&name)});
        create(&devbox, &list).await;
        let mut addresses = vec![];
        for pod in ["db-0", "db-1"] {
            addresses.push(pods::ready(&devbox, &name, pod).await);
        }
        let guest = Guest::bring(&devbox, GUEST, &name, "db-0").await;
        let search = format!("search {name}.svc.cluster.local svc.cluster.local cluster.local");
        assert_eq!(
            guest.shell("cat /etc/resolv.conf").await,
            format!("{search}\nnameserver 10.96.0.10\noptions ndots:5\n")
        );
        let other = pods::exec(&devbox, &name, "db-1", "cat /etc/resolv.conf")
            .await
            .unwrap();
        assert_eq!(
            other,
            format!("{search} example.test\nnameserver 10.96.0.10\noptions ndots:1\n")
        );
        records(&guest, &name, &addresses, &cluster_ip(&devbox, &name, "web").await).await;
        sizes(&guest, &name).await;
        search_path(&devbox, &name, &addresses[1]).await;
    })
    .await;
}

/// The Kubernetes DNS specification 1.1, for what the pods and Services of a tenant are.
async fn records(guest: &Guest<'_>, name: &str, addresses: &[String], service: &str) {
    let below = |text: &str| format!("{text}.{name}.svc.cluster.local.");
    let (web, dashes) = (below("web"), addresses[1].replace('.', "-"));
    let mut pods = addresses
        .iter()
        .map(|address| format!("A {address}"))
        .collect::<Vec<_>>();
    pods.sort();
    let pg = |host: &str| format!("SRV 0 100 5432 {}", below(&format!("{host}.db")));
    let cases: Vec<(String, RecordType, String)> = vec![
        (web.clone(), A, format!("A {service}")),
        (web.clone(), AAAA, "NODATA".into()),
        (below("db"), A, pods.join(", ")),
        (below("db-0.db"), A, format!("A {}", addresses[0])),
        (below("db-1.db"), A, format!("A {}", addresses[1])),
        (below("db-2.db"), A, "NXDOMAIN".into()),
        (below("idle"), A, "NXDOMAIN".into()),
        (below("_http._tcp.web"), SRV, format!("SRV 0 100 80 {web}")),
        (below("_talk._udp.web"), SRV, format!("SRV 0 100 81 {web}")),
        (below("_talk._tcp.web"), SRV, "NXDOMAIN".into()),
        (below("_pg._tcp.db"), SRV, format!("{}, {}", pg("db-0"), pg("db-1"))),
        (reverse(service), PTR, format!("PTR {web}")),
        (reverse(&addresses[0]), PTR, format!("PTR {}", below("db-0.db"))),
        (
            format!("{dashes}.{name}.pod.cluster.local."),
            A,
            format!("A {}", addresses[1]),
        ),
        (below("outer"), CNAME, "CNAME www.example.test.".into()),
        (below("inner"), A, format!("A {service}, CNAME {web}")),
        ("kubernetes.default.svc.cluster.local.".into(), A, "A 10.96.0.1".into()),
        (
            reverse("10.96.0.1"),
            PTR,
            "PTR kubernetes.default.svc.cluster.local.".into(),
        ),
        ("dns-version.cluster.local.".into(), TXT, "TXT 1.1.0".into()),
        (below("absent"), A, "NXDOMAIN".into()),
        // Nobody knows about the rest of the world but a server that one of the tests runs: that is no denial.
        ("www.example.test.".into(), A, "ServFail".into()),
    ];
    let questions: Vec<_> = cases
        .iter()
        .map(|(name, kind, _)| (name.as_str(), *kind, How::Udp))
        .collect();
    wait::until("all names are as they should be", Duration::from_secs(30), || async {
        let replies = ask(guest, &questions).await;
        let wrong: Vec<String> = cases
            .iter()
            .zip(&replies)
            .map(|((name, kind, want), (reply, _))| (format!("{name} {kind}: want {want:?}"), want, words(reply)))
            .filter(|(_, want, got)| *want != got)
            .map(|(text, _, got)| format!("{text}, got {got:?}"))
            .collect();
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    })
    .await;
}

/// TCP, EDNS, and what is too large for a datagram.
async fn sizes(guest: &Guest<'_>, name: &str) {
    let (many, web) = (
        format!("many.{name}.svc.cluster.local."),
        format!("web.{name}.svc.cluster.local."),
    );
    let questions = [
        (many.as_str(), A, How::Udp),
        (&many, A, How::Edns(1232)),
        (&many, A, How::Edns(4096)),
        (&many, A, How::Tcp),
        (&web, A, How::Edns(1232)),
        (&web, A, How::Tcp),
    ];
    let replies = ask(guest, &questions).await;
    for ((reply, size), limit) in replies.iter().zip([512, 1232, 1232]) {
        let count = reply.answers.len();
        assert!(
            reply.metadata.truncation && *size <= limit,
            "{size} bytes, {count} addresses"
        );
        assert!(
            count > 0 && count < usize::from(MANY),
            "{count} addresses in {size} bytes"
        );
    }
    let all = &replies[3].0;
    assert_eq!((all.metadata.truncation, all.answers.len()), (false, usize::from(MANY)));
    for (reply, _) in &replies[4..] {
        assert!(
            words(reply).starts_with("A 10.") && reply.metadata.authoritative,
            "{reply:?}"
        );
        assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
    }
    // RFC 6891: who offers it gets it, and nobody else.
    assert!(replies[4].0.edns.is_some() && replies[0].0.edns.is_none());
}

/// Short names, by the resolver of a program in the pod.
async fn search_path(devbox: &Devbox, name: &str, address: &str) {
    for short in [
        "db-1.db".to_owned(),
        format!("db-1.db.{name}"),
        format!("db-1.db.{name}.svc"),
    ] {
        let script = format!("ping -c 1 -W 3 {short}");
        let seen = pods::exec(devbox, name, "db-0", &script).await.unwrap();
        assert!(seen.contains(&format!("({address})")), "{seen}");
    }
}
