//! A tenant's place in the queues of the API server.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::flowcontrol::v1::FlowSchema;
use kube::{Api, ResourceExt};
use stackube_api::names::tenant_flow;
use stackube_e2e::{
    devbox::Devbox,
    identity::Identity,
    tenant::{self, with_two_tenants},
    wait,
};

use crate::shared;

#[tokio::test]
async fn whatever_a_tenant_sends_is_one_flow_of_its_own() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let flows: Api<FlowSchema> = Api::all(devbox.kube.clone());
    let mut made = vec![];
    with_two_tenants(&devbox, "flow", async |a, b| {
        made = vec![tenant_flow(&a.name_any()), tenant_flow(&b.name_any())];
        let (name, other) = (a.name_any(), b.name_any());
        let project = tenant::project_of(&a);
        let own = flows.get(&made[0]).await.unwrap().uid().unwrap();
        let others = flows.get(&made[1]).await.unwrap().uid().unwrap();
        assert_ne!(own, others);
        let urls = [
            format!("/api/v1/namespaces/{name}/pods"),
            // Refused all of them, and not where the sender is to be found.
            format!("/api/v1/namespaces/{other}/pods"),
            "/api/v1/namespaces/made-up/secrets".to_owned(),
            "/api/v1/nodes".to_owned(),
            "/apis".to_owned(),
        ];
        let senders = [
            Identity::in_project(&devbox, &project, "stackube-admin").await,
            Identity::in_project(&devbox, &project, "stackube-view").await,
            // What an application credential without Stackube's roles makes of its user.
            Identity::in_project(&devbox, &project, "reader").await,
            Identity::service_account(&name, "default"),
            Identity::service_account(&name, "made-up"),
        ];
        for who in &senders {
            for url in &urls {
                assert_eq!(who.flow(&devbox.kube, url).await.unwrap(), own, "{who:?} {url}");
            }
        }
        for who in [
            Identity::service_account(&other, "default"),
            Identity::service_account("stackube-system", "stackube-controller"),
            Identity::in_group("stackube:operators"),
        ] {
            for url in &urls {
                assert_ne!(who.flow(&devbox.kube, url).await.unwrap(), own, "{who:?} {url}");
            }
        }
    })
    .await;
    for name in made {
        wait::until("the flow goes with its Tenant", Duration::from_secs(60), || async {
            ensure!(flows.get_opt(&name).await?.is_none(), "{name} is left");
            Ok(())
        })
        .await;
    }
}
