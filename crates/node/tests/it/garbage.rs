//! CNI GC.

use crate::lab::{Lab, Pod};

#[test]
fn what_the_runtime_does_not_know_is_removed() {
    let lab = Lab::new();
    let pods: Vec<_> = (1..=3)
        .map(|n| (Pod::number(n), lab.pod_namespace(&format!("p{n}")), format!("c{n}")))
        .collect();
    for (pod, netns, container) in &pods {
        lab.api.put(pod.port());
        lab.add(container, pod, netns).ok();
    }
    lab.gc(&["c1", "c3", "unknown"]).ok();
    assert_eq!(
        (lab.plugged(), lab.devices().len()),
        (vec!["c1".to_owned(), "c3".to_owned()], 2)
    );
    lab.gc(&[]).ok();
    lab.assert_empty();
}

#[test]
fn a_call_under_way_is_no_garbage() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    let call = lab.start_held_add("c1", &pod, &netns);
    lab.gc(&[]).ok();
    lab.ovs.install(true);
    call.answer().ok();
    assert_eq!(lab.plugged(), ["c1"]);
}
