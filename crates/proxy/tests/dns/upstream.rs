//! A real DNS server on loopback that tests forward to: hickory's, with the zone `example.test`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::rr::rdata::{A, CNAME, NS, SOA};
use hickory_proto::rr::{Name, RData, Record};
use hickory_server::net::runtime::{Time, TokioRuntimeProvider};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;

/// Records that do not fit one datagram.
pub(crate) const MANY: u8 = 200;

/// Counts what comes, and keeps it waiting while the gate is shut.
struct Gated {
    catalog: Catalog,
    asked: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

#[async_trait::async_trait]
impl RequestHandler for Gated {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, response: R) -> ResponseInfo {
        self.asked.fetch_add(1, Ordering::SeqCst);
        drop(self.gate.acquire().await);
        self.catalog.handle_request::<R, T>(request, response).await
    }
}

/// A server that runs until it is dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    server: hickory_server::Server<Gated>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let mut catalog = Catalog::new();
        catalog.upsert(name("example.test.").into(), vec![Arc::new(zone())]);
        let (asked, gate) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        );
        let gated = Gated {
            catalog,
            asked: Arc::clone(&asked),
            gate: Arc::clone(&gate),
        };
        let mut server = hickory_server::Server::new(gated);
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        server.register_listener(tcp, Duration::from_secs(5), 1024);
        server.register_socket(UdpSocket::bind(address).await.unwrap());
        Self {
            address,
            asked,
            gate,
            server,
        }
    }

    /// Queries that have come.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Lets queries wait until [`Upstream::open`].
    pub(crate) fn shut(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn open(&self) {
        self.gate.add_permits(1 << 20);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.shutdown_token().cancel();
    }
}

fn name(name: &str) -> Name {
    Name::from_ascii(name).unwrap()
}

fn zone() -> InMemoryZoneHandler<TokioRuntimeProvider> {
    let mut zone = InMemoryZoneHandler::empty(name("example.test."), ZoneType::Primary, AxfrPolicy::Deny);
    let mut add = |owner: &str, ttl: u32, data: RData| {
        zone.upsert_mut(Record::from_rdata(name(owner), ttl, data), 0);
    };
    let soa = SOA::new(name("ns.example.test."), name("me.example.test."), 1, 60, 60, 60, 40);
    add("example.test.", 60, RData::SOA(soa));
    add("example.test.", 60, RData::NS(NS(name("ns.example.test."))));
    add("www.example.test.", 60, RData::A(A(Ipv4Addr::new(192, 0, 2, 10))));
    add("brief.example.test.", 0, RData::A(A(Ipv4Addr::new(192, 0, 2, 11))));
    add(
        "alias.example.test.",
        30,
        RData::CNAME(CNAME(name("www.example.test."))),
    );
    for n in 0..MANY {
        add("many.example.test.", 60, RData::A(A(Ipv4Addr::new(192, 0, 2, n))));
    }
    zone
}
