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

use crate::cluster::{self, SERVICES};
use crate::config::Admission;
use crate::context::Context;
use crate::declare::declare;
use crate::{preflight, retry};

/// Which address of a range of Services is the API server's.
const API_SERVER: u32 = 1;
/// Which one kubeadm gives to the cluster's DNS.
const DNS: u32 = 10;

/// Keeps the ConfigMap as it should be, and what all reconcilers know to be reserved, until `shutdown`.
pub(crate) async fn run(context: Arc<Context>, shutdown: CancellationToken) {
    let api: Api<ConfigMap> = Api::namespaced(context.kube.clone(), SYSTEM_NAMESPACE);
    let rounds = async {
        // With what is known already: OpenStack may take its time to answer.
        write(&api, &context).await;
        loop {
            look(&context).await;
            write(&api, &context).await;
            tokio::time::sleep(context.config.drift_interval).await;
        }
    };
    let _ = shutdown.run_until_cancelled(rounds).await;
}

/// Writes the ConfigMap, and does not end before it is written.
async fn write(api: &Api<ConfigMap>, context: &Context) {
    let wanted = config_map(&context.config.admission, &context.addresses.of_tenants());
    while let Err(error) = declare(api, &wanted).await {
        warn!("the parameters of the admission policies ({LIMITS}) cannot be written: {error}");
        tokio::time::sleep(retry::FIRST).await;
    }
}

/// Looks what is reserved by now. What cannot be seen stays as it was known.
async fn look(context: &Context) {
    let session = context.cloud.service();
    let (services, external) = tokio::join!(
        cluster::service_ranges(&context.kube),
        preflight::external(&session, &context.config.external_network)
    );
    match services {
        Ok(ranges) => context.addresses.set_services(ranges),
        Err(error) => warn!("the ranges of Services cannot be read, so what was known of them holds: {error}"),
    }
    match external {
        Ok(ranges) => context.addresses.set_external(ranges),
        Err(problem) => warn!(
            "the subnets of the external network cannot be read, so what was known of them holds: {}",
            problem.sentence()
        ),
    }
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
    use std::convert::Infallible;

    use kube::Client;
    use kube::client::Body;
    use serde_json::json;

    use super::*;
    use crate::context::fake;
    use crate::port::fake::Fake;

    /// An API server that knows two ranges of Services, and nothing else.
    fn api_server() -> Client {
        let serve = async |request: http::Request<Body>| {
            assert_eq!(request.uri().path(), "/apis/networking.k8s.io/v1/servicecidrs");
            let items = ["10.96.0.0/12", "172.30.0.0/16"].map(|range| json!({"spec": {"cidrs": [range]}}));
            let answer = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items});
            Ok::<_, Infallible>(http::Response::new(Body::from(answer.to_string().into_bytes())))
        };
        Client::new(tower::service_fn(serve), "default")
    }

    fn reserved(context: &Context) -> String {
        let addresses = context.addresses.of_tenants();
        parameters(&context.config.admission, &addresses)["reserved-cidrs"].clone()
    }

    #[tokio::test]
    async fn ranges_that_are_added_while_the_controller_runs_are_reserved_then() {
        let fake = Fake::start().await;
        let context = fake::context(api_server(), &fake.cloud, vec![], vec![]);
        let id = context.config.external_network.to_string();
        assert!(!reserved(&context).contains("172.30.0.0/16"));
        let network =
            json!({"id": id, "name": "ext", "status": "ACTIVE", "admin_state_up": true, "router:external": true});
        let subnet = json!({
            "id": "s", "name": "s", "network_id": id, "cidr": "172.24.4.0/24", "ip_version": 4, "enable_dhcp": false,
        });
        fake.state().others.insert("networks".into(), vec![network]);
        fake.state().others.insert("subnets".into(), vec![subnet]);
        look(&context).await;
        let found = reserved(&context);
        assert!(
            found.contains("172.30.0.0/16") && found.contains("172.24.4.0/24"),
            "{found}"
        );

        fake.state().others.clear();
        look(&context).await;
        assert_eq!(reserved(&context), found, "what cannot be seen stays as it was known");
    }

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
