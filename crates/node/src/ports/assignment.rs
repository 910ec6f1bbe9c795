//! From a Port to what the daemon plugs in.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use stackube_api::{Port, PortHolder};

use super::PortMap;
use crate::link::PodInterface;
use crate::protocol::PodRef;

/// What a ready Port says: one consistent reading of one version of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// UID of the Port object: a Port of the same name that was made anew is another.
    pub object_uid: String,
    /// Who is plugged in.
    pub holder: PortHolder,
    /// Namespace of the Network: whose services the pod sees.
    pub network: String,
    /// Neutron port, the `iface-id`.
    pub port_id: String,
    /// MAC address.
    pub mac: [u8; 6],
    /// Address with the subnet's prefix length.
    pub address: Ipv4Net,
    /// Next hop of the default route.
    pub gateway: Ipv4Addr,
    /// MTU in bytes.
    pub mtu: u32,
}

impl Assignment {
    /// The pod's interface under the name that the runtime asks for.
    pub fn interface(&self, name: &str) -> PodInterface {
        PodInterface {
            name: name.to_owned(),
            mac: self.mac,
            mtu: self.mtu,
            address: self.address,
            gateway: self.gateway,
        }
    }

    /// The MAC address as Neutron and OVN write it.
    pub fn mac_text(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }
}

/// Why a pod cannot be plugged in (yet), as a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It may become usable.
    Waiting(String),
    /// It will not.
    Never(String),
}

/// The assignment for a pod.
///
/// # Errors
/// [`Unusable`] with the reason.
pub fn assignment(ports: &PortMap, pod: &PodRef) -> Result<Assignment, Unusable> {
    let Some(ports) = ports else {
        return Err(Unusable::Waiting(
            "the node daemon has not got the list of Ports from the API server yet".into(),
        ));
    };
    let Some(port) = ports.get(&(pod.namespace.clone(), pod.uid.clone())) else {
        return Err(Unusable::Waiting(
            "the controller has not made a Port for this pod: look at its Events and at the log of \
             stackube-controller (static pods get none: they must use hostNetwork)"
                .into(),
        ));
    };
    if port.metadata.deletion_timestamp.is_some() {
        return Err(Unusable::Never("the pod's Port is being deleted".into()));
    }
    let is_pods = port.spec.holder == PortHolder::Pod;
    if !is_pods || port.spec.pod_uid != pod.uid || port.spec.pod_name != pod.name {
        return Err(Unusable::Never(format!("Port {} is not for pod {}", pod.uid, pod.name)));
    }
    ready(port).map_err(Unusable::Waiting)
}

/// What a Port says, or why it says nothing yet.
pub(super) fn ready(port: &Port) -> Result<Assignment, String> {
    let status = port.status.as_ref().filter(|status| status.ready).ok_or_else(|| {
        let message = port.status.as_ref().and_then(|s| s.message.clone());
        message.unwrap_or_else(|| "the controller has not made the Neutron port yet".into())
    })?;
    read(port, status).ok_or_else(|| format!("the status of Port {} is not usable", port.spec.pod_uid))
}

fn read(port: &Port, status: &stackube_api::PortStatus) -> Option<Assignment> {
    let prefix_length = u8::try_from(status.prefix_length?).ok()?;
    let address = Ipv4Net::new(status.ip.as_deref()?.parse().ok()?, prefix_length).ok()?;
    let gateway: Ipv4Addr = status.gateway.as_deref()?.parse().ok()?;
    let mtu = u32::try_from(status.mtu?).ok()?;
    let assignment = Assignment {
        object_uid: port.metadata.uid.clone()?,
        holder: port.spec.holder,
        network: port.spec.network_namespace.clone(),
        port_id: status.port_id.clone().filter(|id| !id.is_empty())?,
        mac: mac(status.mac.as_deref()?)?,
        address,
        gateway,
        mtu,
    };
    (address.contains(&gateway) && gateway != address.addr() && (68..=65535).contains(&mtu)).then_some(assignment)
}

/// Reads `aa:bb:cc:dd:ee:ff`, a unicast address.
fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Vec<u8> = text
        .split(':')
        .map(|part| {
            if part.len() == 2 {
                u8::from_str_radix(part, 16).ok()
            } else {
                None
            }
        })
        .collect::<Option<_>>()?;
    let mac: [u8; 6] = bytes.try_into().ok()?;
    (mac[0] & 1 == 0 && mac != [0; 6]).then_some(mac)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn pod() -> PodRef {
        PodRef {
            namespace: "test".into(),
            name: "web".into(),
            uid: "u-1".into(),
        }
    }

    fn ready() -> Value {
        json!({
            "apiVersion": "stackube.kubernetes.io/v1", "kind": "Port",
            "metadata": {"name": "u-1", "namespace": "test", "uid": "o-1"},
            "spec": {"podName": "web", "podUID": "u-1", "nodeName": "n", "networkNamespace": "test", "networkName": "test"},
            "status": {"portID": "n-1", "ip": "10.244.0.5", "prefixLength": 16, "mac": "fa:16:3e:00:00:05",
                       "gateway": "10.244.0.1", "mtu": 1442, "ready": true},
        })
    }

    fn of(port: Value) -> Result<Assignment, Unusable> {
        let port: Port = serde_json::from_value(port).unwrap();
        assignment(
            &Some(BTreeMap::from([(("test".into(), "u-1".into()), Arc::new(port))])),
            &pod(),
        )
    }

    #[test]
    fn a_ready_port_is_read_whole() {
        let assignment = of(ready()).unwrap();
        assert_eq!(assignment.address, "10.244.0.5/16".parse().unwrap());
        assert_eq!(assignment.mac_text(), "fa:16:3e:00:00:05");
        assert_eq!((assignment.port_id.as_str(), assignment.mtu), ("n-1", 1442));
    }

    #[rstest]
    #[case("/status/portID", json!(""))]
    #[case("/status/ip", json!("10.244.0.500"))]
    #[case("/status/ip", json!("fd00::1"))]
    #[case("/status/prefixLength", json!(33))]
    #[case("/status/prefixLength", json!(-1))]
    #[case("/status/mac", json!("fa:16:3e:00:00"))]
    #[case("/status/mac", json!("01:16:3e:00:00:05"))]
    #[case("/status/mac", json!("fa:16:3e:0:0:5"))]
    #[case("/status/gateway", json!("10.245.0.1"))]
    #[case("/status/gateway", json!("10.244.0.5"))]
    #[case("/status/mtu", json!(20))]
    fn a_port_that_makes_no_sense_is_not_plugged(#[case] field: &str, #[case] value: Value) {
        let mut port = ready();
        *port.pointer_mut(field).unwrap() = value;
        assert!(matches!(of(port), Err(Unusable::Waiting(m)) if m.contains("not usable")));
    }

    #[test]
    fn the_controllers_message_is_the_reason() {
        let mut port = ready();
        port["status"] = json!({"ready": false, "message": "Neutron is not reachable"});
        assert_eq!(of(port), Err(Unusable::Waiting("Neutron is not reachable".into())));
    }

    #[test]
    fn no_port_hints_at_static_pods() {
        let reason = assignment(&Some(BTreeMap::new()), &pod()).unwrap_err();
        assert!(matches!(reason, Unusable::Waiting(m) if m.contains("hostNetwork")));
        assert!(matches!(assignment(&None, &pod()), Err(Unusable::Waiting(_))));
    }

    #[test]
    fn ports_that_go_or_belong_to_others_are_final() {
        let mut going = ready();
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert!(matches!(of(going), Err(Unusable::Never(_))));
        let mut foreign = ready();
        foreign["spec"]["podName"] = json!("other");
        assert!(matches!(of(foreign), Err(Unusable::Never(_))));
    }
}
