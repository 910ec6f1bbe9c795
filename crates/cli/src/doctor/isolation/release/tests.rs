use serde_json::json;

use super::*;

/// A field, and a change to it in a `spec`.
type Change = (&'static str, fn(&mut Value));

const POLICY: &str = "ValidatingAdmissionPolicy";
const BINDING: &str = "ValidatingAdmissionPolicyBinding";

fn is_bad(finding: &Finding, words: &[&str]) -> bool {
    matches!(finding, Finding::Bad(text) if words.iter().all(|word| text.contains(word)))
}

fn is_doubtful(finding: &Finding, words: &[&str]) -> bool {
    matches!(finding, Finding::Doubtful(text) if words.iter().all(|word| text.contains(word)))
}

/// What is found where the manifest's objects of a kind are all there and then one of them is changed.
fn after(kind: &str, name: &str, change: impl FnOnce(&mut Value)) -> Finding {
    let wanted = objects(kind).unwrap();
    let mut live = wanted.clone();
    change(live.get_mut(name).unwrap());
    let mut differences = Differences::default();
    differences.note(kind, &wanted, &live);
    differences.finding()
}

#[test]
fn finds_policies_bindings_and_roles_in_the_manifest() {
    for (kind, name) in [
        (POLICY, "stackube-pods"),
        (BINDING, "stackube-pods"),
        ("MutatingAdmissionPolicy", "stackube-runtime"),
        ("MutatingAdmissionPolicyBinding", "stackube-runtime"),
        ("ClusterRole", "stackube-admin"),
    ] {
        assert!(objects(kind).unwrap().contains_key(name), "{kind} {name}");
    }
    assert!(objects(POLICY).unwrap().len() > 15);
    assert_eq!(objects(POLICY).unwrap().len(), objects(BINDING).unwrap().len());
}

#[test]
fn finds_the_parameters_that_policies_read() {
    let expected = [
        "image-registries",
        "longest-prefix",
        "priority-classes",
        "reserved-cidrs",
        "reserved-cluster-ips",
        "reserved-names",
        "toleration-keys",
    ];
    assert_eq!(parameters(), expected.into());
}

#[test]
fn what_the_api_server_adds_is_no_difference() {
    let finding = after(POLICY, "stackube-pods", |policy| {
        policy["metadata"]["uid"] = "x".into();
        let constraints = &mut policy["spec"]["matchConstraints"];
        constraints["matchPolicy"] = "Equivalent".into();
        constraints["objectSelector"] = json!({});
        constraints["resourceRules"][0]["scope"] = "*".into();
        constraints["resourceRules"].as_array_mut().unwrap().reverse();
    });
    assert_eq!(finding, Finding::Good("all there".to_owned()));
}

#[test]
fn names_what_is_missing_and_what_to_do() {
    let wanted = objects(BINDING).unwrap();
    let mut live = wanted.clone();
    live.retain(|name, _| name != "stackube-pods" && name != "stackube-runtime");
    let mut differences = Differences::default();
    differences.note(BINDING, &wanted, &live);
    let (first, second) = (
        format!("there is no {BINDING} stackube-pods"),
        format!(", no {BINDING} stackube-runtime: "),
    );
    let finding = differences.finding();
    assert!(is_bad(&finding, &[&first, &second, APPLY]), "{finding:?}");
}

#[test]
fn what_switches_a_policy_off_is_bad() {
    let binding: [Change; 5] = [
        ("validationActions", |spec| spec["validationActions"] = json!(["Warn"])),
        ("validationActions", |spec| spec["validationActions"] = json!([])),
        ("policyName", |spec| spec["policyName"] = "another".into()),
        ("matchResources", |spec| {
            spec["matchResources"] = json!({"namespaceSelector": {"matchLabels": {"a": "b"}}});
        }),
        ("paramRef", |spec| {
            spec["paramRef"]["parameterNotFoundAction"] = "Allow".into();
        }),
    ];
    for (field, change) in binding {
        let finding = after(BINDING, "stackube-images", |object| change(&mut object["spec"]));
        let words = format!("{BINDING} stackube-images ({field}) differs from this release: {APPLY}");
        assert!(is_bad(&finding, &[&words]), "{field}: {finding:?}");
    }
    let policy: [Change; 5] = [
        ("failurePolicy", |spec| spec["failurePolicy"] = "Ignore".into()),
        ("matchConditions", |spec| {
            spec["matchConditions"] = json!([{"name": "never", "expression": "false"}]);
        }),
        ("matchConstraints", |spec| {
            spec["matchConstraints"]["resourceRules"].as_array_mut().unwrap().pop();
        }),
        ("matchConstraints", |spec| {
            spec["matchConstraints"]["resourceRules"][0]["scope"] = "Cluster".into();
        }),
        ("matchConstraints", |spec| {
            spec["matchConstraints"]["objectSelector"] = json!({"matchLabels": {"a": "b"}});
        }),
    ];
    for (field, change) in policy {
        let finding = after(POLICY, "stackube-pods", |object| change(&mut object["spec"]));
        let words = format!("{POLICY} stackube-pods ({field}) differs");
        assert!(is_bad(&finding, &[&words]), "{field}: {finding:?}");
    }
}

#[test]
fn other_differences_may_be_another_release() {
    let finding = after(POLICY, "stackube-pods", |policy| {
        policy["spec"]["validations"][0]["expression"] = "true".into();
    });
    assert!(
        is_doubtful(&finding, &["stackube-pods (validations) differs", APPLY]),
        "{finding:?}"
    );
    let finding = after("ClusterRole", "stackube-view", |role| {
        let more = json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]});
        role["rules"].as_array_mut().unwrap().push(more);
    });
    assert!(
        is_doubtful(&finding, &["ClusterRole stackube-view (rules) differs", APPLY]),
        "{finding:?}"
    );
}
