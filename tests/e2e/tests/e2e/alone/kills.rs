//! The controller killed again and again, from the creation of a Tenant to its end: what was under way is finished once, and what
//! was removed is removed completely.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Result;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{Api, api::ListParams};
use stackube_api::{Network, NetworkState, Port, Tenant};
use stackube_e2e::{always::always, cloud, controller::kill_next, devbox::Devbox, pods, tenant, wait};
use stackube_openstack::id::ProjectId;

use crate::alone;

/// So many kills must have hit in each half while something was under way.
const HITS: usize = 5;
/// So many different states they must have left behind: they are spread over the whole half.
const STAGES: usize = 3;
const PODS: [&str; 3] = ["a", "b", "c"];
/// Each leader lives so much longer than the one before it, until one comes to the end.
const LONGER: Duration = Duration::from_millis(200);

/// How many things are made of a Tenant, its Network and the Ports of its pods; none when all are.
async fn made(devbox: &Devbox, name: &str) -> Result<Option<usize>> {
    let tenants: Api<Tenant> = Api::all(devbox.kube.clone());
    let networks: Api<Network> = Api::namespaced(devbox.kube.clone(), name);
    let ports: Api<Port> = Api::namespaced(devbox.kube.clone(), name);
    let tenant = tenants.get(name).await?.status.unwrap_or_default();
    let network = networks.get_opt(name).await?.and_then(|network| network.status);
    let network = network.unwrap_or_default();
    let ports = ports.list(&ListParams::default()).await?;
    let is_ready = |port: &&Port| port.status.as_ref().is_some_and(|status| status.ready);
    let ready = ports.iter().filter(is_ready).count();
    if network.state == Some(NetworkState::Active) && ready == PODS.len() {
        return Ok(None);
    }
    let ids = [
        tenant.project_id,
        tenant.user_id,
        tenant.namespace,
        network.project_id,
        network.network_id,
        network.security_group_id,
        network.router_id,
        network.subnet_id,
    ];
    Ok(Some(ids.iter().flatten().count() + ready))
}

/// How much is left of a Tenant that is being deleted, in Kubernetes and OpenStack; none once it is gone itself.
async fn left(devbox: &Devbox, name: &str, project: &ProjectId) -> Result<Option<usize>> {
    let (tenants, namespaces) = (
        Api::<Tenant>::all(devbox.kube.clone()),
        Api::<Namespace>::all(devbox.kube.clone()),
    );
    if tenants.get_opt(name).await?.is_none() {
        return Ok(None);
    }
    let (pods, ports) = (
        Api::<Pod>::namespaced(devbox.kube.clone(), name),
        Api::<Port>::namespaced(devbox.kube.clone(), name),
    );
    let networks = Api::<Network>::namespaced(devbox.kube.clone(), name);
    let session = devbox.cloud.service();
    let every = ListParams::default();
    let (pods, ports, networks, namespace, openstack) = tokio::try_join!(
        async { Ok::<_, anyhow::Error>(pods.list(&every).await?.items.len()) },
        async { Ok(ports.list(&every).await?.items.len()) },
        async { Ok(networks.list(&every).await?.items.len()) },
        async { Ok(namespaces.get_opt(name).await?.iter().len()) },
        Box::pin(cloud::leftovers(&session, project)),
    )?;
    Ok(Some(pods + ports + networks + namespace + openstack.len()))
}

/// Kills the leader, lets `begin` give the next one work that it finds when it starts, and kills one after the other, until `look`
/// finds all done right after a kill, when nobody works. Asserts that many came before, at several stages.
async fn kill_until(devbox: &Devbox, begin: impl Future<Output = ()>, look: impl AsyncFn() -> Result<Option<usize>>) {
    let mut killed = kill_next(devbox, None, Duration::ZERO).await;
    begin.await;
    let mut stages = vec![];
    loop {
        let life = LONGER * u32::try_from(stages.len()).unwrap();
        killed = kill_next(devbox, Some(killed), life).await;
        match look().await.unwrap() {
            Some(stage) => stages.push(stage),
            None => break,
        }
    }
    let different: BTreeSet<_> = stages.iter().collect();
    assert!(
        stages.len() >= HITS && different.len() >= STAGES,
        "kills hit too seldom or at the same stage: {stages:?}"
    );
}

/// Creates the pods, each as soon as the API server takes it.
async fn create_pods(devbox: &Devbox, name: &str) {
    for pod in PODS {
        wait::until("the API server takes the pod", tenant::ACTIVE, || {
            pods::create(devbox, name, pod, pod)
        })
        .await;
    }
}

#[tokio::test]
async fn a_tenant_survives_a_controller_that_is_killed_all_the_way() {
    let _guard = alone().await;
    let devbox = Devbox::connect().await;
    let name = tenant::unique("killed");
    let body = async {
        let create = async {
            tenant::create(&devbox, &name, "").await.unwrap();
        };
        let kills = kill_until(&devbox, create, async || made(&devbox, &name).await);
        tokio::join!(kills, create_pods(&devbox, &name));
        let project = tenant::project_of(&tenant::active(&devbox, &name).await);
        let mut addresses = BTreeSet::new();
        for pod in PODS {
            let fresh = addresses.insert(pods::ready(&devbox, &name, pod).await);
            assert!(fresh, "two pods share an address");
        }
        cloud::assert_made_once(&devbox, &project).await;
        let delete = async {
            let delete = ["delete", "tenant", &name, "--wait=false"];
            devbox.kubectl(&delete, "").await.unwrap();
        };
        kill_until(&devbox, delete, async || left(&devbox, &name, &project).await).await;
        project
    };
    let project = always(body, tenant::delete(&devbox, &name)).await;
    cloud::assert_nothing_left(&devbox, &project).await;
    tenant::assert_nothing_named(&devbox, &name).await;
}
