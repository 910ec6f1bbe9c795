//! What a tenant's administrator tries in order to reach a node or another tenant, and what the API server answers. Requests
//! are dry runs where possible: what counts is the refusal and its message. Beside each kind of refusal stands something
//! ordinary that is admitted, so that a policy which refuses everything does not pass.

use std::time::Duration;

use anyhow::ensure;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use stackube_e2e::{
    devbox::Devbox,
    identity::Identity,
    tenant::{self, with_tenant},
    wait,
};

use crate::rights::AT_ONCE;
use crate::shared;

mod defaults;
mod deletion;
mod existing;
mod inside;
mod older;
mod stolen;
mod subresources;
mod tables;

use tables::Attempt;

/// Attempts, and those that were refused.
#[derive(Clone, Copy, Default)]
struct Count {
    tried: usize,
    refused: usize,
}

impl Count {
    fn add(&mut self, refused: bool) {
        self.tried += 1;
        self.refused += usize::from(refused);
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.tried += other.tried;
        self.refused += other.refused;
    }
}

/// Whether an answer was a refusal, and what is wrong with it.
type Judged = (bool, Option<String>);

/// Waits for all answers, a few requests at the same time; panics with what is wrong.
async fn assert_judged(requests: impl IntoIterator<Item = impl Future<Output = Judged>>) -> Count {
    let (mut count, mut wrong) = (Count::default(), vec![]);
    let mut answers = stream::iter(requests).buffered(AT_ONCE);
    while let Some((refused, complaint)) = answers.next().await {
        count.add(refused);
        wrong.extend(complaint);
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), count.tried);
    count
}

/// Sends all attempts as `who`; panics with those that were not answered as expected.
async fn assert_answers(client: &Client, who: &Identity, attempts: Vec<Attempt>) -> Count {
    let requests = attempts.into_iter().map(|attempt| async move {
        let answer = who.try_create(client, &attempt.path, &attempt.object).await;
        (answer.is_err(), attempt.complaint(&answer, false))
    });
    assert_judged(requests).await
}

#[tokio::test]
async fn what_a_tenant_writes_cannot_reach_a_node_or_somebody_else() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "attacks", "", async |tenant| {
        let name = tenant.name_any();
        let project = tenant::project_of(&tenant);
        let who = Identity::in_project(&devbox, &project, "stackube-admin").await;
        // The rules of pods and their templates hold for whoever writes into the namespace.
        let administrator = Identity::in_group("system:masters");
        let client = &devbox.kube;
        let mut count = assert_answers(client, &who, tables::pods(&name)).await;
        count += assert_answers(client, &administrator, tables::pods(&name)).await;
        count += assert_answers(client, &who, tables::workloads(&name)).await;
        count += assert_answers(client, &who, tables::objects(&name, project.as_str())).await;
        a_pod_of_a_daemon_set(client, &who, &format!("/api/v1/namespaces/{name}/pods")).await;
        count += stolen::token(&devbox, &who, &name, project.as_str()).await;

        existing::make(&devbox, &name).await;
        count += existing::assert_answers(client, &who, &name).await;
        existing::subresources(client, &who, &name).await;
        println!("attacks: {} attempts tried, {} refused", count.tried, count.refused);
    })
    .await;
}

/// Asserts that a pod may be bound to a node by name, and run on one that is emptied, by Kubernetes' controller of DaemonSets,
/// and by nobody else.
async fn a_pod_of_a_daemon_set(client: &Client, who: &Identity, path: &str) {
    let terms = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["stackube"]}]}]);
    let affinity =
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "attack"},
        "spec": {"affinity": affinity, "containers": [{"name": "c", "image": "busybox"}]}});
    let answer = who.try_create(client, path, &pod).await;
    subresources::refused("a node by name", answer, "chosen by name");
    pod["spec"]["tolerations"] = json!([{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]);
    let answer = who.try_create(client, path, &pod).await;
    subresources::refused("an emptied node by name", answer, "operator empties");
    let controller = Identity::service_account("kube-system", "daemon-set-controller");
    controller.try_create(client, path, &pod).await.unwrap();
}

#[tokio::test]
async fn what_the_operator_reserves_is_what_policies_refuse() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let limits: Api<ConfigMap> = Api::namespaced(devbox.kube.clone(), "stackube-system");
    let reserved = || async {
        let data = limits.get("stackube-limits").await?.data.unwrap_or_default();
        let ranges = data.get("reserved-cidrs").cloned().unwrap_or_default();
        // One from stackube-config, one that the API server told, one that is always reserved.
        for range in ["10.77.0.0/24", "10.96.0.0/12", "169.254.0.0/16"] {
            ensure!(
                ranges.split(' ').any(|found| found == range),
                "{range} is not in {ranges:?}"
            );
        }
        Ok::<_, anyhow::Error>(())
    };
    wait::until("the parameters are written", Duration::from_secs(30), reserved).await;
    let refused = async |network: &str| {
        let name = tenant::unique("range");
        let manifest = format!(
            "apiVersion: stackube.kubernetes.io/v1\nkind: Tenant\nmetadata: {{name: {name}}}\nspec: {{username: u, password: p, network: {{cidr: {network}}}}}\n"
        );
        devbox
            .kubectl(&["create", "--dry-run=server", "-f", "-"], &manifest)
            .await
            .map_err(|error| format!("{error:#}"))
    };
    let error = refused("10.77.0.0/24").await.unwrap_err();
    assert!(error.contains("overlaps a reserved range"), "{error}");
    refused("10.79.0.0/24").await.unwrap();
    // Somebody's change does not last.
    let change = r#"{"data":{"reserved-cidrs":""}}"#;
    devbox
        .kubectl(
            &[
                "-n",
                "stackube-system",
                "patch",
                "configmap",
                "stackube-limits",
                "--type=merge",
                "-p",
                change,
            ],
            "",
        )
        .await
        .unwrap();
    wait::until("the parameters are put back", Duration::from_secs(60), reserved).await;
}

/// A setting of kubelet, as it has it.
async fn setting_of_kubelet(devbox: &Devbox, name: &str) -> Value {
    let path = "/api/v1/nodes/stackube/proxy/configz";
    let text = devbox.kubectl(&["get", "--raw", path], "").await.unwrap();
    let mut configuration: Value = serde_json::from_str(&text).unwrap();
    configuration["kubeletconfig"][name].take()
}

#[tokio::test]
async fn images_are_pulled_beside_each_other() {
    let devbox = Devbox::connect().await;
    let serialized = setting_of_kubelet(&devbox, "serializeImagePulls").await;
    assert_eq!(
        serialized,
        json!(false),
        "a slow registry would hold up everybody's pods"
    );
}

#[tokio::test]
async fn images_pulled_with_somebody_elses_secret_are_checked_again() {
    let devbox = Devbox::connect().await;
    let policy = setting_of_kubelet(&devbox, "imagePullCredentialsVerificationPolicy").await;
    let policy = policy.as_str();
    assert!(
        matches!(
            policy,
            Some("NeverVerifyPreloadedImages" | "NeverVerifyAllowlistedImages" | "AlwaysVerify")
        ),
        "a pod could use a private image that another tenant's secret has brought to the node: {policy:?}"
    );
}

#[tokio::test]
async fn the_controllers_account_gives_no_more_than_it_has() {
    let devbox = Devbox::connect().await;
    let controller = Identity::service_account("stackube-system", "stackube-controller");
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let role = |group: &str, resource: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "attack"},
            "rules": [{"apiGroups": [group], "resources": [resource], "verbs": ["get"]}]})
    };
    let own = role("stackube.kubernetes.io", "tenants");
    controller.try_create(&devbox.kube, path, &own).await.unwrap();
    let error = controller
        .try_create(&devbox.kube, path, &role("", "secrets"))
        .await
        .unwrap_err();
    assert!(format!("{error:#}").contains("attempting to grant RBAC"), "{error:#}");
}
