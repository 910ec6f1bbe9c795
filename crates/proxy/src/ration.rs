//! How much of the API server's objects one namespace may have in this node's memory, so that no tenant takes that of the others: every
//! node keeps the names and endpoints of all of them. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::ResourceExt;

use crate::model::ObjectName;
use crate::watch::{Change, Kind, Object};

/// Parts that a namespace may have, unless the operator says otherwise. A part is a Service or EndpointSlice, a port or endpoint in one, or a zone that an endpoint is meant
/// for; it takes some hundred bytes. A tenant has one namespace.
pub const LIMIT: usize = 1 << 15;

/// Who has how much.
#[derive(Debug)]
pub struct Ration {
    limit: usize,
    used: HashMap<String, usize>,
    objects: HashMap<(Kind, ObjectName), Parts>,
    left_out: BTreeMap<String, usize>,
}

/// Parts of an object.
#[derive(Clone, Copy, Debug)]
struct Parts {
    kept: usize,
    left_out: usize,
}

impl Ration {
    /// Nobody has anything yet; each namespace may have `limit` parts.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            used: HashMap::new(),
            objects: HashMap::new(),
            left_out: BTreeMap::new(),
        }
    }

    /// The change, without what goes beyond the namespace's ration; an object of which nothing is left is gone.
    pub fn admit(&mut self, change: Change) -> Change {
        match change {
            Change::Is(Object::Service(mut service)) => {
                let name = ObjectName::new(service.namespace().unwrap_or_default(), service.name_any());
                let wanted = parts_of_service(&service);
                match self.take(Kind::Service, name, wanted) {
                    Ok(room) if room < wanted => {
                        trim_service(Arc::make_mut(&mut service), room);
                        Change::Is(Object::Service(service))
                    }
                    Ok(_) => Change::Is(Object::Service(service)),
                    Err(name) => Change::Gone(Kind::Service, name),
                }
            }
            Change::Is(Object::EndpointSlice(mut slice)) => {
                let name = ObjectName::new(slice.namespace().unwrap_or_default(), slice.name_any());
                let wanted = parts_of_slice(&slice);
                match self.take(Kind::EndpointSlice, name, wanted) {
                    Ok(room) if room < wanted => {
                        trim_slice(Arc::make_mut(&mut slice), room);
                        Change::Is(Object::EndpointSlice(slice))
                    }
                    Ok(_) => Change::Is(Object::EndpointSlice(slice)),
                    Err(name) => Change::Gone(Kind::EndpointSlice, name),
                }
            }
            Change::Gone(kind @ (Kind::Service | Kind::EndpointSlice), name) => {
                self.give_back(kind, &name);
                Change::Gone(kind, name)
            }
            other => other,
        }
    }

    /// Parts that are left out, by namespace; only those that lack any.
    pub fn left_out(&self) -> &BTreeMap<String, usize> {
        &self.left_out
    }

    /// How many of `wanted` parts the object may have instead of what it had; the name again if that is none.
    fn take(&mut self, kind: Kind, name: ObjectName, wanted: usize) -> Result<usize, ObjectName> {
        self.give_back(kind, &name);
        let used = self.used.entry(name.namespace.clone()).or_default();
        let kept = wanted.min(self.limit.saturating_sub(*used));
        *used += kept;
        let parts = Parts {
            kept,
            left_out: wanted - kept,
        };
        if parts.left_out > 0 {
            *self.left_out.entry(name.namespace.clone()).or_default() += parts.left_out;
        }
        self.objects.insert((kind, name.clone()), parts);
        if kept == 0 { Err(name) } else { Ok(kept) }
    }

    fn give_back(&mut self, kind: Kind, name: &ObjectName) {
        let Some(parts) = self.objects.remove(&(kind, name.clone())) else {
            return;
        };
        if let Some(used) = self.used.get_mut(&name.namespace) {
            *used = used.saturating_sub(parts.kept);
            if *used == 0 {
                self.used.remove(&name.namespace);
            }
        }
        if let Some(left_out) = self.left_out.get_mut(&name.namespace) {
            *left_out = left_out.saturating_sub(parts.left_out);
            if *left_out == 0 {
                self.left_out.remove(&name.namespace);
            }
        }
    }
}

fn parts_of_service(service: &Service) -> usize {
    let spec = service.spec.as_ref();
    1 + spec.and_then(|spec| spec.ports.as_ref()).map_or(0, Vec::len)
}

fn parts_of_slice(slice: &EndpointSlice) -> usize {
    let endpoints = slice.endpoints.iter().flatten().map(parts_of_endpoint);
    1 + endpoints.sum::<usize>() + slice.ports.as_ref().map_or(0, Vec::len)
}

fn parts_of_endpoint(endpoint: &Endpoint) -> usize {
    let hints = endpoint.hints.as_ref();
    1 + hints.and_then(|hints| hints.for_zones.as_ref()).map_or(0, Vec::len)
}

/// Leaves `room` parts, at least 1.
fn trim_service(service: &mut Service, room: usize) {
    if let Some(ports) = service.spec.as_mut().and_then(|spec| spec.ports.as_mut()) {
        ports.truncate(room - 1);
        ports.shrink_to_fit();
    }
}

/// Leaves `room` parts, at least 1: endpoints, and with what is left then, ports.
fn trim_slice(slice: &mut EndpointSlice, room: usize) {
    let mut room = room - 1;
    if let Some(endpoints) = &mut slice.endpoints {
        let fits = endpoints.iter().take_while(|endpoint| {
            let left = room.checked_sub(parts_of_endpoint(endpoint));
            room = left.unwrap_or(room);
            left.is_some()
        });
        let fits = fits.count();
        endpoints.truncate(fits);
    }
    if let Some(ports) = &mut slice.ports {
        ports.truncate(room);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(namespace: &str, ports: u16) -> Change {
        let ports: Vec<_> = (1..=ports)
            .map(|port| json!({"name": format!("p{port}"), "port": port}))
            .collect();
        let object = json!({"metadata": {"namespace": namespace, "name": "web"}, "spec": {"ports": ports}});
        Change::Is(Object::Service(Arc::new(serde_json::from_value(object).unwrap())))
    }

    fn slice(namespace: &str, name: &str, endpoints: u8, ports: u16) -> Change {
        let endpoints: Vec<_> = (0..endpoints)
            .map(|last| json!({"addresses": [format!("10.0.0.{last}")], "hints": {"forZones": [{"name": "z"}]}}))
            .collect();
        let ports: Vec<_> = (1..=ports).map(|port| json!({"port": port})).collect();
        let object = json!({"metadata": {"namespace": namespace, "name": name}, "addressType": "IPv4",
            "endpoints": endpoints, "ports": ports});
        Change::Is(Object::EndpointSlice(Arc::new(serde_json::from_value(object).unwrap())))
    }

    /// Ports of a Service, or endpoints and ports of a slice; nothing if it is gone.
    fn size(change: &Change) -> Option<(usize, usize)> {
        match change {
            Change::Is(Object::Service(service)) => Some((0, parts_of_service(service) - 1)),
            Change::Is(Object::EndpointSlice(slice)) => {
                let ports = slice.ports.as_ref().map_or(0, Vec::len);
                Some((slice.endpoints.as_ref().map_or(0, Vec::len), ports))
            }
            Change::Gone(..) => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_namespace_has_its_ration_and_no_more() {
        let mut ration = Ration::new(20);
        let mut admit = |change| (size(&ration.admit(change)), ration.left_out().clone());
        let none = BTreeMap::new();
        assert_eq!(admit(service("a", 4)), (Some((0, 4)), none.clone()));
        // 1 for itself and 2 for each endpoint: 3 ports fit beside 5 of them.
        let crowded = BTreeMap::from([("a".to_owned(), 5)]);
        assert_eq!(admit(slice("a", "s1", 5, 9)), (Some((5, 4)), crowded));
        let crowded = BTreeMap::from([("a".to_owned(), 5 + 3)]);
        assert_eq!(admit(slice("a", "s2", 1, 0)), (None, crowded.clone()));
        // Another namespace has a ration of its own.
        assert_eq!(admit(slice("b", "s1", 5, 9)), (Some((5, 9)), crowded));
        // What an object had before is not counted against it, and what is gone leaves room.
        let crowded = BTreeMap::from([("a".to_owned(), 3)]);
        assert_eq!(admit(slice("a", "s1", 5, 4)), (Some((5, 4)), crowded.clone()));
        let gone = Change::Gone(Kind::EndpointSlice, ObjectName::new("a", "s1"));
        assert_eq!(admit(gone), (None, crowded));
        assert_eq!(admit(slice("a", "s2", 1, 0)), (Some((1, 0)), none));
    }

    #[test]
    fn nothing_is_kept_of_who_has_nothing() {
        let mut ration = Ration::new(2);
        for name in ["s1", "s2", "s3"] {
            ration.admit(slice("a", name, 3, 3));
        }
        for name in ["s1", "s2", "s3"] {
            ration.admit(Change::Gone(Kind::EndpointSlice, ObjectName::new("a", name)));
        }
        assert!(
            ration.used.is_empty() && ration.objects.is_empty() && ration.left_out.is_empty(),
            "{ration:?}"
        );
    }
}
