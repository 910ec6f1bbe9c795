//! Whether a Network's range is allowed. Pure.

use stackube_api::address::{AddressError, AddressRules, Subnet};

/// A range with what is wrong with it by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) range: Subnet,
    /// It would be refused to a new network.
    pub(crate) objection: Option<AddressError>,
}

/// Judges a range. That of a network which exists is not judged anew by rules that were made after it: pods live there, and
/// refusing it would end their service without freeing an address.
///
/// # Errors
/// The range or gateway is none, or the rules do not allow it and nothing `exists` on it yet.
pub(crate) fn judge(
    cidr: &str,
    gateway: Option<&str>,
    rules: &AddressRules,
    exists: bool,
) -> Result<Judged, AddressError> {
    match Subnet::new(cidr, gateway, rules) {
        Ok(range) => Ok(Judged { range, objection: None }),
        Err(error) if exists => Ok(Judged {
            range: as_made(cidr, gateway)?,
            objection: Some(error),
        }),
        Err(error) => Err(error),
    }
}

/// A range that was checked before something was made on it: it is only taken apart.
///
/// # Errors
/// It is none.
pub(crate) fn as_made(cidr: &str, gateway: Option<&str>) -> Result<Subnet, AddressError> {
    let any = AddressRules {
        longest_prefix: 28,
        reserved: vec![],
    };
    Subnet::new(cidr, gateway, &any)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use stackube_api::address::ReservedRange;

    use super::*;

    #[rstest]
    #[case::allowed("10.244.0.0/16", false, Some(false))]
    #[case::reserved("10.96.4.0/24", false, None)]
    #[case::reserved_since("10.96.4.0/24", true, Some(true))]
    #[case::too_small("10.244.0.0/26", false, None)]
    #[case::too_small_since("10.244.0.0/26", true, Some(true))]
    #[case::no_range("rubbish", true, None)]
    fn only_a_new_range_is_refused(#[case] cidr: &str, #[case] exists: bool, #[case] objection: Option<bool>) {
        let mut rules = AddressRules::default();
        rules.reserved.push(ReservedRange::new(
            "10.96.0.0/12".parse().unwrap(),
            "addresses of Services",
        ));
        let judged = judge(cidr, None, &rules, exists).ok();
        assert_eq!(judged.map(|judged| judged.objection.is_some()), objection);
    }
}
