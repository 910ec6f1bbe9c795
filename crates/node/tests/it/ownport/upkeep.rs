//! How the node's own port comes, stays and goes.

use stackube_api::names::{ADDRESS_REFUSED_ANNOTATION, CONTROLLER_FINALIZER};
use stackube_node::link::host_name;
use stackube_node::ownport::attachment;

use super::*;

fn index(lab: &Lab, device: &str) -> u64 {
    lab.node.json(&["link", "show", device])[0]["ifindex"].as_u64().unwrap()
}

/// The addresses of the node's end; none while it is not there.
fn addresses(lab: &Lab) -> Vec<String> {
    let devices = lab.node.json(&["-4", "address", "show"]);
    let own = devices
        .as_array()
        .unwrap()
        .iter()
        .filter(|device| device["ifname"] == DEVICE);
    let infos = own.flat_map(|device| device["addr_info"].as_array().unwrap());
    infos.map(|info| info["local"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn it_looks_like_a_pods_and_is_kept_over_restarts_and_by_gc() {
    let lab = plugged();
    let devices = || [DEVICE.to_owned(), host_name(&attachment())].map(|device| index(&lab, &device));
    let before = devices();
    let identities = lab.identities();
    let [identity] = identities.as_slice() else {
        panic!("{identities:?}");
    };
    assert_eq!(identity.network, NetworkKey::of(SYSTEM));
    assert_eq!((identity.ip.to_string().as_str(), identity.uid[15]), (OWN, 0xaa));
    assert_eq!(u64::from(identity.ifindex), before[1]);
    assert_eq!(lab.plugged(), ["(node)"]);
    assert_eq!(addresses(&lab), [OWN]);
    assert!(lab.http("/metrics").contains("kubestack_sandboxes 0\n"), "it is no pod");
    lab.gc(&[]).ok();
    lab.kill_daemon();
    lab.start_daemon(None);
    wait_until_plugged(&lab);
    lab.gc(&[]).ok();
    assert_eq!((devices(), lab.identities()), (before, identities));
    assert_eq!(lab.plugged(), ["(node)"]);
}

#[test]
fn it_goes_with_its_port_and_is_released() {
    let lab = plugged();
    lab.api.delete(UID);
    lab.eventually("the Port is released", || {
        lab.api.finalizers(UID) == [CONTROLLER_FINALIZER]
    });
    lab.assert_empty();
    lab.eventually("nothing is left", || {
        let rules = lab.node.ip("rule show");
        let table = nft(&lab.node, "list table inet stackube-kubestack");
        !lab.node.ip("link show").contains(DEVICE) && !rules.contains("iif lo") && !table.contains(OWN)
    });
    // A Node that was made anew has another.
    lab.api.remove(UID);
    let mut port = node_port();
    let uid = UID.replace("aa", "bb");
    port["metadata"]["name"] = uid.as_str().into();
    port["spec"]["podUID"] = uid.as_str().into();
    lab.api.put(port);
    wait_until_plugged(&lab);
    // Without a word, as when the Node is gone and the controller has taken the finalizer off.
    lab.api.remove(&uid);
    lab.eventually("nothing is left", || {
        lab.plugged().is_empty() && !lab.node.ip("link show").contains(DEVICE)
    });
}

#[test]
fn a_new_address_takes_the_place_of_the_old_one() {
    let lab = plugged();
    lab.api
        .set_status(UID, status("10.240.0.6", "f0000000-0000-4000-8000-0000000000ab"));
    lab.eventually("the address has changed", || addresses(&lab) == ["10.240.0.6"]);
    wait_until_plugged(&lab);
    let records = lab.ovs.records();
    let own: Vec<_> = records.iter().filter(|record| record.owner.is_some()).collect();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].iface_id.as_deref(), Some("f0000000-0000-4000-8000-0000000000ab"));
    let table = nft(&lab.node, "list table inet stackube-kubestack");
    assert!(table.contains("10.240.0.6") && !table.contains(OWN), "{table}");
}

#[test]
fn an_address_that_a_live_sandbox_has_is_refused() {
    let lab = Lab::new();
    let (netns, pod) = (
        lab.pod_namespace("a"),
        Pod {
            ip: OWN.into(),
            ..Pod::number(1)
        },
    );
    let mut port = pod.port();
    port["status"] = status(OWN, &pod.port_id);
    lab.api.put(port);
    lab.add("c1", &pod, &netns).ok();
    // What could not be written is written when it can be.
    lab.api.break_writes(true);
    lab.api.put(node_port());
    lab.eventually("the refusal has failed", || lab.api.failed_patches(UID) > 0);
    lab.api.break_writes(false);
    lab.eventually("the address is refused", || {
        lab.api.annotation(UID, ADDRESS_REFUSED_ANNOTATION).as_deref() == Some(OWN)
    });
    lab.eventually("there is an Event about the Node", || {
        lab.api
            .published()
            .iter()
            .any(|event| event["reason"] == "AddressRefused" && event["regarding"]["kind"] == "Node")
    });
    assert_eq!(lab.plugged(), ["c1"]);
    lab.api
        .set_status(UID, status("10.240.0.6", "f0000000-0000-4000-8000-0000000000ab"));
    lab.eventually("another is taken", || lab.plugged() == ["(node)", "c1"]);
}

#[test]
fn what_somebody_takes_away_comes_back() {
    let lab = plugged();
    let state = || {
        let links = lab.node.json(&["link", "show"]);
        let own = links.as_array().unwrap().iter().find(|link| link["ifname"] == DEVICE);
        let link = own.map(|link| (link["flags"].clone(), link["address"].clone(), link["mtu"].clone()));
        let routes: Vec<String> = lab.node.ip("route show table all").lines().map(str::to_owned).collect();
        let routes: Vec<String> = routes.into_iter().filter(|route| route.contains("table 78")).collect();
        // Rules of one priority are shown in the order in which they came.
        let mut rules: Vec<String> = lab.node.ip("rule show").lines().map(str::to_owned).collect();
        rules.sort();
        (link, addresses(&lab), rules, routes, lab.pins().len())
    };
    let good = state();
    assert_eq!((good.3.len(), good.4), (2, 2), "{good:?}");
    for change in [
        "link delete stackube-sys",
        "link set stackube-sys down",
        "link set stackube-sys mtu 1400",
        "address flush dev stackube-sys",
        "rule delete priority 773",
        "rule add to 203.0.113.0/24 lookup 78 priority 700",
        "route flush table 78",
        "route add 203.0.113.0/24 dev stackube-sys table 78",
    ] {
        lab.node.ip(change);
        lab.eventually(&format!("it comes back after {change:?}"), || state() == good);
    }
    // Maps in which the ranges of Services are yet to be written are no reason to forget the way to them.
    programs(&lab).set_service_cidrs(&[]).unwrap();
    lab.node.ip("route add 203.0.113.0/24 dev stackube-sys table 78");
    lab.eventually("it comes back and the way to Services stays", || state() == good);
}
