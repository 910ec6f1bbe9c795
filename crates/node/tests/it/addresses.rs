//! Two live sandboxes of one node never have one address, whatever their networks.

use stackube_api::names::ADDRESS_REFUSED_ANNOTATION;

use crate::lab::{Lab, Pod, Waits};

/// A pod of another network with the address of `pod`.
fn with_address_of(pod: &Pod, number: u8) -> Pod {
    Pod {
        ip: pod.ip.clone(),
        ..Pod::number(number)
    }
}

#[test]
fn an_address_of_a_live_sandbox_is_refused_until_another_comes() {
    let lab = Lab::new();
    let first = Pod::number(1);
    let second = with_address_of(&first, 2);
    let (a, b) = (lab.pod_namespace("a"), lab.pod_namespace("b"));
    lab.api.put(first.port());
    lab.api.put(second.port());
    lab.add("c1", &first, &a).ok();
    let call = lab.start_add("c2", &second, &b);
    let refused = || lab.api.annotation(&second.uid, ADDRESS_REFUSED_ANNOTATION);
    lab.eventually("the address is refused", || {
        refused().as_deref() == Some(first.ip.as_str())
    });
    lab.eventually("there is an Event", || {
        lab.api
            .published()
            .iter()
            .any(|e| e["reason"] == "AddressRefused" && e["regarding"]["name"] == second.name)
    });
    assert_eq!(lab.plugged(), ["c1"]);
    // The controller chooses another address.
    let moved = Pod {
        ip: "10.244.7.7".into(),
        ..second.clone()
    };
    lab.api.set_status(&second.uid, moved.status());
    let result = call.answer().ok();
    assert_eq!(result["ips"][0]["address"], "10.244.7.7/16");
    assert_eq!(lab.plugged(), ["c1", "c2"]);
}

#[test]
fn a_refusal_that_nobody_answers_fails_the_add() {
    let lab = Lab::waiting(Waits::SHORT_FOR_PORTS);
    let first = Pod::number(1);
    let second = with_address_of(&first, 2);
    let (a, b) = (lab.pod_namespace("a"), lab.pod_namespace("b"));
    lab.api.put(first.port());
    lab.api.put(second.port());
    lab.add("c1", &first, &a).ok();
    lab.api.break_writes(true);
    let (code, text) = lab.add("c2", &second, &b).error();
    assert!(code == 11 && text.contains("is held on this node"), "{code} {text}");
    assert_eq!((lab.plugged(), lab.devices().len()), (vec!["c1".to_owned()], 1));
}

#[test]
fn a_force_deleted_pods_address_stays_held_while_its_sandbox_lives() {
    let lab = Lab::waiting(Waits::SHORT_FOR_PORTS);
    let first = Pod::number(1);
    let second = with_address_of(&first, 2);
    let (a, b) = (lab.pod_namespace("a"), lab.pod_namespace("b"));
    lab.api.put(first.port());
    lab.add("c1", &first, &a).ok();
    // Somebody forced the Port away; the sandbox knows nothing of it.
    lab.api.remove(&first.uid);
    lab.api.put(second.port());
    assert!(!lab.add("c2", &second, &b).success);
    lab.del("c1", Some(&first), Some(&a)).ok();
    lab.add("c3", &second, &b).ok();
    assert_eq!(lab.plugged(), ["c3"]);
}

#[test]
fn the_address_of_a_sandbox_that_died_without_del_is_free() {
    let lab = Lab::new();
    let first = Pod::number(1);
    let second = with_address_of(&first, 2);
    let (a, b) = (lab.pod_namespace("a"), lab.pod_namespace("b"));
    lab.api.put(first.port());
    lab.api.put(second.port());
    lab.add("c1", &first, &a).ok();
    drop(a);
    lab.eventually("the device goes with its namespace", || lab.devices().is_empty());
    lab.add("c2", &second, &b).ok();
    assert_eq!(lab.plugged(), ["c2"]);
}

#[test]
fn of_two_adds_at_once_with_one_address_one_wins() {
    let lab = Lab::waiting(Waits::SHORT_FOR_PORTS);
    let first = Pod::number(1);
    let second = with_address_of(&first, 2);
    let (a, b) = (lab.pod_namespace("a"), lab.pod_namespace("b"));
    let calls = [lab.start_add("c1", &first, &a), lab.start_add("c2", &second, &b)];
    lab.api.put(first.port());
    lab.api.put(second.port());
    let won: Vec<bool> = calls.into_iter().map(|call| call.answer().success).collect();
    assert_eq!(won.iter().filter(|w| **w).count(), 1, "{won:?}");
    assert_eq!((lab.plugged().len(), lab.devices().len()), (1, 1));
}
