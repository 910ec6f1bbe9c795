//! All that is known of the cluster, and what a change in it touches.

mod wanted;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use stackube_api::Port;
use stackube_api::names::SYSTEM_NAMESPACE;

use super::{Backend, ObjectName, ServiceRecord, Slice, Viewpoint};

/// The Service of the API servers.
const KUBERNETES: (&str, &str) = ("default", "kubernetes");

/// What every network has.
#[derive(Clone, Debug)]
pub struct Platform {
    /// Where pods ask for names.
    pub dns: Ipv4Addr,
    /// The server that answers, on the host link.
    pub dns_server: Backend,
}

/// What has changed since it was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    /// Services of which anything changed.
    pub services: HashSet<ObjectName>,
    /// The networks that are here.
    pub networks: bool,
    /// DNS or the API servers.
    pub platform: bool,
    /// Where this node stands: each Service is affected.
    pub viewpoint: bool,
    /// Ranges of Services.
    pub ranges: bool,
}

/// Facts from the API server, as far as they matter.
#[derive(Clone, Debug)]
pub struct Cluster {
    platform: Platform,
    /// Services of the system network that every network has.
    shared: BTreeSet<ObjectName>,
    viewpoint: Viewpoint,
    /// Namespace -> namespace of its network; `None` while its label makes no sense.
    namespaces: BTreeMap<String, Option<String>>,
    /// Ports of this node -> namespace of the network, and the pod's address with the prefix length once it is known.
    ports: BTreeMap<ObjectName, (String, Option<Ipv4Net>)>,
    services: BTreeMap<ObjectName, ServiceRecord>,
    /// Service -> its slices by name.
    slices: HashMap<ObjectName, BTreeMap<String, Slice>>,
    /// Slice -> Service.
    owners: HashMap<ObjectName, ObjectName>,
    ranges: BTreeMap<String, Vec<Ipv4Net>>,
    dirty: Dirty,
}

impl Cluster {
    /// Nothing is known but where this node stands.
    pub fn new(platform: Platform, viewpoint: Viewpoint) -> Self {
        Self {
            platform,
            shared: BTreeSet::new(),
            viewpoint,
            namespaces: BTreeMap::new(),
            ports: BTreeMap::new(),
            services: BTreeMap::new(),
            slices: HashMap::new(),
            owners: HashMap::new(),
            ranges: BTreeMap::new(),
            dirty: Dirty {
                platform: true,
                ..Dirty::default()
            },
        }
    }

    /// The same with Services of the system network that every network has.
    #[must_use]
    pub fn sharing(self, shared: BTreeSet<ObjectName>) -> Self {
        Self { shared, ..self }
    }

    /// What has changed since the last call.
    pub fn take_dirty(&mut self) -> Dirty {
        std::mem::take(&mut self.dirty)
    }

    /// A Service is as given.
    pub fn service(&mut self, service: &Service) {
        let name = ObjectName::new(service.namespace().unwrap_or_default(), service.name_any());
        let record = ServiceRecord::read(service);
        if self.services.get(&name) != record.as_ref() {
            match record {
                Some(record) => self.services.insert(name.clone(), record),
                None => self.services.remove(&name),
            };
            self.touch(name);
        }
    }

    /// A Service is gone.
    pub fn service_gone(&mut self, name: &ObjectName) {
        if self.services.remove(name).is_some() {
            self.touch(name.clone());
        }
    }

    /// An EndpointSlice is as given.
    pub fn slice(&mut self, slice: &EndpointSlice) {
        let name = ObjectName::new(slice.namespace().unwrap_or_default(), slice.name_any());
        let Some(read) = Slice::read(slice, &self.viewpoint.node) else {
            return self.slice_gone(&name);
        };
        let service = read.service.clone();
        if let Some(before) = self.owners.insert(name.clone(), service.clone())
            && before != service
        {
            self.drop_slice(&before, &name.name);
        }
        let slices = self.slices.entry(service.clone()).or_default();
        if slices.get(&name.name) != Some(&read) {
            slices.insert(name.name, read);
            self.touch(service);
        }
    }

    /// An EndpointSlice is gone.
    pub fn slice_gone(&mut self, name: &ObjectName) {
        if let Some(service) = self.owners.remove(name) {
            self.drop_slice(&service, &name.name);
        }
    }

    /// The Service that an EndpointSlice belongs to, as far as is known.
    pub fn service_of_slice(&self, slice: &ObjectName) -> Option<&ObjectName> {
        self.owners.get(slice)
    }

    fn drop_slice(&mut self, service: &ObjectName, slice: &str) {
        if let Some(slices) = self.slices.get_mut(service) {
            slices.remove(slice);
            if slices.is_empty() {
                self.slices.remove(service);
            }
        }
        self.touch(service.clone());
    }

    /// A namespace exists; `tenant` is the value of its label.
    pub fn namespace(&mut self, name: &str, tenant: Option<&str>) {
        let network = match tenant {
            None => Some(SYSTEM_NAMESPACE.to_owned()),
            Some(tenant) if tenant == name => Some(name.to_owned()),
            Some(_) => None,
        };
        if self.namespaces.get(name) != Some(&network) {
            self.namespaces.insert(name.to_owned(), network);
            self.touch_namespace(name);
        }
    }

    /// A namespace is gone.
    pub fn namespace_gone(&mut self, name: &str) {
        if self.namespaces.remove(name).is_some() {
            self.touch_namespace(name);
        }
    }

    fn touch_namespace(&mut self, namespace: &str) {
        let names: Vec<_> = services_of(&self.services, namespace).cloned().collect();
        self.dirty.services.extend(names);
    }

    /// A Port of this node is as given.
    pub fn port(&mut self, port: &Port) {
        let name = ObjectName::new(port.namespace().unwrap_or_default(), port.name_any());
        let facts = (port.spec.network_namespace.clone(), pod_address(port));
        if self.ports.get(&name) != Some(&facts) {
            self.ports.insert(name, facts);
            self.dirty.networks = true;
        }
    }

    /// A Port of this node is gone.
    pub fn port_gone(&mut self, name: &ObjectName) {
        self.dirty.networks |= self.ports.remove(name).is_some();
    }

    /// The address of a Port's pod, as far as is known.
    pub fn address_of_port(&self, name: &ObjectName) -> Option<Ipv4Addr> {
        self.ports.get(name)?.1.map(|range| range.addr())
    }

    /// Whether another Port of its namespace has the address as well.
    pub fn is_address_of_another(&self, port: &ObjectName, address: Ipv4Addr) -> bool {
        let first = ObjectName::new(&port.namespace, "");
        let own = self.ports.range(first..);
        own.take_while(|(name, _)| name.namespace == port.namespace)
            .any(|(name, (_, range))| name != port && range.is_some_and(|range| range.addr() == address))
    }

    /// A ServiceCIDR is as given.
    pub fn service_range(&mut self, name: &str, cidrs: &[String]) {
        let ranges: Vec<Ipv4Net> = cidrs.iter().filter_map(|cidr| cidr.parse().ok()).collect();
        if self.ranges.get(name) != Some(&ranges) {
            self.ranges.insert(name.to_owned(), ranges);
            self.dirty.ranges = true;
        }
    }

    /// A ServiceCIDR is gone.
    pub fn service_range_gone(&mut self, name: &str) {
        self.dirty.ranges |= self.ranges.remove(name).is_some();
    }

    /// The zone of this node, by its label.
    pub fn zone(&mut self, zone: Option<&str>) {
        if self.viewpoint.zone.as_deref() != zone {
            self.viewpoint.zone = zone.map(str::to_owned);
            self.dirty.viewpoint = true;
        }
    }

    fn touch(&mut self, service: ObjectName) {
        self.dirty.platform |= (service.namespace.as_str(), service.name.as_str()) == KUBERNETES;
        self.dirty.services.insert(service);
    }

    /// Networks that have pods here, by the namespace that holds them, with the range of their pods.
    pub fn networks(&self) -> BTreeMap<String, Ipv4Net> {
        let known = self
            .ports
            .values()
            .filter_map(|(network, address)| Some((network.clone(), address.as_ref()?.trunc())));
        known.collect()
    }

    /// All ranges of Services.
    pub fn service_ranges(&self) -> BTreeSet<Ipv4Net> {
        self.ranges.values().flatten().copied().collect()
    }

    /// The network that the pods of a namespace use.
    pub fn network_of(&self, namespace: &str) -> Option<&str> {
        self.namespaces.get(namespace)?.as_deref()
    }

    /// Services whose pods use a network.
    pub fn services_in<'a>(&'a self, network: &'a str) -> impl Iterator<Item = &'a ObjectName> {
        let namespaces = self
            .namespaces
            .iter()
            .filter(move |(_, of)| of.as_deref() == Some(network));
        namespaces.flat_map(|(namespace, _)| services_of(&self.services, namespace))
    }

    /// Services that networks have besides their own, whether they exist or not.
    pub fn shared_services(&self) -> impl Iterator<Item = &ObjectName> {
        self.shared.iter()
    }

    /// How many Services of all networks are known.
    pub fn services_known(&self) -> usize {
        self.services.len()
    }

    fn slices_of(&self, service: &ObjectName) -> impl Iterator<Item = &Slice> {
        self.slices.get(service).into_iter().flat_map(BTreeMap::values)
    }
}

fn services_of<'a>(
    services: &'a BTreeMap<ObjectName, ServiceRecord>,
    namespace: &str,
) -> impl Iterator<Item = &'a ObjectName> + use<'a> {
    let first = ObjectName::new(namespace, "");
    let namespace = namespace.to_owned();
    services
        .range(first..)
        .map(|(name, _)| name)
        .take_while(move |name| name.namespace == namespace)
}

/// The pod's address with the prefix length of its network, once Neutron has given it one.
pub fn pod_address(port: &Port) -> Option<Ipv4Net> {
    let status = port.status.as_ref()?;
    let length = u8::try_from(status.prefix_length?).ok()?;
    Ipv4Net::new(status.ip.as_deref()?.parse().ok()?, length).ok()
}
