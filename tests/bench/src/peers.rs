//! The programs that are compared: kube-proxy and CoreDNS on the plain site, stackube-proxy on the others.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Result;

use crate::cluster::Cluster;
use crate::lab::{Lab, Namespace, Process, until};
use crate::measure::reaches;
use crate::objects::{self, TENANT, address};
use crate::site::{CLIENT, Site, wire};
use crate::table;

/// CoreDNS's pod on the plain site.
const COREDNS: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 53);

/// As kubeadm has it, without what is for names outside of the cluster.
const COREFILE: &str = ".:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig KUBECONFIG
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    cache 30 {
        disable success cluster.local
        disable denial cluster.local
    }
    loadbalance
}
";

pub(crate) struct Peers {
    kube_proxy: Process,
    coredns: Process,
    /// On the sites `tcx` and `xdp`.
    stackube: [Process; 2],
}

impl Peers {
    pub(crate) async fn start(
        lab: &Lab,
        cluster: &Cluster,
        sites: &[Site; 3],
        api: &Namespace,
        programs: &Path,
    ) -> Result<Self> {
        let [plain, tcx, xdp] = sites;
        objects::port_definition(cluster).await?;
        for (number, site) in (2..).zip(sites) {
            objects::node(cluster, site.name, &format!("10.99.0.{number}")).await?;
        }
        objects::namespace(cluster, TENANT, true).await?;
        objects::dns(cluster, &COREDNS.to_string()).await?;
        for site in [tcx, xdp] {
            objects::port(cluster, TENANT, site.name, &CLIENT.to_string()).await?;
        }
        let kubeconfig = cluster.kubeconfig.display().to_string();
        let kube_proxy = [
            format!("--kubeconfig={kubeconfig}"),
            format!("--hostname-override={}", plain.name),
            "--proxy-mode=nftables".to_owned(),
            "--cluster-cidr=10.244.0.0/16".to_owned(),
            // The limits of connection tracking are the whole machine's.
            "--conntrack-max-per-core=0".to_owned(),
            "--conntrack-tcp-timeout-established=0s".to_owned(),
            "--conntrack-tcp-timeout-close-wait=0s".to_owned(),
        ];
        Ok(Self {
            kube_proxy: lab.start(&plain.node, &programs.join("kube-proxy"), &kube_proxy)?,
            coredns: coredns(lab, plain, api, programs, &kubeconfig)?,
            stackube: [
                stackube_proxy(lab, cluster, tcx, programs)?,
                stackube_proxy(lab, cluster, xdp, programs)?,
            ],
        })
    }

    /// Until the last of `count` Services answers everywhere, and the DNS servers have their lists.
    pub(crate) async fn wait_for(&self, sites: &[Site; 3], count: usize) -> Result<()> {
        let [tcx, xdp] = &self.stackube;
        for (site, process) in sites.iter().zip([&self.kube_proxy, tcx, xdp]) {
            let what = format!("{}: {count} Services", site.name);
            until(&what, process, async || reaches(&site.client, &address(count - 1), 80)).await?;
            let what = format!("{}: DNS", site.name);
            let server = if site.name == "kube-proxy" {
                &self.coredns
            } else {
                process
            };
            until(&what, server, async || resolves(site, count - 1)).await?;
        }
        Ok(())
    }

    pub(crate) fn print_memory(&self, services: usize) -> Result<()> {
        let [tcx, xdp] = &self.stackube;
        table::title(&format!("Resident memory with {services} Services on the node, MiB"));
        let both = self.kube_proxy.resident()? + self.coredns.resident()?;
        table::values(
            "kube-proxy + CoreDNS; stackube-proxy",
            [both, tcx.resident()?, xdp.resident()?],
        );
        table::values("  of it kube-proxy", [self.kube_proxy.resident()?]);
        Ok(())
    }
}

/// Starts stackube-proxy for a site, whose maps are pinned under `bpf/NAME`.
pub(crate) fn stackube_proxy(lab: &Lab, cluster: &Cluster, site: &Site, programs: &Path) -> Result<Process> {
    let arguments = [
        "run".to_owned(),
        format!("--node-name={}", site.name),
        format!("--kubeconfig={}", cluster.kubeconfig.display()),
        format!("--maps={}", lab.path("bpf").join(site.name).display()),
        format!("--socket={}", socket(lab, site)),
        "--dns-upstreams=127.0.0.1:9".to_owned(),
        // All Services are in one namespace: seven parts each.
        "--namespace-parts=100000".to_owned(),
        "--dns-pod-rate=1000000".to_owned(),
        "--dns-pod-burst=1000000".to_owned(),
    ];
    lab.start(&site.node, &programs.join("stackube-proxy"), &arguments)
}

/// Where a site's stackube-proxy answers for its health.
pub(crate) fn socket(lab: &Lab, site: &Site) -> String {
    lab.path(&format!("{}.sock", site.name)).display().to_string()
}

fn coredns(lab: &Lab, plain: &Site, api: &Namespace, programs: &Path, kubeconfig: &str) -> Result<Process> {
    let pod = lab.namespace("coredns")?;
    plain.plug("coredns0", &pod, COREDNS)?;
    wire(&pod, "coredns0", 5, api)?;
    let corefile = lab.path("Corefile");
    std::fs::write(&corefile, COREFILE.replace("KUBECONFIG", kubeconfig))?;
    let arguments = ["-conf".to_owned(), corefile.display().to_string()];
    lab.start(&pod, &programs.join("coredns"), &arguments)
}

/// Whether the name of a Service is answered.
fn resolves(site: &Site, service: usize) -> bool {
    let name = format!("service-{service}.{TENANT}.svc.cluster.local A\n");
    let mut command = site.client.command("sh");
    command.args([
        "-c",
        "printf %s \"$1\" | dnsperf -s \"$0\" -n 1 -t 1",
        objects::DNS,
        &name,
    ]);
    command
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("NOERROR 1"))
}
