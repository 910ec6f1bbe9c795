//! Namespaces that existed before their Tenant.

use std::time::Duration;

use anyhow::ensure;
use kube::Api;
use stackube_api::{Port, TenantState};
use stackube_e2e::{always::always, devbox::Devbox, pods, sandbox, tenant, wait};

use crate::shared;

#[tokio::test]
async fn a_namespace_is_taken_over_only_when_handed_over_and_empty() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let name = tenant::unique("handed");
    always(hand_over(&devbox, &name), async {
        for kind in ["tenant", "namespace"] {
            let delete = ["delete", kind, &name, "--ignore-not-found"];
            devbox.kubectl(&delete, "").await.unwrap();
        }
    })
    .await;
}

async fn hand_over(devbox: &Devbox, name: &str) {
    devbox.kubectl(&["create", "namespace", name], "").await.unwrap();
    devbox
        .kubectl(&["-n", name, "create", "configmap", "kept", "--from-literal=a=b"], "")
        .await
        .unwrap();
    pods::run(devbox, name, "early", "early").await;
    let hand_over = format!("stackube.kubernetes.io/adopt={name}");
    devbox
        .kubectl(&["annotate", "namespace", name, &hand_over], "")
        .await
        .unwrap();
    tenant::create(devbox, name, "").await.unwrap();
    // The pod is on the system network and would stay there.
    let refused = tenant::in_state(devbox, name, TenantState::Failed, Duration::from_secs(240)).await;
    let message = refused.status.unwrap().message.unwrap_or_default();
    assert!(message.contains("pods"), "{message}");
    assert_gets_no_network(devbox, name).await;
    devbox
        .kubectl(&["-n", name, "delete", "pod", "early", "late", "--timeout=240s"], "")
        .await
        .unwrap();
    // A change of the Tenant is looked at at once.
    let patch = r#"{"spec":{"openstackAccess":"reader"}}"#;
    devbox
        .kubectl(&["patch", "tenant", name, "--type=merge", "-p", patch], "")
        .await
        .unwrap();
    tenant::active(devbox, name).await;
    let kept = devbox
        .kubectl(
            &["-n", name, "get", "configmap", "kept", "-o", "jsonpath={.data.a}"],
            "",
        )
        .await
        .unwrap();
    assert_eq!(kept, "b");
    let address = pods::run(devbox, name, "web", "x").await;
    assert!(
        address.starts_with("10.244."),
        "{address} is not of the tenant's network"
    );
    tenant::delete(devbox, name).await;
}

/// A pod that is made now is a tenant's or the administrator's, nobody knows yet: it waits, and says so.
async fn assert_gets_no_network(devbox: &Devbox, name: &str) {
    pods::create(devbox, name, "late", "late").await.unwrap();
    wait::until("an Event about the namespace", Duration::from_secs(60), || async {
        let of_it = "--field-selector=involvedObject.name=late,reason=NamespaceNotTenants";
        let events = devbox
            .kubectl(&["-n", name, "get", "events", of_it, "-o", "name"], "")
            .await?;
        ensure!(!events.is_empty(), "none");
        Ok(())
    })
    .await;
    let ports: Api<Port> = Api::namespaced(devbox.kube.clone(), name);
    let uid = sandbox::uid(devbox, name, "late").await;
    assert!(
        ports.get_opt(&uid).await.unwrap().is_none(),
        "the pod was given a network"
    );
}
