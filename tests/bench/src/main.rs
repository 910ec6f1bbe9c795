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

fn main() -> Result<()> {
    let programs: PathBuf = std::env::args_os()
        .nth(1)
        .context("usage: stackube-bench PROGRAMS: a directory with etcd, kube-apiserver, kube-proxy, coredns and stackube-proxy")?
        .into();
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
    runtime.block_on(everything(&lab, &api, &programs))
}

async fn everything(lab: &Lab, api: &Namespace, programs: &std::path::Path) -> Result<()> {
    table::title(&format!("{} processors, load {}", processors(), load()?));
    let sites = sites(lab, api)?;
    // First, while the maps are empty: what a process reads back at its start counts, too.
    memory::tenants(lab, api, &sites, programs).await?;
    let names: Vec<&str> = sites.iter().map(|site| site.name).collect();
    table::head(&names);
    {
        let cluster = Cluster::start(lab, api, programs).await?;
        let peers = Peers::start(lab, &cluster, &sites, api, programs).await?;
        services::fill(&cluster, 0..FEW).await?;
        let servers: Vec<_> = sites
            .iter()
            .map(|site| measure::servers(lab, site))
            .collect::<Result<_>>()?;
        peers.wait_for(&sites, FEW).await?;
        services::traffic(&sites)?;
        drop(servers);
        let few = services::first_packets(&sites, FEW)?;
        services::fill(&cluster, FEW..MANY).await?;
        peers.wait_for(&sites, MANY).await?;
        let many = services::first_packets(&sites, MANY)?;
        services::print_first_packets(&few, &many, FEW, MANY);
        services::names(lab, &sites, MANY)?;
        peers.print_memory(MANY)?;
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
