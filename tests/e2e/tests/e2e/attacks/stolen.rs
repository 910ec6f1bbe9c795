//! What a token of a service account gets whoever has it, with all rights that the tenant's administrator can give.

use std::time::Duration;

use anyhow::ensure;
use stackube_e2e::{devbox::Devbox, identity::Identity, pods, wait};

use super::{Count, assert_answers, tables};
use crate::rights::{self, OTHERS};

/// Gives the namespace's default service account what `who` has.
async fn bind(devbox: &Devbox, who: &Identity, namespace: &str) {
    let flags = who.flags();
    let account = format!("--serviceaccount={namespace}:default");
    let binding = [
        "create",
        "rolebinding",
        "stolen",
        "--clusterrole=stackube-admin",
        &account,
    ];
    let flags = flags.iter().map(String::as_str).chain(["-n", namespace]);
    let all: Vec<&str> = flags.chain(binding).collect();
    devbox.kubectl(&all, "").await.unwrap();
}

/// Sends everything in the name of such a token: it is as good as its tenant's administrator there, and nobody elsewhere.
pub(super) async fn token(devbox: &Devbox, who: &Identity, namespace: &str, project: &str) -> Count {
    bind(devbox, who, namespace).await;
    let flags = who.flags();
    let flags = flags.iter().map(String::as_str).chain(["-n", namespace]);
    let all: Vec<&str> = flags.chain(["create", "token", "default"]).collect();
    let token = devbox.kubectl(&all, "").await.unwrap();
    let client = devbox.client_with(token.trim()).await.unwrap();
    let bearer = Identity::bearer();
    wait::until("the account has its rights", Duration::from_secs(30), || async {
        let may = bearer.may(&client, "get", "/pods", namespace, "").await?;
        ensure!(may, "it may not read pods");
        Ok::<_, anyhow::Error>(())
    })
    .await;
    let mut count = assert_answers(&client, &bearer, tables::pods(namespace)).await;
    count += assert_answers(&client, &bearer, tables::objects(namespace, project)).await;
    rights::assert_reviewed(&client, 0, namespace, &OTHERS).await;
    let (tried, refused) = rights::requests::assert_answered(&client, 0, namespace, &OTHERS).await;
    count += Count { tried, refused };
    count
}

/// What whoever is in the pod gets with the token that kubelet has given it.
pub(super) async fn from_inside(devbox: &Devbox, who: &Identity, namespace: &str, pod: &str) {
    bind(devbox, who, namespace).await;
    let program = devbox.program("kubectl").unwrap();
    let copy = [
        "cp",
        program.to_str().unwrap(),
        &format!("{namespace}/{pod}:/tmp/kubectl"),
    ];
    devbox.kubectl(&copy, "").await.unwrap();
    let kubectl = async |token: &str, arguments: &str| {
        let script = format!(
            "cd /var/run/secrets/kubernetes.io/serviceaccount && /tmp/kubectl --server=https://kubernetes.default.svc --token=\"{token}\" \
             --certificate-authority=ca.crt --request-timeout=10s -n {namespace} {arguments} 2>&1 || true"
        );
        pods::exec(devbox, namespace, pod, &script).await.unwrap()
    };
    let own = "$(cat token)";
    wait::until("the pod's account has its rights", Duration::from_secs(30), || async {
        let answer = kubectl(own, "get pods -o name").await;
        ensure!(answer.trim() == format!("pod/gated\npod/{pod}"), "{answer}");
        Ok::<_, anyhow::Error>(())
    })
    .await;
    for attempt in [
        "get secrets --all-namespaces",
        "-n stackube-system get secrets",
        "-n kube-system get pods",
        "-n kube-system create token default",
        "get nodes",
        "get tenants",
        "get --raw /api/v1/nodes/stackube/proxy/pods",
        &format!("get --raw /api/v1/namespaces/{namespace}/pods/{pod}/proxy/"),
        "--as=system:admin get pods",
        "create clusterrolebinding e2e-stolen --clusterrole=cluster-admin --user=x",
        "create rolebinding more --clusterrole=admin --user=x",
        "run escape --image=busybox --privileged",
    ] {
        let answer = kubectl(own, attempt).await;
        assert!(answer.to_lowercase().contains("forbidden"), "{attempt}: {answer}");
    }
    let stranger = kubectl("made-up", "get pods").await;
    let is_nobody = ["Unauthorized", "must be logged in"]
        .iter()
        .any(|words| stranger.contains(words));
    assert!(is_nobody, "{stranger}");
}
