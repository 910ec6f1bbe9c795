//! What one pod may do to the others.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType::A;
use prometheus_client::registry::Registry;
use stackube_proxy::dns::{Config, Metrics, Offline};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time;

use crate::cluster::{BANK_POD, NOBODY, Pods, SHOP_POD, SYSTEM_POD};
use crate::support::{all, client, config, encoded, exchange, query, start, words};

const NAME: &str = "kubernetes.default.svc.cluster.local.";

#[tokio::test]
async fn above_its_rate_a_pod_gets_nothing_and_its_neighbours_everything() {
    let server = start(&Config {
        pod_rate: 1,
        pod_burst: 5,
        ..config()
    });
    let message = query(NAME, A).to_vec().unwrap();
    let socket = client(SHOP_POD, server.address).await;
    for _ in 0..20 {
        socket.send(&message).await.unwrap();
    }
    // Sent after the twenty by the same way, and of another pod: once it is answered, they have been decided on.
    let neighbour = client(Ipv4Addr::new(127, 0, 1, 8), server.address).await;
    assert!(exchange(&neighbour, &message, Duration::from_secs(5)).await.is_some());
    let mut replies = 0;
    while time::timeout(Duration::from_millis(300), socket.recv(&mut [0; 512]))
        .await
        .is_ok()
    {
        replies += 1;
    }
    assert!((5..=7).contains(&replies), "{replies}");
    assert!(
        server
            .metrics()
            .contains(r#"dns_dropped_total{network="shop",reason="rate"}"#)
    );
}

#[tokio::test]
async fn connections_wait_instead() {
    let server = start(&Config {
        pod_rate: 20,
        pod_burst: 1,
        ..config()
    });
    let began = Instant::now();
    for _ in 0..5 {
        assert_eq!(words(&server.send_tcp(SHOP_POD, &query(NAME, A)).await), "A 10.96.0.1");
    }
    assert!(began.elapsed() >= Duration::from_millis(180), "{:?}", began.elapsed());
}

#[tokio::test]
async fn connections_are_limited_by_pod() {
    let server = start(&Config {
        pod_connections: 2,
        ..config()
    });
    let connect = async |source: Ipv4Addr| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        let mut stream = socket.connect(server.address.into()).await.unwrap();
        let message = query(NAME, A).to_vec().unwrap();
        stream.write_u16(message.len().try_into().unwrap()).await.unwrap();
        stream.write_all(&message).await.unwrap();
        let answered = stream.read_u16().await.is_ok();
        (answered, stream)
    };
    let (first, second, third) = (
        connect(SHOP_POD).await,
        connect(SHOP_POD).await,
        connect(SHOP_POD).await,
    );
    assert_eq!((first.0, second.0, third.0), (true, true, false));
    assert!(connect(BANK_POD).await.0);
    // One that closes makes room.
    drop(first);
    let mut again = connect(SHOP_POD).await;
    let began = Instant::now();
    while !again.0 && began.elapsed() < Duration::from_secs(5) {
        again = connect(SHOP_POD).await;
    }
    assert!(again.0);
    assert!(
        server
            .metrics()
            .contains(r#"dns_dropped_total{network="shop",reason="connections"}"#)
    );
}

#[tokio::test]
async fn who_is_no_pod_is_counted_but_not_served() {
    let server = start(&config());
    assert_eq!(words(&server.ask(NOBODY, NAME, A).await), "Refused");
    assert_eq!(words(&server.send_tcp(NOBODY, &query(NAME, A)).await), "Refused");
    assert!(
        server.metrics().contains("dns_unknown_clients_total 3"),
        "{}",
        server.metrics()
    );
}

/// Metrics tell so many networks apart; the others share a series, and one that is gone leaves none and makes room.
#[test]
fn metrics_tell_a_number_of_networks_apart() {
    let config = Config {
        metrics_networks: 1,
        ..config()
    };
    let (mut registry, store) = (Registry::default(), all());
    let metrics = Metrics::register(&mut registry);
    let server = Offline::new(&config, Arc::clone(&store), Arc::new(Pods), metrics).unwrap();
    let message = query(NAME, A).to_vec().unwrap();
    let counted = |sources: &[Ipv4Addr]| {
        for &source in sources {
            assert!(server.datagram(source, &message).is_some());
        }
        // Series of what is counted by network, each as `NETWORK VALUE`.
        let text = encoded(&registry);
        let queries = text
            .lines()
            .filter_map(|line| line.strip_prefix("dns_queries_total{network=\""));
        let series = queries.map(|line| line.replace("\",protocol=\"udp\"}", ""));
        let mut series: Vec<_> = series.collect();
        series.sort();
        (series, text)
    };
    let (series, _) = counted(&[SHOP_POD, BANK_POD, BANK_POD, SYSTEM_POD]);
    assert_eq!(series, ["other 3", "shop 1"]);

    store.remove_namespace("shop");
    server.sweep();
    let (series, text) = counted(&[]);
    assert_eq!(series, ["other 3"]);
    assert!(!text.contains("\"shop\""), "{text}");
    // `bank` stays where it was counted from the beginning: its numbers would be wrong by its name.
    store.set_namespace("again", crate::cluster::SHOP, "again");
    let (series, _) = counted(&[BANK_POD, SHOP_POD]);
    assert_eq!(series, ["again 1", "other 4"]);
}

/// One pod sends as fast as it can; the neighbour's resolver must not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_does_not_slow_the_neighbour() {
    let server = start(&config());
    let flooding = Arc::new(AtomicBool::new(true));
    let flood = {
        let (flooding, address) = (Arc::clone(&flooding), server.address);
        std::thread::spawn(move || {
            let socket = std::net::UdpSocket::bind((SHOP_POD, 0)).unwrap();
            socket.connect(address).unwrap();
            let message = query(NAME, A).to_vec().unwrap();
            let mut sent = 0_u64;
            while flooding.load(Ordering::Relaxed) {
                sent += u64::from(socket.send(&message).is_ok());
                // Far above the pod's rate, yet a server that waits a moment for its processor loses nothing of the neighbour's.
                if sent.is_multiple_of(100) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            sent
        })
    };
    let message = query("nginx.bank.svc.cluster.local.", A).to_vec().unwrap();
    let mut times = Vec::new();
    for _ in 0..300 {
        let began = Instant::now();
        // A resolver asks again; what counts is when it has its answer.
        let reply = loop {
            let socket = client(BANK_POD, server.address).await;
            if let Some(reply) = exchange(&socket, &message, Duration::from_millis(500)).await {
                break reply;
            }
        };
        assert_eq!(words(&Message::from_vec(&reply).unwrap()), "A 10.96.2.1");
        times.push(began.elapsed());
    }
    flooding.store(false, Ordering::Relaxed);
    let sent = flood.join().unwrap();
    times.sort();
    let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{sent} sent by the flood; the neighbour's median {median:?}, p99 {p99:?}");
    assert!(
        p99 < Duration::from_millis(400),
        "p99 {p99:?}, median {median:?}, {sent} sent by the flood"
    );
}
