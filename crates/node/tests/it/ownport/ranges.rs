//! What an operator keeps from pods, and lets them reach all the same: `infrastructure` and `permitted` of the configuration.

use std::io::ErrorKind;

use super::*;
use crate::datapath::refused;
use crate::lab::api::OTHER_NODE;

/// Of a range that is named, which nobody here has.
const STORED: &str = "203.0.113.7";
/// Of that range too, but permitted.
const PERMITTED: &str = "203.0.113.9";
/// Beside the range.
const BEYOND: &str = "203.0.114.7";
/// What this node is given later.
const LATER: &str = "198.51.100.3";

/// A node whose operator has named ranges; its router leads to a server at each of the addresses.
fn named() -> (Lab, Namespace) {
    let lab = Lab::without_daemon();
    lab.infrastructure.set("203.0.113.0/24 storage and tunnels\n");
    // One is another node's: a public API of OpenStack may run there.
    lab.permitted.set("203.0.113.9, 198.51.100.2");
    lab.start_daemon(None);
    lab.api.put(node_port());
    programs(&lab).set_service_cidrs(&[SERVICES.parse().unwrap()]).unwrap();
    wait_until_plugged(&lab);
    let router = router(&lab);
    for address in [STORED, PERMITTED, BEYOND, OTHER_NODE, LATER] {
        router.ip(&format!("address add {address}/32 dev lo"));
    }
    (lab, router)
}

#[test]
fn ranges_of_the_operator_are_refused_but_for_what_is_permitted() {
    let (lab, router) = named();
    let server = router.enter(|| TcpListener::bind("0.0.0.0:80").unwrap());
    // It is dialled again and again: what nobody accepted would fill its queue.
    std::thread::spawn(move || server.incoming().for_each(drop));
    let (pod, netns) = system_pod(&lab, 1);
    let reach = |address: &str| dial(&netns, &format!("{address}:80"));
    // What this node gets is written with all that it had: from then on the address of its own port is not as new as that.
    reach(LATER).unwrap();
    lab.node.ip(&format!("address add {LATER}/32 dev lo"));
    lab.eventually("the ranges are written anew", || {
        reach(LATER).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
    let before = refused(&lab);
    for address in [PERMITTED, OTHER_NODE, BEYOND] {
        reach(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    }
    assert_eq!(refused(&lab), before);
    assert_eq!(reach(STORED).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(refused(&lab), before + 1, "the programs refuse it, not its server");
    // The address of the node's own port is the node's, but pods have to answer it.
    let server = netns.enter(|| TcpListener::bind("0.0.0.0:80").unwrap());
    let client = dial(&lab.node, &format!("{}:80", pod.ip)).unwrap();
    let (served, peer) = server.accept().unwrap();
    assert_eq!(peer.ip().to_string(), OWN);
    assert_carries(&client, &served);
    assert_eq!(refused(&lab), before + 1);
}
