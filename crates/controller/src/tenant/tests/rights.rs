use super::*;
use crate::tenant::rights::{own_tenant, role_bindings};

#[test]
fn each_role_is_bound_in_the_namespace_to_its_group_and_no_other() {
    let project = ProjectId::new("p1").unwrap();
    let bindings = role_bindings(&tenant(json!({})), &project, &roles());
    let seen: Vec<_> = bindings
        .iter()
        .map(|binding| {
            let subjects = binding.subjects.as_ref().unwrap();
            assert_eq!((binding.namespace().as_deref(), subjects.len()), (Some("test"), 1));
            assert_eq!(
                (binding.role_ref.kind.as_str(), subjects[0].kind.as_str()),
                ("ClusterRole", "Group")
            );
            (
                binding.name_any(),
                binding.role_ref.name.clone(),
                subjects[0].name.clone(),
            )
        })
        .collect();
    let expected = ["admin", "edit", "view"].map(|role| {
        let name = format!("stackube-{role}");
        (name.clone(), name, format!("keystone:project:p1:role-stackube-{role}"))
    });
    assert_eq!(seen, expected);
}

#[test]
fn a_tenants_users_read_that_tenant_only() {
    let project = ProjectId::new("p1").unwrap();
    let (role, binding) = own_tenant(&tenant(json!({})), &project, &roles());
    let rules = role.rules.unwrap();
    assert_eq!(rules.len(), 1);
    assert_eq!(
        (&rules[0].verbs[..], rules[0].resource_names.as_deref()),
        (&["get".to_owned()][..], Some(&["test".to_owned()][..]))
    );
    assert_eq!(rules[0].resources.as_deref(), Some(&["tenants".to_owned()][..]));
    assert_eq!(role.metadata.owner_references.unwrap()[0].uid, UID);
    assert_eq!(binding.role_ref.name, role.metadata.name.unwrap());
    let groups: Vec<_> = binding
        .subjects
        .unwrap()
        .into_iter()
        .map(|subject| subject.name)
        .collect();
    assert_eq!(groups.len(), 3);
    assert!(
        groups
            .iter()
            .all(|group| group.starts_with("keystone:project:p1:role-stackube-")),
        "{groups:?}"
    );
}
