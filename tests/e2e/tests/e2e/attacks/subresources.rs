//! Ways past the rules through subresources, and through a namespace's own labels.

use anyhow::Result;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use stackube_e2e::{
    devbox::Devbox,
    identity::Identity,
    pods,
    tenant::{self, with_tenant},
};

use super::deletion;
use crate::shared;

/// Panics unless the answer is a refusal that says `why`.
pub(super) fn refused(what: &str, answer: Result<Value>, why: &str) {
    match answer {
        Ok(_) => panic!("{what} was admitted"),
        Err(error) => {
            let text = format!("{error:#}");
            assert!(text.contains(why), "{what}: not refused with {why:?}: {text}");
        }
    }
}

#[tokio::test]
async fn no_subresource_gets_round_the_rules() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "subresources", "", async |tenant| {
        let name = tenant.name_any();
        let who = Identity::in_project(&devbox, &tenant::project_of(&tenant), "stackube-admin").await;
        pods::run(&devbox, &name, "web", "of-a").await;
        let administrator = Identity::in_group("system:masters");
        let base = format!("/api/v1/namespaces/{name}");
        pod(&devbox.kube, &who, &format!("{base}/pods")).await;
        resizes(&devbox.kube, &who, &format!("{base}/pods")).await;
        for somebody in [&who, &administrator] {
            deletion::longer_than_an_hour(&devbox.kube, somebody, &format!("{base}/pods"), "web").await;
        }
        proxies(&devbox.kube, &who, &administrator, &base).await;
        for path in ["pods/web/binding", "bindings"] {
            bindings(&devbox.kube, &who, &administrator, &format!("{base}/{path}")).await;
        }
        tokens(&devbox.kube, &who, &format!("{base}/serviceaccounts/default/token")).await;
        rights(&devbox.kube, &who, &name).await;
        labels(&devbox.kube, &who, &administrator, &name).await;
        gated(&devbox, &who, &name).await;
    })
    .await;
}

async fn pod(client: &Client, who: &Identity, path: &str) {
    let debug = |security: Value| {
        let container = json!({"name": "debug", "image": "busybox", "securityContext": security});
        json!({"spec": {"ephemeralContainers": [container]}})
    };
    let target = "web/ephemeralcontainers";
    who.try_patch(client, path, target, &debug(json!({}))).await.unwrap();
    let privileged = debug(json!({"privileged": true}));
    refused(
        "a privileged debug container",
        who.try_patch(client, path, target, &privileged).await,
        "privileged",
    );
    let foreign = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "registry:5000/a"}]}});
    refused(
        "a debug container of the node's network",
        who.try_patch(client, path, target, &foreign).await,
        "must have a full name",
    );
    for (what, target, patch, why) in [
        (
            "Stackube's label",
            "web",
            json!({"metadata": {"labels": {"stackube.kubernetes.io/tenant": "x"}}}),
            "Stackube's own",
        ),
        (
            "an address of a node",
            "web/status",
            json!({"status": {"podIP": "10.77.0.11"}}),
            "forbidden",
        ),
        (
            "a mirror pod, later",
            "web",
            json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}),
            "config.mirror",
        ),
        (
            "another image on the host's network",
            "web",
            json!({"spec": {"hostNetwork": true}}),
            "Forbidden",
        ),
        (
            "every taint, later",
            "web",
            json!({"spec": {"tolerations": [{"operator": "Exists"}]}}),
            "Forbidden",
        ),
    ] {
        refused(what, who.try_patch(client, path, target, &patch).await, why);
    }
}

/// A pod that runs may get other limits, as long as they are limits.
async fn resizes(client: &Client, who: &Identity, path: &str) {
    let resize = async |resources: Value| {
        let patch = json!({"spec": {"containers": [{"name": "web", "resources": resources}]}});
        who.try_patch(client, path, "web/resize", &patch).await
    };
    resize(json!({"limits": {"cpu": "2"}})).await.unwrap();
    let above = resize(json!({"limits": {"memory": "900Gi"}})).await;
    refused("more than its quota, later", above, "exceeded quota");
    for resource in ["cpu", "memory"] {
        let none = json!({resource: "0"});
        let answer = resize(json!({"limits": none, "requests": none})).await;
        refused(&format!("no limit of {resource}, later"), answer, "may not be 0");
    }
}

/// A pod that waits may still be changed as to where it runs.
async fn gated(devbox: &Devbox, who: &Identity, namespace: &str) {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "gated"},
        "spec": {"schedulingGates": [{"name": "example.org/wait"}], "containers": [{"name": "c", "image": "busybox"}]}});
    let create = ["-n", namespace, "create", "-f", "-"];
    devbox.kubectl(&create, &pod.to_string()).await.unwrap();
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let selects = |key: &str| json!({"spec": {"nodeSelector": {key: "stackube"}}});
    for (key, why) in [
        ("node-role.kubernetes.io/control-plane", "by their role"),
        (
            "node.kubernetes.io/exclude-from-external-load-balancers",
            "by their role",
        ),
        ("kubernetes.io/hostname", "chosen by name"),
    ] {
        refused(
            key,
            who.try_patch(&devbox.kube, &path, "gated", &selects(key)).await,
            why,
        );
    }
    let zone = selects("topology.kubernetes.io/zone");
    who.try_patch(&devbox.kube, &path, "gated", &zone).await.unwrap();
}

async fn proxies(client: &Client, who: &Identity, administrator: &Identity, base: &str) {
    for (path, target) in [("pods", "web/proxy/"), ("services", "web:80/proxy/")] {
        let path = format!("{base}/{path}");
        refused(target, who.get(client, &path, target).await, "forbidden");
        refused(
            target,
            administrator.get(client, &path, target).await,
            "no way into the networks of tenants",
        );
    }
}

async fn bindings(client: &Client, who: &Identity, administrator: &Identity, path: &str) {
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "web"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "stackube"}});
    refused("a binding", who.try_create(client, path, &binding).await, "forbidden");
    let answer = administrator.try_create(client, path, &binding).await;
    refused("a binding by an administrator", answer, "only a scheduler");
}

async fn tokens(client: &Client, who: &Identity, path: &str) {
    let token = |seconds: u32| {
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": [], "expirationSeconds": seconds}})
    };
    who.try_create(client, path, &token(3600)).await.unwrap();
    refused(
        "a token for ten years",
        who.try_create(client, path, &token(10 * 365 * 86_400)).await,
        "at most a day",
    );
    let mut like_kubelets = token(3607);
    like_kubelets["spec"]["boundObjectRef"] = json!({"apiVersion": "v1", "kind": "Pod", "name": "web"});
    refused(
        "a token that the API server would make last a year",
        who.try_create(client, path, &like_kubelets).await,
        "may not be valid for 3607 s",
    );
}

async fn rights(client: &Client, who: &Identity, namespace: &str) {
    let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings");
    let kept = "kept by Stackube";
    refused(
        "a binding taken away",
        who.try_delete(client, &path, "stackube-view").await,
        kept,
    );
    // It could bind them itself, by another name.
    let account = json!({"subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}]});
    refused(
        "a binding changed",
        who.try_patch(client, &path, "stackube-view", &account).await,
        kept,
    );
}

async fn labels(client: &Client, who: &Identity, administrator: &Identity, namespace: &str) {
    for labels in [
        json!({"pod-security.kubernetes.io/enforce": "privileged"}),
        json!({"pod-security.kubernetes.io/enforce": null}),
        json!({"stackube.kubernetes.io/runtime-class": null}),
        json!({"stackube.kubernetes.io/tenant": "another"}),
    ] {
        let patch = json!({"metadata": {"labels": labels}});
        for subresource in ["", "/status", "/finalize"] {
            let target = format!("{namespace}{subresource}");
            refused(
                &format!("{patch} of {target}"),
                who.try_patch(client, "/api/v1/namespaces", &target, &patch).await,
                "forbidden",
            );
        }
        refused(
            &format!("{patch} by an administrator"),
            administrator
                .try_patch(client, "/api/v1/namespaces", namespace, &patch)
                .await,
            "stackube.kubernetes.io/",
        );
    }
}
