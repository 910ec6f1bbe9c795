//! Networks in Neutron are their owners' alone: none is shared, and no tenant can share its own.

use stackube_e2e::{desk::Desk, tenant::with_two_tenants_of};

use super::*;
use crate::exhaustion::network_of;

/// Asserts that neither the tenant's network nor the system network is shared, by its own word and by what RBAC policies there are.
pub(super) async fn assert_none(devbox: &Devbox, tenant: &str) {
    let session = devbox.cloud.service();
    let shared = devbox
        .openstack(&["network", "rbac", "list", "-f", "value", "-c", "Object ID"])
        .await
        .unwrap();
    for namespace in [tenant, "stackube-system"] {
        let id = network_of(devbox, namespace).await.network_id.unwrap();
        let network = session
            .get_network(&NetworkId::new(id.as_str()).unwrap())
            .await
            .unwrap();
        assert!(!network.shared && !network.external, "{network:?}");
        assert!(
            !shared.contains(&id),
            "there is an RBAC policy for the network of {namespace}"
        );
    }
    // What is outside is shared so: policies would be seen.
    let external = ["network", "list", "--external", "-f", "value", "-c", "ID"];
    let external = devbox.openstack(&external).await.unwrap();
    assert!(!external.is_empty() && shared.contains(external.trim()), "{shared}");
}

#[tokio::test]
async fn a_member_shares_nothing_of_its_project() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_two_tenants_of(&devbox, "share", "openstackAccess: member", async |a, b| {
        let (name, other) = (a.name_any(), tenant::project_of(&b));
        let made = network_of(&devbox, &name).await;
        let (network, group) = (made.network_id.unwrap(), made.security_group_id.unwrap());
        let desk = Desk::of(&devbox, &a).await.unwrap();
        let openstack = async |arguments: &[&str]| {
            desk.run(&[&["openstack", "--os-cloud", "mine"], arguments].concat())
                .await
        };
        // It may else do with it as it likes.
        openstack(&["network", "set", "--description", "mine", &network])
            .await
            .unwrap();
        let with = ["--target-project", other.as_str()];
        let everybody = ["--target-all-projects"];
        let quota = "Quota exceeded for resources: ['rbac_policy']";
        for (kind, object, target, says) in [
            ("network", &network, &with[..], quota),
            ("security_group", &group, &with, quota),
            ("network", &network, &everybody, "disallowed by policy"),
            ("security_group", &group, &everybody, "disallowed by policy"),
        ] {
            let create = [
                "network",
                "rbac",
                "create",
                "--action",
                "access_as_shared",
                "--type",
                kind,
            ];
            let error = openstack(&[&create, target, &[object]].concat()).await.unwrap_err();
            assert!(error.to_string().contains(says), "{kind} {target:?}: {error:#}");
        }
        assert_none(&devbox, &name).await;
    })
    .await;
}
