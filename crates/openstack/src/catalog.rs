//! The service catalog of a token.
//!
//! Own code beside `openstack_sdk_core::catalog::Catalog`: that one falls back to an endpoint of another interface when the
//! wanted one is missing, which must be an error here, and each copy carries the table of all service types, of which there
//! would be one per tenant. What is found is its [`ServiceEndpoint`], which builds request URLs.
//!
//! There is no version discovery: Keystone and Neutron each have one version of their API, so its segment is put into the
//! endpoint's URL (which may or may not have it) and a round trip is saved.

use openstack_sdk_core::catalog::ServiceEndpoint;
use serde::Deserialize;
use url::Url;

use crate::config::{Interface, with_version};
use crate::error::Error;
use crate::service::Service;

/// What a token may use, as Keystone lists it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Catalog(Vec<Entry>);

#[derive(Debug, Clone, Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    service_type: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, Deserialize)]
struct Endpoint {
    interface: String,
    region: Option<String>,
    region_id: Option<String>,
    url: String,
}

impl Endpoint {
    fn region(&self) -> Option<&str> {
        self.region_id.as_deref().or(self.region.as_deref())
    }
}

impl Catalog {
    /// The endpoint of `service` with exactly this interface, in this region or, if none is given, in the only region that
    /// has one.
    ///
    /// # Errors
    /// [`Error::NoEndpoint`] when there is none, several regions have one and none was chosen, or its URL is malformed.
    pub(crate) fn endpoint(
        &self,
        service: Service,
        region: Option<&str>,
        interface: Interface,
    ) -> Result<ServiceEndpoint, Error> {
        let offered: Vec<&Endpoint> = self
            .0
            .iter()
            .filter(|entry| entry.service_type == service.as_str())
            .flat_map(|entry| &entry.endpoints)
            .collect();
        let mut fitting = offered
            .iter()
            .filter(|endpoint| endpoint.interface == interface.as_str())
            .filter(|endpoint| region.is_none_or(|wanted| endpoint.region() == Some(wanted)));
        let found = fitting
            .next()
            .filter(|first| fitting.all(|other| other.region() == first.region()));
        found
            .and_then(|endpoint| request_base(service, &endpoint.url))
            .ok_or_else(|| Error::NoEndpoint {
                service,
                region: region.map(str::to_owned),
                interface,
                offers: offered
                    .iter()
                    .map(|endpoint| {
                        format!(
                            "{}/{} ({})",
                            endpoint.region().unwrap_or("-"),
                            endpoint.interface,
                            endpoint.url
                        )
                    })
                    .collect(),
            })
    }
}

/// The URL that the paths of `service` are relative to.
pub(crate) fn request_base(service: Service, url: &str) -> Option<ServiceEndpoint> {
    let mut url = Url::parse(url.trim()).ok()?;
    let usable = matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
    if !usable {
        return None;
    }
    url.set_path(&with_version(url.path(), service.version_segment()));
    url.set_query(None);
    url.set_fragment(None);
    Some(ServiceEndpoint::new(url, service.api_version()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn catalog() -> Catalog {
        let neutron = |region: &str, interface: &str| {
            json!({"id": "e", "interface": interface, "region": region, "region_id": region,
                   "url": format!("http://{region}.{interface}:9696")})
        };
        serde_json::from_value(json!([
            {"type": "identity", "name": "keystone", "id": "1", "endpoints": [
                {"interface": "public", "region": "one", "url": "http://one:5000/identity/v2.0"}]},
            {"type": "network", "endpoints": [
                neutron("one", "public"), neutron("one", "internal"), neutron("two", "public")]},
            {"type": "empty", "endpoints": []},
        ]))
        .unwrap()
    }

    fn url(service: Service, region: Option<&str>, interface: Interface) -> Result<String, Error> {
        catalog()
            .endpoint(service, region, interface)
            .map(|endpoint| endpoint.url_str().to_owned())
    }

    #[test]
    fn chooses_by_region_and_interface_and_adds_the_version() {
        let network = |region, interface| url(Service::Network, region, interface).unwrap();
        assert_eq!(network(Some("one"), Interface::Public), "http://one.public:9696/v2.0/");
        assert_eq!(network(Some("two"), Interface::Public), "http://two.public:9696/v2.0/");
        assert_eq!(network(None, Interface::Internal), "http://one.internal:9696/v2.0/");
        assert_eq!(
            url(Service::Identity, None, Interface::Public).unwrap(),
            "http://one:5000/identity/v3/"
        );
    }

    #[test]
    fn never_falls_back_to_another_interface_or_region() {
        for (region, interface) in [
            (Some("one"), Interface::Admin),
            (Some("three"), Interface::Public),
            (Some("two"), Interface::Internal),
        ] {
            let error = url(Service::Network, region, interface).unwrap_err();
            assert!(
                matches!(&error, Error::NoEndpoint { offers, .. } if offers.len() == 3),
                "{error:?}"
            );
        }
    }

    #[test]
    fn asks_for_a_region_when_there_are_several() {
        let error = url(Service::Network, None, Interface::Public).unwrap_err().to_string();
        assert!(
            error.contains("in region (any)") && error.contains("two/public"),
            "{error}"
        );
    }

    #[test]
    fn a_malformed_endpoint_is_an_error_that_shows_it() {
        for bad in ["", "neutron:9696", "ftp://x", "/networking"] {
            let catalog: Catalog = serde_json::from_value(
                json!([{"type": "network", "endpoints": [{"interface": "public", "region": "r", "url": bad}]}]),
            )
            .unwrap();
            assert!(
                catalog.endpoint(Service::Network, None, Interface::Public).is_err(),
                "{bad}"
            );
        }
    }
}
