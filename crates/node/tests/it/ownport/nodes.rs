//! Services of the system network whose endpoints are nodes, as hostNetwork pods are: over the node's link.

use std::io::ErrorKind;

use super::*;

const SERVICE: &str = "10.96.0.70:443";
/// The node, and its neighbour.
const HERE: &str = "192.0.2.1:9000";
const ELSEWHERE: &str = "192.0.2.2:9000";

#[test]
fn the_node_and_pods_of_the_system_network_reach_services_of_nodes() {
    let lab = plugged();
    let _router = router(&lab);
    let outside = neighbour(&lab);
    lab.node
        .enter(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
    let (_, pod) = system_pod(&lab, 1);
    for (address, on) in [(HERE, &lab.node), (ELSEWHERE, &outside)] {
        let server = on.enter(|| TcpListener::bind(address).unwrap());
        service(&lab, SERVICE, Protocol::Tcp, address.parse().unwrap(), true);
        for from in [&lab.node, &pod] {
            let client = dial(from, SERVICE).unwrap_or_else(|error| panic!("{address} from {}: {error}", from.name()));
            let (served, peer) = server.accept().unwrap();
            assert_carries(&client, &served);
            if address == ELSEWHERE {
                assert_eq!(peer.ip().to_string(), "192.0.2.1", "nobody else knows aliases");
            }
        }
    }
}

/// The maps say something that stackube-proxy never writes: the firewall does not rely on them.
#[test]
fn a_tenants_pod_does_not_reach_them_even_if_its_maps_said_so() {
    let lab = plugged();
    let outside = neighbour(&lab);
    let pod = Pod::number(2);
    let netns = lab.pod_namespace("tenant");
    lab.api.put(pod.port());
    lab.add("tenant", &pod, &netns).ok();
    netns.ip("neigh replace 10.244.0.1 lladdr 0a:00:00:00:ff:01 dev eth0");
    for (address, on) in [(HERE, &lab.node), (ELSEWHERE, &outside)] {
        let _server = on.enter(|| TcpListener::bind(address).unwrap());
        service_of(&lab, "test", SERVICE, Protocol::Tcp, address.parse().unwrap(), true);
        assert_eq!(
            dial(&netns, SERVICE).unwrap_err().kind(),
            ErrorKind::TimedOut,
            "{address}"
        );
    }
}
