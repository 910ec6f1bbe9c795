//! Which alias a pod gets.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use stackube_datapath::Identity;

use crate::nodelink::ALIASES;

/// The alias of a pod: the one that it has, else a free one that its UID points to, so that an alias that was given back
/// is not the next to be given out. `None` when all are in use.
pub(super) fn choose(attached: &[Identity], ifindex: u32, uid: [u8; 16]) -> Option<Ipv4Addr> {
    let own = attached
        .iter()
        .find(|identity| identity.ifindex == ifindex && identity.uid == uid);
    if let Some(own) = own {
        return Some(own.alias);
    }
    let others = attached.iter().filter(|identity| identity.ifindex != ifindex);
    let taken: BTreeSet<u32> = others.map(|identity| identity.alias.to_bits()).collect();
    // Neither the first nor the last address of the range.
    let first = ALIASES.network().to_bits() + 1;
    let count = ALIASES.broadcast().to_bits() - first;
    // The end of a UID is random, or counts.
    let [.., a, b, c, d] = uid;
    let start = u32::from_be_bytes([a, b, c, d]) % count;
    (0..count)
        .map(|step| first + (start + step) % count)
        .find(|alias| !taken.contains(alias))
        .map(Ipv4Addr::from_bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stackube_datapath::abi::NetworkKey;

    use super::*;

    fn identity(ifindex: u32, uid: u128, alias: Ipv4Addr) -> Identity {
        Identity {
            ifindex,
            network: NetworkKey::of("test"),
            uid: uid.to_be_bytes(),
            ip: Ipv4Addr::new(10, 0, 0, 1),
            gateway: Ipv4Addr::new(10, 0, 0, 254),
            alias,
            mac: [2, 0, 0, 0, 0, 1],
            is_node: false,
        }
    }

    proptest! {
        #[test]
        fn no_two_pods_share_one_and_a_pod_keeps_its_own(uids in proptest::collection::vec(any::<u128>(), 1..40)) {
            let mut attached: Vec<Identity> = vec![];
            for (ifindex, uid) in (1..).zip(uids) {
                let alias = choose(&attached, ifindex, uid.to_be_bytes()).unwrap();
                prop_assert!(ALIASES.contains(&alias) && alias != ALIASES.network() && alias != ALIASES.broadcast());
                prop_assert!(attached.iter().all(|other| other.alias != alias));
                attached.push(identity(ifindex, uid, alias));
                prop_assert_eq!(choose(&attached, ifindex, uid.to_be_bytes()), Some(alias));
            }
        }
    }

    #[test]
    fn a_full_range_is_full() {
        let last = ALIASES.broadcast().to_bits() - ALIASES.network().to_bits();
        let alias = |n: u32| Ipv4Addr::from_bits(ALIASES.network().to_bits() + n);
        let mut attached: Vec<Identity> = (1..last).map(|n| identity(n, u128::from(n), alias(n))).collect();
        assert_eq!(choose(&attached, last, [7; 16]), None);
        let free = attached.remove(1234).alias;
        assert_eq!(choose(&attached, last, [7; 16]), Some(free));
    }
}
