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
        answers(&devbox, &name, &bearer, &[200]).await;
        let own = token_of_an_administrator(&devbox, &name, "stubborn").await;

        let removal = async {
            devbox
                .kubectl(&["delete", "tenant", &name, "--wait=false"], "")
                .await
                .unwrap();
            answers(&devbox, &name, &bearer, &[401, 403]).await;
            wait::until("Keystone lets it in no more", Duration::from_secs(90), || async {
                let again = devbox.log_in(&name, &name, &format!("initial-{name}")).await;
                ensure!(again.is_err(), "it does");
                Ok(())
            })
            .await;
            answers(&devbox, &name, &own, &[403]).await;
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
        always(removal, release(&devbox, &name)).await;
    })
    .await;
}

#[tokio::test]
async fn what_a_foreign_finalizer_holds_is_told() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "held", "", async |tenant| {
        let name = tenant.name_any();
        let held = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: held, finalizers: [example.org/never]}\n";
        devbox.kubectl(&["-n", &name, "create", "-f", "-"], held).await.unwrap();
        let removal = async {
            let delete = ["delete", "tenant", &name, "--wait=false"];
            devbox.kubectl(&delete, "").await.unwrap();
            let why = ["configmaps. has 1 resource", "example.org/never in 1 resource"];
            let limit = Duration::from_secs(120);
            told(&devbox, "default", Some(&name), "NamespaceTerminating", &why, limit).await;
            let message = ["get", "tenant", &name, "-o", "jsonpath={.status.message}"];
            let message = devbox.kubectl(&message, "").await.unwrap();
            assert!(why.iter().all(|words| message.contains(words)), "{message}");
        };
        let release = async {
            let none = r#"{"metadata": {"finalizers": null}}"#;
            let release = ["-n", &name, "patch", "configmap", "held", "--type=merge", "-p", none];
            devbox.kubectl(&release, "").await.unwrap();
        };
        always(removal, release).await;
    })
    .await;
}

/// Ends the pod now, and what still holds the namespace if the test failed.
async fn release(devbox: &Devbox, namespace: &str) {
    // Not by force: where kubelet hears that a pod is gone before it hears of a shorter time to end, it gives it all of the longer one.
    let now = [
        "delete",
        "pod",
        "stubborn",
        "--ignore-not-found",
        "--grace-period=1",
        "--wait=false",
    ];
    devbox
        .kubectl(&[&["-n", namespace], &now[..]].concat(), "")
        .await
        .unwrap();
    let none = r#"{"metadata": {"finalizers": null}}"#;
    let release = [
        "-n",
        namespace,
        "patch",
        "rolebinding",
        "robots",
        "--type=merge",
        "-p",
        none,
    ];
    // It is gone unless the test failed.
    devbox.kubectl(&release, "").await.ok();
}

/// The token of a pod whose account the tenant has made its administrator, by a binding that something holds.
async fn token_of_an_administrator(devbox: &Devbox, namespace: &str, pod: &str) -> String {
    let binding = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\n\
         metadata: {{name: robots, finalizers: [example.org/never]}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: stackube-admin}}\n\
         subjects: [{{kind: ServiceAccount, name: default, namespace: {namespace}}}]\n"
    );
    devbox
        .kubectl(&["-n", namespace, "create", "-f", "-"], &binding)
        .await
        .unwrap();
    let token = "cat /var/run/secrets/kubernetes.io/serviceaccount/token";
    let token = pods::exec(devbox, namespace, pod, token).await.unwrap();
    let bearer = format!("Bearer {}", token.trim());
    answers(devbox, namespace, &bearer, &[200]).await;
    bearer
}

/// Waits until the API server answers so to whoever asks for the namespace's pods with this token.
async fn answers(devbox: &Devbox, namespace: &str, bearer: &str, expected: &[u16]) {
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let what = format!("the API server answers {expected:?}");
    wait::until(&what, Duration::from_secs(90), || async {
        let status = devbox.get_with(&pods, bearer).await?;
        ensure!(expected.contains(&status), "it answers {status}");
        Ok(())
    })
    .await;
}
