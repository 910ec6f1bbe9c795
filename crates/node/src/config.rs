//! The daemon's command line; every option can come from the environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use stackube_daemon::LogFormat;

use crate::datapath::infrastructure::Ranges;
use crate::protocol::SOCKET;
use crate::sandbox::Settings;

/// Stackube's node daemon: plugs the pods of this node into their tenants' networks.
#[derive(Clone, Debug, Parser)]
#[command(name = "kubestackd", version)]
pub struct Config {
    /// Name of this Node in Kubernetes.
    #[arg(long, env = "NODE_NAME")]
    pub node_name: String,
    /// Unix socket of the Open vSwitch database.
    #[arg(long, env = "KUBESTACK_OVSDB", default_value = "/run/openvswitch/db.sock")]
    pub ovsdb: PathBuf,
    /// Integration bridge of OVN.
    #[arg(long, env = "KUBESTACK_BRIDGE", default_value = "br-int")]
    pub bridge: String,
    /// Unix socket on which the CNI plugin calls.
    #[arg(long, env = "KUBESTACK_SOCKET", default_value = SOCKET)]
    pub socket: PathBuf,
    /// CNI plugin to install; by default the file kubestack beside this program.
    #[arg(long, env = "KUBESTACK_PLUGIN")]
    pub plugin: Option<PathBuf>,
    /// Where the container runtime looks for CNI plugins.
    #[arg(long, env = "KUBESTACK_CNI_BIN_DIR", default_value = "/opt/cni/bin")]
    pub cni_bin_dir: PathBuf,
    /// Where the container runtime looks for network configurations.
    #[arg(long, env = "KUBESTACK_CNI_CONF_DIR", default_value = "/etc/cni/net.d")]
    pub cni_conf_dir: PathBuf,
    /// Address for /metrics, /healthz and /readyz.
    #[arg(long, env = "KUBESTACK_LISTEN", default_value = "127.0.0.1:9473")]
    pub listen: SocketAddr,
    /// Directory of bpffs under which eBPF maps and links are pinned.
    #[arg(long, env = "KUBESTACK_PIN_ROOT", default_value = stackube_datapath::PIN_ROOT)]
    pub pin_root: PathBuf,
    /// Where the host's cgroups are mounted.
    #[arg(long, env = "KUBESTACK_CGROUP_MOUNT", default_value = "/sys/fs/cgroup")]
    pub cgroup_mount: PathBuf,
    /// kubelet's cgroup in the unified hierarchy, if it is not systemd's kubelet.service.
    #[arg(long, env = "KUBESTACK_KUBELET_CGROUP")]
    pub kubelet_cgroup: Option<String>,
    /// Addresses that pods may not reach, besides those of nodes: ranges or addresses, one a line or separated by commas.
    #[arg(long, env = "KUBESTACK_INFRASTRUCTURE", default_value = "")]
    pub infrastructure: Ranges,
    /// Addresses that pods may reach although they belong to a node or to the infrastructure, in the same form.
    #[arg(long, env = "KUBESTACK_PERMITTED", default_value = "")]
    pub permitted: Ranges,
    /// Services of the system network that every network may use, by namespace and name: stackube-proxy says which they are,
    /// here it matters whether there are any.
    #[arg(long, env = "KUBESTACK_SHARED_SERVICES", default_value = "")]
    pub shared_services: String,
    /// Whether a pod starts only when stackube-proxy has written its network's services.
    #[arg(long, env = "KUBESTACK_WAIT_FOR_SERVICES", default_value_t = true, action = clap::ArgAction::Set)]
    pub wait_for_services: bool,
    /// Longest wait for that, in seconds.
    #[arg(long, env = "KUBESTACK_SERVICES_TIMEOUT", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=30))]
    pub services_timeout: u64,
    /// Longest wait for a pod's Port, in seconds. The four waits together have to stay below 95 s.
    #[arg(long, env = "KUBESTACK_PORT_TIMEOUT", default_value_t = 45, value_parser = clap::value_parser!(u64).range(1..=80))]
    pub port_timeout: u64,
    /// Longest wait for ovs-vswitchd to open a pod's device, in seconds.
    #[arg(long, env = "KUBESTACK_OPEN_TIMEOUT", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=30))]
    pub open_timeout: u64,
    /// Longest wait for ovn-controller to install a port's flows, in seconds.
    #[arg(long, env = "KUBESTACK_INSTALL_TIMEOUT", default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub install_timeout: u64,
    /// Log lines: one readable line, or one JSON object, for each event.
    #[arg(long, env = "KUBESTACK_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged, in the syntax of tracing's EnvFilter, for example `info,stackube_node=debug`.
    #[arg(long, env = "KUBESTACK_LOG", default_value = "info")]
    pub log: String,
}

impl Config {
    /// Whether Services are shared with tenants.
    pub fn shares(&self) -> bool {
        !self.shared_services.trim().is_empty()
    }

    /// The part that the sandbox engine needs.
    pub fn settings(&self) -> Settings {
        Settings {
            bridge: self.bridge.clone(),
            shares: self.shares(),
            port_timeout: Duration::from_secs(self.port_timeout),
            open_timeout: Duration::from_secs(self.open_timeout),
            install_timeout: Duration::from_secs(self.install_timeout),
            services_timeout: self
                .wait_for_services
                .then(|| Duration::from_secs(self.services_timeout)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_stay_below_the_plugins_time_out() {
        let config = Config::try_parse_from(["kubestackd", "--node-name", "n"]).unwrap();
        let settings = config.settings();
        let sum = settings.port_timeout + settings.open_timeout + settings.install_timeout;
        let sum = sum + settings.services_timeout.unwrap();
        assert!(sum < Duration::from_secs(95), "{sum:?}");
    }

    #[test]
    fn senseless_options_are_refused() {
        for option in [
            "--port-timeout=0",
            "--port-timeout=81",
            "--listen=here",
            "--log-format=xml",
            "--infrastructure=everything",
            "--wait-for-services=maybe",
        ] {
            assert!(
                Config::try_parse_from(["kubestackd", "--node-name", "n", option]).is_err(),
                "{option}"
            );
        }
    }
}
