//! The server: its sockets, and the way from one process to the next.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::Name;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dns::config::Config;
use crate::dns::handler::Handler;
use crate::dns::identity::Identities;
use crate::dns::metrics::Metrics;
use crate::dns::records::Store;
use crate::dns::upstream::{self, Upstreams};
use crate::dns::{tcp, udp};

/// Bytes that a socket may queue: bursts of all pods at once. The kernel may allow less.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// How often the device and the known networks are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// How long queries under way may take once the server stops.
const DRAIN: Duration = Duration::from_secs(10);

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster domain is not a DNS name.
    #[error("cluster domain {0:?} is not a DNS name; set cluster-domain to what kubelet has, such as cluster.local")]
    Domain(String),
    /// The host's resolv.conf cannot be read.
    #[error("cannot read {path}: {source}; name the servers for outside names in dns-upstreams instead")]
    ResolvConf {
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A socket cannot be opened.
    #[error("cannot listen on {address}: {source}; kubestackd makes the device and its address")]
    Listen {
        /// The address.
        address: SocketAddrV4,
        /// Why.
        source: io::Error,
    },
    /// The device was removed or made anew: the sockets belong to the old one.
    #[error("device {0} is not the one that the sockets are bound to; bind again")]
    DeviceChanged(String),
}

/// A server whose sockets are open. Queries wait in them until [`Server::run`].
pub struct Server {
    address: SocketAddrV4,
    device: Option<(String, String)>,
    udp: Vec<UdpSocket>,
    tcp: TcpListener,
    connections: usize,
    handler: Arc<Handler>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the sockets, beside those of a process that is about to stop. `store` should know all that there is: names
    /// that it does not have are denied.
    ///
    /// # Errors
    /// The device or its address do not exist yet, another program has the port, or the configuration makes no sense.
    pub fn bind(
        config: &Config,
        store: Arc<Store>,
        identities: Arc<dyn Identities>,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let domain = domain(config)?;
        let upstreams = upstreams(config)?;
        let has_upstreams = !upstreams.is_empty();
        let upstreams = Upstreams::new(&upstreams, metrics.clone());
        let mut address = config.listen;
        let failed = |source| Error::Listen {
            address: config.listen,
            source,
        };
        let device = config.device.as_deref();
        let mut udp = Vec::new();
        for _ in 0..config.sockets.max(1) {
            let socket = socket(address, device, Type::DGRAM, Protocol::UDP).map_err(failed)?;
            let socket = UdpSocket::from_std(socket.into()).map_err(failed)?;
            // Port 0: the first socket's is everybody's.
            address.set_port(socket.local_addr().map_err(failed)?.port());
            udp.push(socket);
        }
        let listener = socket(address, device, Type::STREAM, Protocol::TCP).map_err(failed)?;
        listener.listen(BACKLOG).map_err(failed)?;
        let tcp = TcpListener::from_std(listener.into()).map_err(failed)?;
        // Said when it serves: binding is tried again until the device is there.
        if !has_upstreams {
            tracing::warn!("no upstream servers: names outside the cluster will not resolve");
        }
        let index = |device: &str| Some((device.to_owned(), index(device)?));
        Ok(Self {
            address,
            device: device.and_then(index),
            udp,
            tcp,
            connections: config.pod_connections,
            handler: Arc::new(Handler::new(config, &domain, upstreams, store, identities, metrics)),
        })
    }

    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Answers until `stop`, and then what had come by then. Another process that has bound the same address gets
    /// everything later; if there is none, clients are told that the port is closed.
    ///
    /// # Errors
    /// The device has changed: bind again.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let tasks = TaskTracker::new();
        // Stopped by the caller, or by us if the device goes.
        let stop = stop.child_token();
        for socket in self.udp {
            tasks.spawn(udp::serve(
                socket,
                Arc::clone(&self.handler),
                tasks.clone(),
                stop.clone(),
            ));
        }
        let handler = Arc::clone(&self.handler);
        tasks.spawn(tcp::serve(
            self.tcp,
            handler,
            self.connections,
            tasks.clone(),
            stop.clone(),
        ));
        let result = tokio::select! {
            () = stop.cancelled() => Ok(()),
            result = look(&self.handler, self.device) => result,
        };
        stop.cancel();
        tasks.close();
        if time::timeout(DRAIN, tasks.wait()).await.is_err() {
            tracing::warn!("stopped with queries under way");
        }
        result
    }
}

/// Looks after the device and the networks, for ever or until the device has changed.
async fn look(handler: &Handler, device: Option<(String, String)>) -> Result<(), Error> {
    loop {
        time::sleep(LOOK).await;
        handler.sweep();
        if let Some((device, was)) = &device
            && index(device).as_ref() != Some(was)
        {
            return Err(Error::DeviceChanged(device.clone()));
        }
    }
}

/// The kernel's number of a device; another one once the device has been made anew.
fn index(device: &str) -> Option<String> {
    std::fs::read_to_string(Path::new("/sys/class/net").join(device).join("ifindex")).ok()
}

/// The cluster's domain.
///
/// # Errors
/// It is not a DNS name.
pub(crate) fn domain(config: &Config) -> Result<Name, Error> {
    let domain = Name::from_ascii(&config.cluster_domain).ok();
    let domain = domain.filter(|name| !name.is_root());
    domain.ok_or_else(|| Error::Domain(config.cluster_domain.clone()))
}

fn upstreams(config: &Config) -> Result<Vec<SocketAddr>, Error> {
    if !config.upstreams.is_empty() {
        return Ok(config.upstreams.clone());
    }
    let own = IpAddr::V4(*config.listen.ip());
    upstream::resolv_conf(&config.resolv_conf, own).map_err(|source| Error::ResolvConf {
        path: config.resolv_conf.clone(),
        source,
    })
}

fn socket(address: SocketAddrV4, device: Option<&str>, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, kind.nonblocking().cloexec(), Some(protocol))?;
    // Several sockets share the load, and a new process can listen before the old one stops.
    socket.set_reuse_port(true)?;
    // After a restart connections of the old process may linger.
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    if let Some(device) = device {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    if kind == Type::DGRAM {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    socket.bind(&SocketAddr::V4(address).into())?;
    Ok(socket)
}
