//! What is left out becomes what is safe, and what has no effect says so.

use std::time::Duration;

use anyhow::ensure;
use kube::ResourceExt;
use serde_json::json;
use stackube_e2e::{
    devbox::Devbox,
    identity::Identity,
    tenant::{self, with_tenant},
    wait,
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

#[tokio::test]
async fn a_stricter_level_holds_for_the_pods_that_are_made_from_then_on() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "level", "", async |tenant| {
        let name = tenant.name_any();
        let who = Identity::in_project(&devbox, &tenant::project_of(&tenant), "stackube-edit").await;
        let pods = format!("/api/v1/namespaces/{name}/pods");
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "c", "image": "busybox"}]}});
        let mut careful = pod.clone();
        careful["spec"]["securityContext"] =
            json!({"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}});
        careful["spec"]["containers"][0]["securityContext"] =
            json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        let level = async |level: &str| {
            let patch = json!({"spec": {"podSecurity": level}}).to_string();
            let patch = ["patch", "tenant", &name, "--type=merge", "-p", &patch];
            devbox.kubectl(&patch, "").await.unwrap();
        };
        let answers = async |answer: &str| {
            wait::until(answer, Duration::from_secs(60), || async {
                let seen = match who.try_create(&devbox.kube, &pods, &pod).await {
                    Ok(_) => "accepted".to_owned(),
                    Err(error) => format!("{error:#}"),
                };
                ensure!(seen.contains(answer), "{seen}");
                Ok(())
            })
            .await;
        };

        answers("accepted").await;
        level("restricted").await;
        answers("violates PodSecurity \"restricted:latest\"").await;
        who.try_create(&devbox.kube, &pods, &careful).await.unwrap();
        level("baseline").await;
        answers("accepted").await;
    })
    .await;
}
