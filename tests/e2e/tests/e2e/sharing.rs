//! Services of the administrator that tenants may use: those that the ConfigMap names, and nothing else of their network.

use kube::ResourceExt;
use stackube_e2e::{
    admin::with_admin_namespace,
    devbox::Devbox,
    pods::{self, assert_cut_off, assert_reaches},
    services::{expose, label},
    tenant::with_two_tenants,
};

use crate::shared;

/// As in devbox/stackube/configuration.yaml.
const NAMESPACE: &str = "e2e-shared";
const SHARED: &str = "web";

#[tokio::test]
async fn tenants_use_what_the_operator_shares_and_no_more() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_admin_namespace(&devbox, NAMESPACE, async |namespace| {
        let backend = pods::run(&devbox, namespace, "web", "for-all").await;
        label(&devbox, namespace, "web", SHARED).await;
        let address = expose(&devbox, namespace, SHARED, 80).await;
        // Another one, which nobody shares.
        pods::run(&devbox, namespace, "hidden", "for-nobody").await;
        label(&devbox, namespace, "hidden", "hidden").await;
        let hidden = expose(&devbox, namespace, "hidden", 80).await;
        assert_reaches(&devbox, namespace, "web", &hidden, "for-nobody").await;
        with_two_tenants(&devbox, "shared", async |a, b| {
            for tenant in [a.name_any(), b.name_any()] {
                let tenant = tenant.as_str();
                pods::run(&devbox, tenant, "client", "client").await;
                for to in [&address, &format!("{SHARED}.{NAMESPACE}.svc.cluster.local")] {
                    assert_reaches(&devbox, tenant, "client", to, "for-all").await;
                }
                for to in [&hidden, &backend] {
                    assert_cut_off(&devbox, tenant, "client", to, 80).await;
                }
                assert_cut_off(&devbox, tenant, "client", &address, 81).await;
                let names = format!("nslookup hidden.{NAMESPACE}.svc.cluster.local 2>&1; true");
                let seen = pods::exec(&devbox, tenant, "client", &names).await.unwrap();
                assert!(seen.contains("NXDOMAIN"), "{seen}");
            }
        })
        .await;
    })
    .await;
}
