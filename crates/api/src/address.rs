//! Rules about pod addresses: which ranges a network may have, and which address a pod gets.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use thiserror::Error;

/// Why a range cannot be a tenant's network. The texts are shown in conditions and Events.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    /// Not `a.b.c.d/n`.
    #[error("cidr {0:?} is not an IPv4 range in CIDR notation: write it like 10.244.0.0/16 (IPv6 is not supported)")]
    BadCidr(String),
    /// `10.244.0.5/16` instead of `10.244.0.0/16`.
    #[error("cidr {cidr} has host bits set: write {network}")]
    HostBits {
        /// As given.
        cidr: Ipv4Net,
        /// What was probably meant.
        network: Ipv4Net,
    },
    /// Fewer addresses than the configured minimum.
    #[error("cidr {cidr} is too small: the longest prefix allowed is /{longest}")]
    TooSmall {
        /// As given.
        cidr: Ipv4Net,
        /// Longest prefix that the operator allows.
        longest: u8,
    },
    /// More addresses than any network needs, and certain to cover something reserved.
    #[error("cidr {0} is too large: the shortest prefix allowed is /8")]
    TooLarge(Ipv4Net),
    /// Overlaps a range that pods must not use.
    #[error("cidr {cidr} overlaps {reserved}, which is reserved ({purpose}): choose another range")]
    Reserved {
        /// As given.
        cidr: Ipv4Net,
        /// The reserved range.
        reserved: Ipv4Net,
        /// What it is reserved for.
        purpose: String,
    },
    /// Not an IPv4 address.
    #[error("gateway {0:?} is not an IPv4 address")]
    BadGateway(String),
    /// Outside of the range.
    #[error("gateway {gateway} is outside of {cidr}")]
    GatewayOutside {
        /// As given.
        gateway: Ipv4Addr,
        /// As given.
        cidr: Ipv4Net,
    },
    /// The first or last address of the range.
    #[error("gateway {gateway} is the network or broadcast address of {cidr}: choose another address in it")]
    GatewayNotHost {
        /// As given.
        gateway: Ipv4Addr,
        /// As given.
        cidr: Ipv4Net,
    },
}

/// A range that pods must not use, with its purpose for the error message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservedRange {
    /// The range.
    pub range: Ipv4Net,
    /// Why it is reserved, like "service addresses".
    pub purpose: String,
}

impl ReservedRange {
    /// Reserves `range` for `purpose`.
    pub fn new(range: Ipv4Net, purpose: impl Into<String>) -> Self {
        Self {
            range,
            purpose: purpose.into(),
        }
    }

    /// Ranges that no IPv4 host may have, whatever the configuration: this network, loopback, link-local (Stackube's
    /// host link lives there), multicast and the rest of class E (RFC 6890 section 2.2.2).
    pub fn always() -> Vec<Self> {
        [
            (Ipv4Addr::UNSPECIFIED, 8, "this network"),
            (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
            (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local addresses"),
            (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
            (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved by the IETF"),
        ]
        .into_iter()
        .map(|(address, length, purpose)| Self::new(Ipv4Net::new_assert(address, length), purpose))
        .collect()
    }
}

/// What an operator allows as a tenant's range.
#[derive(Clone, Debug)]
pub struct AddressRules {
    /// Longest prefix allowed, 8 to 28. Addresses are unique on a node, so tenants with tiny ranges would starve each
    /// other; the default is 24.
    pub longest_prefix: u8,
    /// Ranges that are refused.
    pub reserved: Vec<ReservedRange>,
}

impl Default for AddressRules {
    fn default() -> Self {
        Self {
            longest_prefix: 24,
            reserved: ReservedRange::always(),
        }
    }
}

/// A pod range with the address of its router: checked, so that the steps after it need not look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subnet {
    range: Ipv4Net,
    gateway: Ipv4Addr,
}

impl Subnet {
    /// Checks a range and its gateway; without a gateway it is the first address.
    ///
    /// # Errors
    /// [`AddressError`] says which rule is broken and what would be right.
    pub fn new(cidr: &str, gateway: Option<&str>, rules: &AddressRules) -> Result<Self, AddressError> {
        let range: Ipv4Net = cidr.parse().map_err(|_| AddressError::BadCidr(cidr.to_owned()))?;
        if range != range.trunc() {
            return Err(AddressError::HostBits {
                cidr: range,
                network: range.trunc(),
            });
        }
        if range.prefix_len() < 8 {
            return Err(AddressError::TooLarge(range));
        }
        if range.prefix_len() > rules.longest_prefix {
            return Err(AddressError::TooSmall {
                cidr: range,
                longest: rules.longest_prefix,
            });
        }
        if let Some(hit) = rules.reserved.iter().find(|r| overlap(r.range, range)) {
            return Err(AddressError::Reserved {
                cidr: range,
                reserved: hit.range,
                purpose: hit.purpose.clone(),
            });
        }
        let gateway = match gateway {
            None => Ipv4Addr::from(u32::from(range.network()).saturating_add(1)),
            Some(text) => text.parse().map_err(|_| AddressError::BadGateway(text.to_owned()))?,
        };
        if !range.contains(&gateway) {
            return Err(AddressError::GatewayOutside { gateway, cidr: range });
        }
        if gateway == range.network() || gateway == range.broadcast() {
            return Err(AddressError::GatewayNotHost { gateway, cidr: range });
        }
        Ok(Self { range, gateway })
    }

    /// The range.
    pub fn range(&self) -> Ipv4Net {
        self.range
    }

    /// Address of the router.
    pub fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }

    /// Picks a free address: the first one from a random starting point (`random`, any value) that is neither the
    /// network, broadcast or gateway address nor `taken`. `None` when all are taken.
    ///
    /// Starting at random keeps tenants with equal ranges from always competing for the same low addresses of a node.
    pub fn choose(&self, random: u32, taken: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
        let first = u32::from(self.range.network()).saturating_add(1);
        let hosts = u32::from(self.range.broadcast()).saturating_sub(first);
        (0..hosts)
            .map(|step| Ipv4Addr::from(first + ((u64::from(random) + u64::from(step)) % u64::from(hosts)) as u32))
            .find(|address| *address != self.gateway && !taken(*address))
    }
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn rules() -> AddressRules {
        let mut rules = AddressRules::default();
        rules
            .reserved
            .push(ReservedRange::new("10.96.0.0/12".parse().unwrap(), "service addresses"));
        rules
    }

    #[rstest]
    #[case("10.244.0.0/16", None, "10.244.0.1")]
    #[case("10.244.0.0/16", Some("10.244.255.254"), "10.244.255.254")]
    #[case("192.168.7.0/24", None, "192.168.7.1")]
    fn accepts(#[case] cidr: &str, #[case] gateway: Option<&str>, #[case] expected: &str) {
        let subnet = Subnet::new(cidr, gateway, &rules()).unwrap();
        assert_eq!(subnet.gateway().to_string(), expected);
    }

    #[rstest]
    #[case("fd00::/64", None, "is not an IPv4 range")]
    #[case("10.244.0.0", None, "is not an IPv4 range")]
    #[case("", None, "is not an IPv4 range")]
    #[case("10.244.0.5/16", None, "write 10.244.0.0/16")]
    #[case("10.244.0.0/25", None, "too small")]
    #[case("10.0.0.0/7", None, "too large")]
    #[case("10.0.0.0/8", None, "reserved (service addresses)")]
    #[case("10.96.7.0/24", None, "reserved (service addresses)")]
    #[case("169.254.77.0/24", None, "link-local")]
    #[case("127.1.0.0/16", None, "loopback")]
    #[case("224.1.0.0/16", None, "multicast")]
    #[case("10.244.0.0/16", Some("10.245.0.1"), "outside of")]
    #[case("10.244.0.0/16", Some("10.244.0.0"), "network or broadcast")]
    #[case("10.244.0.0/16", Some("10.244.255.255"), "network or broadcast")]
    #[case("10.244.0.0/16", Some("fd00::1"), "is not an IPv4 address")]
    fn refuses(#[case] cidr: &str, #[case] gateway: Option<&str>, #[case] message: &str) {
        let error = Subnet::new(cidr, gateway, &rules()).unwrap_err().to_string();
        assert!(error.contains(message), "{error:?} does not contain {message:?}");
    }

    proptest! {
        #[test]
        fn chosen_addresses_are_free_hosts_of_the_range(
            length in 8u8..=28, network in any::<u32>(), random in any::<u32>(), taken in prop::collection::hash_set(any::<u8>(), 0..64),
        ) {
            let range = Ipv4Net::new(network.into(), length).unwrap().trunc();
            let relaxed = AddressRules { longest_prefix: 28, reserved: vec![] };
            let subnet = Subnet::new(&range.to_string(), None, &relaxed).unwrap();
            let is_taken = |a: Ipv4Addr| taken.contains(&a.octets()[3]);
            if let Some(address) = subnet.choose(random, is_taken) {
                prop_assert!(range.contains(&address));
                prop_assert!(address != range.network() && address != range.broadcast());
                prop_assert!(address != subnet.gateway() && !is_taken(address));
            } else {
                prop_assert!(range.hosts().all(|a| a == subnet.gateway() || is_taken(a)));
            }
        }
    }

    #[test]
    fn every_host_is_found_before_the_range_counts_as_full() {
        let relaxed = AddressRules {
            longest_prefix: 28,
            reserved: vec![],
        };
        let subnet = Subnet::new("10.0.0.16/28", None, &relaxed).unwrap();
        let mut taken = HashSet::new();
        while let Some(address) = subnet.choose(u32::MAX, |a| taken.contains(&a)) {
            assert!(taken.insert(address));
        }
        assert_eq!(taken.len(), 13);
    }
}
