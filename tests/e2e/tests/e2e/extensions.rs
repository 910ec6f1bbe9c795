//! Servers on the system network that the API server asks by their Service: an admission webhook, a conversion webhook, and
//! an aggregated API.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use stackube_e2e::{
    admin::{create, with_admin_namespace},
    always::always,
    devbox::Devbox,
    pods,
    tenant::unique,
    wait,
};

use crate::shared;

/// The group that Kubernetes' own test server converts, and the one that it serves.
const CONVERTED: &str = "stable.example.com";
const SERVED: &str = "v1beta1.external.metrics.k8s.io";

/// How long the API server may take to see what it is told, busy with other tests.
const LIMIT: Duration = Duration::from_secs(180);

/// A pod with a server of each kind, and its Service `guard`; what the API server knows their certificate by.
async fn servers(devbox: &Devbox, namespace: &str) -> String {
    let name = format!("guard.{namespace}.svc");
    let issued = rcgen::generate_simple_self_signed([name]).unwrap();
    let (certificate, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "guard", "namespace": namespace},
        "stringData": {"apiserver.crt": certificate, "apiserver.key": key},
    });
    create(devbox, &secret).await;
    let container = |name: &str, port: u16, more: &[&str]| {
        let arguments: Vec<String> = [name.to_owned(), format!("--port={port}")]
            .into_iter()
            .chain(more.iter().map(|text| (*text).to_owned()))
            .collect();
        json!({
            "name": name, "image": "stackube/agnhost", "imagePullPolicy": "IfNotPresent", "args": arguments,
            "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
            "volumeMounts": [{"name": "tls", "mountPath": "/tmp/cert", "readOnly": true}],
        })
    };
    let tls = [
        "--tls-cert-file=/tmp/cert/apiserver.crt",
        "--tls-private-key-file=/tmp/cert/apiserver.key",
    ];
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "guard", "namespace": namespace, "labels": {"run": "guard"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [
            container("webhook", 8443, &tls),
            container("crd-conversion-webhook", 9443, &tls),
            // It looks for its certificate there by itself.
            container("external-metrics", 6443, &[]),
        ], "volumes": [{"name": "tls", "secret": {"secretName": "guard"}}]},
    });
    create(devbox, &pod).await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "guard", "namespace": namespace},
        "spec": {"selector": {"run": "guard"}, "ports": [
            {"name": "admit", "port": 8443}, {"name": "convert", "port": 9443}, {"name": "serve", "port": 443, "targetPort": 6443},
        ]},
    });
    create(devbox, &service).await;
    pods::ready(devbox, namespace, "guard").await;
    let authority = serde_json::to_value(k8s_openapi::ByteString(certificate.into_bytes())).unwrap();
    authority.as_str().unwrap().to_owned()
}

/// Removes what is not in the namespace, before the servers go: others wait for what they do not answer.
async fn remove(devbox: &Devbox, name: &str) {
    let kind = format!("{name}.{CONVERTED}");
    for delete in [["apiservice", SERVED], ["customresourcedefinition", &kind]] {
        let [what, which] = delete;
        devbox
            .kubectl(&["delete", what, which, "--ignore-not-found", "--timeout=60s"], "")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_api_server_asks_servers_on_the_system_network() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let name = unique("extensions").replace('-', "");
    // There is one of that name, and a run that was killed may have left it.
    remove(&devbox, &name).await;
    with_admin_namespace(&devbox, &name, async |namespace| {
        let authority = servers(&devbox, namespace).await;
        let body = async {
            admits(&devbox, namespace, &authority).await;
            converts(&devbox, namespace, &authority).await;
            aggregates(&devbox, namespace, &authority).await;
        };
        always(body, remove(&devbox, &name)).await;
    })
    .await;
}

async fn admits(devbox: &Devbox, namespace: &str, authority: &str) {
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [{
            "name": "guard.stackube.test", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Ignore", "timeoutSeconds": 10,
            "clientConfig": {"caBundle": authority,
                "service": {"namespace": namespace, "name": "guard", "path": "/always-deny", "port": 8443}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        }],
    });
    create(devbox, &configuration).await;
    // What cannot be called is ignored, so a refusal is the webhook's own word.
    wait::until("the webhook is asked", LIMIT, || async {
        let made: Result<String> = devbox
            .kubectl(&["-n", namespace, "create", "configmap", &unique("map")], "")
            .await;
        match made {
            Err(error) if format!("{error:#}").contains("this webhook denies all requests") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

async fn converts(devbox: &Devbox, name: &str, authority: &str) {
    // A kind of its own: kubectl remembers for hours what it has discovered, and would ask for the resource of an earlier run.
    let kind = format!("Converted{name}");
    let version = |version: &str, storage: bool| {
        json!({"name": version, "served": true, "storage": storage,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
    };
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{name}.{CONVERTED}")},
        "spec": {"group": CONVERTED, "scope": "Namespaced", "names": {"plural": name, "kind": kind},
            "versions": [version("v1", true), version("v2", false)],
            "conversion": {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {
                "caBundle": authority, "service": {"namespace": name, "name": "guard", "path": "/crdconvert", "port": 9443},
            }}}},
    });
    create(devbox, &definition).await;
    let object = json!({"apiVersion": format!("{CONVERTED}/v1"), "kind": kind,
        "metadata": {"name": "one", "namespace": name}, "hostPort": "somewhere:1234"});
    wait::until("the resource is served", LIMIT, || async {
        devbox.kubectl(&["apply", "-f", "-"], &object.to_string()).await
    })
    .await;
    let path = format!("/apis/{CONVERTED}/v2/namespaces/{name}/{name}/one");
    let seen: Value = wait::until("the object is converted", LIMIT, || async {
        Ok::<_, anyhow::Error>(serde_json::from_str(
            &devbox.kubectl(&["get", "--raw", &path], "").await?,
        )?)
    })
    .await;
    assert_eq!(
        (&seen["host"], &seen["port"]),
        (&json!("somewhere"), &json!("1234")),
        "{seen}"
    );
}

async fn aggregates(devbox: &Devbox, namespace: &str, authority: &str) {
    let (version, group) = SERVED.split_once('.').unwrap();
    let service = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": SERVED},
        "spec": {"group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100,
            "caBundle": authority, "service": {"namespace": namespace, "name": "guard", "port": 443}},
    });
    create(devbox, &service).await;
    let available = [
        "wait",
        "--for=condition=Available",
        "--timeout=180s",
        "apiservice",
        SERVED,
    ];
    devbox.kubectl(&available, "").await.unwrap();
    let path = format!("/apis/{group}/{version}/namespaces/{namespace}/queue_messages_ready");
    wait::until("the aggregated API answers", LIMIT, || async {
        let seen: Value = serde_json::from_str(&devbox.kubectl(&["get", "--raw", &path], "").await?)?;
        ensure!(seen["items"][0]["value"] == "100", "{seen}");
        Ok::<_, anyhow::Error>(())
    })
    .await;
}
