//! A pod speaks for itself only, and reaches nothing of the infrastructure.

use std::time::Duration;

use crate::lab::kernel::{DEVICE, FAR_MAC, HAIRPIN, LINK, NODE_MAC, Outcome, POD, in_both_modes, net};
use crate::lab::packet::{Body, POD_MAC, Packet, ROUTER_MAC, at};

#[test]
fn what_a_pod_sends_in_its_own_name_passes_unchanged() {
    in_both_modes(|kernel| {
        for packet in [
            Packet::udp(at("10.244.0.5:5000"), at("10.244.0.6:53")),
            Packet::tcp(at("10.244.0.5:5000"), at("192.0.2.1:443"), "S"),
            Packet::echo(POD, "10.244.0.6".parse().unwrap(), false, 9),
        ] {
            assert_eq!(kernel.pod_sends(&packet).passed(), packet);
        }
    });
}

#[test]
fn another_source_address_is_dropped() {
    in_both_modes(|kernel| {
        let own = Packet::udp(at("10.244.0.5:5000"), at("10.244.0.6:53"));
        let before = (kernel.count("dropped_spoofed_ip"), kernel.count("dropped_spoofed_mac"));
        assert_eq!(
            kernel.pod_sends(&own.clone().ends(at("10.244.0.7:5000"), own.destination)),
            Outcome::Dropped
        );
        assert_eq!(
            kernel.pod_sends(&own.with_macs(ROUTER_MAC, [2, 0, 0, 0, 0, 2])),
            Outcome::Dropped
        );
        let after = (kernel.count("dropped_spoofed_ip"), kernel.count("dropped_spoofed_mac"));
        assert_eq!(after, (before.0 + 1, before.1 + 1));
    });
}

/// An ARP message from a MAC address that has `sender` in it.
fn arp(operation: u8, sender_mac: [u8; 6], sender: [u8; 4]) -> Vec<u8> {
    let mut bytes = Vec::from([0xff; 6]);
    bytes.extend(POD_MAC);
    bytes.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    bytes.extend(sender_mac);
    bytes.extend(sender);
    bytes.extend([0; 6]);
    bytes.extend([10, 244, 0, 1]);
    bytes
}

#[test]
fn arp_in_the_pods_own_name_and_probes_pass_and_no_other() {
    in_both_modes(|kernel| {
        let other = [2, 0, 0, 0, 0, 2];
        for (message, passes) in [
            (arp(1, POD_MAC, POD.octets()), true),
            (arp(2, POD_MAC, POD.octets()), true),
            (arp(1, POD_MAC, [0; 4]), true), // asks whether somebody has its address (RFC 5227)
            (arp(2, POD_MAC, [0; 4]), false),
            (arp(1, POD_MAC, [10, 244, 0, 1]), false),
            (arp(2, POD_MAC, [10, 244, 0, 6]), false),
            (arp(1, other, POD.octets()), false),
            (arp(1, POD_MAC, POD.octets())[..40].to_vec(), false),
        ] {
            assert_eq!(kernel.pod_sends_raw(&message), passes.then_some((false, message)));
        }
    });
}

#[test]
fn tags_ipv6_and_malformed_packets_are_dropped() {
    in_both_modes(|kernel| {
        let good = Packet::udp(at("10.244.0.5:5000"), at("10.244.0.6:53")).bytes();
        let changed = |offset: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[offset] = value;
            bytes
        };
        let mut tagged = good.clone();
        tagged.splice(12..12, [0x81, 0, 0, 5]);
        let mut ipv6 = good.clone();
        ipv6[12..14].copy_from_slice(&[0x86, 0xdd]);
        for bad in [
            tagged,
            ipv6,
            changed(14, 0x65),
            changed(14, 0x44),
            changed(16, 9),
            changed(17, 10),
            good[..40].to_vec(),
        ] {
            assert_eq!(kernel.pod_sends_raw(&bad), None, "{bad:?}");
        }
    });
}

#[test]
fn infrastructure_is_refused_at_once_and_what_is_permitted_of_it_is_not() {
    in_both_modes(|kernel| {
        kernel.programs.set_infrastructure(&[net("10.77.0.0/24")]).unwrap();
        kernel.programs.set_permitted(&[net("10.77.0.9/32")]).unwrap();
        let tcp = Packet::tcp(at("10.244.0.5:5000"), at("10.77.0.21:10250"), "S");
        let reset = kernel.pod_sends(&tcp).redirected();
        let expected = Packet::tcp(tcp.destination, tcp.source, "RA").with_macs(POD_MAC, ROUTER_MAC);
        assert_eq!(
            reset,
            Packet {
                body: Body::Tcp {
                    flags: "RA",
                    sequence: 0,
                    acknowledged: 1001
                },
                ..expected
            }
        );
        for refused in [
            Packet::udp(at("10.244.0.5:5000"), at("10.77.0.21:53")),
            Packet::echo(POD, "10.77.0.21".parse().unwrap(), false, 9),
            Packet::udp(at("10.244.0.5:5000"), at("169.254.169.254:80")),
            Packet::udp(at("10.244.0.5:5000"), at("169.254.77.1:53")),
        ] {
            let answer = kernel.pod_sends(&refused).redirected();
            assert!(
                matches!(answer.body, Body::Error { kind: 3, code: 13, .. }),
                "{answer:?}"
            );
            assert_eq!(
                (answer.source.ip(), answer.destination.ip()),
                (refused.destination.ip(), &POD)
            );
        }
        let permitted = Packet::tcp(at("10.244.0.5:5000"), at("10.77.0.9:443"), "S");
        assert_eq!(kernel.pod_sends(&permitted).passed(), permitted);
        assert_eq!(kernel.pod_sends(&Packet::echo(POD, HAIRPIN, true, 9)), Outcome::Dropped);
    });
}

#[test]
fn a_reset_is_never_answered() {
    in_both_modes(|kernel| {
        kernel.programs.set_infrastructure(&[net("10.77.0.0/24")]).unwrap();
        assert_eq!(
            kernel.pod_sends(&Packet::tcp(at("10.244.0.5:5000"), at("10.77.0.21:22"), "R")),
            Outcome::Dropped
        );
    });
}

#[test]
fn kubelet_reaches_the_pod_and_nobody_else_of_the_node() {
    in_both_modes(|kernel| {
        let probe = Packet::tcp(at("169.254.77.1:40000"), at("10.244.0.5:8080"), "S");
        let answer = Packet::tcp(probe.destination, probe.source, "SA");
        assert_eq!(kernel.host_sends(&probe, 0), Outcome::Dropped, "without kubelet's mark");
        assert_eq!(
            kernel.pod_sends(&answer).redirected().body,
            Body::Tcp {
                flags: "R",
                sequence: 77,
                acknowledged: 0
            },
            "not asked"
        );
        let delivered = kernel.host_sends(&probe, 0x77).redirected();
        assert_eq!(delivered, probe.clone().with_macs(POD_MAC, FAR_MAC));
        let sent = kernel.pod_sends(&answer).redirected();
        assert_eq!(sent, answer.clone().with_macs(NODE_MAC, FAR_MAC));
        // The kernel ends a connection without the socket's mark; and a pod cannot open one with the port of a probe.
        assert!(matches!(
            kernel.host_sends(&Packet::tcp(probe.source, probe.destination, "FA"), 0),
            Outcome::Redirected(_)
        ));
        let syn = kernel
            .pod_sends(&Packet::tcp(probe.destination, probe.source, "S"))
            .redirected();
        assert_eq!(syn.destination, probe.destination, "reset, sent back to the pod");
        let other = Packet::tcp(at("10.77.0.21:40000"), at("10.244.0.5:8080"), "S");
        assert_eq!(
            kernel.host_sends(&other, 0x77),
            Outcome::Dropped,
            "another address of the node"
        );
        assert_eq!(
            kernel.host_sends(&Packet::udp(probe.source, probe.destination), 0x77),
            Outcome::Dropped
        );
        let ping = Packet::echo(LINK, POD, false, 5);
        assert!(matches!(kernel.host_sends(&ping, 0x77), Outcome::Redirected(_)));
        assert!(matches!(
            kernel.pod_sends(&Packet::echo(POD, LINK, true, 5)),
            Outcome::Redirected(_)
        ));
        assert_eq!(kernel.pod_sends(&Packet::echo(POD, LINK, true, 6)), Outcome::Dropped);
    });
}

#[test]
fn a_pods_icmp_errors_reach_kubelet_about_its_own_packets_only() {
    in_both_modes(|kernel| {
        let probe = Packet::tcp(at("169.254.77.1:40000"), at("10.244.0.5:8080"), "S");
        let error = |quoted: &Packet| Packet::error(POD, LINK, quoted.clone());
        assert_eq!(kernel.pod_sends(&error(&probe)), Outcome::Dropped, "nothing was sent");
        kernel.host_sends(&probe, 0x77).redirected();
        let before = kernel.count("probe_answer");
        let sent = kernel.pod_sends(&error(&probe)).redirected();
        assert_eq!((sent.destination_mac, sent.source_mac), (NODE_MAC, FAR_MAC));
        assert_eq!(
            (sent.source, sent.destination, &sent.body),
            (at("10.244.0.5:0"), at("169.254.77.1:0"), &quoting(&probe))
        );
        assert_eq!(kernel.count("probe_answer"), before + 1);
        // Another connection, another pod's, another protocol's; of another address of the node; to somebody else.
        for (source, destination) in [
            ("169.254.77.1:40001", "10.244.0.5:8080"),
            ("169.254.77.1:40000", "10.244.0.5:8081"),
            ("169.254.77.1:40000", "10.244.0.6:8080"),
            ("10.77.0.21:40000", "10.244.0.5:8080"),
        ] {
            let other = probe.clone().ends(at(source), at(destination));
            assert_eq!(
                kernel.pod_sends(&error(&other)),
                Outcome::Dropped,
                "{source} {destination}"
            );
        }
        let datagram = Packet::udp(probe.source, probe.destination);
        assert_eq!(kernel.pod_sends(&error(&datagram)), Outcome::Dropped);
        let astray = Packet::error(POD, HAIRPIN, probe.clone());
        assert_eq!(kernel.pod_sends(&astray), Outcome::Dropped);
        let mut piece = error(&probe).bytes();
        piece[20] = 0x20; // more fragments follow
        assert_eq!(kernel.pod_sends_raw(&piece), None);
        // No other message: a redirection would change how the node reaches others.
        let mut redirection = error(&probe).bytes();
        redirection[34] = 5;
        assert_eq!(kernel.pod_sends_raw(&redirection), None);
        kernel.age_host_flows(Duration::from_secs(121));
        assert_eq!(kernel.pod_sends(&error(&probe)), Outcome::Dropped, "long ago");
    });
}

/// An ICMP error as it is read back: the ports of what it quotes, whatever the protocol.
fn quoting(packet: &Packet) -> Body {
    let quoted = Packet::udp(packet.source, packet.destination);
    let quoted = Box::new(Packet {
        payload: Vec::new(),
        ..quoted
    });
    Body::Error {
        kind: 3,
        code: 4,
        quoted,
    }
}

#[test]
fn nothing_passes_for_a_pod_that_is_not_known() {
    in_both_modes(|kernel| {
        kernel.serve("udp 10.96.0.7:53", &crate::lab::kernel::backends(&["10.244.0.9:53"]));
        kernel.programs.detach(DEVICE).unwrap();
        let packet = Packet::udp(at("10.244.0.5:5000"), at("10.244.0.6:53"));
        assert_eq!(kernel.pod_sends(&packet), Outcome::Dropped);
        assert_eq!(kernel.pod_gets(&packet), Outcome::Dropped);
    });
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 64, failure_persistence: None, ..Default::default() })]
    #[test]
    fn nothing_passes_in_another_name_whatever_the_bytes(
        changes in proptest::collection::vec((0usize..60, proptest::prelude::any::<u8>()), 0..6),
        length in 35usize..80, // the test run itself wants whole headers
        noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 40),
    ) {
        in_both_modes(|kernel| {
            let mut bytes = Packet::tcp(at("10.244.0.5:5000"), at("10.244.0.6:53"), "S").bytes();
            bytes.extend(&noise);
            bytes.truncate(length);
            for (at, value) in changes.iter().filter(|(at, _)| *at < length) {
                bytes[*at] = *value;
            }
            if kernel.pod_sends_raw(&bytes).is_some() {
                let named = match bytes[12..14] {
                    [8, 6] => bytes[22..28] == POD_MAC && (bytes[28..32] == POD.octets() || bytes[28..32] == [0; 4]),
                    [8, 0] => bytes[26..30] == POD.octets() && bytes[14] >> 4 == 4,
                    _ => false,
                };
                assert!(named && bytes[6..12] == POD_MAC, "{bytes:?}");
            }
        });
    }
}
