//! What is left out becomes what is safe, and what has no effect says so.

use kube::ResourceExt;
use serde_json::json;
use stackube_e2e::{
    devbox::Devbox,
    identity::Identity,
    tenant::{self, with_tenant},
};

use crate::shared;

#[tokio::test]
async fn what_is_left_out_is_filled_in_for_the_tenant() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "defaults", "runtimeClassName: gvisor", async |tenant| {
        let name = tenant.name_any();
        let who = Identity::in_project(&devbox, &tenant::project_of(&tenant), "stackube-admin").await;
        let base = format!("/api/v1/namespaces/{name}");
        let pod = |annotations| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "annotations": annotations},
                "spec": {"containers": [{"name": "c", "image": "busybox"}]}})
        };
        let pods = format!("{base}/pods");
        let made = who.try_create(&devbox.kube, &pods, &pod(json!({}))).await.unwrap();
        assert_eq!(made["spec"]["runtimeClassName"], "gvisor");
        let limits = &made["spec"]["containers"][0]["resources"]["limits"];
        for resource in ["cpu", "memory", "ephemeral-storage"] {
            assert!(limits[resource].is_string(), "{limits}");
        }

        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
        let services = format!("{base}/services");
        let made = who.try_create(&devbox.kube, &services, &service).await.unwrap();
        assert_eq!(made["spec"]["allocateLoadBalancerNodePorts"], false);
        assert_eq!(made["spec"]["ports"][0].get("nodePort"), None);
        let mut local = service;
        local["spec"]["externalTrafficPolicy"] = json!("Local");
        let made = who.try_create(&devbox.kube, &services, &local).await.unwrap();
        assert_eq!(made["spec"]["externalTrafficPolicy"], "Cluster");
        assert_eq!(made["spec"].get("healthCheckNodePort"), None);

        let none = who.warnings(&devbox.kube, &pods, &pod(json!({}))).await.unwrap();
        assert_eq!(none, "");
        let limited = pod(json!({"kubernetes.io/egress-bandwidth": "1M"}));
        let warnings = who.warnings(&devbox.kube, &pods, &limited).await.unwrap();
        assert!(warnings.contains("bandwidth have no effect"), "{warnings}");
        let labels = json!({"app": "limited"});
        let mut template = limited;
        template["metadata"]["labels"] = labels.clone();
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "limited"},
            "spec": {"selector": {"matchLabels": labels}, "template": template}});
        let deployments = format!("/apis/apps/v1/namespaces/{name}/deployments");
        let warnings = who.warnings(&devbox.kube, &deployments, &deployment).await.unwrap();
        assert!(warnings.contains("bandwidth have no effect"), "{warnings}");

        let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny"},
            "spec": {"podSelector": {}}});
        let policies = format!("/apis/networking.k8s.io/v1/namespaces/{name}/networkpolicies");
        let warnings = who.warnings(&devbox.kube, &policies, &policy).await.unwrap();
        assert!(warnings.contains("nothing enforces this NetworkPolicy"), "{warnings}");
    })
    .await;
}
