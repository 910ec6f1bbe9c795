use stackube_api::names::RUNTIME_LABEL;

use super::*;

/// The class in the namespace that a Tenant gets, or the reason why it gets none.
fn class(
    spec: Value,
    default: Option<&str>,
    classes: &[&str],
    present: Option<&str>,
) -> Result<Option<String>, String> {
    let admission = Admission {
        default_runtime: match default {
            None => DefaultRuntime::Sandbox,
            Some("none") => DefaultRuntime::OfNodes,
            Some(name) => DefaultRuntime::Class(name.to_owned()),
        },
        ..Admission::default()
    };
    let labels = match present {
        Some(class) => json!({TENANT_LABEL: "test", RUNTIME_LABEL: class}),
        None => json!({TENANT_LABEL: "test"}),
    };
    let observed = Observed {
        namespace: Some(namespace(labels, json!({TENANT_UID_ANNOTATION: UID}))),
        runtime_classes: classes.iter().map(|name| (*name).to_owned()).collect(),
        ..nothing()
    };
    check_by(&tenant(spec), &observed, None, &admission)
        .map(|valid| valid.runtime_class)
        .map_err(|refusal| refusal.message)
}

#[rstest]
#[case::own_choice(json!({"runtimeClassName": "gvisor"}), Some("runc"), &["gvisor", "runc"], None, Some("gvisor"))]
#[case::own_choice_over_the_label(json!({"runtimeClassName": "runc"}), None, &["gvisor", "runc"], Some("gvisor"), Some("runc"))]
#[case::the_operators_default(json!({}), Some("runc"), &["gvisor", "runc"], Some("gvisor"), Some("runc"))]
#[case::the_sandbox_where_there_is_one(json!({}), None, &["gvisor", "runc"], None, Some("gvisor"))]
#[case::a_new_sandbox_is_used(json!({}), None, &["gvisor", "runc"], Some("runc"), Some("gvisor"))]
#[case::never_given_up(json!({}), None, &[], Some("gvisor"), Some("gvisor"))]
#[case::the_nodes_own_if_the_operator_says_so(json!({}), Some("none"), &[], None, None)]
#[case::the_nodes_own_although_there_is_a_sandbox(json!({}), Some("none"), &["gvisor"], None, None)]
#[case::never_given_up_for_none(json!({}), Some("none"), &[], Some("gvisor"), Some("gvisor"))]
#[case::own_choice_over_none(json!({"runtimeClassName": "runc"}), Some("none"), &["runc"], None, Some("runc"))]
fn the_runtime_of_a_tenant(
    #[case] spec: Value,
    #[case] default: Option<&str>,
    #[case] classes: &[&str],
    #[case] present: Option<&str>,
    #[case] expected: Option<&str>,
) {
    assert_eq!(
        class(spec, default, classes, present).unwrap(),
        expected.map(str::to_owned)
    );
}

#[test]
fn a_class_that_does_not_exist_is_refused_with_the_place_to_correct() {
    let own = class(json!({"runtimeClassName": "kata"}), None, &["runc"], None).unwrap_err();
    assert!(own.contains("kata") && own.contains("spec.runtimeClassName"), "{own}");
    let default = class(json!({}), Some("kata"), &["runc"], None).unwrap_err();
    assert!(default.contains("default-runtime-class"), "{default}");
}

/// Else a tenant of a cluster that has lost its sandbox, or never had one, would share the nodes' kernel unawares.
#[rstest]
#[case::no_class_at_all(&[])]
#[case::others_only(&["runc", "kata"])]
fn without_a_sandbox_somebody_has_to_choose(#[case] classes: &[&str]) {
    let message = class(json!({}), None, classes, None).unwrap_err();
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
