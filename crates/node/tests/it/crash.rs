//! `kill -9` of the daemon.

use rstest::rstest;
use stackube_node::sandbox::Step;

use crate::lab::{Lab, Pod};
use crate::nodelink::pod_routes;

/// After each step of an ADD: the call fails, the next daemon finds its way, and kubelet's DEL and next ADD work.
#[rstest]
#[case(Step::PortReady)]
#[case(Step::Locked)]
#[case(Step::VethMade)]
#[case(Step::PodConfigured)]
#[case(Step::HostConfigured)]
#[case(Step::Attached)]
#[case(Step::RowInserted)]
#[case(Step::Routed)]
#[case(Step::Opened)]
#[case(Step::Installed)]
#[case(Step::Synced)]
fn killed_after(#[case] step: Step) {
    let (lab, pod) = (Lab::without_daemon(), Pod::number(1));
    let (first, second) = (lab.pod_namespace("a"), lab.pod_namespace("b"));
    lab.api.put(pod.port());
    lab.start_daemon(Some(step));
    let (code, text) = lab.add("c1", &pod, &first).error();
    assert!(code == 11 && text.contains("restarted or crashed"), "{code} {text}");

    lab.start_daemon(None);
    // What is left is all or nothing: a device without its row is gone.
    assert_eq!(lab.plugged().len(), lab.devices().len());
    assert_eq!(lab.plugged().len(), usize::from(step_is_after_row(step)));
    // What kubelet does then, in both orders.
    let result = lab.add("c2", &pod, &second).ok();
    lab.del("c1", Some(&pod), Some(&first)).ok();
    assert_eq!((lab.plugged(), lab.devices().len()), (vec!["c2".to_owned()], 1));
    lab.check("c2", &pod, &second, &result).ok();
    lab.del("c2", Some(&pod), Some(&second)).ok();
    lab.assert_empty();
}

fn step_is_after_row(step: Step) -> bool {
    let place = |wanted| Step::ALL.iter().position(|s| *s == wanted);
    place(step) >= place(Step::RowInserted)
}

/// The same container may be tried again by a runtime that keeps its namespace.
#[rstest]
#[case(Step::VethMade)]
#[case(Step::Attached)]
#[case(Step::RowInserted)]
#[case(Step::Installed)]
fn killed_after_and_repeated_for_the_same_container(#[case] step: Step) {
    let (lab, pod) = (Lab::without_daemon(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    lab.start_daemon(Some(step));
    assert!(!lab.add("c1", &pod, &netns).success);
    lab.start_daemon(None);
    let result = lab.add("c1", &pod, &netns).ok();
    lab.check("c1", &pod, &netns, &result).ok();
    assert_eq!((lab.plugged().len(), lab.devices().len()), (1, 1));
}

/// After each step of a DEL: the call fails, the next daemon ends what was begun, kubelet's repeated DEL finds nothing to do, and the
/// Port is given back. What is there at the time of the kill: rows, routes, devices, and what the programs know.
#[rstest]
#[case(Step::RowRemoved, [0, 1, 1, 1])]
#[case(Step::Unrouted, [0, 0, 1, 1])]
#[case(Step::DeviceDeleted, [0, 0, 0, 1])]
#[case(Step::Forgotten, [0, 0, 0, 0])]
fn killed_while_unplugging_after(#[case] step: Step, #[case] left: [usize; 4]) {
    let (lab, pod) = (Lab::without_daemon(), Pod::number(1));
    let (first, second) = (lab.pod_namespace("a"), lab.pod_namespace("b"));
    lab.api.put(pod.port());
    lab.start_daemon(Some(step));
    lab.add("c1", &pod, &first).ok();
    let (code, text) = lab.del("c1", Some(&pod), Some(&first)).error();
    assert!(code == 11 && text.contains("restarted or crashed"), "{code} {text}");
    let found = [
        lab.plugged().len(),
        pod_routes(&lab).len(),
        lab.devices().len(),
        lab.identities().len(),
    ];
    assert_eq!(found, left);

    lab.start_daemon(None);
    lab.assert_empty();
    lab.del("c1", Some(&pod), Some(&first)).ok();
    lab.assert_empty();
    assert_eq!(pod_routes(&lab), [""; 0]);
    lab.add("c2", &pod, &second).ok();
    lab.del("c2", Some(&pod), Some(&second)).ok();
    lab.api.delete(&pod.uid);
    lab.eventually("the Port is released", || {
        lab.api.finalizers(&pod.uid) == ["stackube.kubernetes.io/controller"]
    });
}

#[test]
fn a_daemon_that_is_told_to_end_takes_back_what_is_under_way() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    let call = lab.start_held_add("c1", &pod, &netns);
    lab.terminate_daemon();
    let (code, text) = call.answer().error();
    assert!(code == 11 && text.contains("given up"), "{code} {text}");
    lab.assert_empty();
}

#[test]
fn running_pods_do_not_notice() {
    let lab = Lab::new();
    let (a, b) = (Pod::number(1), Pod::number(2));
    let (a_netns, b_netns) = (lab.pod_namespace("a"), lab.pod_namespace("b"));
    for (container, pod, netns) in [("ca", &a, &a_netns), ("cb", &b, &b_netns)] {
        lab.api.put(pod.port());
        lab.add(container, pod, netns).ok();
    }
    lab.eventually("the pods reach each other", || a_netns.pings(&b.ip));
    let before = (lab.ovs.records(), lab.devices());
    lab.kill_daemon();
    assert!(a_netns.pings(&b.ip));
    assert_eq!(lab.status().error().0, 50);
    assert_eq!(lab.del("ca", Some(&a), Some(&a_netns)).error().0, 11);
    lab.start_daemon(None);
    assert_eq!(before, (lab.ovs.records(), lab.devices()));
    assert!(a_netns.pings(&b.ip));
    lab.del("ca", Some(&a), Some(&a_netns)).ok();
    assert_eq!(lab.plugged(), ["cb"]);
}

#[test]
fn what_a_reboot_leaves_is_cleared_at_the_start() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    lab.add("c1", &pod, &netns).ok();
    lab.kill_daemon();
    // As after a reboot: the row is in the database, the device is not in the kernel.
    drop(netns);
    lab.eventually("the device goes with its namespace", || lab.devices().is_empty());
    // As after a daemon that was killed between two steps.
    lab.node.ip("link add sk0123456789abc type veth peer name other");
    // And what is none of the daemon's business.
    lab.node.ip("link add skype type veth peer name other2");
    lab.ovs
        .vsctl("--no-wait add-port br-int foreign -- set interface foreign type=internal external_ids:iface-id=x");
    assert_eq!((lab.plugged().len(), lab.devices().len()), (1, 1));
    lab.start_daemon(None);
    lab.assert_empty();
    lab.node.ip("link show skype");
    assert!(lab.ovs.records().iter().any(|r| r.device == "foreign"));
}
