//! Calls that end before they are done.

use crate::lab::{Lab, Pod, Waits};

#[test]
fn an_add_whose_plugin_was_killed_while_it_waited_plugs_nothing() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port_waiting("Neutron is slow"));
    let mut call = lab.start_add("c1", &pod, &netns);
    lab.eventually("the daemon has the call", || lab.is_busy());
    assert!(call.is_running());
    call.kill();
    lab.eventually("the call is given up", || !lab.is_busy());
    lab.api.set_status(&pod.uid, pod.status());
    // A successor is not disturbed by what came before, and finds nothing of it.
    let result = lab.add("c2", &pod, &netns).ok();
    assert_eq!((lab.plugged(), lab.devices().len()), (vec!["c2".to_owned()], 1));
    lab.check("c2", &pod, &netns, &result).ok();
}

#[test]
fn an_add_whose_plugin_was_killed_after_plugging_is_undone() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    let call = lab.start_held_add("c1", &pod, &netns);
    call.kill();
    lab.eventually("the row goes", || lab.plugged().is_empty() && lab.devices().is_empty());
}

#[test]
fn a_del_takes_back_an_add_that_is_under_way() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    let call = lab.start_held_add("c1", &pod, &netns);
    lab.del("c1", Some(&pod), Some(&netns)).ok();
    lab.assert_empty();
    let (code, text) = call.answer().error();
    assert!(code == 11 && text.contains("given up"), "{code} {text}");
}

#[test]
fn flows_that_are_never_installed_fail_the_add_and_leave_nothing() {
    let (lab, pod) = (Lab::waiting(Waits::SHORT), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    lab.ovs.install(false);
    let (code, text) = lab.add("c1", &pod, &netns).error();
    assert!(
        code == 11 && text.contains("ovn-controller has not installed the flows"),
        "{code} {text}"
    );
    lab.assert_empty();
}

#[test]
fn a_port_that_never_comes_fails_the_add_with_the_reason() {
    let (lab, pod, other) = (Lab::waiting(Waits::SHORT), Pod::number(1), Pod::number(2));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port_waiting("no address is free on this node"));
    let (code, text) = lab.add("c1", &pod, &netns).error();
    assert!(
        code == 11 && text.contains("after 4 s: no address is free on this node"),
        "{code} {text}"
    );
    let (code, text) = lab.add("c2", &other, &netns).error();
    assert!(
        code == 11 && text.contains("static pods get none: they must use hostNetwork"),
        "{code} {text}"
    );
    lab.assert_empty();
}

#[test]
fn a_port_that_is_being_deleted_is_refused_at_once() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    // Without the finalizer, so that nothing but the time stamp speaks against plugging.
    let mut port = lab.api.port(&pod.uid).unwrap();
    port["metadata"]["deletionTimestamp"] = serde_json::json!("2026-01-01T00:00:00Z");
    port["metadata"]["finalizers"] = serde_json::json!(["stackube.kubernetes.io/controller"]);
    lab.api.put(port);
    lab.eventually("it is refused", || {
        let answer = lab.add("c1", &pod, &netns);
        !answer.success && answer.output["details"].as_str().unwrap().contains("being deleted")
    });
    lab.assert_empty();
}

#[test]
fn a_port_that_changes_while_it_is_plugged_in_is_taken_back() {
    let (lab, pod, other) = (Lab::new(), Pod::number(1), Pod::number(2));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    let call = lab.start_held_add("c1", &pod, &netns);
    lab.api.set_status(&pod.uid, other.status());
    let difference = format!("not bound to Neutron port {}", other.port_id);
    lab.eventually("the daemon has the new Port", || {
        lab.check("c1", &pod, &netns, &serde_json::Value::Null)
            .output
            .to_string()
            .contains(&difference)
    });
    lab.ovs.install(true);
    let (code, text) = call.answer().error();
    assert!(code == 11 && text.contains("changed"), "{code} {text}");
    lab.assert_empty();
}
