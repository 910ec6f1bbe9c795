//! Pods and their ports over a whole life.

use std::{collections::BTreeSet, time::Duration};

use anyhow::ensure;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::DeleteParams};
use stackube_api::{Network, Port};
use stackube_e2e::{
    always::always,
    devbox::Devbox,
    pods, sandbox,
    tenant::{self, with_tenant},
    wait,
};
use stackube_openstack::{
    id::NetworkId,
    network::{CreatePort, PortFilter},
};

use crate::shared;

#[tokio::test]
async fn thirty_pods_at_once() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "burst", "", async |tenant| {
        let name = tenant.name_any();
        let names: Vec<String> = (0..30).map(|i| format!("web-{i}")).collect();
        pods::create_all(&devbox, &name, &names).await.unwrap();
        let mut addresses = BTreeSet::new();
        for pod in &names {
            assert!(
                addresses.insert(pods::ready(&devbox, &name, pod).await),
                "two pods share an address"
            );
        }
        let pings: Vec<_> = addresses
            .iter()
            .map(|address| format!("ping -c 1 -W 3 {address}"))
            .collect();
        pods::exec(&devbox, &name, &names[0], &pings.join(" && "))
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_finished_pod_gives_its_port_back() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "finished", "", async |tenant| {
        let name = tenant.name_any();
        let run = [
            "-n",
            &name,
            "run",
            "once",
            "--image=busybox",
            "--restart=Never",
            "--command",
            "--",
            "true",
        ];
        devbox.kubectl(&run, "").await.unwrap();
        devbox
            .kubectl(
                &[
                    "-n",
                    &name,
                    "wait",
                    "--for=jsonpath={.status.phase}=Succeeded",
                    "pod/once",
                    "--timeout=300s",
                ],
                "",
            )
            .await
            .unwrap();
        let ports: Api<Port> = Api::namespaced(devbox.kube.clone(), &name);
        wait::until("the port is released", Duration::from_secs(60), || async {
            let left = ports.list(&Default::default()).await?.items;
            ensure!(
                left.is_empty(),
                "{:?}",
                left.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
            );
            Ok::<_, anyhow::Error>(())
        })
        .await;
        assert!(bound_ports(&devbox, &tenant).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_interface_is_as_neutron_says() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "interface", "", async |tenant| {
        let name = tenant.name_any();
        let ip = pods::run(&devbox, &name, "web", "x").await;
        let pod: Pod = Api::namespaced(devbox.kube.clone(), &name).get("web").await.unwrap();
        let port: Port = Api::namespaced(devbox.kube.clone(), &name)
            .get(&pod.uid().unwrap())
            .await
            .unwrap();
        let status = port.status.unwrap();
        assert_eq!(status.ip.as_deref(), Some(ip.as_str()));
        let bound = bound_ports(&devbox, &tenant).await;
        let neutron = bound
            .iter()
            .find(|p| p.id.as_str() == status.port_id.as_deref().unwrap_or_default())
            .unwrap();
        assert_eq!(
            neutron.binding_host_id.as_deref(),
            Some("devbox-1.stackube.internal"),
            "bound by the chassis' hostname"
        );
        assert_eq!(
            pod.spec.unwrap().node_name.as_deref(),
            Some("stackube"),
            "the node's name differs from the hostname"
        );
        assert_eq!(neutron.device_owner, "compute:stackube");
        let seen = pods::exec(
            &devbox,
            &name,
            "web",
            "ip -o link show eth0; ip -o address show eth0; ip route",
        )
        .await
        .unwrap();
        for expected in [
            format!("mtu {}", status.mtu.unwrap()),
            status.mac.unwrap(),
            format!("{ip}/{}", status.prefix_length.unwrap()),
            format!("default via {}", status.gateway.unwrap()),
        ] {
            assert!(seen.contains(&expected), "no {expected:?} in\n{seen}");
        }
        assert!(!seen.contains("inet6"), "IPv6 is on:\n{seen}");
    })
    .await;
}

#[tokio::test]
async fn a_tenant_with_running_pods_is_deleted_completely() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "busy", "", async |tenant| {
        for pod in ["a", "b", "c"] {
            pods::run(&devbox, &tenant.name_any(), pod, pod).await;
        }
        assert_says_what_it_waits_for(&devbox, &tenant).await;
    })
    .await;
}

/// Deletes the Tenant while the cloud's operators hold a port of their project on its network: that is theirs to remove, and is told.
async fn assert_says_what_it_waits_for(devbox: &Devbox, tenant: &stackube_api::Tenant) {
    let name = tenant.name_any();
    let networks: Api<Network> = Api::namespaced(devbox.kube.clone(), &name);
    let status = networks.get(&name).await.unwrap().status.unwrap();
    let session = devbox.cloud.service();
    let foreign = CreatePort {
        project_id: session.token_info().await.unwrap().project_id,
        network_id: NetworkId::new(status.network_id.unwrap()).unwrap(),
        name: "foreign".into(),
        description: String::new(),
        tags: vec![],
        fixed_ips: vec![],
        security_groups: vec![],
        device_owner: "network:e2e".into(),
        device_id: String::new(),
        admin_state_up: true,
        binding_host_id: None,
    };
    // In the tenant's own project its members can make such: that one goes.
    let mut members = foreign.clone();
    members.project_id = tenant::project_of(tenant);
    session.create_port(&members).await.unwrap();
    let port = session.create_port(&foreign).await.unwrap().id;
    let body = async {
        devbox
            .kubectl(&["delete", "tenant", &name, "--wait=false"], "")
            .await
            .unwrap();
        // Not by an Event on the Network: in a namespace that is being removed nothing can be made any more.
        let shown = "jsonpath={.status.state}: {.status.message}|{.status.conditions[?(@.type==\"Ready\")].message}";
        wait::until(
            "the Tenant says what it waits for",
            Duration::from_secs(120),
            || async {
                let shown = devbox.kubectl(&["get", "tenant", &name, "-o", shown], "").await?;
                let (state, condition) = shown.split_once('|').unwrap_or_default();
                ensure!(state == format!("Terminating: {condition}"), "{shown}");
                ensure!(
                    condition.contains(port.as_str()) && condition.contains("InUse"),
                    "{shown}"
                );
                Ok(())
            },
        )
        .await;
    };
    always(body, async {
        session.delete_port(&port).await.unwrap();
    })
    .await;
}

/// Pod ports of the tenant that are claimed by a pod.
pub(crate) async fn bound_ports(
    devbox: &Devbox,
    tenant: &stackube_api::Tenant,
) -> Vec<stackube_openstack::network::Port> {
    let filter = PortFilter {
        device_owner: Some("compute:stackube".into()),
        ..Default::default()
    };
    let ports = devbox
        .cloud
        .service()
        .list_ports(&tenant::project_of(tenant), &filter)
        .await
        .unwrap();
    ports.into_iter().filter(|p| !p.device_id.is_empty()).collect()
}

/// IDs of the tenant's ports that were made ahead of need, once there are as many as the configuration says by default.
async fn pool(devbox: &Devbox, tenant: &stackube_api::Tenant) -> BTreeSet<String> {
    let filter = PortFilter {
        device_owner: Some("compute:stackube".into()),
        ..Default::default()
    };
    let project = tenant::project_of(tenant);
    wait::until("the pool is full", Duration::from_secs(90), || async {
        let ports = devbox.cloud.service().list_ports(&project, &filter).await?;
        let spare = ports.into_iter().filter(|port| port.device_id.is_empty());
        let spare: BTreeSet<String> = spare.map(|port| port.id.to_string()).collect();
        ensure!(spare.len() == 2, "{spare:?}");
        Ok::<_, anyhow::Error>(spare)
    })
    .await
}

/// Neutron's ID of the pod's port.
async fn port_of(devbox: &Devbox, namespace: &str, pod: &str) -> String {
    let ports: Api<Port> = Api::namespaced(devbox.kube.clone(), namespace);
    let port = ports.get(&sandbox::uid(devbox, namespace, pod).await).await.unwrap();
    port.status.unwrap().port_id.unwrap()
}

#[tokio::test]
async fn a_pod_takes_a_port_that_was_made_ahead_and_it_goes_with_the_pod() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "pool", "", async |tenant| {
        let name = tenant.name_any();
        pods::run(&devbox, &name, "first", "x").await;
        let (before, web, taken) = taking(&devbox, &tenant).await;
        let after = pool(&devbox, &tenant).await;
        assert!(
            !after.contains(&taken) && after != before,
            "{taken}: {before:?} {after:?}"
        );
        let bound = bound_ports(&devbox, &tenant).await.len();
        let pods: Api<Pod> = Api::namespaced(devbox.kube.clone(), &name);
        pods.delete(&web, &DeleteParams::default()).await.unwrap();
        // A port that has served a pod never returns to the pool.
        wait::until("the Neutron port is gone", Duration::from_secs(60), || async {
            let port = devbox.cloud.service().get_port(&taken.parse().unwrap()).await;
            ensure!(port.as_ref().is_err_and(|error| error.is_not_found()), "{port:?}");
            Ok::<_, anyhow::Error>(())
        })
        .await;
        assert_eq!(bound_ports(&devbox, &tenant).await.len(), bound - 1);
    })
    .await;
}

/// The pool, a pod that took a port of it, and that port. Neutron shows ports a moment before the controller has its answer and may
/// give them away, so the first pod may come too early.
async fn taking(devbox: &Devbox, tenant: &stackube_api::Tenant) -> (BTreeSet<String>, String, String) {
    let namespace = tenant.name_any();
    let mut seen = vec![];
    for pod in ["web-0", "web-1", "web-2"] {
        let before = pool(devbox, tenant).await;
        pods::run(devbox, &namespace, pod, "x").await;
        let taken = port_of(devbox, &namespace, pod).await;
        if before.contains(&taken) {
            return (before, pod.to_owned(), taken);
        }
        seen.push(format!("{taken} is none of {before:?}"));
    }
    panic!("no pod took a port that was there: {seen:#?}");
}
