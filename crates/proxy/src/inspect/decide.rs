//! The datapath's decision about a new connection of a pod, in words. Pure.

use std::fmt;
use std::net::SocketAddrV4;

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
    /// Those of its backends that are infrastructure.
    pub(super) refused_backends: &'a [SocketAddrV4],
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
    Backends { reached: Vec<String>, refused: Vec<String> },
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
    match facts.service {
        Some(service) => through(service, facts.refused_backends),
        None if facts.service_address && facts.synced != Some(true) => Verdict::NotSynced,
        None if facts.service_address => Verdict::NoSuchService,
        None if facts.refused => Verdict::Infrastructure,
        None => Verdict::Network,
    }
}

/// What becomes of a connection to the service. The choice is made first: a backend that is refused is not left out of it.
fn through(service: &Service, refused: &[SocketAddrV4]) -> Verdict {
    if service.backends.is_empty() {
        return Verdict::NoEndpoints;
    }
    if service.host {
        return Verdict::Host(sorted(service.backends.iter()));
    }
    let (refused, reached): (Vec<_>, Vec<_>) = service.backends.iter().partition(|backend| refused.contains(backend));
    Verdict::Backends {
        reached: sorted(reached.into_iter()),
        refused: sorted(refused.into_iter()),
    }
}

fn sorted<'a>(backends: impl Iterator<Item = &'a SocketAddrV4>) -> Vec<String> {
    let mut backends: Vec<String> = backends.map(ToString::to_string).collect();
    backends.sort_unstable();
    backends
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPlugged => f.write_str("dropped: the datapath does not know the pod; look at kubestackd's log"),
            Self::NotSynced => f.write_str(
                "dropped: the Services of its network are not programmed yet; is stackube-proxy ready on this node?",
            ),
            Self::Backends { reached, refused } if refused.is_empty() => {
                write!(f, "goes to one of {}", reached.join(", "))
            }
            Self::Backends { reached, refused } if reached.is_empty() => write!(
                f,
                "refused: all that the Service leads to belongs to the nodes or the infrastructure: {}",
                refused.join(", ")
            ),
            Self::Backends { reached, refused } => write!(
                f,
                "goes to one of {}, or is refused where the choice falls on what belongs to the nodes or the infrastructure: {}",
                reached.join(", "),
                refused.join(", ")
            ),
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

    fn backends(ports: &[u16]) -> Vec<SocketAddrV4> {
        let backend = |port: &u16| SocketAddrV4::new([10, 0, 0, 1].into(), *port);
        ports.iter().map(backend).collect()
    }

    fn pods(reached: &[&str], refused: &[&str]) -> Verdict {
        let owned = |backends: &[&str]| backends.iter().map(ToString::to_string).collect();
        Verdict::Backends {
            reached: owned(reached),
            refused: owned(refused),
        }
    }

    fn host(backend: &str) -> Verdict {
        Verdict::Host(vec![backend.into()])
    }

    #[rstest]
    #[case::not_plugged(false, Some(true), None, true, false, Verdict::NotPlugged)]
    #[case::unknown_network(true, None, None, true, false, Verdict::NotSynced)]
    #[case::not_yet(true, Some(false), None, true, false, Verdict::NotSynced)]
    #[case::before_the_flag(true, Some(false), Some((false, 1)), true, false, pods(&["10.0.0.1:1"], &[]))]
    #[case::host(true, Some(true), Some((true, 1)), true, true, host("10.0.0.1:1"))]
    #[case::pods(true, Some(true), Some((false, 2)), true, false, pods(&["10.0.0.1:1", "10.0.0.1:2"], &[]))]
    #[case::balancer_before_the_flag(true, Some(false), Some((false, 1)), false, false, pods(&["10.0.0.1:1"], &[]))]
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
            backends: backends(&(1..=count).collect::<Vec<_>>()),
            affinity: None,
            host,
        });
        let facts = Facts {
            plugged,
            synced,
            service: service.as_ref(),
            refused_backends: &[],
            service_address,
            refused,
        };
        assert_eq!(decide(&facts), expected);
    }

    /// A Service of two, and which of them are infrastructure.
    #[rstest]
    #[case::none(false, &[], "goes to one of 10.0.0.1:1, 10.0.0.1:2")]
    #[case::one(false, &[2], "goes to one of 10.0.0.1:1, or is refused where the choice falls on what belongs to the nodes or the infrastructure: 10.0.0.1:2")]
    #[case::all(false, &[1, 2], "refused: all that the Service leads to belongs to the nodes or the infrastructure: 10.0.0.1:1, 10.0.0.1:2")]
    // What goes over the host link is not asked for it: the API servers are nodes.
    #[case::host(true, &[1, 2], "goes over the host link to one of 10.0.0.1:1, 10.0.0.1:2")]
    fn backends_of_the_infrastructure(#[case] host: bool, #[case] refused: &[u16], #[case] expected: &str) {
        let service = Service {
            backends: backends(&[2, 1]),
            affinity: None,
            host,
        };
        let facts = Facts {
            plugged: true,
            synced: Some(true),
            service: Some(&service),
            refused_backends: &backends(refused),
            service_address: true,
            refused: false,
        };
        assert_eq!(decide(&facts).to_string(), expected);
    }
}
