//! The parameters of the admission policies: written from the controller's own configuration, so that there is one place where
//! an operator says what tenants may have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ObjectMeta;
use stackube_api::address::{AddressRules, ReservedRange};
use stackube_api::names::{LIMITS, MANAGED_BY, MANAGED_BY_LABEL, SYSTEM_NAMESPACE};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::cluster::SERVICES;
use crate::config::Admission;
use crate::context::Context;
use crate::declare::declare;
use crate::retry;

/// Which address of a range of Services is the API server's.
const API_SERVER: u32 = 1;
/// Which one kubeadm gives to the cluster's DNS.
const DNS: u32 = 10;

/// Keeps the ConfigMap as it should be, until `shutdown`.
pub(crate) async fn run(context: Arc<Context>, shutdown: CancellationToken) {
    let wanted = config_map(&context.config.admission, &context.addresses);
    let api: Api<ConfigMap> = Api::namespaced(context.kube.clone(), SYSTEM_NAMESPACE);
    let rounds = async {
        loop {
            let pause = match declare(&api, &wanted).await {
                Ok(()) => context.config.drift_interval,
                Err(error) => {
                    warn!("the parameters of the admission policies ({LIMITS}) cannot be written: {error}");
                    retry::FIRST
                }
            };
            tokio::time::sleep(pause).await;
        }
    };
    let _ = shutdown.run_until_cancelled(rounds).await;
}

fn config_map(admission: &Admission, addresses: &AddressRules) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(LIMITS.to_owned()),
            namespace: Some(SYSTEM_NAMESPACE.to_owned()),
            labels: Some([(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned())].into()),
            ..ObjectMeta::default()
        },
        data: Some(parameters(admission, addresses)),
        ..ConfigMap::default()
    }
}

/// Lists are separated by blanks, as CEL splits them.
fn parameters(admission: &Admission, addresses: &AddressRules) -> BTreeMap<String, String> {
    let ranges: BTreeSet<Ipv4Net> = addresses.reserved.iter().map(|range| range.range).collect();
    let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
    let services = addresses.reserved.iter().filter(|range| range.purpose == SERVICES);
    let mut taken: BTreeSet<Ipv4Addr> = services.flat_map(|range| taken(range, admission.cluster_dns)).collect();
    taken.extend(admission.cluster_dns);
    let taken: Vec<String> = taken.iter().map(ToString::to_string).collect();
    [
        ("reserved-names", admission.reserved_names.join(" ")),
        ("reserved-cidrs", ranges.join(" ")),
        ("longest-prefix", addresses.longest_prefix.to_string()),
        ("reserved-cluster-ips", taken.join(" ")),
        ("priority-classes", admission.priority_classes.join(" ")),
        ("toleration-keys", admission.toleration_keys.join(" ")),
        ("image-registries", admission.image_registries.join(" ")),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// The addresses of a range of Services that belong to the cluster itself.
fn taken(services: &ReservedRange, dns: Option<Ipv4Addr>) -> impl Iterator<Item = Ipv4Addr> {
    let range = services.range;
    let first = u32::from(range.network());
    [Some(API_SERVER), dns.is_none().then_some(DNS)]
        .into_iter()
        .flatten()
        .map(move |index| Ipv4Addr::from(first.saturating_add(index)))
        .filter(move |address| range.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_here_is_what_policies_refuse() {
        let mut addresses = AddressRules::default();
        for (range, purpose) in [
            ("10.96.0.0/12", SERVICES),
            ("172.30.0.0/16", SERVICES),
            ("10.96.0.0/12", SERVICES),
            ("10.77.0.0/24", "hosts"),
        ] {
            addresses
                .reserved
                .push(ReservedRange::new(range.parse().unwrap(), purpose));
        }
        let admission = Admission {
            reserved_names: vec!["admin".into(), "service".into()],
            priority_classes: vec!["batch".into()],
            ..Admission::default()
        };
        let found = parameters(&admission, &addresses);
        assert_eq!(found["reserved-names"], "admin service");
        assert_eq!(found["priority-classes"], "batch");
        assert_eq!(found["toleration-keys"], "");
        assert_eq!(found["longest-prefix"], "24");
        assert_eq!(
            found["reserved-cluster-ips"],
            "10.96.0.1 10.96.0.10 172.30.0.1 172.30.0.10"
        );
        let chosen = Admission {
            cluster_dns: Some(Ipv4Addr::new(10, 100, 0, 53)),
            ..admission
        };
        let chosen = parameters(&chosen, &addresses);
        assert_eq!(chosen["reserved-cluster-ips"], "10.96.0.1 10.100.0.53 172.30.0.1");
        let ranges: Vec<&str> = found["reserved-cidrs"].split(' ').collect();
        for range in ["10.77.0.0/24", "172.30.0.0/16", "127.0.0.0/8", "169.254.0.0/16"] {
            assert!(ranges.contains(&range), "{range} is missing in {ranges:?}");
        }
    }
}
