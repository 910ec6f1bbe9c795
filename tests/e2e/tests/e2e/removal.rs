//! A Tenant that goes, whatever its pods do.

use std::time::Duration;

use anyhow::ensure;
use kube::ResourceExt;
use secrecy::ExposeSecret;
use stackube_e2e::{always::always, devbox::Devbox, events::told, pods, tenant::with_tenant, wait};

use crate::shared;

/// Ends at no signal but SIGKILL, which comes after ten minutes.
const STUBBORN: &str =
    "{terminationGracePeriodSeconds: 600, containers: [{name: c, image: busybox, command: [sleep, infinity]}]}";

#[tokio::test]
async fn access_ends_before_the_pods_do() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "removal", "", async |tenant| {
        let name = tenant.name_any();
        let manifest = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: stubborn}}\nspec: {STUBBORN}\n");
        devbox
            .kubectl(&["-n", &name, "create", "-f", "-"], &manifest)
            .await
            .unwrap();
        pods::ready(&devbox, &name, "stubborn").await;
        let token = devbox.log_in(&name, &name, &format!("initial-{name}")).await.unwrap();
        let bearer = format!("Bearer {}", token.secret.expose_secret());
        let pods = format!("/api/v1/namespaces/{name}/pods");
        assert_eq!(devbox.get_with(&pods, &bearer).await.unwrap(), 200);

        let removal = async {
            devbox
                .kubectl(&["delete", "tenant", &name, "--wait=false"], "")
                .await
                .unwrap();
            wait::until("the tenant's user is out", Duration::from_secs(90), || async {
                let status = devbox.get_with(&pods, &bearer).await?;
                ensure!(matches!(status, 401 | 403), "the API server answers {status}");
                ensure!(
                    devbox.log_in(&name, &name, &format!("initial-{name}")).await.is_err(),
                    "Keystone still lets it in"
                );
                Ok(())
            })
            .await;
            // The first Event was before anything had been looked at: it says less.
            let why = ["waiting for namespace", "1 pod has not ended: stubborn"];
            let limit = Duration::from_secs(30);
            told(&devbox, "default", Some(&name), "NamespaceTerminating", &why, limit).await;
            let path = "jsonpath={.status.phase}";
            let phase = devbox
                .kubectl(&["-n", &name, "get", "pod", "stubborn", "-o", path], "")
                .await;
            assert_eq!(
                phase.unwrap(),
                "Running",
                "the pod should have outlived its tenant's access"
            );
        };
        let end = async {
            let now = [
                "delete",
                "pod",
                "stubborn",
                "--ignore-not-found",
                "--grace-period=0",
                "--force",
            ];
            devbox.kubectl(&[&["-n", &name], &now[..]].concat(), "").await.unwrap();
        };
        always(removal, end).await;
    })
    .await;
}
