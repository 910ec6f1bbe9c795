//! Connection tracking, which all pods of a node share.

use std::time::Duration;

use anyhow::{Context, ensure};
use stackube_e2e::{always::always, wait};

use super::{Scene, frames};

/// What the test gives the attacker's zone, and how many flows the attacker begins.
const LIMIT: usize = 100;
const FLOWS: u16 = 3 * 100;

impl Scene<'_> {
    /// A pod's port has a zone of its own, which ends at its limit: others connect as before.
    pub(super) async fn fill_tracking(&self) {
        let host = async |script: &str| self.devbox.host(script).await;
        let limits = host("ovs-vsctl list-zone-limits netdev").await.unwrap();
        let default = limits
            .lines()
            .find_map(|line| line.trim().strip_prefix("Default, Limit: "));
        let default: usize = default
            .and_then(|limit| limit.parse().ok())
            .context(limits.clone())
            .unwrap();
        // 110 pods, which is as many as Kubernetes has on a node, and the table in user space.
        assert!(110 * default < 3_000_000 / 2, "{default}");

        let path = "jsonpath={.items[?(@.spec.podName==\"attacker\")].status.portID}";
        let port = ["-n", &self.attackers_namespace, "get", "ports", "-o", path];
        let port = self.devbox.kubectl(&port, "").await.unwrap();
        assert_eq!(port.len(), 36, "{port:?} is no ID of a Neutron port");
        let zones = host("ovn-appctl -t ovn-controller ct-zone-list").await.unwrap();
        let zone = zones
            .lines()
            .find_map(|line| line.strip_prefix(&port))
            .context(zones.clone())
            .unwrap()
            .trim();
        let body = async {
            host(&format!("ovs-vsctl set-zone-limit netdev {zone} {LIMIT}"))
                .await
                .unwrap();
            let counted = async || {
                let said = host(&format!("ovs-appctl dpctl/ct-get-limits zone={zone}")).await?;
                let line = said
                    .lines()
                    .find(|line| line.starts_with("zone="))
                    .context(said.clone())?;
                ensure!(line.contains(&format!("limit={LIMIT},")), "{said}");
                let count = line.rsplit('=').next().context(said.clone())?;
                Ok::<usize, anyhow::Error>(count.parse()?)
            };
            wait::until("the limit counts", Duration::from_secs(20), counted).await;
            let flows: Vec<_> = (0..FLOWS)
                .map(|flow| frames::begin(self.attacker.end, self.neighbour.end, 20_000 + flow))
                .collect();
            wait::until("the zone is full", Duration::from_secs(20), || async {
                self.attacker.guest.send("eth0", &flows).await;
                let count = counted().await?;
                ensure!(count >= LIMIT, "{count} of {LIMIT} connections");
                Ok(())
            })
            .await;
            assert_eq!(counted().await.unwrap(), LIMIT, "connections in the attacker's zone");
            assert_eq!(self.load().await.failed, 0, "requests of another tenant's pod");
        };
        let undo = async {
            host(&format!("ovs-vsctl del-zone-limit netdev {zone}")).await.unwrap();
        };
        always(body, undo).await;
    }
}
