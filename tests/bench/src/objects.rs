//! Objects of the cluster: nodes, tenants with their Services, pods' Ports.

use anyhow::Result;
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// The tenant whose pods are measured.
pub(crate) const TENANT: &str = "shop";
/// Where the Services of [`TENANT`] lead.
pub(crate) const BACKEND: &str = "10.244.1.6";
/// Where pods ask for names.
pub(crate) const DNS: &str = "10.96.0.10";
/// Ports of a Service and of its pod: connections, round trips (sockperf), throughput (iperf3).
pub(crate) const PORTS: [(&str, u16, u16); 3] = [("http", 80, 8080), ("rtt", 11111, 11111), ("bulk", 5201, 5201)];

/// ClusterIP of a tenant's Service.
pub(crate) fn address(number: usize) -> String {
    format!(
        "10.{}.{}.{}",
        100 + number / 50_000,
        number / 200 % 250,
        number % 200 + 1
    )
}

/// A tenant's namespace as Stackube makes it.
pub(crate) async fn namespace(cluster: &Cluster, name: &str, tenant: bool) -> Result<()> {
    let labels = if tenant {
        json!({"stackube.kubernetes.io/tenant": name})
    } else {
        json!({})
    };
    let object = json!({"metadata": {"name": name, "labels": labels}});
    cluster.create("/api/v1/namespaces", &object).await
}

/// Services `numbers`, each with these addresses behind it.
pub(crate) async fn services(
    cluster: &Cluster,
    namespace: &str,
    numbers: std::ops::Range<usize>,
    endpoints: &[&str],
) -> Result<()> {
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    let objects = numbers.flat_map(|number| {
        [
            (
                format!("/api/v1/namespaces/{namespace}/services"),
                service(number, &address(number)),
            ),
            (slices.clone(), slice(&format!("service-{number}"), endpoints, &PORTS)),
        ]
    });
    cluster.create_all(objects).await
}

fn service(number: usize, address: &str) -> Value {
    // The traffic goes through the first one; the others have what most Services have.
    let ports = if number == 0 {
        PORTS.as_slice()
    } else {
        PORTS.get(..1).unwrap_or_default()
    };
    let ports: Vec<Value> = ports
        .iter()
        .map(|(name, port, target)| json!({"name": name, "port": port, "targetPort": target}))
        .collect();
    json!({"metadata": {"name": format!("service-{number}")}, "spec": {"clusterIP": address, "ports": ports}})
}

fn slice(service: &str, addresses: &[&str], ports: &[(&str, u16, u16)]) -> Value {
    let ports: Vec<Value> = ports
        .iter()
        .map(|(name, _, target)| json!({"name": name, "port": target, "protocol": "TCP"}))
        .collect();
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|address| json!({"addresses": [address], "conditions": {"ready": true}}))
        .collect();
    json!({
        "metadata": {"name": format!("{service}-x"), "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
    })
}

/// The Service of the DNS address. Its endpoint is CoreDNS's: Stackube leads the address to its own server on the node.
pub(crate) async fn dns(cluster: &Cluster, endpoint: &str) -> Result<()> {
    let port = |name: &str, protocol: &str| json!({"name": name, "port": 53, "protocol": protocol});
    let both = [port("dns", "UDP"), port("dns-tcp", "TCP")];
    let service = json!({"metadata": {"name": "kube-dns"}, "spec": {"clusterIP": DNS, "ports": both}});
    let mut slice = slice("kube-dns", &[endpoint], &[]);
    if let Some(ports) = slice.get_mut("ports") {
        *ports = json!(both);
    }
    cluster
        .create("/api/v1/namespaces/kube-system/services", &service)
        .await?;
    let path = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices";
    cluster.create(path, &slice).await
}

/// A Node with an address.
pub(crate) async fn node(cluster: &Cluster, name: &str, address: &str) -> Result<()> {
    cluster
        .create("/api/v1/nodes", &json!({"metadata": {"name": name}}))
        .await?;
    let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": address}]}});
    cluster.patch(&format!("/api/v1/nodes/{name}/status"), &status).await
}

/// The Port of a pod, as the controller leaves it.
pub(crate) async fn port(cluster: &Cluster, tenant: &str, node: &str, ip: &str) -> Result<()> {
    let name = format!("pod-on-{node}");
    let ports = format!("/apis/stackube.kubernetes.io/v1/namespaces/{tenant}/ports");
    let object = json!({
        "apiVersion": "stackube.kubernetes.io/v1", "kind": "Port", "metadata": {"name": name},
        "spec": {"podName": "client", "podUID": name, "nodeName": node, "networkNamespace": tenant, "networkName": tenant},
    });
    cluster.create(&ports, &object).await?;
    let status = json!({"status": {"ip": ip, "prefixLength": 16, "ready": true}});
    cluster.patch(&format!("{ports}/{name}/status"), &status).await
}

/// The CustomResourceDefinition of Ports, served when this returns.
pub(crate) async fn port_definition(cluster: &Cluster) -> Result<()> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deployment/crds/ports.yaml"))?;
    let definition: Value = serde_saphyr::from_str(&text)?;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    cluster.create(path, &definition).await?;
    for _ in 0..100 {
        if cluster.lists("/apis/stackube.kubernetes.io/v1/ports").await {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    anyhow::bail!("the API server does not serve Ports")
}
