//! Names outside the cluster: forwarding, caching, truncation, failing servers.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use futures::future::join_all;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType::{A, AAAA, ANY, CNAME};
use stackube_proxy::dns::Config;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, UdpSocket};

use crate::cluster::{BANK_POD, SHOP_POD};
use crate::support::{Running, config, edns, over_tcp, query, start, words};
use crate::upstream::{MANY, Upstream};

fn toward(upstreams: &[SocketAddr]) -> Config {
    Config {
        upstreams: upstreams.to_vec(),
        ..config()
    }
}

async fn both() -> (Upstream, Running) {
    let upstream = Upstream::start().await;
    let server = start(&toward(&[upstream.address]));
    (upstream, server)
}

const WWW: &str = "www.example.test.";

#[tokio::test]
async fn forwards_and_keeps_by_network() {
    let (upstream, server) = both().await;
    let reply = server.ask(SHOP_POD, WWW, A).await;
    assert_eq!(words(&reply), "A 192.0.2.10");
    assert!(!reply.metadata.authoritative && reply.metadata.recursion_available);
    assert_eq!(upstream.asked(), 1);
    // Another pod of the network is answered from the cache, with any case.
    let other = Ipv4Addr::new(127, 0, 1, 8);
    let reply = server.ask(other, "WWW.example.test.", A).await;
    assert_eq!((words(&reply).as_str(), upstream.asked()), ("A 192.0.2.10", 1));
    assert!(reply.answers[0].ttl <= 60);
    // Another network does not learn from the time of its answer that somebody asked.
    assert_eq!(words(&server.ask(BANK_POD, WWW, A).await), "A 192.0.2.10");
    assert_eq!(upstream.asked(), 2);
    let metrics = server.metrics();
    for line in [
        r#"dns_responses_total{network="shop",source="cache",code="NOERROR"} 1"#,
        r#"dns_responses_total{network="shop",source="upstream",code="NOERROR"} 1"#,
        r#"dns_responses_total{network="bank",source="upstream",code="NOERROR"} 1"#,
        r#"dns_queries_total{network="shop",protocol="udp"} 2"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn keeps_absence() {
    let (upstream, server) = both().await;
    for _ in 0..2 {
        assert_eq!(
            words(&server.ask(SHOP_POD, "absent.example.test.", A).await),
            "NXDOMAIN"
        );
        assert_eq!(upstream.asked(), 1);
    }
    for _ in 0..2 {
        assert_eq!(words(&server.ask(SHOP_POD, WWW, AAAA).await), "NODATA");
        assert_eq!(upstream.asked(), 2);
    }
    // A time to live of zero is not kept.
    for asked in [3, 4] {
        assert_eq!(
            words(&server.ask(SHOP_POD, "brief.example.test.", A).await),
            "A 192.0.2.11"
        );
        assert_eq!(upstream.asked(), asked);
    }
}

#[tokio::test]
async fn aliases() {
    let (_upstream, server) = both().await;
    let alias = "A 192.0.2.10, CNAME www.example.test.";
    assert_eq!(words(&server.ask(SHOP_POD, "alias.example.test.", A).await), alias);
    assert_eq!(
        words(&server.ask(SHOP_POD, "alias.example.test.", CNAME).await),
        "CNAME www.example.test."
    );
    // A Service of type ExternalName, twice: once from the server, once from the cache.
    for _ in 0..2 {
        assert_eq!(
            words(&server.ask(SHOP_POD, "web.shop.svc.cluster.local.", A).await),
            alias
        );
    }
}

#[tokio::test]
async fn truncates_and_answers_by_tcp() {
    let (_upstream, server) = both().await;
    let many = || query("many.example.test.", A);
    let plain = server.send(SHOP_POD, &many()).await;
    assert!(plain.metadata.truncation);
    assert!(plain.to_vec().unwrap().len() <= 512 && !plain.answers.is_empty());
    let large = server.send(SHOP_POD, &edns(many(), 4096, false)).await;
    assert!(large.metadata.truncation && large.answers.len() > plain.answers.len());
    assert!(large.to_vec().unwrap().len() <= 1232);
    assert_eq!(
        large.edns.as_ref().map(hickory_proto::op::Edns::max_payload),
        Some(1232)
    );
    let small = server.send(SHOP_POD, &edns(many(), 100, false)).await;
    assert!(small.to_vec().unwrap().len() <= 512);
    let whole = server.send_tcp(SHOP_POD, &many()).await;
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), usize::from(MANY));
}

#[tokio::test]
async fn edns_is_answered_and_versions_are_checked() {
    let (_upstream, server) = both().await;
    let reply = server.send(SHOP_POD, &query(WWW, A)).await;
    assert_eq!(reply.edns, None);
    let reply = server.send(SHOP_POD, &edns(query(WWW, A), 1400, true)).await;
    let ours = reply.edns.expect("no OPT");
    assert!(ours.flags().dnssec_ok && ours.version() == 0);
    let mut newer = edns(query(WWW, A), 1400, false);
    newer.edns.as_mut().unwrap().set_version(1);
    let reply = server.send(SHOP_POD, &newer).await;
    // 16 is BADVERS, and in the signatures of other messages BADSIG.
    assert_eq!(u16::from(reply.metadata.response_code), 16);
}

#[tokio::test]
async fn asks_once_for_all_who_wait() {
    let (upstream, server) = both().await;
    upstream.shut();
    let ask = |n| server.ask(Ipv4Addr::new(127, 0, 1, n), WWW, A);
    let waiting = join_all((1..=20).map(ask));
    let open = async {
        while upstream.asked() == 0 {
            tokio::task::yield_now().await;
        }
        upstream.open();
    };
    let (replies, ()) = tokio::join!(waiting, open);
    assert!(replies.iter().all(|reply| words(reply) == "A 192.0.2.10"));
    assert_eq!(upstream.asked(), 1);
}

#[tokio::test]
async fn a_network_can_fill_only_its_own_share() {
    let upstream = Upstream::start().await;
    let server = start(&Config {
        pending: 4,
        ..toward(&[upstream.address])
    });
    upstream.shut();
    let ask = |n: u8| {
        let name = format!("n{n}.example.test.");
        let server = &server;
        async move { server.ask(SHOP_POD, &name, A).await.metadata.response_code }
    };
    let refused = async {
        // Four of them wait; the other two are refused while the gate is shut.
        let asks = join_all((0..6).map(ask));
        let open = async {
            while upstream.asked() < 4 {
                tokio::task::yield_now().await;
            }
            // The neighbour has its own share.
            let neighbour = server.ask(BANK_POD, WWW, A);
            let open = async {
                while upstream.asked() < 5 {
                    tokio::task::yield_now().await;
                }
                upstream.open();
            };
            tokio::join!(neighbour, open).0
        };
        tokio::join!(asks, open)
    };
    let (codes, neighbour): (Vec<_>, Message) = refused.await;
    let refused = codes.iter().filter(|code| **code == ResponseCode::Refused).count();
    assert_eq!(refused, 2, "{codes:?}");
    assert_eq!(words(&neighbour), "A 192.0.2.10");
}

#[tokio::test]
async fn a_question_counts_until_it_is_over_though_nobody_waits_for_it() {
    let upstream = Upstream::start().await;
    let server = start(&Config {
        pending: 2,
        pod_connections: 1,
        ..toward(&[upstream.address])
    });
    upstream.shut();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((SHOP_POD, 0).into()).unwrap();
    let mut left = socket.connect(server.address.into()).await.unwrap();
    for name in ["n1.example.test.", "n2.example.test."] {
        let message = query(name, A).to_vec().unwrap();
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        left.write_all(&[&length[..], &message].concat()).await.unwrap();
    }
    while upstream.asked() < 2 {
        tokio::task::yield_now().await;
    }
    drop(left);
    // The pod gets its only connection when the server has done with the one that was closed.
    let mut codes = vec![];
    for name in ["kubernetes.default.svc.cluster.local.", "n3.example.test."] {
        let message = query(name, A).to_vec().unwrap();
        let answer = loop {
            if let Ok(answer) = over_tcp(SHOP_POD, server.address, &message).await {
                break Message::from_vec(&answer).unwrap();
            }
        };
        codes.push(answer.metadata.response_code);
    }
    assert_eq!(codes, [ResponseCode::NoError, ResponseCode::Refused]);
    upstream.open();
}

#[tokio::test]
async fn goes_on_to_the_next_server() {
    let upstream = Upstream::start().await;
    // One that never answers, one whose port is closed, one that knows nothing (REFUSED), one that works.
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let ignorant = Upstream::start().await;
    let closed = "127.0.0.1:9".parse().unwrap();
    let server = start(&toward(&[closed, silent.local_addr().unwrap(), upstream.address]));
    let began = Instant::now();
    assert_eq!(words(&server.ask(SHOP_POD, WWW, A).await), "A 192.0.2.10");
    let first = began.elapsed();
    // Those that failed come last for a while.
    let began = Instant::now();
    assert_eq!(words(&server.ask(BANK_POD, WWW, A).await), "A 192.0.2.10");
    assert!(began.elapsed() < first, "{:?} after {first:?}", began.elapsed());
    drop(ignorant);
}

#[tokio::test]
async fn fails_in_time_when_no_server_answers() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = start(&toward(&[silent.local_addr().unwrap()]));
    let began = Instant::now();
    assert_eq!(words(&server.ask(SHOP_POD, WWW, A).await), "ServFail");
    // Three tries; a fourth would take 5.6 s.
    assert!(began.elapsed() < std::time::Duration::from_millis(5500));
    let none = start(&toward(&["127.0.0.1:9".parse().unwrap()]));
    assert_eq!(words(&none.ask(SHOP_POD, WWW, A).await), "ServFail");
    // A server's own refusal is not the client's fault.
    let ignorant = Upstream::start().await;
    let server = start(&toward(&[ignorant.address]));
    assert_eq!(words(&server.ask(SHOP_POD, "www.elsewhere.test.", A).await), "ServFail");
}

#[tokio::test]
async fn cluster_names_are_never_asked_outside() {
    let (upstream, server) = both().await;
    for name in [
        "nginx.bank.svc.cluster.local.",
        "absent.cluster.local.",
        "www.example.test.shop.svc.cluster.local.",
        "9.9.9.10.in-addr.arpa.",
        "d.f.ip6.arpa.",
    ] {
        server.ask(SHOP_POD, name, A).await;
    }
    assert_eq!(upstream.asked(), 0);
}

#[tokio::test]
async fn does_not_tell_what_it_keeps() {
    let (upstream, server) = both().await;
    server.ask(SHOP_POD, WWW, A).await;
    let mut snoop = query(WWW, A);
    snoop.metadata.recursion_desired = false;
    assert_eq!(words(&server.send(SHOP_POD, &snoop).await), "Refused");
    assert_eq!(words(&server.ask(SHOP_POD, WWW, ANY).await), "HINFO RFC8482 ");
    assert_eq!(upstream.asked(), 1);
}
