use stackube_api::names::RUNTIME_LABEL;

use super::*;

fn admission(default: Option<&str>) -> Admission {
    Admission {
        default_runtime: match default {
            None => DefaultRuntime::Sandbox,
            Some("none") => DefaultRuntime::OfNodes,
            Some(name) => DefaultRuntime::Class(name.to_owned()),
        },
        ..Admission::default()
    }
}

/// A namespace of the Tenant's with the class `present`, in a cluster with `classes`.
fn observed(classes: &[&str], present: Option<&str>) -> Observed {
    let labels = match present {
        Some(class) => json!({TENANT_LABEL: "test", RUNTIME_LABEL: class}),
        None => json!({TENANT_LABEL: "test"}),
    };
    Observed {
        namespace: Some(namespace(labels, json!({TENANT_UID_ANNOTATION: UID}))),
        runtime_classes: classes.iter().map(|name| (*name).to_owned()).collect(),
        ..nothing()
    }
}

/// Why a new Tenant is refused.
fn refused(spec: Value, default: Option<&str>, classes: &[&str]) -> String {
    let observed = Observed {
        namespace: None,
        ..observed(classes, None)
    };
    let refusal = check_by(&tenant(spec), &observed, None, &admission(default)).unwrap_err();
    assert_eq!(refusal.reason, "RuntimeClassMissing");
    refusal.message
}

#[rstest]
#[case::own_choice(json!({"runtimeClassName": "gvisor"}), Some("runc"), &["gvisor", "runc"], None, Some("gvisor"))]
#[case::own_choice_over_the_label(json!({"runtimeClassName": "runc"}), None, &["gvisor", "runc"], Some("gvisor"), Some("runc"))]
#[case::the_operators_default(json!({}), Some("runc"), &["gvisor", "runc"], Some("gvisor"), Some("runc"))]
#[case::the_sandbox_where_there_is_one(json!({}), None, &["gvisor", "runc"], None, Some("gvisor"))]
#[case::a_new_sandbox_is_used(json!({}), None, &["gvisor", "runc"], Some("runc"), Some("gvisor"))]
#[case::of_the_namespace_without_the_sandbox(json!({}), None, &["runc"], Some("runc"), Some("runc"))]
#[case::the_nodes_own_if_the_operator_says_so(json!({}), Some("none"), &[], None, None)]
#[case::the_nodes_own_although_there_is_a_sandbox(json!({}), Some("none"), &["gvisor"], None, None)]
#[case::never_given_up_for_none(json!({}), Some("none"), &["gvisor"], Some("gvisor"), Some("gvisor"))]
#[case::own_choice_over_none(json!({"runtimeClassName": "runc"}), Some("none"), &["runc"], None, Some("runc"))]
fn the_runtime_of_a_tenant(
    #[case] spec: Value,
    #[case] default: Option<&str>,
    #[case] classes: &[&str],
    #[case] present: Option<&str>,
    #[case] expected: Option<&str>,
) {
    let valid = check_by(&tenant(spec), &observed(classes, present), None, &admission(default)).unwrap();
    assert_eq!(valid.runtime_class.as_deref(), expected);
    assert_eq!(valid.class_missing, None);
}

/// Else pods of a namespace that was made before somebody had to choose would go on sharing the nodes' kernel, and nothing of the
/// Tenant would be kept up.
#[rstest]
#[case::without_a_class(json!({}), None, &["runc"], None, "gvisor", "gvisor")]
#[case::with_a_class_that_was_removed(json!({}), None, &[], Some("gvisor"), "gvisor", "gvisor")]
#[case::with_another_that_was_removed(json!({}), None, &[], Some("kata"), "kata", "kata")]
#[case::with_a_class_that_was_removed_for_none(json!({}), Some("none"), &[], Some("gvisor"), "gvisor", "gvisor")]
#[case::default_of_the_operator(json!({}), Some("kata"), &["gvisor"], None, "kata", "kata")]
#[case::own_choice(json!({"runtimeClassName": "kata"}), None, &["gvisor"], None, "kata", "kata")]
#[case::own_choice_with_a_class(json!({"runtimeClassName": "kata"}), None, &["gvisor"], Some("gvisor"), "gvisor", "kata")]
fn a_namespace_that_is_there_gets_no_pods_on_a_weaker_runtime(
    #[case] spec: Value,
    #[case] default: Option<&str>,
    #[case] classes: &[&str],
    #[case] present: Option<&str>,
    #[case] label: &str,
    #[case] missing: &str,
) {
    let (tenant, observed) = (tenant(spec), observed(classes, present));
    let valid = check_by(&tenant, &observed, None, &admission(default)).unwrap();
    assert_eq!(valid.runtime_class.as_deref(), Some(label));
    let refusal = valid.class_missing.unwrap();
    assert_eq!(refusal.reason, "RuntimeClassMissing");
    let message = refusal.message;
    assert!(
        message.contains(&format!("no RuntimeClass {missing}: create it")),
        "{message}"
    );
    let until_then = if classes.contains(&label) {
        "run on"
    } else {
        "are refused"
    };
    assert!(message.contains(until_then), "{message}");
}

#[test]
fn the_rest_of_a_tenant_without_its_class_is_kept_up() {
    let tenant = tenant(json!({}));
    let observed = Observed {
        project: Some(our_project()),
        assignments: vec![held(by_user("former-member"), "stackube-edit")],
        ..observed(&["runc"], None)
    };
    let valid = check_by(&tenant, &observed, None, &admission(None)).unwrap();
    let plan = plan(&tenant, &valid, &observed, &identity(), &defaults());
    let NamespaceStep::Change(change) = plan.namespace else {
        panic!("{:?}", plan.namespace)
    };
    assert_eq!(change["metadata"]["labels"][RUNTIME_LABEL], "gvisor");
    assert_eq!(plan.revocations, observed.assignments);
}

#[test]
fn a_namespace_that_is_handed_over_is_refused_without_its_class() {
    let offered = namespace(json!({}), json!({ADOPT_ANNOTATION: "test"}));
    let observed = Observed {
        namespace: Some(offered),
        ..observed(&["runc"], None)
    };
    let refusal = check_by(&tenant(json!({})), &observed, None, &admission(None)).unwrap_err();
    assert_eq!(refusal.reason, "RuntimeClassMissing");
}

#[test]
fn a_class_that_does_not_exist_is_refused_with_the_place_to_correct() {
    let own = refused(json!({"runtimeClassName": "kata"}), None, &["runc"]);
    assert!(own.contains("kata") && own.contains("spec.runtimeClassName"), "{own}");
    let default = refused(json!({}), Some("kata"), &["runc"]);
    assert!(default.contains("default-runtime-class"), "{default}");
}

/// Else a tenant of a cluster that has lost its sandbox, or never had one, would share the nodes' kernel unawares.
#[rstest]
#[case::no_class_at_all(&[])]
#[case::others_only(&["runc", "kata"])]
fn without_a_sandbox_somebody_has_to_choose(#[case] classes: &[&str]) {
    let message = refused(json!({}), None, classes);
    for words in [
        "no RuntimeClass gvisor: create it",
        "spec.runtimeClassName",
        "default-runtime-class",
        "none",
    ] {
        assert!(message.contains(words), "{message:?} lacks {words:?}");
    }
}

#[test]
fn the_namespace_carries_the_class_and_a_change_reaches_it() {
    let NamespaceStep::Create(namespace) = planned(&tenant(json!({})), &nothing()).namespace else {
        panic!()
    };
    assert_eq!(namespace.labels()[RUNTIME_LABEL], "runc");
    let observed = Observed {
        namespace: Some(*namespace),
        ..nothing()
    };
    let NamespaceStep::Change(change) = planned(&tenant(json!({"runtimeClassName": "gvisor"})), &observed).namespace
    else {
        panic!()
    };
    assert_eq!(change["metadata"]["labels"], json!({RUNTIME_LABEL: "gvisor"}));
}
