//! The ranges that networks may have: what the operator configured, without what Kubernetes and OpenStack use themselves. Ranges of
//! Services and subnets of the external network can be added at any time, so these are looked at again and again.

use std::sync::{PoisonError, RwLock};

use ipnet::Ipv4Net;
use stackube_api::address::{AddressRules, ReservedRange};

/// What is reserved besides what is configured, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Ranges of Services.
    pub(crate) services: Vec<ReservedRange>,
    /// Subnets of the external network.
    pub(crate) external: Vec<ReservedRange>,
}

/// The rules as of now, for everyone who judges a range.
#[derive(Debug)]
pub(crate) struct Addresses {
    configured: AddressRules,
    system: Ipv4Net,
    found: RwLock<Found>,
}

impl Addresses {
    /// `system` is the range of the system network, which is among those that are reserved for tenants.
    pub(crate) fn new(configured: AddressRules, system: Ipv4Net, found: Found) -> Self {
        Self {
            configured,
            system,
            found: RwLock::new(found),
        }
    }

    /// For tenants' networks.
    pub(crate) fn of_tenants(&self) -> AddressRules {
        let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
        let mut rules = self.configured.clone();
        rules.reserved.extend(found.services.iter().cloned());
        rules.reserved.extend(found.external.iter().cloned());
        rules
    }

    /// For the system network: the same, but for its own range.
    pub(crate) fn of_system(&self) -> AddressRules {
        let mut rules = self.of_tenants();
        rules.reserved.retain(|range| range.range != self.system);
        rules
    }

    /// These are the ranges of Services now.
    pub(crate) fn set_services(&self, ranges: Vec<ReservedRange>) {
        self.found.write().unwrap_or_else(PoisonError::into_inner).services = ranges;
    }

    /// These are the subnets of the external network now.
    pub(crate) fn set_external(&self, ranges: Vec<ReservedRange>) {
        self.found.write().unwrap_or_else(PoisonError::into_inner).external = ranges;
    }
}

#[cfg(test)]
mod tests {
    use stackube_api::address::Subnet;

    use super::*;

    fn range(text: &str) -> ReservedRange {
        ReservedRange::new(text.parse().unwrap(), "a test")
    }

    #[test]
    fn what_is_found_later_is_reserved_from_then_on() {
        let mut configured = AddressRules::default();
        configured.reserved.push(range("10.240.0.0/16"));
        let found = Found {
            services: vec![range("10.96.0.0/12")],
            external: vec![range("172.24.4.0/24")],
        };
        let addresses = Addresses::new(configured, "10.240.0.0/16".parse().unwrap(), found);
        let allowed = |cidr: &str| {
            let allows = |rules| Subnet::new(cidr, None, &rules).is_ok();
            (allows(addresses.of_tenants()), allows(addresses.of_system()))
        };
        assert_eq!(allowed("10.240.0.0/16"), (false, true), "the system network's own");
        assert_eq!(allowed("10.96.0.0/16"), (false, false));
        assert_eq!(allowed("172.24.4.0/24"), (false, false));
        assert_eq!(allowed("10.50.0.0/16"), (true, true));
        addresses.set_services(vec![range("10.96.0.0/12"), range("10.50.0.0/16")]);
        assert_eq!(allowed("10.50.0.0/16"), (false, false));
        assert_eq!(allowed("172.24.4.0/24"), (false, false), "the others stay");
        addresses.set_external(vec![range("172.24.5.0/24")]);
        assert_eq!(allowed("172.24.4.0/24"), (true, true), "a subnet that is gone");
        assert_eq!(allowed("172.24.5.0/24"), (false, false));
    }
}
