//! The node's finalizer.

use crate::lab::{Lab, Pod};

const CONTROLLER: &str = "stackube.kubernetes.io/controller";
const NODE: &str = "stackube.kubernetes.io/node";

#[test]
fn a_port_is_released_after_del_and_not_before() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    lab.add("c1", &pod, &netns).ok();
    lab.api.delete(&pod.uid);
    // Long enough for the daemon to have looked.
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(lab.api.finalizers(&pod.uid), [CONTROLLER, NODE]);
    lab.del("c1", Some(&pod), Some(&netns)).ok();
    lab.eventually("the Port is released", || lab.api.finalizers(&pod.uid) == [CONTROLLER]);
}

#[test]
fn a_port_without_sandbox_is_released_at_once() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    lab.api.put(pod.port());
    lab.api.delete(&pod.uid);
    lab.eventually("the Port is released", || lab.api.finalizers(&pod.uid) == [CONTROLLER]);
}

#[test]
fn a_port_that_is_not_being_deleted_keeps_its_finalizer() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    lab.add("c1", &pod, &netns).ok();
    lab.del("c1", Some(&pod), Some(&netns)).ok();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(lab.api.finalizers(&pod.uid), [CONTROLLER, NODE]);
}

#[test]
fn a_new_daemon_releases_what_the_old_one_could_not() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    lab.add("c1", &pod, &netns).ok();
    lab.api.break_writes(true);
    lab.api.delete(&pod.uid);
    lab.del("c1", Some(&pod), Some(&netns)).ok();
    lab.kill_daemon();
    lab.api.break_writes(false);
    assert_eq!(lab.api.finalizers(&pod.uid), [CONTROLLER, NODE]);
    lab.start_daemon(None);
    lab.eventually("the Port is released", || lab.api.finalizers(&pod.uid) == [CONTROLLER]);
}

#[test]
fn an_api_server_that_comes_back_gets_its_writes() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    lab.api.put(pod.port());
    lab.api.break_writes(true);
    lab.api.delete(&pod.uid);
    std::thread::sleep(std::time::Duration::from_secs(1));
    lab.api.break_writes(false);
    lab.eventually("the Port is released", || lab.api.finalizers(&pod.uid) == [CONTROLLER]);
}
