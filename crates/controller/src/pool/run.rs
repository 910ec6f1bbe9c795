//! Keeping the pool at its size.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::runtime::reflector::ObjectRef;
use stackube_openstack::Error;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::fill;
use super::plan::{Change, Demand, demand, plan};
use super::resync::{Site, resync};
use crate::port::{Net, Node, Place, Shared, chassis_of, target};

/// How often the pool is looked at when nothing calls for it.
const PERIOD: Duration = Duration::from_secs(10);
/// Pause after a claim: one pod is often followed by others, which go first.
const SETTLE: Duration = Duration::from_secs(1);
/// How many places are filled at once.
const AT_ONCE: usize = 4;

/// Runs until `shutdown`.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let _ = shutdown.run_until_cancelled(keep_full(&shared)).await;
}

async fn keep_full(shared: &Shared) {
    // Judging ports by an empty list of Networks would take them for nobody's.
    if shared.context.networks.wait_until_ready().await.is_err()
        || shared.ports.wait_until_ready().await.is_err()
        || shared.nodes.wait_until_ready().await.is_err()
    {
        return;
    }
    let (mut last_seen, mut misfits) = (HashMap::new(), HashSet::new());
    let mut compare_at = Instant::now();
    loop {
        let demand = demand(&shared.ports.state());
        let sites = sites(shared, &demand);
        if Instant::now() >= compare_at {
            match resync(shared, &sites, &mut misfits).await {
                Ok(()) => compare_at = Instant::now() + shared.context.config.drift_interval,
                Err(error) => warn!("the pool cannot be compared with Neutron, trying again: {error}"),
            }
        }
        adjust(shared, &sites, &demand, &mut last_seen).await;
        shared.metrics.spare(shared.pool.counts().values().sum());
        tokio::select! {
            () = shared.pool.changed.notified() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// Of the places with pods or pool ports, those whose network and node can take ports now.
fn sites(shared: &Shared, demand: &HashMap<Place, Demand>) -> Vec<Site> {
    let places: HashSet<Place> = demand.keys().cloned().chain(shared.pool.counts().into_keys()).collect();
    let site = |place: Place| {
        let network = ObjectRef::new(&place.network.name).within(&place.network.namespace);
        let Net::Active(target) = target(&*shared.context.networks.get(&network)?) else {
            return None;
        };
        let Node::Chassis(chassis) = chassis_of(&*shared.nodes.get(&ObjectRef::new(&place.node))?) else {
            return None;
        };
        Some(Site {
            place,
            target: *target,
            chassis,
        })
    };
    places.into_iter().filter_map(site).collect()
}

async fn adjust(
    shared: &Shared,
    sites: &[Site],
    demand: &HashMap<Place, Demand>,
    last_seen: &mut HashMap<Place, Instant>,
) {
    let usable: HashMap<_, _> = sites.iter().map(|site| (site.place.clone(), site)).collect();
    let places = usable.keys().cloned().collect();
    let changes = plan(
        shared.pool.size,
        demand,
        &shared.pool.counts(),
        &places,
        last_seen,
        Instant::now(),
    );
    futures::stream::iter(changes.into_values())
        .for_each_concurrent(AT_ONCE, |(place, change)| {
            let site = usable.get(&place).copied();
            async move {
                if let Err(error) = make(shared, &place, site, &change).await {
                    warn!(node = place.node, network = %place.network, "the pool could not be changed: {error}");
                }
            }
        })
        .await;
}

async fn make(shared: &Shared, place: &Place, site: Option<&Site>, change: &Change) -> Result<(), Error> {
    match (change, site) {
        (Change::Drop(count), _) => fill::drop_some(shared, place, *count).await,
        (Change::Add(count), Some(site)) => fill::add(shared, place, &site.target, &site.chassis, *count).await,
        (Change::Add(_), None) => Ok(()),
    }
}
