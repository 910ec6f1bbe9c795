//! What whoever is in a pod gets from the API server, from inside the pod: with the pod's own token and with stolen ones.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use serde_json::json;
use stackube_api::Tenant;
use stackube_e2e::{
    devbox::Devbox,
    identity::Identity,
    pods,
    tenant::{self, with_two_tenants},
    wait,
};

use super::stolen;
use crate::shared;

/// kubectl's verb, a path, a body, flags, and whose token may.
type Attempt = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// What is tried (`OWN` is the pod's namespace, `OTHER` another tenant's), by these tokens in turn: the pod's own, without any
/// right; the same, as its tenant's administrator; another tenant's administrator; kube-system's default; its controller of Jobs,
/// which handles pods everywhere.
#[rustfmt::skip]
const ATTEMPTS: &[Attempt] = &[
    ("get", "/api/v1/namespaces/OWN/pods", "", "", "-y--y"),
    ("get", "/api/v1/namespaces/OTHER/pods", "", "", "--y-y"),
    ("get", "/api/v1/namespaces/kube-system/pods", "", "", "----y"),
    ("get", "/api/v1/pods", "", "", "----y"),
    ("get", "/api/v1/namespaces/OWN/secrets", "", "", "-y---"),
    ("get", "/api/v1/namespaces/OTHER/secrets", "", "", "--y--"),
    ("get", "/api/v1/namespaces/kube-system/secrets", "", "", "-----"),
    ("get", "/api/v1/namespaces/stackube-system/secrets/stackube-credentials", "", "", "-----"),
    ("get", "/api/v1/secrets", "", "", "-----"),
    ("get", "/api/v1/nodes", "", "", "-----"),
    ("get", "/api/v1/nodes/stackube", "", "", "-----"),
    ("get", "/api/v1/nodes/stackube/proxy/pods", "", "", "-----"),
    ("get", "/api/v1/namespaces", "", "", "-----"),
    ("get", "/apis/stackube.kubernetes.io/v1/tenants", "", "", "-----"),
    ("get", "/apis/stackube.kubernetes.io/v1/tenants/OTHER", "", "", "-----"),
    ("get", "/api/v1/namespaces/OWN/pods/web/proxy/", "", "", "-----"),
    ("get", "/metrics", "", "", "-----"),
    ("create", "/api/v1/namespaces/OWN/configmaps", r#"{"metadata": {"name": "x"}}"#, "", "-y---"),
    ("create", "/api/v1/namespaces/OTHER/configmaps", r#"{"metadata": {"name": "x"}}"#, "", "--y--"),
    ("create", "/api/v1/namespaces/OWN/pods", r#"{"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}"#, "", "-y--y"),
    // Admission refuses it to those whom RBAC does not.
    ("create", "/api/v1/namespaces/OWN/pods", r#"{"metadata": {"name": "x"}, "spec": {"hostNetwork": true, "containers": [{"name": "c", "image": "busybox"}]}}"#, "", "-----"),
    ("create", "/api/v1/namespaces/OTHER/pods", r#"{"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "busybox", "securityContext": {"privileged": true}}]}}"#, "", "-----"),
    ("create", "/api/v1/namespaces/OWN/serviceaccounts/default/token", r#"{"spec": {"audiences": []}}"#, "", "-y---"),
    ("create", "/api/v1/namespaces/OTHER/serviceaccounts/default/token", r#"{"spec": {"audiences": []}}"#, "", "--y--"),
    ("create", "/api/v1/namespaces/kube-system/serviceaccounts/default/token", r#"{"spec": {"audiences": []}}"#, "", "-----"),
    ("create", "/apis/rbac.authorization.k8s.io/v1/namespaces/OWN/rolebindings", r#"{"metadata": {"name": "x"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"}}"#, "", "-----"),
    ("create", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", r#"{"metadata": {"name": "e2e-x"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}}"#, "", "-----"),
    ("create", "/apis/authentication.k8s.io/v1/tokenreviews", r#"{"spec": {"token": "x"}}"#, "", "-----"),
    ("delete", "/api/v1/namespaces/OWN/pods", "", "", "-y---"),
    ("delete", "/api/v1/namespaces/OTHER/pods", "", "", "--y--"),
    ("get", "/api/v1/namespaces/OWN/pods", "", "--as=system:admin", "-----"),
    ("get", "/api/v1/namespaces/OWN/pods", "", "--as=x --as-group=system:masters", "-----"),
    ("get", "/api/v1/namespaces/OTHER/pods", "", "--as=system:serviceaccount:OTHER:default", "-----"),
    ("get", "/api/v1/namespaces/OWN/pods", "", "--as=system:serviceaccount:OWN:default", "-----"),
];

/// Two tenants, and a pod of the first that has kubectl.
struct Inside<'a> {
    devbox: &'a Devbox,
    own: String,
    other: String,
}

impl Inside<'_> {
    /// Makes one of these requests after the other in the pod, with `token` (an expression of the shell, in whose folder the
    /// pod's own is): what kubectl printed for each, `ok` for those that were answered.
    async fn answers(&self, token: &str, attempts: &[Attempt]) -> Vec<String> {
        let mut script = format!(
            "set -f; cd /var/run/secrets/kubernetes.io/serviceaccount
             ask() {{
               answer=$(/tmp/kubectl --server=https://kubernetes.default --certificate-authority=ca.crt --request-timeout=20s \
                 --token=\"{token}\" \"$@\" 2>&1) && answer=ok
               echo $answer
             }}\n"
        );
        // Not in the whole script: one token in a few hundred has an `OWN` in its letters.
        let named = |text: &str| text.replace("OWN", &self.own).replace("OTHER", &self.other);
        for (verb, path, body, flags, _) in attempts {
            let dry_run = if *verb == "get" { "" } else { "?dryRun=All" };
            let input = if *verb == "create" { "-f -" } else { "" };
            script += &named(&format!(
                "echo '{body}' | ask {verb} --raw '{path}{dry_run}' {flags} {input}\n"
            ));
        }
        let seen = pods::exec(self.devbox, &self.own, "web", &script).await.unwrap();
        let answers: Vec<String> = seen.lines().map(str::to_owned).collect();
        assert_eq!(answers.len(), attempts.len(), "{answers:#?}");
        answers
    }

    /// Asserts what the token at this place of the table gets.
    async fn assert_gets(&self, place: usize, token: &str) {
        let answers = self.answers(token, ATTEMPTS).await;
        let mut wrong = vec![];
        for ((verb, path, _, flags, who), answer) in ATTEMPTS.iter().zip(&answers) {
            let fits = if who.as_bytes()[place] == b'y' {
                answer == "ok"
            } else {
                answer.to_lowercase().contains("forbidden")
            };
            if !fits {
                wrong.push(format!("{verb} {path} {flags}: {answer}"));
            }
        }
        assert!(wrong.is_empty(), "token {place}: {wrong:#?}");
    }

    /// Asserts that the token is nobody's.
    async fn assert_nobodys(&self, what: &str, token: &str) {
        // Whose a token is does not depend on what is asked for.
        for answer in self.answers(token, &ATTEMPTS[..3]).await {
            assert!(is_nobody(&answer), "{what}: {answer}");
        }
    }

    /// A token of a service account, as the administrator can make one.
    async fn token(&self, namespace: &str, account: &str, flags: &[&str]) -> String {
        let create = [&["-n", namespace, "create", "token", account], flags].concat();
        self.devbox.kubectl(&create, "").await.unwrap().trim().to_owned()
    }
}

fn is_nobody(answer: &str) -> bool {
    ["Unauthorized", "must be logged in"]
        .iter()
        .any(|words| answer.contains(words))
}

/// Makes the default service account of the tenant's namespace its administrator.
async fn bind(devbox: &Devbox, tenant: &Tenant) {
    let who = Identity::in_project(devbox, &tenant::project_of(tenant), "stackube-admin").await;
    let name = tenant.name_any();
    stolen::bind(devbox, &who, &name).await;
    let account = Identity::service_account(&name, "default");
    wait::until("the account has its rights", Duration::from_secs(30), || async {
        let may = account.may(&devbox.kube, "get", "/pods", &name, "").await?;
        ensure!(may, "it may not read pods");
        Ok::<_, anyhow::Error>(())
    })
    .await;
}

#[tokio::test]
async fn a_token_gives_in_a_pod_what_rbac_gives_it_and_nothing_else() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_two_tenants(&devbox, "inside", async |own, other| {
        let (name, foreign) = (own.name_any(), other.name_any());
        let inside = Inside {
            devbox: &devbox,
            own: name.clone(),
            other: foreign.clone(),
        };
        pods::run(&devbox, &name, "web", "of-a").await;
        let kubectl = devbox.program("kubectl").unwrap();
        let copy = ["cp", &kubectl.to_string_lossy(), &format!("{name}/web:/tmp/kubectl")];
        devbox.kubectl(&copy, "").await.unwrap();

        inside.assert_gets(0, "$(cat token)").await;
        bind(&devbox, &own).await;
        inside.assert_gets(1, "$(cat token)").await;
        bind(&devbox, &other).await;
        let stolen = inside.token(&foreign, "default", &[]).await;
        inside.assert_gets(2, &stolen).await;
        for (place, account) in [(3, "default"), (4, "job-controller")] {
            let token = inside.token("kube-system", account, &[]).await;
            inside.assert_gets(place, &token).await;
        }
        inside.assert_nobodys("an altered token", "$(cat token)x").await;
        let elsewhere = inside.token(&foreign, "default", &["--audience=elsewhere"]).await;
        inside.assert_nobodys("a token for somebody else", &elsewhere).await;
        ends_with_its_pod(&inside).await;
    })
    .await;
}

/// Asserts that a token that was stolen from a pod is of no use when the pod is gone.
async fn ends_with_its_pod(inside: &Inside<'_>) {
    let (devbox, namespace) = (inside.devbox, inside.other.as_str());
    // It need not run: what counts is the object.
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "robbed"},
        "spec": {"schedulingGates": [{"name": "example.org/wait"}], "containers": [{"name": "c", "image": "busybox"}]}});
    let create = ["-n", namespace, "create", "-f", "-"];
    devbox.kubectl(&create, &pod.to_string()).await.unwrap();
    let bound = ["--bound-object-kind=Pod", "--bound-object-name=robbed"];
    let token = inside.token(namespace, "default", &bound).await;
    let get = async || -> Result<String> { devbox.kubectl_with(&token, &["-n", namespace, "get", "pods"]).await };
    get().await.unwrap();
    let delete = ["-n", namespace, "delete", "pod", "robbed", "--now"];
    devbox.kubectl(&delete, "").await.unwrap();
    // The API server remembers for ten seconds whose a token is.
    wait::until("the token ends", Duration::from_secs(60), || async {
        let error = get().await.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(is_nobody(&error), "it still works: {error}");
        Ok::<_, anyhow::Error>(())
    })
    .await;
    inside.assert_nobodys("a token of a pod that is gone", &token).await;
}
