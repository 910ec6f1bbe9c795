//! The Kubernetes DNS specification 1.1, section by section.

use std::net::Ipv4Addr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{self, A, AAAA, ANY, AXFR, CNAME, MX, NS, PTR, SOA, SRV, TXT};

use crate::cluster::{BANK_POD, NOBODY, SHOP_POD, SYSTEM_POD};
use crate::support::{config, query, start, words};

const X: &str = "NXDOMAIN";
const EMPTY: &str = "NODATA";

/// Who asks, for what (below `cluster.local.` unless it ends in a dot), and what comes back.
type Case = (Ipv4Addr, &'static str, RecordType, &'static str);

async fn check(cases: &[Case]) {
    let server = start(&config());
    let mut wrong = Vec::new();
    for (source, name, rtype, want) in cases {
        let full = if name.ends_with('.') {
            (*name).to_owned()
        } else {
            format!("{name}.cluster.local.")
        };
        let reply = server.ask(*source, &full, *rtype).await;
        let got = words(&reply);
        if got != *want {
            wrong.push(format!("{source} {full} {rtype}: want {want:?}, got {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn schema_version_2_2() {
    check(&[
        (SHOP_POD, "dns-version", TXT, "TXT 1.1.0"),
        (SHOP_POD, "dns-version", A, EMPTY),
        (SHOP_POD, "x.dns-version", TXT, X),
    ])
    .await;
}

#[tokio::test]
async fn cluster_ip_2_3() {
    check(&[
        (SHOP_POD, "nginx.shop.svc", A, "A 10.96.1.1"),
        (SHOP_POD, "NgInX.Shop.SVC", A, "A 10.96.1.1"),
        (BANK_POD, "nginx.bank.svc", A, "A 10.96.2.1"),
        (SHOP_POD, "nginx.shop.svc", AAAA, EMPTY),
        (SHOP_POD, "nginx.shop.svc", MX, EMPTY),
        (SHOP_POD, "nginx.shop.svc", SRV, EMPTY),
        (
            SHOP_POD,
            "_http._tcp.nginx.shop.svc",
            SRV,
            "SRV 0 100 80 nginx.shop.svc.cluster.local.",
        ),
        (
            SHOP_POD,
            "_talk._udp.nginx.shop.svc",
            SRV,
            "SRV 0 100 81 nginx.shop.svc.cluster.local.",
        ),
        (SHOP_POD, "_http._udp.nginx.shop.svc", SRV, X),
        (SHOP_POD, "_http._tcp.nginx.shop.svc", A, EMPTY),
        (SHOP_POD, "_none._tcp.nginx.shop.svc", SRV, X),
        (SHOP_POD, "_tcp.nginx.shop.svc", SRV, EMPTY),
        (SHOP_POD, "_sctp.nginx.shop.svc", A, X),
        (SHOP_POD, "http.tcp.nginx.shop.svc", SRV, X),
        (SHOP_POD, "x._http._tcp.nginx.shop.svc", SRV, X),
        (SHOP_POD, "host.nginx.shop.svc", A, X),
        (SHOP_POD, "absent.shop.svc", A, X),
        // No address yet.
        (SHOP_POD, "waiting.shop.svc", A, X),
        (
            SHOP_POD,
            "1.1.96.10.in-addr.arpa.",
            PTR,
            "PTR nginx.shop.svc.cluster.local.",
        ),
        (SHOP_POD, "1.1.96.10.in-addr.arpa.", A, EMPTY),
    ])
    .await;
}

#[tokio::test]
async fn headless_2_4() {
    check(&[
        (SHOP_POD, "db.shop.svc", A, "A 10.0.0.11, A 10.0.0.12, A 10.0.0.14"),
        (SHOP_POD, "db.shop.svc", AAAA, EMPTY),
        (SHOP_POD, "db-0.db.shop.svc", A, "A 10.0.0.11, A 10.0.0.14"),
        (SHOP_POD, "10-0-0-12.db.shop.svc", A, "A 10.0.0.12"),
        (SHOP_POD, "db-2.db.shop.svc", A, X),
        (SHOP_POD, "x.db-0.db.shop.svc", A, X),
        (SHOP_POD, "idle.shop.svc", A, X),
        (SHOP_POD, "idle-0.idle.shop.svc", A, X),
        (SHOP_POD, "early.shop.svc", A, "A 10.0.0.22"),
        (SHOP_POD, "early-0.early.shop.svc", A, "A 10.0.0.22"),
        (
            SHOP_POD,
            "_pg._tcp.db.shop.svc",
            SRV,
            "SRV 0 100 5432 10-0-0-12.db.shop.svc.cluster.local., SRV 0 100 5432 db-0.db.shop.svc.cluster.local.",
        ),
        (SHOP_POD, "_tcp.db.shop.svc", SRV, EMPTY),
        (SHOP_POD, "_pg._udp.db.shop.svc", SRV, X),
        (
            SHOP_POD,
            "11.0.0.10.in-addr.arpa.",
            PTR,
            "PTR db-0.db.shop.svc.cluster.local.",
        ),
        (
            SHOP_POD,
            "12.0.0.10.in-addr.arpa.",
            PTR,
            "PTR 10-0-0-12.db.shop.svc.cluster.local.",
        ),
        (SHOP_POD, "13.0.0.10.in-addr.arpa.", PTR, X),
    ])
    .await;
}

#[tokio::test]
async fn external_name_2_5() {
    check(&[
        (SHOP_POD, "web.shop.svc", CNAME, "CNAME www.example.test."),
        (
            SHOP_POD,
            "inner.shop.svc",
            A,
            "A 10.96.1.1, CNAME nginx.shop.svc.cluster.local.",
        ),
        (SHOP_POD, "inner.shop.svc", ANY, "CNAME nginx.shop.svc.cluster.local."),
        (SHOP_POD, "circle.shop.svc", A, "ServFail"),
        // An alias does not open another tenant's names.
        (
            SHOP_POD,
            "nosy.shop.svc",
            A,
            "CNAME vault.bank.svc.cluster.local., NXDOMAIN",
        ),
        (SHOP_POD, "x.web.shop.svc", A, X),
    ])
    .await;
}

#[tokio::test]
async fn pods_2_6() {
    check(&[
        (SHOP_POD, "10-0-0-30.shop.pod", A, "A 10.0.0.30"),
        (SHOP_POD, "10-0-0-7.shop.pod", A, "A 10.0.0.7"),
        (SHOP_POD, "10-0-0-12.shop.pod", A, "A 10.0.0.12"),
        (SHOP_POD, "10-0-0-30.shop.pod", AAAA, EMPTY),
        (SHOP_POD, "10-0-0-31.shop.pod", A, X),
        (SHOP_POD, "10-96-1-1.shop.pod", A, X),
        (SHOP_POD, "10-0-0-031.shop.pod", A, X),
        (SHOP_POD, "10-0-0.shop.pod", A, X),
        (SHOP_POD, "10-0-0-31.bank.pod", A, X),
        (BANK_POD, "10-0-0-31.bank.pod", A, "A 10.0.0.31"),
        (SHOP_POD, "shop.pod", A, EMPTY),
        (SHOP_POD, "bank.pod", A, X),
    ])
    .await;
}

#[tokio::test]
async fn names_above_services() {
    let soa = "SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5";
    check(&[
        (SHOP_POD, "cluster.local.", SOA, soa),
        (SHOP_POD, "cluster.local.", NS, "NS ns.dns.cluster.local."),
        (SHOP_POD, "cluster.local.", A, EMPTY),
        (SHOP_POD, "ns.dns", A, "A 10.96.0.10"),
        (SHOP_POD, "dns", A, EMPTY),
        (SHOP_POD, "svc", A, EMPTY),
        (SHOP_POD, "pod", A, EMPTY),
        (SHOP_POD, "shop.svc", A, EMPTY),
        (SHOP_POD, "shop.svc", ANY, "HINFO RFC8482 "),
        (SHOP_POD, "absent", A, X),
        (SHOP_POD, "nginx", A, X),
        (SHOP_POD, "nginx.shop", A, X),
        (SHOP_POD, "www.example.test.shop.svc", A, X),
        (SHOP_POD, "www.example.test.svc", A, X),
        (SHOP_POD, "www.example.test", A, X),
        (SHOP_POD, "*.shop.svc", A, X),
    ])
    .await;
}

#[tokio::test]
async fn shared_services() {
    check(&[
        (SHOP_POD, "kubernetes.default.svc", A, "A 10.96.0.1"),
        (
            SHOP_POD,
            "_https._tcp.kubernetes.default.svc",
            SRV,
            "SRV 0 100 443 kubernetes.default.svc.cluster.local.",
        ),
        (
            SHOP_POD,
            "1.0.96.10.in-addr.arpa.",
            PTR,
            "PTR kubernetes.default.svc.cluster.local.",
        ),
        (
            SHOP_POD,
            "10.0.96.10.in-addr.arpa.",
            PTR,
            "PTR kube-dns.kube-system.svc.cluster.local.",
        ),
        (SHOP_POD, "registry.infra.svc", A, "A 10.96.0.50"),
        (SHOP_POD, "default.svc", A, EMPTY),
        (SHOP_POD, "infra.svc", A, EMPTY),
        (SHOP_POD, "metrics.kube-system.svc", A, X),
        (SHOP_POD, "99.0.96.10.in-addr.arpa.", PTR, X),
        // Endpoints are not reachable from another network, so sharing a headless Service has no effect.
        (SHOP_POD, "peers.infra.svc", A, X),
        (SHOP_POD, "77.0.0.10.in-addr.arpa.", PTR, X),
        (SYSTEM_POD, "peers.infra.svc", A, "A 10.0.0.77"),
        (SYSTEM_POD, "metrics.kube-system.svc", A, "A 10.96.0.99"),
        (SYSTEM_POD, "nginx.shop.svc", A, X),
        (SYSTEM_POD, "1.1.96.10.in-addr.arpa.", PTR, X),
    ])
    .await;
}

#[tokio::test]
async fn other_tenants() {
    check(&[
        (SHOP_POD, "nginx.bank.svc", A, X),
        (SHOP_POD, "db-0.db.bank.svc", A, X),
        (SHOP_POD, "bank.svc", A, X),
        (SHOP_POD, "absent.svc", A, X),
        (SHOP_POD, "1.2.96.10.in-addr.arpa.", PTR, X),
        (SHOP_POD, "99.0.0.10.in-addr.arpa.", PTR, X),
        (
            BANK_POD,
            "11.0.0.10.in-addr.arpa.",
            PTR,
            "PTR db-0.db.bank.svc.cluster.local.",
        ),
        (NOBODY, "nginx.shop.svc", A, "Refused"),
        (NOBODY, "www.example.test.", A, "Refused"),
    ])
    .await;
}

/// The upstream server of these tests refuses all: what is answered was not asked there.
#[tokio::test]
async fn private_names_stay_here() {
    check(&[
        (SHOP_POD, "10.in-addr.arpa.", SOA, EMPTY),
        (SHOP_POD, "96.10.in-addr.arpa.", PTR, EMPTY),
        (SHOP_POD, "9.9.168.192.in-addr.arpa.", PTR, X),
        (SHOP_POD, "9.9.31.172.in-addr.arpa.", PTR, X),
        (SHOP_POD, "9.9.127.100.in-addr.arpa.", PTR, X),
        (SHOP_POD, "1.77.254.169.in-addr.arpa.", PTR, X),
        (SHOP_POD, "x.9.9.9.10.in-addr.arpa.", PTR, X),
        (SHOP_POD, "b._dns-sd._udp.0.0.0.10.in-addr.arpa.", PTR, X),
        (SHOP_POD, "9.9.32.172.in-addr.arpa.", PTR, "ServFail"),
        (SHOP_POD, "9.9.9.9.in-addr.arpa.", PTR, "ServFail"),
        (SHOP_POD, "d.f.ip6.arpa.", PTR, X),
        (SHOP_POD, "0.8.e.f.ip6.arpa.", PTR, X),
        (SHOP_POD, "8.b.d.0.1.0.0.2.ip6.arpa.", PTR, "ServFail"),
        (SHOP_POD, "localhost.", A, "A 127.0.0.1"),
        (SHOP_POD, "a.localhost.", AAAA, EMPTY),
        (SHOP_POD, "x.invalid.", A, X),
        (SHOP_POD, "x.onion.", A, X),
    ])
    .await;
}

#[tokio::test]
async fn additional_addresses_of_srv() {
    let server = start(&config());
    let reply = server
        .ask(SHOP_POD, "_http._tcp.nginx.shop.svc.cluster.local.", SRV)
        .await;
    let additional: Vec<_> = reply.additionals.iter().map(ToString::to_string).collect();
    assert_eq!(additional, ["nginx.shop.svc.cluster.local. 5 IN A 10.96.1.1"]);
    let reply = server.ask(SHOP_POD, "_pg._tcp.db.shop.svc.cluster.local.", SRV).await;
    assert_eq!(reply.additionals.len(), 3);
}

#[tokio::test]
async fn flags_and_refusals() {
    let server = start(&config());
    let reply = server.ask(SHOP_POD, "nGinx.shop.svc.cluster.local.", A).await;
    assert!(reply.metadata.authoritative && reply.metadata.recursion_available);
    // Case is kept: clients that vary it compare.
    assert_eq!(reply.answers[0].name.to_ascii(), "nGinx.shop.svc.cluster.local.");
    assert_eq!(reply.answers[0].ttl, 5);

    let reply = server.ask(SHOP_POD, "cluster.local.", AXFR).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
    let mut chaos = query("version.bind.", TXT);
    chaos.queries[0].set_query_class(hickory_proto::rr::DNSClass::CH);
    assert_eq!(
        server.send(SHOP_POD, &chaos).await.metadata.response_code,
        ResponseCode::Refused
    );
    let mut update = query("cluster.local.", SOA);
    update.metadata.op_code = hickory_proto::op::OpCode::Notify;
    assert_eq!(
        server.send(SHOP_POD, &update).await.metadata.response_code,
        ResponseCode::NotImp
    );
}

#[tokio::test]
async fn a_network_that_is_not_known_yet_is_not_denied() {
    let server = start(&config());
    let pod = Ipv4Addr::new(127, 0, 4, 1);
    let reply = server.ask(pod, "nginx.late.svc.cluster.local.", A).await;
    assert_eq!(words(&reply), "ServFail");
    server
        .store
        .apply_service(&crate::cluster::cluster_ip("late", "nginx", "10.96.4.1"));
    server.store.set_namespace("late", [4; 16], "late");
    let reply = server.ask(pod, "nginx.late.svc.cluster.local.", A).await;
    assert_eq!(words(&reply), "A 10.96.4.1");
}

#[tokio::test]
async fn follows_changes() {
    let server = start(&config());
    let store = &server.store;
    let name = "nginx.shop.svc.cluster.local.";
    store.apply_service(&crate::cluster::cluster_ip("shop", "nginx", "10.96.1.9"));
    assert_eq!(words(&server.ask(SHOP_POD, name, A).await), "A 10.96.1.9");
    assert_eq!(words(&server.ask(SHOP_POD, "1.1.96.10.in-addr.arpa.", PTR).await), X);
    store.remove_service("shop", "nginx");
    assert_eq!(words(&server.ask(SHOP_POD, name, A).await), X);
    store.remove_slice("shop", "db", "db-a");
    assert_eq!(
        words(&server.ask(SHOP_POD, "db.shop.svc.cluster.local.", A).await),
        "A 10.0.0.11, A 10.0.0.14"
    );
    store.remove_slice("shop", "db", "db-b");
    assert_eq!(words(&server.ask(SHOP_POD, "db.shop.svc.cluster.local.", A).await), X);
    store.remove_pod("shop", Ipv4Addr::new(10, 0, 0, 30));
    assert_eq!(
        words(&server.ask(SHOP_POD, "10-0-0-30.shop.pod.cluster.local.", A).await),
        X
    );
    // Nobody asks for another namespace's content by taking over its name.
    store.remove_namespace("bank");
    store.set_namespace("bank", crate::cluster::BANK, "bank");
    assert_eq!(
        words(&server.ask(BANK_POD, "vault.bank.svc.cluster.local.", A).await),
        "A 10.96.2.2"
    );
}
