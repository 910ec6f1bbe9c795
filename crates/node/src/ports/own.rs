//! The node's own Port among those of the node.

use std::sync::Arc;

use stackube_api::names::SYSTEM_NAMESPACE;
use stackube_api::{Port, PortHolder};

use super::PortMap;
use super::assignment::{Assignment, ready};
use crate::protocol::PodRef;

/// What the node's own port is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    /// The node has none.
    Nothing,
    /// It is not known (now), for this reason.
    Waiting(String),
    /// This, under the Node's name and UID.
    Is(PodRef, Assignment),
}

/// The node's own port among its Ports: one of namespace `stackube-system`, on the system network.
pub fn own(ports: &PortMap) -> Own {
    let Some(ports) = ports else {
        return Own::Waiting("the list of Ports has not come from the API server yet".into());
    };
    let is_own = |port: &&Arc<Port>| {
        port.spec.holder == PortHolder::Node
            && port.metadata.namespace.as_deref() == Some(SYSTEM_NAMESPACE)
            && port.spec.network_namespace == SYSTEM_NAMESPACE
            && port.metadata.deletion_timestamp.is_none()
    };
    let Some(port) = ports.values().find(is_own) else {
        return Own::Nothing;
    };
    let node = PodRef {
        namespace: SYSTEM_NAMESPACE.into(),
        name: port.spec.pod_name.clone(),
        uid: port.spec.pod_uid.clone(),
    };
    ready(port).map_or_else(Own::Waiting, |assignment| Own::Is(node, assignment))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::ports::{Unusable, assignment};

    fn node_port() -> Value {
        json!({
            "apiVersion": "stackube.kubernetes.io/v1", "kind": "Port",
            "metadata": {"name": "u-1", "namespace": SYSTEM_NAMESPACE, "uid": "o-1"},
            "spec": {"holder": "Node", "podName": "n", "podUID": "u-1", "nodeName": "n",
                     "networkNamespace": SYSTEM_NAMESPACE, "networkName": SYSTEM_NAMESPACE},
            "status": {"portID": "n-1", "ip": "10.240.0.5", "prefixLength": 16, "mac": "fa:16:3e:00:00:05",
                       "gateway": "10.240.0.1", "mtu": 1442, "ready": true},
        })
    }

    fn only(port: Value) -> PortMap {
        let port: Port = serde_json::from_value(port).unwrap();
        let namespace = port.metadata.namespace.clone().unwrap();
        Some(BTreeMap::from([((namespace, "u-1".into()), Arc::new(port))]))
    }

    #[rstest]
    #[case::own(json!({}), true)]
    #[case::of_a_pod(json!({"holder": "Pod"}), false)]
    #[case::on_a_tenants_network(json!({"networkNamespace": "test"}), false)]
    fn the_nodes_own_port_is_on_the_system_network(#[case] change: Value, #[case] is_own: bool) {
        let mut port = node_port();
        port["spec"]
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        match own(&only(port)) {
            Own::Is(node, assignment) if is_own => {
                assert_eq!((node.name.as_str(), node.uid.as_str()), ("n", "u-1"));
                assert_eq!(
                    (node.namespace.as_str(), assignment.port_id.as_str()),
                    (SYSTEM_NAMESPACE, "n-1")
                );
            }
            found => assert!(!is_own && found == Own::Nothing, "{found:?}"),
        }
    }

    #[test]
    fn a_port_of_somebody_elses_namespace_is_not_the_nodes_own() {
        let mut port = node_port();
        port["metadata"]["namespace"] = json!("test");
        assert_eq!(own(&only(port)), Own::Nothing);
    }

    #[test]
    fn the_nodes_own_port_that_is_not_ready_is_waited_for() {
        assert!(matches!(own(&None), Own::Waiting(_)));
        let mut port = node_port();
        port["status"] = json!({"ready": false, "message": "network stackube-system is not active"});
        assert_eq!(
            own(&only(port)),
            Own::Waiting("network stackube-system is not active".into())
        );
        let mut going = node_port();
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(own(&only(going)), Own::Nothing);
    }

    #[test]
    fn no_pod_gets_the_nodes_own_port() {
        let port: Port = serde_json::from_value(node_port()).unwrap();
        let node = PodRef {
            namespace: SYSTEM_NAMESPACE.into(),
            name: "n".into(),
            uid: "u-1".into(),
        };
        let ports = Some(BTreeMap::from([(
            (SYSTEM_NAMESPACE.into(), "u-1".into()),
            Arc::new(port),
        )]));
        assert!(matches!(assignment(&ports, &node), Err(Unusable::Never(_))));
    }
}
