//! How what is made for a Network in Neutron is marked and named.

use kube::ResourceExt;
use stackube_api::names::{cluster_tag, display_name, owner_tag};
use stackube_openstack::id::ProjectId;

/// The marks of one Network's objects. Tags follow by a call of their own, beside those that depend on the object: until then the
/// description, which is in the POST, tells whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    /// The owner.
    pub(crate) project: ProjectId,
    /// Cluster and owner.
    pub(crate) tags: Vec<String>,
    /// For display.
    pub(crate) name: String,
    /// For people who look at Neutron, and for [`owner_of`].
    pub(crate) description: String,
}

impl Marks {
    pub(crate) fn new(network: &stackube_api::Network, project: ProjectId, cluster: &str) -> Self {
        let (namespace, name) = (network.namespace().unwrap_or_default(), network.name_any());
        let uid = network.uid().unwrap_or_default();
        Self {
            project,
            tags: vec![cluster_tag(cluster), owner_tag(&uid)],
            name: display_name(&namespace, &name),
            description: format!("Network {namespace}/{name} ({uid}){}", end(cluster)),
        }
    }
}

/// How the descriptions of this cluster's objects end.
fn end(cluster: &str) -> String {
    format!(" of Kubernetes {cluster}, made by Stackube")
}

/// UID of the Network for which this cluster has made what is described so.
pub(crate) fn owner_of<'a>(description: &'a str, cluster: &str) -> Option<&'a str> {
    let network = description.strip_suffix(&end(cluster))?.strip_prefix("Network ")?;
    let (_, uid) = network.strip_suffix(')')?.rsplit_once(" (")?;
    (!uid.is_empty()).then_some(uid)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_description_tells_whose_it_is() {
        let network = json!({
            "apiVersion": "stackube.io/v1", "kind": "Network", "metadata": {"name": "a", "namespace": "b", "uid": "u-1"},
            "spec": {"cidr": "10.244.0.0/16", "gateway": "10.244.0.1"},
        });
        let network = serde_json::from_value(network).unwrap();
        let marks = Marks::new(&network, "project".parse().unwrap(), "c-1");
        assert_eq!(owner_of(&marks.description, "c-1"), Some("u-1"));
        assert_eq!(owner_of(&marks.description, "c-2"), None, "another cluster's");
    }

    #[rstest]
    #[case("")]
    #[case("Network of Kubernetes c-1, made by Stackube")]
    #[case("Network b/a () of Kubernetes c-1, made by Stackube")]
    #[case("Network b/a (u-1) of Kubernetes c-1, made by Stackube and me")]
    #[case("my Network b/a (u-1) of Kubernetes c-1, made by Stackube")]
    #[case("Router b/a (u-1) of Kubernetes c-1, made by Stackube")]
    fn what_is_described_otherwise_is_nobodys(#[case] description: &str) {
        assert_eq!(owner_of(description, "c-1"), None);
    }
}
