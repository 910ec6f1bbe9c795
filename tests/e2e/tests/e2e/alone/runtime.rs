//! The runtime of tenants where neither they nor the operator name one.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};
use serde_json::json;
use stackube_e2e::{always::always, devbox::Devbox, pods, tenant::with_tenant};

use crate::alone;
use crate::runtimes::assert_runs_on;

#[tokio::test]
async fn pods_are_sandboxed_where_nobody_chooses_a_runtime() {
    let _guard = alone().await;
    let devbox = Devbox::connect().await;
    let body = async {
        devbox.configure(&json!({"default-runtime-class": null})).await.unwrap();
        with_tenant(&devbox, "sandboxed", "", async |tenant| {
            let name = tenant.name_any();
            let namespaces: Api<Namespace> = Api::all(devbox.kube.clone());
            let namespace = namespaces.get(&name).await.unwrap();
            assert_eq!(namespace.labels()["stackube.kubernetes.io/runtime-class"], "gvisor");
            pods::run(&devbox, &name, "web", "of-web").await;
            assert_runs_on(&devbox, &name, "web", "gvisor").await;
        })
        .await;
    };
    // As in devbox/stackube/configuration.yaml, whatever a run that was killed has left.
    always(body, async {
        let of_devbox = json!({"default-runtime-class": "runc"});
        devbox.configure(&of_devbox).await.unwrap();
    })
    .await;
}
