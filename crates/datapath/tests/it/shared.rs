//! Services behind the host link whose port is that of DNS, and what the node's own port may.

use std::time::Duration;

use aya::maps::HashMap;
use stackube_datapath::abi;
use stackube_datapath::{Limits, Service};

use crate::lab::kernel::{Kernel, NETWORK, Outcome, backends, in_both_modes, service_key};
use crate::lab::packet::{Packet, at};

/// A shared server of names: its address stands for itself on the host link, where the node keeps a connection for each flow.
const SHARED: &str = "udp 10.96.0.21:53";

fn to_host(backend: &'static str) -> Service {
    Service {
        host: true,
        ..backends(&[backend])
    }
}

/// How many of so many datagrams from ports of their own come through.
fn through(kernel: &mut Kernel, to: &str, count: u16) -> usize {
    (0..count)
        .filter(|port| {
            let packet = Packet::udp(at(&format!("10.244.0.5:{}", 7000 + port)), at(to));
            kernel.pod_sends(&packet) != Outcome::Dropped
        })
        .count()
}

#[test]
fn a_shared_service_on_the_port_of_dns_is_one_like_others() {
    in_both_modes(|kernel| {
        let limits = Limits {
            dns: (0, 50),
            host: (0, 3),
            ..Limits::default()
        };
        kernel.reset(limits);
        kernel.synced();
        kernel.serve("udp 10.96.0.10:53", &to_host("169.254.77.1:53"));
        kernel.serve(SHARED, &to_host("10.96.0.21:53"));
        assert_eq!(through(kernel, "10.96.0.21:53", 10), 3, "the rate of new flows");
        assert_eq!(kernel.added(), 3 * 32, "each counts as a connection");
        // Its answer may take longer than that of the node's own server.
        kernel.age_flows(Duration::from_secs(20));
        assert_eq!(kernel.programs.sweep().unwrap().removed, 0);
        assert_eq!(
            through(kernel, "10.96.0.10:53", 60),
            50,
            "the rate of questions is another"
        );
        assert_eq!(kernel.added(), 3 * 32 + 2 * 50);
    });
}

#[test]
fn the_node_has_no_rate_of_new_flows() {
    in_both_modes(|kernel| {
        let limits = Limits {
            host: (0, 3),
            ..Limits::default()
        };
        kernel.reset(limits);
        kernel.synced();
        kernel.mark_node(true);
        kernel.serve(SHARED, &to_host("10.77.0.11:53"));
        assert_eq!(through(kernel, "10.96.0.21:53", 20), 20);
    });
}

#[test]
fn what_another_version_has_written_is_written_anew() {
    in_both_modes(|kernel| {
        let key: abi::ServiceKey = service_key(NETWORK, SHARED).into();
        kernel.serve(SHARED, &to_host("10.96.0.21:53"));
        let mut map: HashMap<_, abi::ServiceKey, abi::Service> = Kernel::map(&kernel.root(), "services");
        let written = map.get(&key, 0).unwrap();
        map.insert(key, abi::Service { weight: 1, ..written }, 0).unwrap();
        kernel.serve(SHARED, &to_host("10.96.0.21:53"));
        let now = map.get(&key, 0).unwrap();
        assert_eq!((now.id, now.weight), (written.id, abi::HOST_WEIGHT));
        assert_ne!(now.generation, written.generation, "flows look at it again");
        // Without a difference nothing is written.
        kernel.serve(SHARED, &to_host("10.96.0.21:53"));
        assert_eq!(map.get(&key, 0).unwrap().generation, now.generation);
    });
}
