//! Command line and environment.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand};
use stackube_daemon::LogFormat;

use crate::model::{ObjectName, Vip};
use crate::ration::LIMIT;

/// Address of the node on the host link.
pub const LINK_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 77, 1);

/// Services and DNS for the tenants' pods of one node.
#[derive(Debug, Clone, Parser)]
#[command(name = "stackube-proxy", version, about)]
pub struct Args {
    /// How log lines look.
    #[arg(long, env = "STACKUBE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log_format: LogFormat,
    /// What is logged, in the syntax of tracing's EnvFilter, for example `info,stackube_proxy=debug`.
    #[arg(long, env = "STACKUBE_LOG", default_value = "info", global = true)]
    pub log: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Program the node's Services and answer its pods' DNS queries until SIGTERM.
    Run(Box<RunOptions>),
    /// Ask the process in this container for its health; for kubelet's probes.
    Probe(ProbeOptions),
    /// Print which Services the node has programmed for a pod.
    Show(PodOptions),
    /// Print what would become of a pod's connection to an address, and why.
    Explain(ExplainOptions),
    /// Print what becomes of a pod's packets while they come.
    Trace(TraceOptions),
}

/// Options of `run`.
#[derive(Debug, Clone, clap::Args)]
pub struct RunOptions {
    /// Name of this Node in Kubernetes.
    #[arg(long, env = "NODE_NAME")]
    pub node_name: String,
    /// Kubeconfig for running outside of the cluster. Default: the service account of the pod, with the API server's address
    /// from the environment.
    #[arg(long, env = "KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// Address and port of /metrics, /healthz and /readyz (plain HTTP; names of tenants are in it). Shared with another
    /// process for the time of a rolling update.
    #[arg(long, env = "STACKUBE_PROXY_LISTEN", default_value = "127.0.0.1:9474")]
    pub listen: SocketAddr,
    /// Unix socket for the health of this very process.
    #[arg(long, env = "STACKUBE_PROXY_SOCKET", default_value = SOCKET)]
    pub socket: PathBuf,
    /// Folder of the datapath's pinned maps. Default: the one of this version's layout.
    #[arg(long, env = "STACKUBE_PROXY_MAPS")]
    pub maps: Option<PathBuf>,
    /// Address at which pods ask for names: kubelet's `clusterDNS`, and the clusterIP of Service kube-system/kube-dns.
    #[arg(long, env = "STACKUBE_CLUSTER_DNS", default_value = "10.96.0.10")]
    pub cluster_dns: Ipv4Addr,
    /// Domain of the cluster's names: kubelet's `clusterDomain`.
    #[arg(long, env = "STACKUBE_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Servers for names outside of the cluster, as addresses with or without a port, with commas between them. Default: those of
    /// the node's resolv.conf.
    #[arg(long, env = "STACKUBE_DNS_UPSTREAMS", value_delimiter = ',', value_parser = upstream)]
    pub dns_upstreams: Vec<SocketAddr>,
    /// Services of the system network that every network may use, as `namespace/name` with commas or white space between them.
    #[arg(long, env = "STACKUBE_SHARED_SERVICES", default_value = "")]
    pub shared_services: Shared,
    /// Parts of Services and EndpointSlices that this node keeps of one namespace: objects, ports, endpoints.
    #[arg(long, env = "STACKUBE_NAMESPACE_PARTS", default_value_t = LIMIT)]
    pub namespace_parts: usize,
    /// DNS queries that a pod may send in a second, on average.
    #[arg(long, env = "STACKUBE_DNS_POD_RATE", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub dns_pod_rate: u32,
    /// DNS queries that a pod may send at once before the rate counts.
    #[arg(long, env = "STACKUBE_DNS_POD_BURST", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pub dns_pod_burst: u32,
}

impl RunOptions {
    /// Where the maps are pinned.
    pub fn root(&self) -> PathBuf {
        root(self.maps.as_ref())
    }
}

/// Options of `probe`.
#[derive(Debug, Clone, clap::Args)]
pub struct ProbeOptions {
    /// Path to ask for: `/healthz` or `/readyz`.
    #[arg(default_value = "/readyz")]
    pub path: String,
    /// Unix socket of the process.
    #[arg(long, env = "STACKUBE_PROXY_SOCKET", default_value = SOCKET)]
    pub socket: PathBuf,
}

/// Which pod.
#[derive(Debug, Clone, clap::Args)]
pub struct PodOptions {
    /// The pod, as `namespace/name`.
    #[arg(long, value_parser = object_name)]
    pub pod: ObjectName,
    /// Name of this Node in Kubernetes.
    #[arg(long, env = "NODE_NAME")]
    pub node_name: String,
    /// Kubeconfig for running outside of the cluster.
    #[arg(long, env = "KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// Folder of the datapath's pinned maps. Default: the one of this version's layout.
    #[arg(long, env = "STACKUBE_PROXY_MAPS")]
    pub maps: Option<PathBuf>,
}

impl PodOptions {
    /// Where the maps are pinned.
    pub fn root(&self) -> PathBuf {
        root(self.maps.as_ref())
    }
}

/// Options of `explain`.
#[derive(Debug, Clone, clap::Args)]
pub struct ExplainOptions {
    /// The pod.
    #[command(flatten)]
    pub pod: PodOptions,
    /// Where it connects to: `address:port`, `address:port/UDP`.
    #[arg(value_parser = destination)]
    pub destination: Vip,
}

/// Options of `trace`.
#[derive(Debug, Clone, clap::Args)]
pub struct TraceOptions {
    /// The pod.
    #[command(flatten)]
    pub pod: PodOptions,
    /// For how long, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
}

fn root(maps: Option<&PathBuf>) -> PathBuf {
    maps.cloned().unwrap_or_else(|| stackube_datapath::PIN_ROOT.into())
}

/// A list of Services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared(pub BTreeSet<ObjectName>);

impl FromStr for Shared {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = text.split(|c: char| c == ',' || c.is_whitespace());
        let names = names.filter(|name| !name.is_empty()).map(object_name);
        names.collect::<Result<_, _>>().map(Self)
    }
}

fn object_name(text: &str) -> Result<ObjectName, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok(ObjectName::new(namespace, name)),
        _ => Err(format!("{text:?} is no name of a Service or pod: write namespace/name")),
    }
}

fn upstream(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let with_port = text
        .parse()
        .or_else(|_| text.parse().map(|address: IpAddr| SocketAddr::new(address, 53)));
    with_port.map_err(|_| format!("{text:?} is no address: write 192.0.2.1 or 192.0.2.1:53"))
}

fn destination(text: &str) -> Result<Vip, String> {
    let (socket, protocol) = text.split_once('/').unwrap_or((text, "TCP"));
    let socket: SocketAddrV4 = socket
        .parse()
        .map_err(|_| "write an IPv4 address and a port, like 10.96.0.10:53/UDP".to_owned())?;
    let protocol = protocol.to_ascii_uppercase();
    Ok(Vip {
        address: *socket.ip(),
        port: socket.port(),
        protocol: crate::model::protocol(Some(&protocol)).ok_or("the protocol is TCP, UDP or SCTP")?,
    })
}

/// In the container's own file system, so that two pods of a rolling update each have theirs.
const SOCKET: &str = "/run/proxy/health.sock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_options_are_refused() {
        assert!(Args::try_parse_from(["stackube-proxy", "run", "--node-name", "n"]).is_ok());
        let listed: Shared = "a/b, c/d\n e/f ".parse().unwrap();
        assert_eq!(
            listed.0,
            [("a", "b"), ("c", "d"), ("e", "f")]
                .map(|(a, b)| ObjectName::new(a, b))
                .into()
        );
        assert_eq!("".parse(), Ok(Shared::default()));
        for option in [
            "--listen=here",
            "--cluster-dns=fd00::1",
            "--log-format=xml",
            "--shared-services=web",
        ] {
            let args = ["stackube-proxy", "run", "--node-name", "n", option];
            assert!(Args::try_parse_from(args).is_err(), "{option}");
        }
        for words in [
            ["--pod=web", "10.0.0.1:80"],
            ["--pod=a/b", "10.0.0.1"],
            ["--pod=a/b", "10.0.0.1:80/ICMP"],
        ] {
            let args = ["stackube-proxy", "explain", "--node-name", "n"]
                .into_iter()
                .chain(words);
            assert!(Args::try_parse_from(args).is_err(), "{words:?}");
        }
        let args = [
            "stackube-proxy",
            "explain",
            "--node-name=n",
            "--pod=a/b",
            "10.96.0.10:53/udp",
        ];
        assert!(Args::try_parse_from(args).is_ok());
    }
}
