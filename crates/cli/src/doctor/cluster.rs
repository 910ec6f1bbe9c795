//! The cluster's side: the API server, whether it accepts the token, and, as an administrator, Stackube's own parts.

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::{Api, Client, Config, ResourceExt};
use stackube_openstack::AuthUrl;

use super::cloud::LoggedIn;
use super::{Finding, Report, isolation, sentence, tenants};
use crate::args::ClusterOptions;
use crate::cluster;

pub(super) const NAMESPACE: &str = "stackube-system";
/// The first version whose admission policies can do what Stackube's do.
const MINOR: u32 = 36;

/// Whether the kubeconfig's user is an administrator of the cluster: whether what only one may see was seen.
pub(super) async fn check(options: &ClusterOptions, login: Option<&LoggedIn>, report: &mut Report) -> bool {
    let Some((client, own)) = reached(options, login, report).await else {
        return false;
    };
    tenants::check(&client, &own, report).await;
    let resources = resources(&client).await;
    let administrator = resources.is_ok();
    report.add("custom resources", resources.unwrap_or_else(unseen));
    report.add("Stackube's pods", pods(&client).await);
    report.add("nodes", nodes(&client).await);
    isolation::check(&client, report).await;
    if let Some(login) = login {
        report.add("configuration", configuration(&client, &login.auth_url).await);
    }
    administrator
}

/// A client of an API server that answers, and the tenants of the login.
async fn reached(
    options: &ClusterOptions,
    login: Option<&LoggedIn>,
    report: &mut Report,
) -> Option<(Client, Vec<String>)> {
    let config = match cluster::config(options).await {
        Ok(config) => config,
        Err(error) => {
            report.add("kubeconfig", Finding::Bad(sentence(error)));
            return None;
        }
    };
    report.add("kubeconfig", Finding::Good(format!("for {}", config.cluster_url)));
    let mut own = vec![];
    if let Some(login) = login {
        let (finding, tenants) = accepted(&config, login).await;
        report.add("Keystone in the API server", finding);
        own = tenants;
    }
    let (finding, client) = match Client::try_from(config) {
        Ok(client) => match client.apiserver_version().await {
            Ok(version) => (supported(&version.minor, &version.git_version), Some(client)),
            Err(error) => {
                let advice = "check the address in the kubeconfig, the network, and that the API server runs";
                (Finding::Bad(format!("{}; {advice}", sentence(error))), None)
            }
        },
        Err(error) => (Finding::Bad(sentence(error)), None),
    };
    report.add("API server", finding);
    client.map(|client| (client, own))
}

/// Whether the API server takes the token, and for which tenants.
async fn accepted(config: &Config, login: &LoggedIn) -> (Finding, Vec<String>) {
    match cluster::whoami(config, &login.token).await {
        Ok(user) => {
            let tenants = cluster::tenants(&user);
            let who = if tenants.is_empty() {
                "no tenant".to_owned()
            } else {
                format!("tenant {}", tenants.join(", "))
            };
            let finding = Finding::Good(format!("you are {} ({who})", user.username.unwrap_or_default()));
            (finding, tenants)
        }
        Err(error) => (Finding::Bad(sentence(error)), vec![]),
    }
}

fn supported(minor: &str, version: &str) -> Finding {
    let number: String = minor.chars().take_while(char::is_ascii_digit).collect();
    if number.parse::<u32>().is_ok_and(|number| number >= MINOR) {
        return Finding::Good(version.to_owned());
    }
    Finding::Bad(format!("{version} is too old: Stackube needs Kubernetes 1.{MINOR}"))
}

/// What only an administrator may see is skipped for others.
pub(super) fn unseen(error: kube::Error) -> Finding {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            Finding::Unknown("only an administrator of the cluster can see this".to_owned())
        }
        error => Finding::Bad(sentence(error)),
    }
}

async fn resources(client: &Client) -> Result<Finding, kube::Error> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut missing = vec![];
    for name in ["tenants", "networks", "ports"] {
        let definition = definitions.get_opt(&format!("{name}.stackube.kubernetes.io")).await?;
        if definition.is_none() {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return Ok(Finding::Good("installed".to_owned()));
    }
    Ok(Finding::Bad(format!(
        "{} are missing: kubectl create -f deployment/stackube.yaml",
        missing.join(", ")
    )))
}

async fn pods(client: &Client) -> Finding {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    match pods.list(&ListParams::default()).await {
        Ok(list) => judge("pod", list.items.iter().map(|pod| (pod.name_any(), is_ready(pod)))),
        Err(error) => unseen(error),
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn nodes(client: &Client) -> Finding {
    let ready = |node: &Node| {
        let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions
            .into_iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    match Api::<Node>::all(client.clone()).list(&ListParams::default()).await {
        Ok(list) => judge("node", list.items.iter().map(|node| (node.name_any(), ready(node)))),
        Err(error) => unseen(error),
    }
}

fn judge(kind: &str, found: impl Iterator<Item = (String, bool)>) -> Finding {
    let found: Vec<(String, bool)> = found.collect();
    let failed: Vec<&str> = found
        .iter()
        .filter(|(_, ready)| !ready)
        .map(|(name, _)| name.as_str())
        .collect();
    match (found.len(), failed.as_slice()) {
        (0, _) => Finding::Bad(format!(
            "there is no {kind}: kubectl create -f deployment/stackube.yaml"
        )),
        (count, []) => Finding::Good(format!("{count} ready")),
        (_, failed) => Finding::Bad(format!(
            "not ready: {}; see kubectl describe {kind} and its log",
            failed.join(", ")
        )),
    }
}

async fn configuration(client: &Client, auth_url: &str) -> Finding {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let map = match maps.get_opt("stackube-config").await {
        Ok(Some(map)) => map,
        Ok(None) => {
            return Finding::Bad(
                "ConfigMap stackube-config is missing: kubectl create -f stackube-configmap.yaml".to_owned(),
            );
        }
        Err(error) => return unseen(error),
    };
    same_keystone(
        map.data.unwrap_or_default().get("auth-url").map(String::as_str),
        auth_url,
    )
}

fn same_keystone(configured: Option<&str>, own: &str) -> Finding {
    match configured.map(AuthUrl::parse) {
        None => Finding::Bad("ConfigMap stackube-config has no key auth-url".to_owned()),
        Some(Err(error)) => Finding::Bad(sentence(error)),
        Some(Ok(url)) if url.to_string() == own => Finding::Good("names the same Keystone".to_owned()),
        Some(Ok(url)) => Finding::Doubtful(format!(
            "the cluster asks {url}, you {own}: fine if both are the same Keystone"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges() {
        assert!(matches!(supported("36+", "v1.36.3"), Finding::Good(_)));
        assert!(matches!(supported("35", "v1.35.0"), Finding::Bad(_)));
        assert!(matches!(supported("", "?"), Finding::Bad(_)));
        let found = [("a".to_owned(), true), ("b".to_owned(), false)];
        assert!(
            matches!(judge("pod", found.clone().into_iter()), Finding::Bad(text) if text.contains("not ready: b;"))
        );
        assert!(matches!(judge("pod", found[..1].iter().cloned()), Finding::Good(_)));
        assert!(matches!(judge("pod", vec![].into_iter()), Finding::Bad(_)));
        assert!(matches!(
            same_keystone(Some("http://k:5000"), "http://k:5000/v3/"),
            Finding::Good(_)
        ));
        assert!(matches!(
            same_keystone(Some("http://l:5000"), "http://k:5000/v3/"),
            Finding::Doubtful(_)
        ));
        assert!(matches!(same_keystone(None, "x"), Finding::Bad(_)));
    }
}
