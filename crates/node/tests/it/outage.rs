//! Open vSwitch away or stuck.

use crate::lab::{Lab, Namespace, Pod, Waits};

/// As kubelet does it: again and again, since the waits of these tests are shorter than a busy machine's pauses.
fn added_in_the_end(lab: &Lab, container: &str, pod: &Pod, netns: &Namespace) {
    lab.eventually("the ADD succeeds", || lab.add(container, pod, netns).success);
}

#[test]
fn without_the_database_the_node_says_so_and_recovers() {
    let (lab, pod) = (Lab::waiting(Waits::SHORT), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    added_in_the_end(&lab, "c1", &pod, &netns);
    lab.ovs.stop_server();
    lab.eventually("STATUS fails", || !lab.status().success);
    let (code, text) = lab.status().error();
    assert!(code == 50 && text.contains("is ovsdb-server running"), "{code} {text}");
    assert!(!lab.is_ready());
    assert_eq!(lab.add("c2", &Pod::number(2), &netns).error().0, 11);
    // DEL cuts the pod off, and asks to be repeated for the row.
    assert_eq!(lab.del("c1", Some(&pod), Some(&netns)).error().0, 11);
    assert!(lab.devices().is_empty());
    lab.ovs.start_server(&lab.node);
    lab.eventually("STATUS succeeds", || lab.status().success);
    lab.del("c1", Some(&pod), Some(&netns)).ok();
    lab.assert_empty();
    added_in_the_end(&lab, "c3", &pod, &netns);
}

#[test]
fn a_vswitchd_that_does_not_run_fails_the_add_and_leaves_nothing() {
    let (lab, pod) = (Lab::waiting(Waits::SHORT), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    lab.ovs.stop_vswitchd();
    let (code, text) = lab.add("c1", &pod, &netns).error();
    assert!(code == 100 && text.contains("is it running"), "{code} {text}");
    lab.assert_empty();
    lab.ovs.start_vswitchd(&lab.node);
    added_in_the_end(&lab, "c2", &pod, &netns);
}

#[test]
fn without_the_bridge_no_pod_is_promised_anything() {
    let (lab, pod) = (Lab::waiting(Waits::SHORT), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    lab.ovs.vsctl("del-br br-int");
    let (code, text) = lab.status().error();
    assert!(
        code == 50 && text.contains("there is no bridge br-int"),
        "{code} {text}"
    );
    assert_eq!(lab.add("c1", &pod, &netns).error().0, 11);
    assert!(lab.devices().is_empty());
}

#[test]
fn the_api_server_may_be_away() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    lab.api.break_writes(true);
    lab.add("c1", &pod, &netns).ok();
    lab.status().ok();
    lab.del("c1", Some(&pod), Some(&netns)).ok();
    lab.assert_empty();
}
