//! A forced RuntimeClass that says where its pods run and what they cost: it holds for pods that name no class as well, to whom the
//! API server gives it only after it has looked at classes for the first time.

use kube::ResourceExt;
use serde_json::{Value, json};
use stackube_e2e::{
    admin::create,
    always::always,
    devbox::Devbox,
    identity::Identity,
    tenant::{project_of, unique, with_tenant},
};

use crate::shared;

const LABEL: &str = "example.org/customers";
/// Among the taints that every tenant may tolerate: for another one the operator would have to list it.
const TAINT: &str = "node.kubernetes.io/e2e";

#[tokio::test]
async fn a_forced_class_brings_its_nodes_and_its_overhead() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let class = unique("class");
    create(
        &devbox,
        &json!({
            "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": class}, "handler": "runc",
            "overhead": {"podFixed": {"cpu": "20m", "memory": "32Mi"}},
            "scheduling": {"nodeSelector": {LABEL: "some"}, "tolerations": [{"key": TAINT, "operator": "Exists"}]},
        }),
    )
    .await;
    let spec = format!("runtimeClassName: {class}");
    let body = with_tenant(&devbox, "class", &spec, async |tenant| {
        let who = Identity::in_project(&devbox, &project_of(&tenant), "stackube-admin").await;
        let path = format!("/api/v1/namespaces/{}/pods", tenant.name_any());
        let send = async |spec: Value| {
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec});
            who.try_create(&devbox.kube, &path, &pod).await
        };
        let containers = json!([{"name": "c", "image": "busybox"}]);
        for own in [json!({}), json!({"runtimeClassName": class})] {
            let mut spec = own.clone();
            spec["containers"] = containers.clone();
            spec["nodeSelector"] = json!({"topology.kubernetes.io/zone": "a"});
            let spec = send(spec).await.unwrap()["spec"].take();
            assert_eq!(spec["runtimeClassName"], class, "{own}");
            assert_eq!(spec["overhead"], json!({"cpu": "20m", "memory": "32Mi"}), "{own}");
            let selector = json!({LABEL: "some", "topology.kubernetes.io/zone": "a"});
            assert_eq!(spec["nodeSelector"], selector, "{own}");
            let tolerations = spec["tolerations"].as_array().unwrap();
            assert!(
                tolerations.iter().any(|found| found["key"] == TAINT),
                "{own}: {tolerations:?}"
            );
        }
        for other in [json!({LABEL: "others"}), json!({LABEL: ""})] {
            let error = send(json!({"containers": containers, "nodeSelector": other}))
                .await
                .unwrap_err();
            assert!(format!("{error:#}").contains("conflict"), "{other}: {error:#}");
        }
        let error = send(json!({"containers": containers, "overhead": {"cpu": "1m"}}))
            .await
            .unwrap_err();
        assert!(format!("{error:#}").contains("Overhead doesn't match"), "{error:#}");
    });
    let end = async {
        devbox.kubectl(&["delete", "runtimeclass", &class], "").await.unwrap();
    };
    always(body, end).await;
}
