//! Queries a second and their latency, over UDP on loopback: `cargo bench -p stackube-proxy --bench dns`.
//!
//! The server runs on one thread and so on one core; clients on another.

#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use prometheus_client::registry::Registry;
use stackube_proxy::dns::{Client, Config, Identities, Metrics, Server, Store};
use tokio_util::sync::CancellationToken;

/// Services in the asker's namespace.
const SERVICES: usize = 1000;

/// How long each measurement runs.
const RUN: Duration = Duration::from_secs(5);

/// Every source is a pod of one network.
struct Anybody;

impl Identities for Anybody {
    fn client(&self, source: Ipv4Addr) -> Option<Client> {
        Some(Client {
            network: [1; 16],
            pod: [source.octets()[3]; 16],
            address: source,
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Arc::new(Store::default());
    store.set_namespace("shop", [1; 16], "shop");
    for n in 0..SERVICES {
        let address = format!("10.96.{}.{}", n / 250, n % 250 + 1);
        let service = serde_json::json!({
            "metadata": {"namespace": "shop", "name": format!("service-{n}")},
            "spec": {"clusterIP": address, "ports": [{"name": "http", "port": 80}]},
        });
        store.apply_service(&serde_json::from_value(service)?);
    }
    let config = Config {
        listen: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
        device: None,
        sockets: 1,
        upstreams: vec!["127.0.0.1:9".parse()?],
        pod_rate: u32::MAX,
        pod_burst: u32::MAX,
        ..Config::default()
    };
    let stop = CancellationToken::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = {
        let _entered = runtime.enter();
        Server::bind(
            &config,
            store,
            Arc::new(Anybody),
            Metrics::register(&mut Registry::default()),
        )?
    };
    let address = server.address();
    let running = stop.clone();
    let server = thread::spawn(move || runtime.block_on(server.run(running)));
    for (what, name) in [
        ("a Service", "service-7.shop.svc.cluster.local."),
        ("a name of the search path", "www.example.com.shop.svc.cluster.local."),
    ] {
        for window in [1, 32] {
            measure(what, name, window, address)?;
        }
    }
    stop.cancel();
    server.join().map_err(|_| "the server panicked")??;
    Ok(())
}

/// Keeps `window` queries under way.
fn measure(what: &str, name: &str, window: usize, server: SocketAddrV4) -> Result<(), Box<dyn std::error::Error>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut message = Message::new(0, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name)?, RecordType::A));
    let mut request = message.to_vec()?;
    let mut sent = vec![Instant::now(); window];
    let send = |slot: usize, request: &mut Vec<u8>| {
        let id = u16::try_from(slot).unwrap_or(u16::MAX);
        request[..2].copy_from_slice(&id.to_be_bytes());
        socket.send(request)
    };
    for (slot, at) in sent.iter_mut().enumerate() {
        *at = Instant::now();
        send(slot, &mut request)?;
    }
    let (began, mut times, mut reply) = (Instant::now(), Vec::new(), [0; 1500]);
    while began.elapsed() < RUN {
        socket.recv(&mut reply)?;
        let slot = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
        times.push(sent[slot].elapsed());
        sent[slot] = Instant::now();
        send(slot, &mut request)?;
    }
    let elapsed = began.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 1000];
    println!(
        "{what}, {window} under way: {:.0} queries/s, median {:?}, p99 {:?}, p99.9 {:?}",
        times.len() as f64 / elapsed,
        at(500),
        at(990),
        at(999),
    );
    Ok(())
}
