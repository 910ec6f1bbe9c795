//! Resident memory of stackube-proxy by the tenants that the cluster knows, of which few are on the node.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::cluster::Cluster;
use crate::lab::{Lab, Namespace, run, until};
use crate::objects;
use crate::peers::{socket, stackube_proxy};
use crate::site::Site;
use crate::table;

const TENANTS: [usize; 3] = [1, 100, 1000];
/// Tenants with a pod on the node.
const HERE: usize = 10;
/// Services of each tenant, with three endpoints each.
const SERVICES: usize = 10;
/// Until what is only needed at the start has been given back.
const SETTLED: Duration = Duration::from_secs(3);

/// A new process for each number, on an API server of its own.
pub(crate) async fn tenants(lab: &Lab, api: &Namespace, sites: &[Site; 3], programs: &Path) -> Result<()> {
    let [_, site, _] = sites;
    let cluster = Cluster::start(lab, api, programs).await?;
    objects::port_definition(&cluster).await?;
    objects::node(&cluster, site.name, "10.99.0.3").await?;
    table::title(&format!(
        "Resident memory of stackube-proxy, MiB: {SERVICES} Services a tenant, at most {HERE} tenants on the node"
    ));
    let (mut known, mut first) = (0, None);
    for count in TENANTS {
        for tenant in known..count {
            let name = format!("tenant-{tenant}");
            objects::namespace(&cluster, &name, true).await?;
            let numbers = tenant * SERVICES..(tenant + 1) * SERVICES;
            objects::services(&cluster, &name, numbers, &["10.244.1.6", "10.244.1.7", "10.244.1.8"]).await?;
            if tenant < HERE {
                objects::port(&cluster, &name, site.name, &format!("10.244.0.{}", tenant + 10)).await?;
            }
        }
        known = count;
        let process = stackube_proxy(lab, &cluster, site, programs)?;
        let probe = programs.join("stackube-proxy");
        until("stackube-proxy is ready", &process, async || {
            let mut command = std::process::Command::new(&probe);
            run(command.args(["probe", "/readyz", "--socket", &socket(lab, site)])).is_ok()
        })
        .await?;
        tokio::time::sleep(SETTLED).await;
        let now = process.resident()?;
        let by = now / *first.get_or_insert(now);
        table::values(&format!("{count} tenants known; by 1 tenant"), [now, by]);
    }
    Ok(())
}
