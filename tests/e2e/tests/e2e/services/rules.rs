//! Which endpoints a Service leads to, by what it and its endpoints say; several ports; further ranges of addresses.

use std::time::Duration;

use anyhow::ensure;
use kube::ResourceExt;
use serde_json::{Value, json};
use stackube_e2e::{
    admin::create,
    always::always,
    devbox::Devbox,
    pods,
    services::cluster_ip,
    tenant::{unique, with_tenant},
    wait,
};

use super::assert_outcome;
use crate::shared;

/// A tenant with pods `web` and `other`, each of which serves `of-` and its name, and `client`.
struct Place<'a> {
    devbox: &'a Devbox,
    namespace: String,
    web: String,
    other: String,
}

impl Place<'_> {
    /// A Service, on port 80 if `spec` names none; its cluster IP.
    async fn service(&self, name: &str, mut spec: Value) -> String {
        if spec["ports"].is_null() {
            spec["ports"] = json!([{"port": 80}]);
        }
        let metadata = json!({"name": name, "namespace": self.namespace});
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec});
        create(self.devbox, &service).await;
        cluster_ip(self.devbox, &self.namespace, name).await
    }

    /// The endpoints of a Service without selector, in place of those before.
    async fn endpoints(&self, name: &str, endpoints: Value) {
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": self.namespace, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "ports": [{"port": 80, "protocol": "TCP"}], "endpoints": endpoints,
        });
        let apply = ["apply", "-f", "-"];
        self.devbox.kubectl(&apply, &slice.to_string()).await.unwrap();
    }

    async fn assert(&self, address: &str, expected: &str) {
        assert_outcome(self.devbox, &self.namespace, "client", address, expected).await;
    }

    /// Asserts that `web` alone answers, however often it is asked.
    async fn assert_web_only(&self, address: &str) {
        let script = format!("for i in $(seq 16); do wget -q -O - -T 2 http://{address}/; done | sort -u");
        wait::until("one endpoint answers for all", Duration::from_secs(30), || async {
            let seen = pods::exec(self.devbox, &self.namespace, "client", &script).await?;
            ensure!(seen.trim() == "of-web", "{seen:?}");
            Ok(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_service_leads_to_the_endpoints_that_kubernetes_says() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "rules", "", async |tenant| {
        let namespace = tenant.name_any();
        for pod in ["web", "other", "client"] {
            let text = format!("of-{pod}");
            pods::create(&devbox, &namespace, pod, &text).await.unwrap();
        }
        create(&devbox, &special(&namespace)).await;
        pods::ready(&devbox, &namespace, "client").await;
        let place = Place {
            web: pods::ready(&devbox, &namespace, "web").await,
            other: pods::ready(&devbox, &namespace, "other").await,
            devbox: &devbox,
            namespace,
        };
        near_endpoints(&place).await;
        endpoints_that_come_and_go(&place).await;
        several_ports(&place).await;
        its_own_load_balancer(&place).await;
        another_range(&place).await;
        both_families(&place).await;
    })
    .await;
}

/// A pod with two pages on two named ports, which never becomes ready.
fn special(namespace: &str) -> Value {
    let script = "mkdir /tmp/a /tmp/b; echo of-a >/tmp/a/index.html; echo of-b >/tmp/b/index.html; \
                  httpd -p 8081 -h /tmp/a; exec httpd -f -p 8082 -h /tmp/b";
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "special", "namespace": namespace, "labels": {"run": "special"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "web", "image": "busybox",
            "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script],
            "ports": [{"name": "one", "containerPort": 8081}, {"name": "two", "containerPort": 8082}],
            "readinessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 60}}]},
    })
}

/// `internalTrafficPolicy` and `trafficDistribution`: endpoints of this node, and hints.
async fn near_endpoints(place: &Place<'_>) {
    let here = json!({"addresses": [place.web], "nodeName": "stackube"});
    let there = json!({"addresses": [place.other], "nodeName": "elsewhere"});
    let local = json!({"internalTrafficPolicy": "Local"});
    let local = place.service("local", local).await;
    place.endpoints("local", json!([here, there])).await;
    place.assert_web_only(&local).await;

    let hinted = |endpoint: &Value, node: &str| {
        let mut endpoint = endpoint.clone();
        endpoint["hints"] = json!({"forNodes": [{"name": node}]});
        endpoint
    };
    let (near, far) = (hinted(&here, "stackube"), hinted(&there, "elsewhere"));
    let same = json!({"trafficDistribution": "PreferSameNode"});
    let same = place.service("same", same).await;
    place.endpoints("same", json!([near, far])).await;
    place.assert_web_only(&same).await;
    // A preference: where nothing is near, what is far has to do.
    place.endpoints("same", json!([far])).await;
    place.assert(&same, "of-other").await;
}

/// Endpoints that end are used when there are no others, if they still serve; those that are not ready are not.
async fn endpoints_that_come_and_go(place: &Place<'_>) {
    let ending = |address: &str, serving: bool| json!({"addresses": [address], "conditions": {"ready": false, "serving": serving, "terminating": true}});
    let (web, other) = (&place.web, &place.other);
    let address = place.service("ending", json!({})).await;
    let with_another = json!([ending(other, true), {"addresses": [web]}]);
    place.endpoints("ending", with_another).await;
    place.assert_web_only(&address).await;
    let alone = json!([ending(other, true), ending(web, false)]);
    place.endpoints("ending", alone).await;
    place.assert(&address, "of-other").await;
    let unready = json!({"addresses": [web], "conditions": {"ready": false, "serving": false, "terminating": false}});
    place.endpoints("ending", json!([ending(other, false), unready])).await;
    place.assert(&address, "refused").await;
}

/// Names and numbers of target ports, of a pod that is not ready.
async fn several_ports(place: &Place<'_>) {
    let ports = json!([
        {"name": "a", "port": 80, "targetPort": "one"}, {"name": "b", "port": 81, "targetPort": "two"},
        {"name": "c", "port": 8082},
    ]);
    let mut spec = json!({"selector": {"run": "special"}, "ports": ports});
    let shy = place.service("shy", spec.clone()).await;
    spec["publishNotReadyAddresses"] = json!(true);
    let open = place.service("open", spec).await;
    for (port, text) in [(80, "of-a"), (81, "of-b"), (8082, "of-b")] {
        place.assert(&format!("{open}:{port}"), text).await;
        place.assert(&format!("{shy}:{port}"), "refused").await;
    }
    // The pod's own port is none of the Service's.
    place.assert(&format!("{open}:8081"), "refused").await;
}

/// A pod uses the address of a load balancer without leaving its network, unless `ipMode` says that it may not.
async fn its_own_load_balancer(place: &Place<'_>) {
    let spec = json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false});
    place.service("balanced", spec).await;
    place.endpoints("balanced", json!([{"addresses": [place.web]}])).await;
    for (mode, expected) in [("VIP", "of-web"), ("Proxy", "nothing")] {
        let ingress = json!([{"ip": "198.51.100.7", "ipMode": mode}]);
        let patch = json!({"status": {"loadBalancer": {"ingress": ingress}}}).to_string();
        let patch = ["--subresource=status", "--type=merge", "-p", &patch];
        let call = [&["-n", &place.namespace, "patch", "service", "balanced"], &patch[..]].concat();
        place.devbox.kubectl(&call, "").await.unwrap();
        // Also the pod behind it, which is led to itself.
        for pod in ["client", "web"] {
            assert_outcome(place.devbox, &place.namespace, pod, "198.51.100.7", expected).await;
        }
    }
}

/// A range of addresses that is added while the cluster runs.
async fn another_range(place: &Place<'_>) {
    let name = unique("range");
    let range = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": name},
        "spec": {"cidrs": ["10.112.7.0/28"]},
    });
    let body = async {
        create(place.devbox, &range).await;
        let ready = ["wait", "--for=condition=Ready", "--timeout=60s", "servicecidr", &name];
        place.devbox.kubectl(&ready, "").await.unwrap();
        let address = place.service("further", json!({"clusterIP": "10.112.7.5"})).await;
        place.endpoints("further", json!([{"addresses": [place.web]}])).await;
        place.assert(&address, "of-web").await;
        // What is no Service is refused there as well.
        place.assert("10.112.7.6", "refused").await;
    };
    always(body, async {
        let service = [
            "-n",
            &place.namespace,
            "delete",
            "service",
            "further",
            "--ignore-not-found",
        ];
        // Another test's Service may have an address of it, and for longer.
        let range = ["delete", "servicecidr", &name, "--ignore-not-found", "--wait=false"];
        for call in [&service[..], &range] {
            place.devbox.kubectl(call, "").await.unwrap();
        }
    })
    .await;
}

/// The cluster has IPv4 only: who would rather have IPv6 as well gets IPv4, and who insists on it is told.
async fn both_families(place: &Place<'_>) {
    let address = place
        .service("dual", json!({"ipFamilyPolicy": "PreferDualStack"}))
        .await;
    place.endpoints("dual", json!([{"addresses": [place.web]}])).await;
    place.assert(&address, "of-web").await;
    let insists = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "insists", "namespace": place.namespace},
        "spec": {"ipFamilyPolicy": "RequireDualStack", "ports": [{"port": 80}]},
    });
    let call = ["create", "-f", "-"];
    let refused = place.devbox.kubectl(&call, &insists.to_string()).await.unwrap_err();
    assert!(format!("{refused:#}").contains("ipFamilyPolicy"), "{refused:#}");
}
