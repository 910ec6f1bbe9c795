//! Who is near a tenant's pod and may not reach it: the host, its hostNetwork pods (also static ones), neighbours on the node's
//! network.

use std::time::Duration;

use anyhow::ensure;
use kube::ResourceExt;
use serde_json::{Value, json};
use stackube_e2e::{
    admin::with_admin_namespace,
    always::always,
    devbox::Devbox,
    pods::{self, assert_cut_off},
    sandbox::devices,
    tenant::{unique, with_tenant},
    wait,
};

use crate::{probes::probed, shared};

#[tokio::test]
async fn nobody_but_kubelet_reaches_a_pod_from_its_node() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "unprobed", "", async |tenant| {
        let name = tenant.name_any();
        let probed = probed(&name, "text").to_string();
        devbox.kubectl(&["create", "-f", "-"], &probed).await.unwrap();
        let address = pods::ready(&devbox, &name, "web").await;
        the_host_fails(&devbox, &address).await;
        a_neighbour_fails(&devbox, &address).await;
        with_admin_namespace(&devbox, &unique("static"), async |namespace| {
            static_pods(&devbox, namespace, &address).await;
        })
        .await;
    })
    .await;
}

async fn the_host_fails(devbox: &Devbox, address: &str) {
    let knock = |source: &str| {
        format!("timeout 3 curl --silent --max-time 2 {source} http://{address}/ >/dev/null && echo open; echo done")
    };
    // From the node's own address, and from the link's, which a process on the host may use.
    for source in ["", "--interface 169.254.77.1", "--interface stackube0"] {
        let seen = devbox.host(&knock(source)).await.unwrap();
        assert_eq!(seen.trim(), "done", "the host reaches a tenant's pod ({source})");
    }
    let ping = format!("ping -c 1 -W 2 {address} >/dev/null && echo ping; echo done");
    assert_eq!(devbox.host(&ping).await.unwrap().trim(), "done");
    // (That the pod's alias is no better is tested with the link: nobody tells which one is whose.)
}

/// Somebody on a network of the node who sends it everything to pass on.
async fn a_neighbour_fails(devbox: &Devbox, address: &str) {
    let (netns, here, there) = (unique("near"), unique("n"), unique("m"));
    let make = format!(
        "set -e; ip netns add {netns}; ip link add {here} type veth peer name {there} netns {netns}; ip link set {here} up; \
         ip route add 192.0.2.77/32 dev {here}; ip -n {netns} address add 192.0.2.77/32 dev {there}; \
         ip -n {netns} link set {there} up; ip -n {netns} route add 10.77.0.11/32 dev {there}; \
         ip -n {netns} route add default via 10.77.0.11"
    );
    let connects = |to: &str, port: u16| {
        format!(
            "ip netns exec {netns} timeout 3 bash -c 'exec 3<>/dev/tcp/{to}/{port}' 2>/dev/null && echo open; echo done"
        )
    };
    let body = async {
        devbox.host(&make).await.unwrap();
        let seen = devbox.host(&connects("10.77.0.11", 22)).await.unwrap();
        assert_eq!(seen.trim(), "open\ndone", "the neighbour reaches not even the node");
        for (to, port) in [(address, 80), ("169.254.77.1", 22), ("169.254.77.1", 53)] {
            let seen = devbox.host(&connects(to, port)).await.unwrap();
            assert_eq!(seen.trim(), "done", "a neighbour reaches {to}:{port}");
        }
    };
    always(body, async {
        let remove = format!("ip netns delete {netns}; ip link delete {here} 2>/dev/null; true");
        devbox.host(&remove).await.unwrap();
    })
    .await;
}

/// A static pod: its kubelet runs it from a file.
fn static_pod(namespace: &str, name: &str, host_network: bool) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"hostNetwork": host_network, "terminationGracePeriodSeconds": 0, "containers": [{"name": "shell",
            "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "86400"]}]},
    })
}

async fn static_pods(devbox: &Devbox, namespace: &str, address: &str) {
    let folder = "/etc/kubernetes/manifests";
    let body = async {
        for (name, host_network) in [("host", true), ("lone", false)] {
            let (pod, file) = (
                static_pod(namespace, name, host_network),
                format!("{namespace}-{name}.yaml"),
            );
            let write = format!("cat >{folder}/.{file} <<'POD'\n{pod}\nPOD\nmv {folder}/.{file} {folder}/{file}");
            devbox.host(&write).await.unwrap();
        }
        // The mirror pods carry the node's name.
        pods::ready(devbox, namespace, "host-stackube").await;
        assert_cut_off(devbox, namespace, "host-stackube", address, 80).await;
        // Without the node's network a static pod gets none at all, and it says what to do.
        wait::until("an Event for the static pod", Duration::from_secs(180), || async {
            let of_it = "--field-selector=involvedObject.name=lone-stackube";
            let events = devbox.kubectl(&["-n", namespace, "get", "events", of_it], "").await?;
            ensure!(events.contains("must use hostNetwork"), "{events}");
            Ok(())
        })
        .await;
        let ports = devbox
            .kubectl(&["-n", namespace, "get", "ports", "-o", "name"], "")
            .await
            .unwrap();
        assert_eq!(ports, "");
        let hash = r"jsonpath={.metadata.annotations.kubernetes\.io/config\.hash}";
        devbox
            .kubectl(&["-n", namespace, "get", "pod", "lone-stackube", "-o", hash], "")
            .await
            .unwrap()
    };
    let hash = always(body, async {
        let remove = format!("rm -f {folder}/{namespace}-*.yaml {folder}/.{namespace}-*.yaml");
        devbox.host(&remove).await.unwrap();
    })
    .await;
    wait::until("the static pods are gone", Duration::from_secs(120), || async {
        let left = devbox
            .kubectl(&["-n", namespace, "get", "pods", "-o", "name"], "")
            .await?;
        ensure!(left.is_empty(), "{left}");
        Ok(())
    })
    .await;
    let rows =
        format!("ovs-vsctl --bare --columns=name find interface external_ids:stackube-pod-namespace={namespace}");
    assert_eq!(devbox.host(&rows).await.unwrap(), "");
    assert!(devices(devbox, &hash).await.unwrap().is_empty());
}
