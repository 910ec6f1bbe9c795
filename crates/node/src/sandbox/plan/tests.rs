use proptest::prelude::*;
use rstest::rstest;
use stackube_api::PortHolder;

use super::*;

fn attachment(container: &str) -> Attachment {
    Attachment {
        container_id: container.into(),
        ifname: "eth0".into(),
    }
}

fn pod(uid: &str) -> PodRef {
    PodRef {
        namespace: "test".into(),
        name: format!("pod-{uid}"),
        uid: uid.into(),
    }
}

fn assignment(port: &str, ip: &str) -> Assignment {
    Assignment {
        network: "test".into(),
        object_uid: "o".into(),
        holder: PortHolder::Pod,
        port_id: port.into(),
        mac: [0xfa, 0x16, 0x3e, 0, 0, 5],
        address: format!("{ip}/16").parse().unwrap(),
        gateway: "10.244.0.1".parse().unwrap(),
        mtu: 1442,
    }
}

/// A row as an ADD for (container, pod UID, Neutron port, address) leaves it.
fn row(container: &str, uid: &str, port: &str, ip: &str) -> Record {
    let device = host_name(&attachment(container));
    Record {
        port: Uuid(format!("port-{container}")),
        interface: Uuid(format!("interface-{container}")),
        device,
        iface_id: Some(port.into()),
        mac: Some("fa:16:3e:00:00:05".into()),
        owner: Some(Owner {
            attachment: attachment(container),
            pod: pod(uid),
            address: ip.parse().unwrap(),
        }),
        ofport: Some(1),
        error: None,
        installed: true,
    }
}

fn devices(records: &[Record]) -> Devices {
    let link = |r: &Record| {
        (
            r.device.clone(),
            HostLink {
                index: 1,
                alias: None,
                mtu: 1442,
                up: true,
            },
        )
    };
    records.iter().map(link).collect()
}

fn removed(plan: &AddPlan) -> Vec<&str> {
    match plan {
        AddPlan::Plug { removals, .. } => removals.iter().map(|r| r.port.0.as_str()).collect(),
        other => panic!("expected Plug, got {other:?}"),
    }
}

fn plan_add(records: &[Record], devices: &Devices) -> AddPlan {
    add(
        records,
        devices,
        &attachment("new"),
        &pod("u1"),
        &assignment("n1", "10.244.0.5"),
    )
}

#[test]
fn an_empty_node_is_plugged() {
    let plan = plan_add(&[], &Devices::new());
    assert_eq!(
        plan,
        AddPlan::Plug {
            removals: vec![],
            stale_device: false
        }
    );
}

#[test]
fn a_repeated_add_keeps_what_is_there() {
    let rows = [row("new", "u1", "n1", "10.244.0.5"), row("x", "u2", "n2", "10.244.0.6")];
    assert_eq!(plan_add(&rows, &devices(&rows)), AddPlan::Keep);
}

#[test]
fn a_repeated_add_without_its_device_plugs_again() {
    let rows = [row("new", "u1", "n1", "10.244.0.5")];
    assert_eq!(removed(&plan_add(&rows, &Devices::new())), ["port-new"]);
}

#[rstest]
#[case::older_sandbox_of_the_pod(row("old", "u1", "n1", "10.244.0.5"))]
#[case::older_sandbox_with_an_older_address(row("old", "u1", "n0", "10.244.0.4"))]
#[case::same_logical_port(row("old", "u9", "n1", "10.244.0.9"))]
fn what_stands_in_the_way_is_removed(#[case] old: Record) {
    let rows = [old, row("x", "u2", "n2", "10.244.0.6")];
    assert_eq!(removed(&plan_add(&rows, &devices(&rows))), ["port-old"]);
}

#[test]
fn a_foreign_row_with_the_logical_port_is_removed() {
    let mut foreign = row("f", "u", "n1", "10.0.0.1");
    foreign.owner = None;
    let rows = [foreign];
    assert_eq!(removed(&plan_add(&rows, &devices(&rows))), ["port-f"]);
}

#[test]
fn an_address_of_a_live_sandbox_is_refused_whatever_its_network() {
    let rows = [row("x", "u2", "n2", "10.244.0.5")];
    assert!(matches!(plan_add(&rows, &devices(&rows)), AddPlan::AddressHeld(o) if o.pod.uid == "u2"));
}

#[test]
fn an_address_of_a_dead_sandbox_is_taken_over() {
    let rows = [row("x", "u2", "n2", "10.244.0.5")];
    assert_eq!(removed(&plan_add(&rows, &Devices::new())), ["port-x"]);
}

#[test]
fn a_second_interface_is_refused() {
    let mut first = row("new", "u1", "n1", "10.244.0.5");
    first.device = "sk0000000000001".into();
    if let Some(owner) = &mut first.owner {
        owner.attachment.ifname = "eth1".into();
    }
    let rows = [first];
    assert_eq!(
        plan_add(&rows, &devices(&rows)),
        AddPlan::SecondInterface("eth1".into())
    );
}

#[test]
fn del_touches_its_own_rows_only() {
    let rows = [
        row("old", "u1", "n1", "10.244.0.5"),
        row("new", "u1", "n1", "10.244.0.5"),
    ];
    let ports: Vec<_> = del(&rows, &attachment("old")).into_iter().map(|r| r.port.0).collect();
    assert_eq!(ports, ["port-old"]);
    assert!(del(&rows, &attachment("unknown")).is_empty());
}

#[test]
fn purge_finds_both_kinds_of_remains_and_spares_the_busy() {
    let rows = [
        row("dead", "u1", "n1", "10.244.0.5"),
        row("live", "u2", "n2", "10.244.0.6"),
        row("busy", "u3", "n3", "10.244.0.7"),
    ];
    let mut existing = devices(&rows[1..2]);
    let link = existing.values().next().unwrap().clone();
    for name in ["sk0000000000001", "sk0000000000002"] {
        existing.insert(name.into(), link.clone());
    }
    let busy = BTreeSet::from(["sk0000000000002".to_owned(), host_name(&attachment("busy"))]);
    let purge = purge(&rows, &existing, &busy);
    assert_eq!(
        purge
            .rows
            .iter()
            .map(|o| o.attachment.container_id.as_str())
            .collect::<Vec<_>>(),
        ["dead"]
    );
    assert_eq!(purge.devices, ["sk0000000000001"]);
}

#[test]
fn gc_removes_what_the_runtime_does_not_know() {
    let mut foreign = row("f", "u", "n", "10.0.0.1");
    foreign.owner = None;
    let rows = [
        row("a", "u1", "n1", "10.244.0.5"),
        row("b", "u2", "n2", "10.244.0.6"),
        foreign,
    ];
    let garbage = gc(&rows, &BTreeSet::from([attachment("a")]), &BTreeSet::new());
    assert_eq!(
        garbage
            .iter()
            .map(|o| o.attachment.container_id.as_str())
            .collect::<Vec<_>>(),
        ["b"]
    );
}

proptest! {
    /// Whatever is on the node: after a plan, nobody else has the logical port, and no two live pods share an address.
    #[test]
    fn a_plan_never_leaves_a_conflict(
        existing in prop::collection::vec((0..6u8, 0..4u8, 0..4u8, 0..4u8, any::<bool>()), 0..8),
    ) {
        let mut rows = vec![];
        let mut alive = vec![];
        for (container, uid, port, ip, live) in existing {
            let container = if container == 0 { "new".to_owned() } else { format!("c{container}") };
            if rows.iter().any(|r: &Record| r.device == host_name(&attachment(&container))) {
                continue;
            }
            let row = row(&container, &format!("u{uid}"), &format!("n{port}"), &format!("10.244.0.{ip}"));
            if live {
                alive.push(row.clone());
            }
            rows.push(row);
        }
        let existing = devices(&alive);
        let wanted = assignment("n1", "10.244.0.2");
        let plan = add(&rows, &existing, &attachment("new"), &pod("u1"), &wanted);
        let gone = |r: &&Record| match &plan {
            AddPlan::Plug { removals, .. } => !removals.iter().any(|x| x.port == r.port),
            _ => true,
        };
        let left: Vec<&Record> = rows.iter().filter(gone).filter(|r| !r.is_of(&attachment("new"))).collect();
        let holder = alive.iter().find(|r| !r.is_of_pod("u1") && r.owner.as_ref().unwrap().address == wanted.address.addr());
        match &plan {
            AddPlan::AddressHeld(owner) => prop_assert_eq!(Some(owner), holder.and_then(|r| r.owner.as_ref())),
            AddPlan::Keep | AddPlan::Plug { .. } => {
                prop_assert!(holder.is_none());
                prop_assert!(left.iter().all(|r| r.iface_id.as_deref() != Some("n1")));
                prop_assert!(left.iter().all(|r| !r.is_of_pod("u1")));
                prop_assert!(left.iter().all(|r| r.owner.as_ref().unwrap().address != wanted.address.addr()));
            }
            AddPlan::SecondInterface(_) => prop_assert!(false, "all interfaces are eth0"),
        }
    }
}
