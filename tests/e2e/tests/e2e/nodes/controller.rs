//! What the controller's account may do, by the API server's own word: it is no node's, and whoever has it has the tenants.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stackube_e2e::{devbox::Devbox, identity::Identity};

/// Every `verb group/resource name` of a list in the table.
fn expected(rows: &Value) -> BTreeSet<String> {
    let words = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let mut all = BTreeSet::new();
    for row in rows.as_array().unwrap() {
        let (verbs, resources, names) = (words(row, "verbs"), words(row, "resources"), words(row, "names"));
        for (verb, resource) in crate::rights::tables::pairs(&verbs, &resources) {
            all.extend(names.split(' ').map(|name| format!("{verb} {resource} {name}")));
        }
    }
    all
}

/// Every `verb group/resource name` that the API server grants an account in a namespace, cluster-wide rights included.
async fn granted(devbox: &Devbox, account: &str, namespace: &str) -> BTreeSet<String> {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let who = Identity::service_account("stackube-system", account);
    let answer = who.try_create(&devbox.kube, path, &review).await.unwrap();
    assert_eq!(answer["status"]["incomplete"], false, "{answer}");
    let list = |rule: &Value, key: &str| -> Vec<String> {
        let words = rule[key].as_array().into_iter().flatten();
        words.map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let mut all = BTreeSet::new();
    for rule in answer["status"]["resourceRules"].as_array().unwrap() {
        let (verbs, groups, resources) = (list(rule, "verbs"), list(rule, "apiGroups"), list(rule, "resources"));
        let mut names = list(rule, "resourceNames");
        if names.is_empty() {
            names.push(String::new());
        }
        for (verb, group) in verbs
            .iter()
            .flat_map(|verb| groups.iter().map(move |group| (verb, group)))
        {
            for resource in &resources {
                all.extend(names.iter().map(|name| format!("{verb} {group}/{resource} {name}")));
            }
        }
    }
    all
}

/// Asserts that the controller's account has what the table says and nothing else, in the tenant's namespace, in one of the
/// administrator's, and in its own.
pub(super) async fn assert_has_no_more(devbox: &Devbox, tenant: &str) {
    let table: Value = serde_saphyr::from_str(include_str!("controller.yaml")).unwrap();
    let everywhere = expected(&table["everywhere"]);
    let own: BTreeSet<String> = everywhere.union(&expected(&table["own"])).cloned().collect();
    for (namespace, expected) in [
        (tenant, &everywhere),
        ("kube-system", &everywhere),
        ("stackube-system", &own),
    ] {
        let anybody = granted(devbox, "nobody", namespace).await;
        let granted = granted(devbox, "stackube-controller", namespace).await;
        let granted: BTreeSet<String> = granted.difference(&anybody).cloned().collect();
        let more: Vec<_> = granted.difference(expected).collect();
        let less: Vec<_> = expected.difference(&granted).collect();
        assert!(
            more.is_empty() && less.is_empty(),
            "in {namespace}: more {more:#?}, less {less:#?}"
        );
    }
    let who = Identity::service_account("stackube-system", "stackube-controller");
    for namespace in [tenant, "kube-system", ""] {
        for verb in ["get", "list", "watch", "create", "update", "patch", "delete"] {
            let allowed = who.may(&devbox.kube, verb, "/secrets", namespace, "").await.unwrap();
            assert!(!allowed, "the controller may {verb} Secrets in {namespace:?}");
        }
    }
}
