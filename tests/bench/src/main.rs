//! `make bench`, the part that needs no devbox: Services beside kube-proxy, names beside CoreDNS, memory.
//!
//! Everything runs in network namespaces of its own, around one API server. Measurements that are compared take turns in every round. See
//! docs/developer/bench.md.

mod cluster;
mod lab;
mod measure;
mod memory;
mod objects;
mod peers;
mod services;
mod site;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result};
use stackube_datapath::Mode;

use crate::cluster::{ADDRESS, Cluster};
use crate::lab::{Lab, Namespace};
use crate::peers::Peers;
use crate::site::Site;

/// Services when there are few, and when there are many.
const FEW: usize = 10;
const MANY: usize = 10_000;

const USAGE: &str = "usage: stackube-bench PROGRAMS [memory|traffic|many]...; \
    PROGRAMS is a directory with etcd, kube-apiserver, kube-proxy, coredns and stackube-proxy";

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Memory of stackube-proxy by the number of tenants.
    Memory,
    /// Round trips and throughput.
    Traffic,
    /// First packets, names and memory with many Services.
    Many,
}

impl std::str::FromStr for Part {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "memory" => Ok(Self::Memory),
            "traffic" => Ok(Self::Traffic),
            "many" => Ok(Self::Many),
            _ => anyhow::bail!("{name:?} is no part. {USAGE}"),
        }
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let programs: PathBuf = arguments.next().context(USAGE)?.into();
    let parts = arguments.map(|name| name.parse()).collect::<Result<Vec<Part>>>()?;
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("two TLS providers"))?;
    let lab = Lab::new()?;
    let api = lab.namespace("api")?;
    api.ip(&format!(
        "link add wires type bridge
         link set wires up
         addr add {ADDRESS}/24 dev wires"
    ))?;
    api.enter()?;
    // One thread: processes die with the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(&lab, &api, &programs, &parts))
}

/// Measures these parts; without any, all.
async fn measure(lab: &Lab, api: &Namespace, programs: &std::path::Path, parts: &[Part]) -> Result<()> {
    let wants = |part| parts.is_empty() || parts.contains(&part);
    table::title(&format!("{} processors, load {}", processors(), load()?));
    let sites = sites(lab, api)?;
    // First, while the maps are empty: what a process reads back at its start counts, too.
    if wants(Part::Memory) {
        memory::tenants(lab, api, &sites, programs).await?;
    }
    let names: Vec<&str> = sites.iter().map(|site| site.name).collect();
    table::head(&names);
    if wants(Part::Traffic) || wants(Part::Many) {
        let cluster = Cluster::start(lab, api, programs).await?;
        let peers = Peers::start(lab, &cluster, &sites, api, programs).await?;
        services::fill(&cluster, 0..FEW).await?;
        let servers: Vec<_> = sites
            .iter()
            .map(|site| measure::servers(lab, site))
            .collect::<Result<_>>()?;
        peers.wait_for(&sites, FEW).await?;
        if wants(Part::Traffic) {
            services::traffic(&sites)?;
        }
        drop(servers);
        if wants(Part::Many) {
            let few = services::first_packets(&sites, FEW)?;
            services::fill(&cluster, FEW..MANY).await?;
            peers.wait_for(&sites, MANY).await?;
            let many = services::first_packets(&sites, MANY)?;
            services::print_first_packets(&few, &many, FEW, MANY);
            services::names(lab, &sites, MANY)?;
            peers.print_memory(MANY)?;
        }
    }
    table::title(&format!("load {} at the end, this run's own included", load()?));
    Ok(())
}

fn sites(lab: &Lab, api: &Namespace) -> Result<[Site; 3]> {
    let plain = Site::new(lab, "kube-proxy", 2, api)?;
    plain.plug_plainly()?;
    let tcx = Site::new(lab, "tcx", 3, api)?;
    tcx.plug_with_datapath(&lab.path("bpf/tcx"), Mode::Tcx)?;
    let xdp = Site::new(lab, "xdp", 4, api)?;
    xdp.plug_with_datapath(&lab.path("bpf/xdp"), Mode::Xdp)?;
    Ok([plain, tcx, xdp])
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Load averages of the machine over 1, 5 and 15 minutes.
fn load() -> Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}
