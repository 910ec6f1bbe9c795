//! Traffic through Services and names, round by round.

use anyhow::Result;

use crate::cluster::Cluster;
use crate::lab::{Lab, Namespace};
use crate::measure;
use crate::objects::{self, BACKEND, TENANT, address};
use crate::site::Site;
use crate::table::{self, Samples};

/// Rounds of what takes seconds.
const ROUNDS: usize = 5;
/// Connections for the latency of first packets, a round.
const CONNECTIONS: usize = 500;

/// Makes the tenant's Services `numbers`.
pub(crate) async fn fill(cluster: &Cluster, numbers: std::ops::Range<usize>) -> Result<()> {
    objects::services(cluster, TENANT, numbers, &[BACKEND]).await
}

/// A figure that a pod takes of an address.
type Measurement = fn(&Namespace, &str) -> Result<f64>;

/// Round trips and throughput of one connection: to the pod, and to the Service in front of it.
pub(crate) fn traffic(sites: &[Site; 3]) -> Result<()> {
    let measurements: [(&str, Measurement); 2] = [
        ("TCP round trips a second", measure::round_trips),
        ("TCP throughput, Gbit/s", measure::throughput),
    ];
    for (what, measure) in measurements {
        let mut direct = vec![Samples::default(); sites.len()];
        let mut service = direct.clone();
        for _ in 0..ROUNDS {
            for (site, (direct, service)) in sites.iter().zip(direct.iter_mut().zip(&mut service)) {
                direct.add(measure(&site.client, BACKEND)?);
                service.add(measure(&site.client, &address(0))?);
            }
        }
        table::title(what);
        table::values("pod to pod", direct.iter().map(Samples::median));
        table::values("pod to ClusterIP", service.iter().map(Samples::median));
        table::ratios("  by pod to pod", service.iter().zip(&direct).map(|(s, d)| s.by(d)));
        let plain = service.first().cloned().unwrap_or_default();
        table::ratios("  by kube-proxy", service.iter().map(|s| s.by(&plain)));
    }
    Ok(())
}

/// Times of first packets: through Services and, beside them, direct.
pub(crate) struct FirstPackets {
    service: Vec<Samples>,
    direct: Vec<Samples>,
    /// Medians, a round each.
    medians: Vec<Samples>,
}

pub(crate) fn first_packets(sites: &[Site; 3], count: usize) -> Result<FirstPackets> {
    let none = vec![Samples::default(); sites.len()];
    let mut taken = FirstPackets {
        service: none.clone(),
        direct: none.clone(),
        medians: none,
    };
    for _ in 0..ROUNDS {
        let columns = taken.service.iter_mut().zip(&mut taken.direct).zip(&mut taken.medians);
        for (site, ((service, direct), medians)) in sites.iter().zip(columns) {
            direct.extend(measure::first_packets_direct(&site.client, CONNECTIONS)?);
            let times = measure::first_packets(&site.client, count, CONNECTIONS)?;
            medians.add(times.median());
            service.extend(times);
        }
    }
    Ok(taken)
}

pub(crate) fn print_first_packets(few: &FirstPackets, many: &FirstPackets, few_count: usize, many_count: usize) {
    table::title("First packet of a connection and its answer, microseconds");
    table::values("pod to pod, p50", few.direct.iter().map(Samples::median));
    for (taken, count) in [(few, few_count), (many, many_count)] {
        table::values(
            &format!("{count} Services, p50"),
            taken.service.iter().map(Samples::median),
        );
        table::values("  p99", taken.service.iter().map(|times| times.percentile(0.99)));
        let plain = taken.medians.first().cloned().unwrap_or_default();
        table::ratios(
            "  p50 by kube-proxy",
            taken.medians.iter().map(|medians| medians.by(&plain)),
        );
    }
    let growth = many.medians.iter().zip(&few.medians).map(|(many, few)| many.by(few));
    table::ratios(&format!("p50 with {many_count} by {few_count} Services"), growth);
}

/// Queries a second as fast as they come, and their latency at an equal pace.
pub(crate) fn names(lab: &Lab, sites: &[Site; 3], services: usize) -> Result<()> {
    let queries = lab.path("queries");
    measure::write_queries(&queries, services)?;
    let mut rates = vec![Samples::default(); sites.len()];
    let (mut times, mut slowest) = (rates.clone(), rates.clone());
    for _ in 0..ROUNDS {
        for (site, ((rates, times), slowest)) in sites.iter().zip(rates.iter_mut().zip(&mut times).zip(&mut slowest)) {
            rates.add(measure::queries_per_second(&site.client, &queries)?);
            let round = measure::query_times(&site.client, &queries)?;
            slowest.add(round.percentile(0.99));
            times.extend(round);
        }
    }
    table::title("DNS by UDP through its ClusterIP (the first column is CoreDNS behind kube-proxy)");
    table::values("queries a second", rates.iter().map(Samples::median));
    let plain = rates.first().cloned().unwrap_or_default();
    table::ratios("  by CoreDNS", rates.iter().map(|rates| rates.by(&plain)));
    table::values(
        "latency at 2000 a second, p50, microseconds",
        times.iter().map(Samples::median),
    );
    table::values("  p99", times.iter().map(|times| times.percentile(0.99)));
    let plain = slowest.first().cloned().unwrap_or_default();
    table::ratios("  p99 by CoreDNS", slowest.iter().map(|slowest| slowest.by(&plain)));
    Ok(())
}
