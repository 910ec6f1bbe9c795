//! How objects in Keystone are recognised as a Tenant's. Only administrators of the cloud can write tags and descriptions
//! there (policies `identity:update_project` and `identity:update_user`), unlike in Neutron.

use stackube_api::names::{cluster_tag, owner_of_tag, owner_tag};
use stackube_openstack::identity::Project;

/// Tags of a project that was made for the Tenant with this UID.
pub(crate) fn project_tags(cluster: &str, uid: &str) -> Vec<String> {
    vec![cluster_tag(cluster), owner_tag(uid)]
}

/// Whether a project was made for the Tenant with this UID, in this cluster.
pub(crate) fn is_project_of(project: &Project, cluster: &str, uid: &str) -> bool {
    project_tags(cluster, uid).iter().all(|tag| project.tags.contains(tag))
}

/// Description of a user that was made for a Tenant: users have no tags.
pub(crate) fn user_description(cluster: &str, tenant: &str, uid: &str) -> String {
    format!(
        "User of tenant {tenant} in Kubernetes {} {}",
        cluster_tag(cluster),
        owner_tag(uid)
    )
}

/// UID of the Tenant, of this cluster, that a user was made for.
pub(crate) fn owner_of_user<'a>(description: &'a str, cluster: &str) -> Option<&'a str> {
    let wanted = cluster_tag(cluster);
    let mut words = description
        .split_ascii_whitespace()
        .skip_while(|word| *word != wanted)
        .skip(1);
    words.next().and_then(owner_of_tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_recognised_by_cluster_and_owner() {
        let text = user_description("c1", "test", "u1");
        assert_eq!(owner_of_user(&text, "c1"), Some("u1"));
        assert_eq!(owner_of_user(&text, "c2"), None, "another cluster's user");
        assert_eq!(owner_of_user("User of tenant test", "c1"), None);
        assert_eq!(owner_of_user("", "c1"), None);
    }
}
