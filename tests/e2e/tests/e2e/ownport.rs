//! The node's own port on the system network: what the host, hostNetwork pods and the API server reach by it, and that tenants
//! have no part in it.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::{Api, ResourceExt};
use serde_json::json;
use stackube_api::{Port, PortHolder};
use stackube_e2e::{
    admin::{create, with_admin_namespace},
    devbox::Devbox,
    pods::{self, assert_cut_off},
    services::{expose, label},
    tenant::{unique, with_tenant},
    wait,
};

use crate::shared;

/// The address of the node's own port.
async fn own_address(devbox: &Devbox) -> String {
    let ports: Api<Port> = Api::namespaced(devbox.kube.clone(), "stackube-system");
    wait::until("the node's own Port is ready", Duration::from_secs(120), || async {
        let found = ports.list(&Default::default()).await?.items;
        let own = found.into_iter().find(|port| port.spec.holder == PortHolder::Node);
        let status = own.and_then(|port| port.status).unwrap_or_default();
        ensure!(status.ready, "{:?}", status.message);
        Ok(status.ip.unwrap_or_default())
    })
    .await
}

async fn assert_host_gets(devbox: &Devbox, address: &str, text: &str) {
    wait::until(
        &format!("the host reaches {address}"),
        Duration::from_secs(30),
        || async {
            let seen = devbox.host(&format!("curl -s -S -m 3 http://{address}/")).await?;
            ensure!(seen.trim() == text, "the answer is {seen:?}");
            Ok::<_, anyhow::Error>(())
        },
    )
    .await;
}

#[tokio::test]
async fn the_host_and_hostnetwork_pods_reach_services_of_the_system_network() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_admin_namespace(&devbox, &unique("own-port"), async |namespace| {
        let pod = pods::run(&devbox, namespace, "web", "of-system").await;
        label(&devbox, namespace, "web", "web").await;
        let address = expose(&devbox, namespace, "web", 80).await;
        for to in [&address, &pod] {
            assert_host_gets(&devbox, to, "of-system").await;
        }
        let host = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "host", "namespace": namespace},
            "spec": {"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet", "terminationGracePeriodSeconds": 0,
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "shell", "image": "busybox", "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", "86400"]}]},
        });
        create(&devbox, &host).await;
        pods::ready(&devbox, namespace, "host").await;
        // By name: DNS knows the node by its alias.
        for to in [address.clone(), format!("web.{namespace}.svc.cluster.local")] {
            pods::assert_reaches(&devbox, namespace, "host", &to, "of-system").await;
        }
        let script = "nc -w 3 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT </dev/null && echo open";
        let seen = pods::exec(&devbox, namespace, "host", script).await.unwrap();
        assert_eq!(seen.trim(), "open");
    })
    .await;
}

/// A server that refuses whatever the API server asks it about, with TLS.
async fn webhook(devbox: &Devbox, namespace: &str) {
    let name = format!("guard.{namespace}.svc");
    let issued = rcgen::generate_simple_self_signed([name]).unwrap();
    let (certificate, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "guard", "namespace": namespace},
        "stringData": {"tls.crt": certificate, "tls.key": key},
    });
    create(devbox, &secret).await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "guard", "namespace": namespace, "labels": {"run": "guard"}},
        "spec": {"terminationGracePeriodSeconds": 0,
            "containers": [{"name": "guard", "image": "stackube/agnhost", "imagePullPolicy": "IfNotPresent",
                "args": ["webhook", "--port=8443", "--tls-cert-file=/tls/tls.crt", "--tls-private-key-file=/tls/tls.key"],
                "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
                "volumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": true}]}],
            "volumes": [{"name": "tls", "secret": {"secretName": "guard"}}]},
    });
    create(devbox, &pod).await;
    pods::ready(devbox, namespace, "guard").await;
    expose(devbox, namespace, "guard", 8443).await;
    let authority = base64(certificate.as_bytes());
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
}

fn base64(bytes: &[u8]) -> String {
    serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec()))
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn the_api_server_calls_a_webhook_on_the_system_network() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_admin_namespace(&devbox, &unique("webhook"), async |namespace| {
        webhook(&devbox, namespace).await;
        // What cannot be called is ignored, so a refusal is the webhook's own word.
        wait::until("the webhook is asked", Duration::from_secs(60), || async {
            let name = unique("map");
            let made: Result<String> = devbox
                .kubectl(&["-n", namespace, "create", "configmap", &name], "")
                .await;
            match made {
                Err(error) if format!("{error:#}").contains("this webhook denies all requests") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn tenants_have_no_part_in_the_nodes_own_port() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let own = own_address(&devbox).await;
    let held = devbox.host("ip -4 -o address show dev stackube-sys").await.unwrap();
    assert!(held.contains(&own), "{held}");
    with_admin_namespace(&devbox, &unique("own-walls"), async |namespace| {
        pods::run(&devbox, namespace, "web", "of-system").await;
        label(&devbox, namespace, "web", "web").await;
        let address = expose(&devbox, namespace, "web", 80).await;
        assert_host_gets(&devbox, &address, "of-system").await;
        with_tenant(&devbox, "own-walls", "", async |tenant| {
            let name = tenant.name_any();
            pods::run(&devbox, &name, "client", "client").await;
            assert_cut_off(&devbox, &name, "client", &address, 80).await;
            for port in [22, 2379, 6443, 9696, 10250] {
                assert_cut_off(&devbox, &name, "client", &own, port).await;
                // Nor has the system network itself a way to the node.
                assert_cut_off(&devbox, namespace, "web", &own, port).await;
            }
        })
        .await;
    })
    .await;
}
