//! A bpffs with the datapath's maps, and a cluster to program into them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::json;
use stackube_api::Port;
use stackube_datapath::abi::NetworkKey;
use stackube_datapath::{Mode, Programs, View};
use stackube_proxy::model::{Cluster, Desired, ObjectName, Platform, Update, Viewpoint};
use stackube_proxy::program::{Done, ProgramError, Programmer};

/// A mounted bpffs with all maps pinned in it, gone when dropped.
pub(crate) struct Pins {
    folder: tempfile::TempDir,
}

impl Pins {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "bpf", "bpf"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(mounted.success(), "cannot mount bpffs: these tests need root");
        let pins = Self { folder };
        Programs::load_or_open(pins.path(), Mode::Tcx).expect("the datapath should load");
        pins
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        // Nothing is left of the pins when the file system goes.
        let _ = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
    }
}

/// Tenants `t0`, `t1` ... with equal Services and endpoints, each with a pod on this node.
#[derive(Clone)]
pub(crate) struct Tenants {
    cluster: Cluster,
    desired: Desired,
}

impl Tenants {
    pub(crate) fn new(tenants: u64, services: u64, endpoints: u64) -> Self {
        let platform = Platform {
            dns: [10, 96, 0, 10].into(),
            dns_server: "169.254.77.1:53".parse().unwrap(),
        };
        let viewpoint = Viewpoint {
            node: "here".into(),
            zone: None,
        };
        let mut new = Self {
            cluster: Cluster::new(platform, viewpoint),
            desired: Desired::default(),
        };
        new.cluster.service_range("kubernetes", &["10.96.0.0/12".into()]);
        for tenant in 0..tenants {
            let name = format!("t{tenant}");
            new.cluster.namespace(&name, Some(&name));
            for service in 0..services {
                new.service(&name, service);
                new.endpoints(&name, service, endpoints);
            }
            new.arrive(&name);
        }
        new
    }

    pub(crate) fn arrive(&mut self, tenant: &str) {
        let port = json!({
            "apiVersion": "stackube.kubernetes.io/v1", "kind": "Port", "metadata": {"namespace": tenant, "name": "pod"},
            "spec": {"podName": "p", "podUID": "pod", "nodeName": "here", "networkNamespace": tenant, "networkName": tenant},
            "status": {"ip": "10.244.0.5", "prefixLength": 16, "ready": true},
        });
        let port: Port = serde_json::from_value(port).unwrap();
        self.cluster.port(&port);
    }

    pub(crate) fn leave(&mut self, tenant: &str) {
        self.cluster.port_gone(&ObjectName::new(tenant, "pod"));
    }

    pub(crate) fn service(&mut self, tenant: &str, service: u64) {
        let number: u64 = tenant[1..].parse().unwrap();
        let address = format!("10.{}.{}.{}", 97 + number, service / 250, service % 250 + 1);
        let service = json!({
            "metadata": {"namespace": tenant, "name": format!("s{service}")},
            "spec": {"clusterIP": address, "ports": [{"port": 80}]},
        });
        let service: Service = serde_json::from_value(service).unwrap();
        self.cluster.service(&service);
    }

    pub(crate) fn no_service(&mut self, tenant: &str, service: u64) {
        self.cluster
            .service_gone(&ObjectName::new(tenant, format!("s{service}")));
    }

    pub(crate) fn endpoints(&mut self, tenant: &str, service: u64, count: u64) {
        let endpoints: Vec<_> = (1..=count)
            .map(|n| json!({"addresses": [format!("10.244.{}.{n}", service % 250)]}))
            .collect();
        let slice = json!({
            "metadata": {"namespace": tenant, "name": format!("s{service}-x"), "labels": {"kubernetes.io/service-name": format!("s{service}")}},
            "addressType": "IPv4", "ports": [{"port": 8080, "protocol": "TCP"}], "endpoints": endpoints,
        });
        let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
        self.cluster.slice(&slice);
    }

    pub(crate) fn ranges(&self) -> BTreeSet<Ipv4Net> {
        self.cluster.service_ranges()
    }

    pub(crate) fn desired(&self) -> &Desired {
        &self.desired
    }

    pub(crate) fn sync(&mut self, programmer: &mut Programmer) -> Result<Done, ProgramError> {
        let dirty = self.cluster.take_dirty();
        let update: Update = self.desired.update(&self.cluster, &dirty);
        programmer.sync(&self.desired, update, &self.ranges())
    }

    /// Entries of a tenant's network as text.
    pub(crate) fn wanted(&self, tenant: &str) -> BTreeMap<String, String> {
        let entry = |vip: stackube_proxy::model::Vip| {
            let target = self.desired.get(tenant, &vip).unwrap();
            let backends: Vec<String> = target.backends.iter().map(ToString::to_string).collect();
            (vip.to_string(), format!("{} {}", target.host, backends.join(" ")))
        };
        self.desired.vips(tenant).into_iter().map(entry).collect()
    }
}

/// Entries of a tenant's network in the maps, as text.
pub(crate) fn shown(view: &View, tenant: &str) -> BTreeMap<String, String> {
    let entry = |(key, service): (stackube_datapath::ServiceKey, stackube_datapath::Service)| {
        let vip = stackube_proxy::model::Vip {
            address: key.vip,
            port: key.port,
            protocol: key.protocol,
        };
        let mut backends = service.backends;
        backends.sort_unstable();
        let backends: Vec<String> = backends.iter().map(ToString::to_string).collect();
        (vip.to_string(), format!("{} {}", service.host, backends.join(" ")))
    };
    view.services(NetworkKey::of(tenant))
        .unwrap()
        .into_iter()
        .map(entry)
        .collect()
}
