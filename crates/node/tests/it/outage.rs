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
    added_in_the_end(&lab, "c1", &pod, &netns);
    lab.ovs.vsctl("del-br br-int");
    let (code, text) = lab.status().error();
    assert!(
        code == 50 && text.contains("there is no bridge br-int"),
        "{code} {text}"
    );
    // Who has one is let go.
    lab.del("c1", Some(&pod), Some(&netns)).ok();
    assert!(lab.devices().is_empty());
    assert_eq!(lab.add("c2", &pod, &netns).error().0, 11);
    assert!(lab.devices().is_empty());
}

#[test]
fn no_pod_is_plugged_in_before_it_is_known_what_it_may_not_reach() {
    let (mut lab, pod) = (Lab::without_daemon(), Pod::number(1));
    lab.waits = Waits::SHORT;
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    lab.api.hide_nodes(true);
    lab.begin_daemon(None);
    lab.eventually("the ADD says why it fails", || {
        let added = lab.add("c1", &pod, &netns);
        !added.success && added.error().1.contains("which no pod may reach")
    });
    assert!(lab.devices().is_empty());
    assert!(!lab.is_ready());
    lab.api.hide_nodes(false);
    added_in_the_end(&lab, "c2", &pod, &netns);
}

#[test]
fn the_api_server_may_be_away() {
    let (lab, pods) = (Lab::new(), [1, 2, 3].map(Pod::number));
    let netns = ["a", "b", "c"].map(|name| lab.pod_namespace(name));
    for pod in &pods {
        lab.api.put(pod.port());
    }
    for n in 0..2 {
        lab.add(&format!("c{n}"), &pods[n], &netns[n]).ok();
    }
    lab.stop_api_server();
    lab.status().ok();
    lab.del("c0", Some(&pods[0]), Some(&netns[0])).ok();
    assert_eq!(lab.plugged(), ["c1"]);
    // What it knows of Ports it goes on with.
    lab.add("c2", &pods[2], &netns[2]).ok();

    // A daemon that starts meanwhile has nothing for new pods, but keeps the node Ready and lets go of the old ones.
    lab.kill_daemon();
    lab.begin_daemon(None);
    lab.eventually("STATUS succeeds", || lab.status().success);
    assert_eq!(lab.plugged(), ["c1", "c2"]);
    for n in 1..3 {
        lab.del(&format!("c{n}"), Some(&pods[n]), Some(&netns[n])).ok();
    }
    lab.assert_empty();
    assert!(!lab.is_ready());
    lab.start_api_server();
    lab.eventually("the daemon is ready", || lab.is_ready());
    lab.add("c3", &pods[0], &netns[0]).ok();
}

#[test]
fn the_api_server_may_refuse_writes() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    lab.api.break_writes(true);
    lab.add("c1", &pod, &netns).ok();
    lab.status().ok();
    lab.del("c1", Some(&pod), Some(&netns)).ok();
    lab.assert_empty();
}
