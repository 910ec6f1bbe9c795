//! Which alias a pod gets.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use stackube_api::names::SYSTEM_NAMESPACE;
use stackube_datapath::Identity;
use stackube_datapath::abi::NetworkKey;

use crate::nodelink::{SYSTEM_ALIASES, TENANT_ALIASES};

/// The alias of a pod: the one that it has, else a free one that its UID points to, so that an alias that was given back
/// is not the next to be given out. `None` when all are in use of those that its network may have.
pub(super) fn choose(attached: &[Identity], ifindex: u32, network: NetworkKey, uid: [u8; 16]) -> Option<Ipv4Addr> {
    let range = range(network);
    let own = attached
        .iter()
        .find(|identity| identity.ifindex == ifindex && identity.uid == uid && range.contains(&identity.alias));
    if let Some(own) = own {
        return Some(own.alias);
    }
    let others = attached.iter().filter(|identity| identity.ifindex != ifindex);
    let taken: BTreeSet<u32> = others.map(|identity| identity.alias.to_bits()).collect();
    // Neither the first nor the last address of the range.
    let first = range.network().to_bits() + 1;
    let count = range.broadcast().to_bits() - first;
    // The end of a UID is random, or counts.
    let [.., a, b, c, d] = uid;
    let start = u32::from_be_bytes([a, b, c, d]) % count;
    (0..count)
        .map(|step| first + (start + step) % count)
        .find(|alias| !taken.contains(alias))
        .map(Ipv4Addr::from_bits)
}

/// By their aliases the firewall tells the administrator's pods from those of tenants.
fn range(network: NetworkKey) -> Ipv4Net {
    if network == NetworkKey::of(SYSTEM_NAMESPACE) {
        SYSTEM_ALIASES
    } else {
        TENANT_ALIASES
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::nodelink::ALIASES;

    fn identity(ifindex: u32, network: NetworkKey, uid: u128, alias: Ipv4Addr) -> Identity {
        Identity {
            ifindex,
            network,
            uid: uid.to_be_bytes(),
            ip: Ipv4Addr::new(10, 0, 0, 1),
            gateway: Ipv4Addr::new(10, 0, 0, 254),
            alias,
            mac: [2, 0, 0, 0, 0, 1],
            is_node: false,
        }
    }

    fn tenant() -> NetworkKey {
        NetworkKey::of("test")
    }

    proptest! {
        #[test]
        fn no_two_pods_share_one_and_a_pod_keeps_its_own(pods in proptest::collection::vec(any::<(u128, bool)>(), 1..40)) {
            let mut attached: Vec<Identity> = vec![];
            for (ifindex, (uid, of_the_system)) in (1..).zip(pods) {
                let network = if of_the_system { NetworkKey::of(SYSTEM_NAMESPACE) } else { tenant() };
                let alias = choose(&attached, ifindex, network, uid.to_be_bytes()).unwrap();
                let range = range(network);
                prop_assert!(range.contains(&alias) && alias != range.network() && alias != range.broadcast());
                prop_assert!(attached.iter().all(|other| other.alias != alias));
                attached.push(identity(ifindex, network, uid, alias));
                prop_assert_eq!(choose(&attached, ifindex, network, uid.to_be_bytes()), Some(alias));
            }
        }
    }

    #[test]
    fn the_administrators_aliases_are_told_from_those_of_tenants() {
        let halves = [range(tenant()), range(NetworkKey::of(SYSTEM_NAMESPACE))];
        assert_eq!(Ipv4Net::aggregate(&halves.to_vec()), [ALIASES]);
    }

    #[test]
    fn an_alias_of_the_others_is_not_kept() {
        let kept = SYSTEM_ALIASES.hosts().next().unwrap();
        let attached = [identity(1, tenant(), 1, kept)];
        let chosen = choose(&attached, 1, tenant(), 1u128.to_be_bytes()).unwrap();
        assert!(TENANT_ALIASES.contains(&chosen), "{chosen}");
    }

    #[test]
    fn a_full_range_is_full() {
        let last = TENANT_ALIASES.broadcast().to_bits() - TENANT_ALIASES.network().to_bits();
        let alias = |n: u32| Ipv4Addr::from_bits(TENANT_ALIASES.network().to_bits() + n);
        let mut attached: Vec<Identity> = (1..last)
            .map(|n| identity(n, tenant(), u128::from(n), alias(n)))
            .collect();
        assert_eq!(choose(&attached, last, tenant(), [7; 16]), None);
        assert!(choose(&attached, last, NetworkKey::of(SYSTEM_NAMESPACE), [7; 16]).is_some());
        let free = attached.remove(1234).alias;
        assert_eq!(choose(&attached, last, tenant(), [7; 16]), Some(free));
    }
}
