//! Session affinity: how long a client stays with a backend, and of how many services.

use std::time::Duration;

use stackube_datapath::Service;
use stackube_datapath::abi::POD_AFFINITIES;

use crate::lab::kernel::{backends, in_both_modes};
use crate::lab::packet::{Packet, at};

const VIP: &str = "10.96.0.7:80";

#[test]
fn session_affinity_holds_until_its_time_and_while_the_backend_is_there() {
    in_both_modes(|kernel| {
        let addresses: Vec<String> = (1..=20).map(|i| format!("10.244.1.{i}:80")).collect();
        let all: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let sticky = |list: &[&str]| Service {
            affinity: Some(Duration::from_secs(10_800)),
            ..backends(list)
        };
        kernel.serve("tcp 10.96.0.7:80", &sticky(&all));
        let mut port = 10_000;
        let mut connect = |kernel: &mut crate::lab::kernel::Kernel| {
            port += 1;
            let sent = Packet::tcp(at(&format!("10.244.0.5:{port}")), at(VIP), "S");
            kernel.pod_sends(&sent).passed().destination
        };
        let first = connect(kernel);
        assert!((0..50).all(|_| connect(kernel) == first));
        // Others go, so that it may have another slot; it stays.
        let kept: Vec<&str> = all
            .iter()
            .copied()
            .filter(|address| at(address) == first || address.ends_with("2:80"))
            .collect();
        kernel.serve("tcp 10.96.0.7:80", &sticky(&kept));
        assert!((0..50).all(|_| connect(kernel) == first));
        let without: Vec<&str> = kept.iter().copied().filter(|address| at(address) != first).collect();
        kernel.serve("tcp 10.96.0.7:80", &sticky(&without));
        let second = connect(kernel);
        assert_ne!(second, first);
        assert!((0..50).all(|_| connect(kernel) == second));
    });
}

#[test]
fn session_affinity_ends_with_its_time() {
    in_both_modes(|kernel| {
        let addresses: Vec<String> = (1..=20).map(|i| format!("10.244.1.{i}:80")).collect();
        let all: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let sticky = Service {
            affinity: Some(Duration::from_secs(100)),
            ..backends(&all)
        };
        kernel.serve("tcp 10.96.0.7:80", &sticky);
        let mut port = 10_000;
        let mut after = |kernel: &mut crate::lab::kernel::Kernel, seconds| {
            kernel.age_affinity(Duration::from_secs(seconds));
            port += 1;
            let sent = Packet::tcp(at(&format!("10.244.0.5:{port}")), at(VIP), "S");
            kernel.pod_sends(&sent).passed().destination
        };
        let first = after(kernel, 0);
        // Each new connection begins the time anew.
        assert!((0..30).all(|_| after(kernel, 90) == first));
        let chosen: std::collections::HashSet<_> = (0..30).map(|_| after(kernel, 101)).collect();
        // Of 20 backends, 30 choices leave out about 4.
        assert!(chosen.len() > 8, "{chosen:?}");
        assert_eq!(kernel.added(), kernel.flows().len() as u64);
        kernel.sweep_after(90);
        assert_eq!(kernel.remembered(), 1, "it still holds");
        kernel.sweep_after(101);
        assert_eq!(kernel.remembered(), 0);
    });
}

#[test]
fn a_longer_time_holds_for_who_is_remembered() {
    in_both_modes(|kernel| {
        let addresses: Vec<String> = (1..=20).map(|i| format!("10.244.1.{i}:80")).collect();
        let all: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let mut port = 10_000;
        let mut connect = |kernel: &mut crate::lab::kernel::Kernel, seconds| {
            let sticky = Service {
                affinity: Some(Duration::from_secs(seconds)),
                ..backends(&all)
            };
            kernel.serve("tcp 10.96.0.7:80", &sticky);
            port += 1;
            let sent = Packet::tcp(at(&format!("10.244.0.5:{port}")), at(VIP), "S");
            kernel.pod_sends(&sent).passed().destination
        };
        let first = connect(kernel, 60);
        assert_eq!(connect(kernel, 1000), first);
        kernel.sweep_after(500);
        assert_eq!(kernel.remembered(), 1);
        kernel.sweep_after(1001);
        assert_eq!(kernel.remembered(), 0);
    });
}

#[test]
fn a_pod_has_a_share_of_what_is_remembered_and_finds_its_backends_without() {
    in_both_modes(|kernel| {
        let addresses: Vec<String> = (1..=20).map(|i| format!("10.244.1.{i}:80")).collect();
        let all: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let sticky = Service {
            affinity: Some(Duration::from_secs(100)),
            ..backends(&all)
        };
        let services: Vec<String> = (1..=40).map(|last| format!("10.96.0.{last}:80")).collect();
        for service in &services {
            kernel.serve(&format!("tcp {service}"), &sticky);
        }
        let mut port = 10_000;
        let mut connect = |kernel: &mut crate::lab::kernel::Kernel, service: &str| {
            port += 1;
            let sent = Packet::tcp(at(&format!("10.244.0.5:{port}")), at(service), "S");
            kernel.pod_sends(&sent).passed().destination
        };
        let (first, others) = services.split_first().unwrap();
        let backend = connect(kernel, first);
        kernel.remembers(POD_AFFINITIES);
        for service in others {
            let chosen = connect(kernel, service);
            assert!((0..10).all(|_| connect(kernel, service) == chosen), "{service}");
        }
        assert_eq!(kernel.remembered(), POD_AFFINITIES, "nothing more is remembered");
        assert!((0..30).all(|_| connect(kernel, first) == backend), "what was is");
        kernel.remembers(POD_AFFINITIES - 1);
        for service in others {
            connect(kernel, service);
        }
        assert_eq!(kernel.remembered(), POD_AFFINITIES);
        kernel.mark_node(true);
        for service in others {
            connect(kernel, service);
        }
        let node = POD_AFFINITIES + others.len() as u64 - 1;
        assert_eq!(kernel.remembered(), node, "the node has a larger one");
    });
}
