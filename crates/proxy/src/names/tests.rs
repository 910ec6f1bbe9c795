use serde_json::json;

use super::*;
use crate::model::{Platform, Viewpoint};

/// A node's knowledge and the names, fed as the worker does it.
struct Fed {
    cluster: Cluster,
    store: dns::Store,
}

impl Fed {
    fn new() -> Self {
        let platform = Platform {
            dns: [10, 96, 0, 10].into(),
            dns_server: "169.254.77.1:53".parse().unwrap(),
        };
        let store = dns::Store::default();
        store.set_namespace("shop", NetworkKey::of("shop").0, "shop");
        Self {
            cluster: Cluster::new(platform, Viewpoint::default()),
            store,
        }
    }

    fn port(&mut self, name: &str, status: &serde_json::Value) {
        let object = json!({
            "apiVersion": "stackube.kubernetes.io/v1", "kind": "Port", "metadata": {"namespace": "shop", "name": name},
            "spec": {"podName": name, "podUID": name, "nodeName": "here", "networkNamespace": "shop", "networkName": "shop"},
            "status": status,
        });
        let port: stackube_api::Port = serde_json::from_value(object).unwrap();
        feed(
            &self.store,
            &self.cluster,
            &Change::Is(Object::Port(Box::new(port.clone()))),
        );
        self.cluster.port(&port);
    }

    fn gone(&mut self, name: &str) {
        let name = ObjectName::new("shop", name);
        feed(&self.store, &self.cluster, &Change::Gone(Kind::Port, name.clone()));
        self.cluster.port_gone(&name);
    }

    /// The last numbers of the addresses below 10.0.0.10 that have a pod's name.
    fn named(&self) -> Vec<u8> {
        let has = |last: &u8| self.store.has_pod("shop", [10, 0, 0, *last].into());
        (1..10).filter(has).collect()
    }
}

fn at(last: u8) -> serde_json::Value {
    json!({"ip": format!("10.0.0.{last}"), "prefixLength": 16, "ready": true})
}

#[test]
fn an_address_that_a_pod_has_no_more_has_no_name() {
    let mut fed = Fed::new();
    fed.port("a", &at(1));
    assert_eq!(fed.named(), [1]);
    fed.port("a", &at(2));
    assert_eq!(fed.named(), [2], "the controller gave the pod another address");
    fed.port("a", &json!({"ready": false, "message": "the address is refused"}));
    assert_eq!(fed.named(), [0; 0]);
    fed.port("a", &at(3));
    fed.gone("a");
    assert_eq!(fed.named(), [0; 0]);
}

#[test]
fn an_address_that_has_its_next_pod_keeps_its_name() {
    let mut fed = Fed::new();
    fed.port("old", &at(1));
    fed.port("new", &at(1));
    fed.gone("old");
    assert_eq!(fed.named(), [1]);
    fed.port("newer", &at(1));
    fed.port("new", &at(2));
    assert_eq!(fed.named(), [1, 2]);
    fed.gone("newer");
    assert_eq!(fed.named(), [2]);
}
