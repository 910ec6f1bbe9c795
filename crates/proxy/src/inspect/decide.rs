//! The datapath's decision about a new connection of a pod, in words. Pure.

use std::fmt;

use stackube_datapath::Service;

/// What the maps say about a pod and a destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// The pod is known to the datapath.
    pub(super) plugged: bool,
    /// The network's flag.
    pub(super) synced: Option<bool>,
    /// The entry for the destination.
    pub(super) service: Option<&'a Service>,
    /// The destination is in a range of Services.
    pub(super) service_address: bool,
    /// The destination is infrastructure.
    pub(super) refused: bool,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    NotPlugged,
    NotSynced,
    Backends(Vec<String>),
    Host(Vec<String>),
    NoEndpoints,
    NoSuchService,
    Infrastructure,
    Network,
}

/// Decides in the programs' order: the service of the network, the ranges of services, the infrastructure.
pub(super) fn decide(facts: &Facts<'_>) -> Verdict {
    if !facts.plugged {
        return Verdict::NotPlugged;
    }
    if facts.service_address && facts.synced != Some(true) {
        return Verdict::NotSynced;
    }
    match facts.service {
        Some(service) if service.backends.is_empty() => Verdict::NoEndpoints,
        Some(service) => {
            let mut backends: Vec<String> = service.backends.iter().map(ToString::to_string).collect();
            backends.sort_unstable();
            if service.host {
                Verdict::Host(backends)
            } else {
                Verdict::Backends(backends)
            }
        }
        None if facts.service_address => Verdict::NoSuchService,
        None if facts.refused => Verdict::Infrastructure,
        None => Verdict::Network,
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPlugged => f.write_str("dropped: the datapath does not know the pod; look at kubestackd's log"),
            Self::NotSynced => f.write_str(
                "dropped: the Services of its network are not programmed yet; is stackube-proxy ready on this node?",
            ),
            Self::Backends(backends) => write!(f, "goes to one of {}", backends.join(", ")),
            Self::Host(backends) => write!(f, "goes over the host link to one of {}", backends.join(", ")),
            Self::NoEndpoints => {
                f.write_str("refused: the Service has no endpoint that is ready (kubectl get endpointslices)")
            }
            Self::NoSuchService => {
                f.write_str("refused: no Service of the pod's network has this address, port and protocol")
            }
            Self::Infrastructure => f.write_str("refused: the address belongs to the nodes or the infrastructure"),
            Self::Network => f.write_str("no Service: it goes to the pod's network as it is"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::not_plugged(false, Some(true), None, true, false, Verdict::NotPlugged)]
    #[case::unknown_network(true, None, None, true, false, Verdict::NotSynced)]
    #[case::not_yet(true, Some(false), Some((true, 1)), true, false, Verdict::NotSynced)]
    #[case::host(true, Some(true), Some((true, 1)), true, true, Verdict::Host(vec!["10.0.0.1:1".into()]))]
    #[case::pods(true, Some(true), Some((false, 1)), true, false, Verdict::Backends(vec!["10.0.0.1:1".into()]))]
    #[case::balancer_before_the_flag(true, Some(false), Some((false, 1)), false, false, Verdict::Backends(vec!["10.0.0.1:1".into()]))]
    #[case::no_endpoints(true, Some(true), Some((false, 0)), true, false, Verdict::NoEndpoints)]
    #[case::anothers(true, Some(true), None, true, false, Verdict::NoSuchService)]
    #[case::node(true, Some(true), None, false, true, Verdict::Infrastructure)]
    #[case::peer(true, None, None, false, false, Verdict::Network)]
    fn verdicts(
        #[case] plugged: bool,
        #[case] synced: Option<bool>,
        #[case] service: Option<(bool, u16)>,
        #[case] service_address: bool,
        #[case] refused: bool,
        #[case] expected: Verdict,
    ) {
        let service = service.map(|(host, count)| Service {
            backends: (1..=count)
                .map(|port| std::net::SocketAddrV4::new([10, 0, 0, 1].into(), port))
                .collect(),
            affinity: None,
            host,
        });
        let facts = Facts {
            plugged,
            synced,
            service: service.as_ref(),
            service_address,
            refused,
        };
        assert_eq!(decide(&facts), expected);
    }
}
