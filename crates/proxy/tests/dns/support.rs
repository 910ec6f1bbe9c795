//! A running server and clients for it.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use prometheus_client::registry::Registry;
use stackube_proxy::dns::{Config, Error, Metrics, Server, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::task::JoinHandle;
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::cluster::{self, Pods, SYSTEM};
pub(crate) use crate::words::words;

/// More than any answer takes, even one that waits for several servers.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// A server that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddrV4,
    pub(crate) store: Arc<Store>,
    pub(crate) registry: Registry,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), Error>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Loopback, any port, no upstream server.
pub(crate) fn config() -> Config {
    Config {
        listen: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
        device: None,
        system_network: SYSTEM,
        shared: [("infra", "registry"), ("infra", "peers")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .into(),
        // A reserved port of this machine that nobody listens on: refused at once.
        upstreams: vec!["127.0.0.1:9".parse().unwrap()],
        ..Config::default()
    }
}

pub(crate) fn all() -> Arc<Store> {
    let store = Arc::new(Store::default());
    cluster::shop(&store);
    cluster::bank(&store);
    cluster::system(&store);
    store
}

pub(crate) fn start(config: &Config) -> Running {
    start_with(config, all())
}

pub(crate) fn start_with(config: &Config, store: Arc<Store>) -> Running {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let bind = || Server::bind(config, Arc::clone(&store), Arc::new(Pods), metrics.clone());
    let server = loop {
        match bind() {
            // The port that UDP got may be taken for TCP.
            Err(Error::Listen { source, .. }) if source.kind() == ErrorKind::AddrInUse && config.listen.port() == 0 => {
            }
            server => break server.unwrap(),
        }
    };
    let address = server.address();
    let stop = CancellationToken::new();
    let task = tokio::spawn(server.run(stop.clone()));
    Running {
        address,
        store,
        registry,
        stop,
        task,
    }
}

pub(crate) fn query(name: &str, rtype: RecordType) -> Message {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), rtype));
    message
}

pub(crate) fn edns(mut message: Message, payload: u16, dnssec_ok: bool) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload).set_dnssec_ok(dnssec_ok);
    message.edns = Some(edns);
    message
}

/// A client's socket.
pub(crate) async fn client(source: Ipv4Addr, server: SocketAddrV4) -> UdpSocket {
    let socket = UdpSocket::bind((source, 0)).await.unwrap();
    socket.connect(server).await.unwrap();
    socket
}

/// Sends bytes and returns the reply, or nothing if none comes within `patience`.
pub(crate) async fn exchange(socket: &UdpSocket, bytes: &[u8], patience: Duration) -> Option<Vec<u8>> {
    socket.send(bytes).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let length = time::timeout(patience, socket.recv(&mut buffer)).await.ok()?.unwrap();
    buffer.truncate(length);
    Some(buffer)
}

/// What somebody who asks for metrics gets.
pub(crate) fn encoded(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    text
}

impl Running {
    pub(crate) async fn send(&self, source: Ipv4Addr, message: &Message) -> Message {
        let socket = client(source, self.address).await;
        let reply = exchange(&socket, &message.to_vec().unwrap(), PATIENCE).await;
        let reply = Message::from_vec(&reply.expect("no reply")).unwrap();
        assert_eq!(reply.metadata.id, message.metadata.id);
        assert_eq!(reply.metadata.message_type, MessageType::Response);
        reply
    }

    pub(crate) async fn ask(&self, source: Ipv4Addr, name: &str, rtype: RecordType) -> Message {
        self.send(source, &query(name, rtype)).await
    }

    pub(crate) async fn send_tcp(&self, source: Ipv4Addr, message: &Message) -> Message {
        let bytes = message.to_vec().unwrap();
        let reply = time::timeout(PATIENCE, over_tcp(source, self.address, &bytes)).await;
        Message::from_vec(&reply.expect("no reply").unwrap()).unwrap()
    }

    pub(crate) fn metrics(&self) -> String {
        encoded(&self.registry)
    }
}

pub(crate) async fn over_tcp(source: Ipv4Addr, server: SocketAddrV4, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    let mut stream = socket.connect(server.into()).await?;
    stream.write_u16(bytes.len().try_into().unwrap()).await?;
    stream.write_all(bytes).await?;
    let mut reply = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut reply).await?;
    Ok(reply)
}
