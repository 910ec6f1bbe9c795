//! From one process to the next while pods go on asking.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType::A;
use stackube_proxy::dns::Config;
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::cluster::SHOP_POD;
use crate::support::{Running, client, config, exchange, over_tcp, query, start, words};
use crate::upstream::Upstream;

/// Answers that each client must have got between two hand-overs.
const PROGRESS: usize = 30;

/// Less than the 5 s after which a resolver gives up on a try; more than the 1 s after which a SYN is repeated.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Count {
    answered: AtomicUsize,
    lost: AtomicUsize,
}

impl Count {
    fn add(&self, reply: Option<Vec<u8>>, want: &str) {
        let right = reply.is_some_and(|reply| words(&Message::from_vec(&reply).unwrap()) == want);
        let counter = if right { &self.answered } else { &self.lost };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

/// Asks without a pause, each time from another port, since the kernel spreads queries by their source.
async fn by_udp(pod: Ipv4Addr, server: SocketAddrV4, name: &str, want: &str, count: &Count, stop: &CancellationToken) {
    let message = query(name, A).to_vec().unwrap();
    while !stop.is_cancelled() {
        let socket = client(pod, server).await;
        count.add(exchange(&socket, &message, PATIENCE).await, want);
    }
}

async fn by_tcp(pod: Ipv4Addr, server: SocketAddrV4, name: &str, want: &str, count: &Count, stop: &CancellationToken) {
    let message = query(name, A).to_vec().unwrap();
    while !stop.is_cancelled() {
        let reply = time::timeout(PATIENCE, over_tcp(pod, server, &message)).await;
        count.add(reply.ok().and_then(Result::ok), want);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_query_is_lost() {
    let upstream = Upstream::start().await;
    let mut config = Config {
        upstreams: vec![upstream.address],
        pod_rate: 1_000_000,
        pod_burst: 1_000_000,
        // Every answer from outside waits for the upstream server.
        cache: 1,
        ..config()
    };
    let mut server = start(&config);
    config.listen = server.address;
    let address = server.address;
    let stop = CancellationToken::new();
    let counts: Vec<Arc<Count>> = (0..6).map(|_| Arc::default()).collect();
    let clients: Vec<_> = counts
        .iter()
        .enumerate()
        .map(|(n, count)| {
            let (count, stop) = (Arc::clone(count), stop.clone());
            let pod = Ipv4Addr::new(127, 0, 1, u8::try_from(n).unwrap() + 1);
            let (name, want) = match n % 3 {
                0 => ("nginx.shop.svc.cluster.local.", "A 10.96.1.1"),
                1 => ("brief.example.test.", "A 192.0.2.11"),
                _ => ("db-0.db.shop.svc.cluster.local.", "A 10.0.0.11, A 10.0.0.14"),
            };
            tokio::spawn(async move {
                if n < 3 {
                    by_udp(pod, address, name, want, &count, &stop).await;
                } else {
                    by_tcp(pod, address, name, want, &count, &stop).await;
                }
            })
        })
        .collect();
    for _ in 0..5 {
        progress(&counts).await;
        let next = start(&config);
        progress(&counts).await;
        server.stop.cancel();
        (&mut server.task).await.unwrap().unwrap();
        server = next;
    }
    progress(&counts).await;
    stop.cancel();
    for client in clients {
        client.await.unwrap();
    }
    let lost: Vec<_> = counts.iter().map(|count| count.lost.load(Ordering::SeqCst)).collect();
    let answered: Vec<_> = counts
        .iter()
        .map(|count| count.answered.load(Ordering::SeqCst))
        .collect();
    println!("answered {answered:?}");
    assert_eq!(lost, [0; 6], "answered {answered:?}");
}

/// Waits until every client has got further.
async fn progress(counts: &[Arc<Count>]) {
    for count in counts {
        let goal = count.answered.load(Ordering::SeqCst) + PROGRESS;
        while count.answered.load(Ordering::SeqCst) < goal && count.lost.load(Ordering::SeqCst) == 0 {
            time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn queries_under_way_are_answered_by_the_one_that_stops() {
    let upstream = Upstream::start().await;
    let config = Config {
        upstreams: vec![upstream.address],
        ..config()
    };
    let mut server: Running = start(&config);
    upstream.shut();
    let (name, address) = ("www.example.test.", server.address);
    let message = query(name, A).to_vec().unwrap();
    let udp = client(SHOP_POD, address).await;
    let asked = async {
        tokio::join!(
            exchange(&udp, &message, PATIENCE),
            over_tcp(SHOP_POD, address, &message)
        )
    };
    let stop = server.stop.clone();
    let release = async {
        while upstream.asked() == 0 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        // Nobody listens any more as soon as a new query finds the port closed.
        loop {
            let probe = client(SHOP_POD, address).await;
            probe.send(&message).await.unwrap();
            if time::timeout(Duration::from_millis(50), probe.recv(&mut [0; 512]))
                .await
                .is_ok_and(|got| got.is_err())
            {
                break;
            }
        }
        upstream.open();
    };
    let ((by_udp, by_tcp), ()) = tokio::join!(asked, release);
    for reply in [by_udp.expect("no reply"), by_tcp.unwrap()] {
        assert_eq!(words(&Message::from_vec(&reply).unwrap()), "A 192.0.2.10");
    }
    (&mut server.task).await.unwrap().unwrap();
}
