//! What the server is told.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;

use crate::dns::identity::NetworkId;

/// Services that every cluster shares with every network: the API server and the DNS server itself.
const ALWAYS_SHARED: [(&str, &str); 2] = [("default", "kubernetes"), ("kube-system", "kube-dns")];

/// What the server is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen, UDP and TCP. Port 0 picks a free one.
    pub listen: SocketAddrV4,
    /// The network device whose packets alone are taken; all devices if unset.
    pub device: Option<String>,
    /// UDP sockets, each with a task of its own. At least 1.
    pub sockets: usize,
    /// The cluster's domain.
    pub cluster_domain: String,
    /// The address that pods know the server by: the cluster IP of Service `kube-system/kube-dns`.
    pub service_address: Ipv4Addr,
    /// How long clients may keep a record of the cluster, and its absence. Whole seconds.
    pub ttl: Duration,
    /// The network of namespaces without a tenant.
    pub system_network: NetworkId,
    /// Services of the system network that all networks see, as (namespace, name), beside `default/kubernetes` and
    /// `kube-system/kube-dns`. Must be the datapath's allow-list, or pods learn addresses that they cannot reach.
    pub shared: HashSet<(String, String)>,
    /// Ranges of pods and Services, if any lie outside of the private ranges: their reverse names are not asked about outside.
    pub ranges: Vec<Ipv4Net>,
    /// Servers for names outside the cluster, in order of preference. If empty, those in `resolv_conf`.
    pub upstreams: Vec<SocketAddr>,
    /// The host's resolv.conf.
    pub resolv_conf: PathBuf,
    /// Queries that a pod may send in a second, on average. Above 0.
    pub pod_rate: u32,
    /// Queries that a pod may send at once before the rate counts. Above 0.
    pub pod_burst: u32,
    /// Queries of one network that may wait for upstream servers at a time.
    pub pending: usize,
    /// Answers from outside that are kept for one network, of a mebibyte in all.
    pub cache: usize,
    /// TCP connections that a pod may have open.
    pub pod_connections: usize,
    /// Networks that metrics tell apart; the rest are counted as `other`.
    pub metrics_networks: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddrV4::new(Ipv4Addr::new(169, 254, 77, 1), 53),
            device: Some("stackube0".to_owned()),
            sockets: 2,
            cluster_domain: "cluster.local".to_owned(),
            service_address: Ipv4Addr::new(10, 96, 0, 10),
            ttl: Duration::from_secs(5),
            system_network: NetworkId::default(),
            shared: HashSet::new(),
            ranges: Vec::new(),
            upstreams: Vec::new(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            pod_rate: 1000,
            pod_burst: 2000,
            pending: 128,
            cache: 2000,
            pod_connections: 16,
            metrics_networks: 200,
        }
    }
}

impl Config {
    /// The shared Services by namespace.
    pub(crate) fn shared(&self) -> HashMap<String, HashSet<String>> {
        let always = ALWAYS_SHARED.map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
        let mut found: HashMap<_, HashSet<_>> = HashMap::new();
        for (namespace, name) in self.shared.iter().cloned().chain(always) {
            found.entry(namespace).or_default().insert(name);
        }
        found
    }
}
