use super::*;
use crate::tenant::flow::flow_schema;

fn of_tenant() -> Value {
    let project = ProjectId::new("p1").unwrap();
    serde_json::to_value(flow_schema(&tenant(json!({})), &project, &roles())).unwrap()
}

#[test]
fn all_that_a_tenant_sends_is_one_flow() {
    let schema = of_tenant();
    assert_eq!(schema["metadata"]["name"], "stackube-tenant-test");
    assert_eq!(schema["metadata"]["ownerReferences"][0]["uid"], UID);
    let spec = &schema["spec"];
    assert_eq!(
        spec["distinguisherMethod"],
        Value::Null,
        "the sender could choose its flow"
    );
    let rules = spec["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 1);
    let all = json!(["*"]);
    let resources =
        json!([{"apiGroups": all, "clusterScope": true, "namespaces": all, "resources": all, "verbs": all}]);
    assert_eq!(rules[0]["resourceRules"], resources);
    assert_eq!(
        rules[0]["nonResourceRules"],
        json!([{"nonResourceURLs": all, "verbs": all}])
    );
}

#[test]
fn the_flow_is_of_the_own_project_and_the_own_service_accounts() {
    let schema = of_tenant();
    let subjects = schema["spec"]["rules"][0]["subjects"].as_array().unwrap();
    let (accounts, groups): (Vec<_>, Vec<_>) = subjects.iter().partition(|subject| subject["kind"] == "ServiceAccount");
    assert_eq!(accounts.len(), 1);
    assert_eq!(accounts[0]["serviceAccount"], json!({"namespace": "test", "name": "*"}));
    let named: Vec<_> = groups
        .iter()
        .filter_map(|group| group["group"]["name"].as_str())
        .collect();
    let expected: Vec<_> = roles()
        .values()
        .map(|role| format!("keystone:project:p1:{role}"))
        .collect();
    // Whoever leaves Stackube's roles out of an application credential is the tenant's all the same.
    assert_eq!(named, expected);
    assert!(named.contains(&"keystone:project:p1:role-member"));
}

#[test]
fn it_comes_after_the_systems_and_before_everybodys() {
    let schema = of_tenant();
    let precedence = schema["spec"]["matchingPrecedence"].as_i64().unwrap();
    // kube-system-service-accounts and service-accounts of Kubernetes 1.36.
    assert!((901..9000).contains(&precedence));
}

#[test]
fn its_priority_level_is_deployed_and_never_takes_what_others_lend() {
    let text = include_str!("../../../../../deployment/flowcontrol.yaml");
    let level: Value = serde_saphyr::from_str(text).unwrap();
    assert_eq!(level["kind"], "PriorityLevelConfiguration");
    assert_eq!(
        of_tenant()["spec"]["priorityLevelConfiguration"]["name"],
        level["metadata"]["name"]
    );
    assert_eq!(level["spec"]["limited"]["borrowingLimitPercent"], 0);
    let queuing = &level["spec"]["limited"]["limitResponse"]["queuing"];
    assert!(
        queuing["handSize"].as_i64() < queuing["queues"].as_i64(),
        "one tenant could fill all queues"
    );
}
