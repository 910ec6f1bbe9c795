//! What to do about a Port. Pure.

use kube::ResourceExt;
use stackube_api::names::{ADDRESS_REFUSED_ANNOTATION, CONTROLLER_FINALIZER, NODE_FINALIZER};
use stackube_api::{Port, PortStatus};

use super::dereference::{Facts, Net, Node, Target};

/// The next step for a Port.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plan {
    /// It is ready, or nobody needs us for it.
    Keep,
    /// Nobody needs it any more: delete it.
    Release,
    /// Find or make its Neutron port.
    Provide {
        /// Where.
        target: Box<Target>,
        /// On which host, by OVN's name for it.
        chassis: String,
    },
    /// The node will not have this address: take it back and choose another.
    GiveAnother {
        /// The address.
        refused: String,
    },
    /// A refusal of an address that the Port does not have (any more): remove the mark.
    DropRefusal,
    /// Nothing can be done before something else has happened.
    Wait {
        /// Stable reason.
        reason: &'static str,
        /// What is waited for.
        message: String,
    },
    /// Nobody is left to remove the node's finalizer.
    DisownNode,
    /// Delete what is in Neutron, then the finalizer.
    Remove,
    /// It is going away and not ours to hold.
    Nothing,
}

/// Reason while the node still has the sandbox.
pub(super) const TEARING_DOWN: &str = "TearingDown";

pub(super) fn plan(port: &Port, facts: &Facts) -> Plan {
    if port.metadata.deletion_timestamp.is_some() {
        return plan_deletion(port, facts);
    }
    if !facts.holder_is_live {
        return Plan::Release;
    }
    let status = port.status.clone().unwrap_or_default();
    let refused = port
        .annotations()
        .get(ADDRESS_REFUSED_ANNOTATION)
        .filter(|_| !facts.port_is_cleared);
    match refused {
        Some(refused) if status.ip.as_ref() == Some(refused) => {
            return Plan::GiveAnother {
                refused: refused.clone(),
            };
        }
        Some(_) => return Plan::DropRefusal,
        None => {}
    }
    if is_complete(&status) {
        Plan::Keep
    } else {
        plan_provision(port, facts)
    }
}

/// Whether a node can plug the pod in with what the status says.
pub(super) fn is_complete(status: &PortStatus) -> bool {
    let has_all = status.port_id.is_some()
        && status.ip.is_some()
        && status.prefix_length.is_some()
        && status.mac.is_some()
        && status.gateway.is_some()
        && status.mtu.is_some();
    status.ready && has_all
}

fn plan_provision(port: &Port, facts: &Facts) -> Plan {
    let wait = |reason, message| Plan::Wait { reason, message };
    let node = &port.spec.node_name;
    let target = match &facts.net {
        Net::Missing => {
            let (namespace, name) = (&port.spec.network_namespace, &port.spec.network_name);
            return wait(
                "NetworkNotReady",
                format!("network {namespace}/{name} does not exist yet"),
            );
        }
        Net::Unusable(why) => return wait("NetworkNotReady", why.clone()),
        Net::Active(target) => target.clone(),
    };
    match &facts.node {
        Node::Gone => wait("NodeGone", format!("node {node} does not exist")),
        Node::Unannounced => wait(
            "ChassisUnknown",
            format!("node {node} has not announced its OVN chassis: check that the kubestack daemon runs there"),
        ),
        Node::Chassis(chassis) => Plan::Provide {
            target,
            chassis: chassis.clone(),
        },
    }
}

/// A Node object that is gone cannot answer for its sandboxes, so its finalizer is removed for it. That is safe: deleting the
/// Neutron port takes the logical port away from OVN, so whatever still runs on that machine is cut off and cannot disturb the
/// next owner of the address; and if the machine joins again under the same name, its daemon refuses addresses that live
/// sandboxes have. A Node that is only NotReady is waited for, as Kubernetes itself does with its pods.
fn plan_deletion(port: &Port, facts: &Facts) -> Plan {
    let has = |finalizer: &str| port.finalizers().iter().any(|f| f == finalizer);
    if has(NODE_FINALIZER) {
        return match facts.node {
            Node::Gone => Plan::DisownNode,
            Node::Unannounced | Node::Chassis(_) => Plan::Wait {
                reason: TEARING_DOWN,
                message: format!("node {} has not taken the interface down yet", port.spec.node_name),
            },
        };
    }
    if has(CONTROLLER_FINALIZER) {
        Plan::Remove
    } else {
        Plan::Nothing
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};
    use stackube_api::address::{AddressRules, Subnet};

    use super::*;
    use crate::port::NetworkKey;

    fn target() -> Target {
        Target {
            key: NetworkKey {
                namespace: "test".into(),
                name: "test".into(),
            },
            project: "project".parse().unwrap(),
            network: "network".parse().unwrap(),
            subnet: "subnet".parse().unwrap(),
            group: "group".parse().unwrap(),
            range: Subnet::new("10.244.0.0/16", None, &AddressRules::default()).unwrap(),
            mtu: 1442,
        }
    }

    fn good() -> Facts {
        Facts {
            holder_is_live: true,
            node: Node::Chassis("n1.example".into()),
            net: Net::Active(Box::new(target())),
            assigned: None,
            port_is_cleared: false,
        }
    }

    fn provide() -> Plan {
        Plan::Provide {
            target: Box::new(target()),
            chassis: "n1.example".into(),
        }
    }

    fn port(metadata: &Value, status: &Value) -> Port {
        let mut port = json!({
            "apiVersion": "stackube.kubernetes.io/v1", "kind": "Port",
            "metadata": {"name": "u-1", "namespace": "test", "finalizers": [CONTROLLER_FINALIZER, NODE_FINALIZER]},
            "spec": {"podName": "web-0", "podUID": "u-1", "nodeName": "n1", "networkNamespace": "test",
                "networkName": "test"},
            "status": status,
        });
        for (name, value) in metadata.as_object().unwrap() {
            port["metadata"][name] = value.clone();
        }
        serde_json::from_value(port).unwrap()
    }

    fn ready() -> Value {
        json!({"portID": "p", "ip": "10.244.0.7", "prefixLength": 16, "mac": "fa:16:3e:00:00:01", "gateway": "10.244.0.1",
            "mtu": 1442, "ready": true})
    }

    fn deleting(finalizers: &[&str]) -> Value {
        json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers})
    }

    fn refusal(ip: &str) -> Value {
        json!({"annotations": {ADDRESS_REFUSED_ANNOTATION: ip}})
    }

    fn gone() -> Facts {
        Facts {
            holder_is_live: false,
            node: Node::Gone,
            net: Net::Missing,
            ..good()
        }
    }

    #[rstest]
    #[case::new(json!({}), json!(null), good(), provide())]
    #[case::explained(json!({}), json!({"message": "waiting"}), good(), provide())]
    #[case::ready(json!({}), ready(), good(), Plan::Keep)]
    #[case::ready_stays_while_all_else_fails(json!({}), ready(), Facts { holder_is_live: true, ..gone() }, Plan::Keep)]
    #[case::refused(refusal("10.244.0.7"), ready(), good(), Plan::GiveAnother { refused: "10.244.0.7".into() })]
    #[case::refused_but_just_cleared(
        refusal("10.244.0.7"), json!(null), Facts { port_is_cleared: true, ..good() }, provide()
    )]
    #[case::refused_something_else(refusal("10.244.0.8"), ready(), good(), Plan::DropRefusal)]
    #[case::refused_nothing(refusal("10.244.0.8"), json!(null), good(), Plan::DropRefusal)]
    #[case::pod_gone(json!({}), ready(), gone(), Plan::Release)]
    #[case::pod_gone_before_it_was_ready(json!({}), json!(null), gone(), Plan::Release)]
    #[case::deleted_but_plugged_in(deleting(&[CONTROLLER_FINALIZER, NODE_FINALIZER]), ready(), good(),
        Plan::Wait { reason: TEARING_DOWN, message: "node n1 has not taken the interface down yet".into() })]
    #[case::deleted_refused_and_plugged_in(
        json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [CONTROLLER_FINALIZER, NODE_FINALIZER],
            "annotations": {ADDRESS_REFUSED_ANNOTATION: "10.244.0.7"}}), ready(), good(),
        Plan::Wait { reason: TEARING_DOWN, message: "node n1 has not taken the interface down yet".into() })]
    #[case::deleted_on_a_node_that_is_gone(
        deleting(&[CONTROLLER_FINALIZER, NODE_FINALIZER]), ready(), gone(), Plan::DisownNode
    )]
    #[case::deleted_and_torn_down(deleting(&[CONTROLLER_FINALIZER]), ready(), good(), Plan::Remove)]
    #[case::deleted_and_held_by_others(deleting(&["example.org/other"]), ready(), good(), Plan::Nothing)]
    fn plans(#[case] metadata: Value, #[case] status: Value, #[case] facts: Facts, #[case] expected: Plan) {
        assert_eq!(plan(&port(&metadata, &status), &facts), expected);
    }

    #[rstest]
    #[case::no_network(Facts { net: Net::Missing, ..good() }, "NetworkNotReady", "test/test does not exist")]
    #[case::network_pending(Facts { net: Net::Unusable("not yet".into()), ..good() }, "NetworkNotReady", "not yet")]
    #[case::no_node(Facts { node: Node::Gone, ..good() }, "NodeGone", "node n1")]
    #[case::no_daemon(Facts { node: Node::Unannounced, ..good() }, "ChassisUnknown", "kubestack daemon")]
    fn waits(#[case] facts: Facts, #[case] expected: &str, #[case] part: &str) {
        let Plan::Wait { reason, message } = plan(&port(&json!({}), &json!(null)), &facts) else {
            panic!("does not wait");
        };
        assert_eq!(reason, expected);
        assert!(message.contains(part), "{message}");
    }

    #[rstest]
    #[case("portID")]
    #[case("ip")]
    #[case("prefixLength")]
    #[case("mac")]
    #[case("gateway")]
    #[case("mtu")]
    #[case("ready")]
    fn a_status_without_any_part_is_not_ready(#[case] part: &str) {
        let mut status = ready();
        status.as_object_mut().unwrap().remove(part);
        assert_eq!(plan(&port(&json!({}), &status), &good()), provide());
    }
}
