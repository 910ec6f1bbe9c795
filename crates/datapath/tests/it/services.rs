//! Services: from the pod to a backend and back.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use stackube_datapath::{Limits, Service};

use crate::fragments::fragments;
use crate::lab::kernel::{ALIAS, FAR_MAC, HAIRPIN, NODE_MAC, Outcome, POD, backends, in_both_modes, net, service_key};
use crate::lab::packet::{Body, POD_MAC, Packet, ROUTER_MAC, at};

const VIP: &str = "10.96.0.7:80";

#[test]
fn a_service_leads_to_its_backend_and_the_answer_comes_from_the_service() {
    in_both_modes(|kernel| {
        kernel.serve("tcp 10.96.0.7:80", &backends(&["10.244.0.6:8080"]));
        kernel.serve("udp 10.96.0.7:80", &backends(&["10.244.0.6:5353"]));
        let pod = at("10.244.0.5:5000");
        for (sent, backend) in [
            (Packet::tcp(pod, at(VIP), "S"), at("10.244.0.6:8080")),
            (Packet::tcp(pod, at(VIP), "A"), at("10.244.0.6:8080")),
            (Packet::udp(pod, at(VIP)), at("10.244.0.6:5353")),
        ] {
            assert_eq!(kernel.pod_sends(&sent).passed(), sent.clone().ends(pod, backend));
            let answer = sent.clone().ends(backend, pod).with_macs(POD_MAC, ROUTER_MAC);
            assert_eq!(kernel.pod_gets(&answer).passed(), answer.clone().ends(at(VIP), pod));
        }
        assert_eq!(kernel.added(), 4, "two flows in two directions");
    });
}

#[test]
fn a_checksum_that_udp_leaves_out_stays_out() {
    in_both_modes(|kernel| {
        kernel.serve("udp 10.96.0.7:80", &backends(&["10.244.0.6:5353"]));
        let mut bytes = Packet::udp(at("10.244.0.5:5000"), at(VIP)).bytes();
        bytes[40..42].fill(0);
        let (_, out) = kernel.pod_sends_raw(&bytes).unwrap();
        assert_eq!(&out[30..34], &[10, 244, 0, 6]);
        assert_eq!(&out[40..42], &[0, 0]);
    });
}

#[test]
fn without_a_backend_or_service_it_is_refused_at_once_and_dropped_until_synced() {
    in_both_modes(|kernel| {
        kernel.serve("tcp 10.96.0.7:80", &backends(&[]));
        let pod = at("10.244.0.5:5000");
        let refused = kernel.pod_sends(&Packet::tcp(pod, at(VIP), "S")).redirected();
        assert_eq!(
            refused.body,
            Body::Tcp {
                flags: "RA",
                sequence: 0,
                acknowledged: 1001
            }
        );
        assert_eq!((refused.source, refused.destination), (at(VIP), pod));
        // Another tenant's service is none of this network's.
        kernel
            .services()
            .upsert(service_key("other", "udp 10.96.0.8:80"), &backends(&["10.244.0.6:80"]))
            .unwrap();
        let none = Packet::udp(pod, at("10.96.0.8:80"));
        assert_eq!(kernel.pod_sends(&none), Outcome::Dropped);
        kernel.synced();
        let Body::Error {
            kind: 3,
            code: 3,
            quoted,
        } = kernel.pod_sends(&none).redirected().body
        else {
            panic!()
        };
        assert_eq!((quoted.source, quoted.destination), (pod, at("10.96.0.8:80")));
        let short = Packet {
            payload: vec![1],
            ..none
        };
        assert!(
            matches!(kernel.pod_sends(&short), Outcome::Redirected(_)),
            "a datagram shorter than the answer"
        );
        assert_eq!(
            kernel.pod_sends(&Packet::echo(POD, Ipv4Addr::new(10, 96, 0, 7), false, 1)),
            Outcome::Dropped
        );
    });
}

#[test]
fn a_backend_in_the_infrastructure_is_refused() {
    in_both_modes(|kernel| {
        kernel.programs.set_infrastructure(&[net("10.77.0.0/24")]).unwrap();
        kernel.serve("tcp 10.96.0.7:80", &backends(&["10.77.0.21:10250"]));
        kernel.serve("tcp 10.96.0.8:80", &backends(&["169.254.169.254:80"]));
        for vip in [VIP, "10.96.0.8:80"] {
            assert!(matches!(
                kernel.pod_sends(&Packet::tcp(at("10.244.0.5:5000"), at(vip), "S")),
                Outcome::Redirected(_)
            ));
        }
        assert_eq!(kernel.added(), 0);
    });
}

#[test]
fn dns_and_the_api_go_over_the_link_from_the_alias_and_only_answers_come_back() {
    in_both_modes(|kernel| {
        kernel.serve(
            "udp 10.96.0.10:53",
            &Service {
                host: true,
                ..backends(&["169.254.77.1:53"])
            },
        );
        kernel.serve(
            "tcp 10.96.0.1:443",
            &Service {
                host: true,
                ..backends(&["10.77.0.21:6443"])
            },
        );
        for (sent, server) in [
            (
                Packet::udp(at("10.244.0.5:5000"), at("10.96.0.10:53")),
                at("169.254.77.1:53"),
            ),
            (
                Packet::tcp(at("10.244.0.5:5000"), at("10.96.0.1:443"), "S"),
                at("10.77.0.21:6443"),
            ),
        ] {
            let alias = at(&format!("{ALIAS}:5000"));
            let expected = sent.clone().ends(alias, server).with_macs(NODE_MAC, FAR_MAC);
            let unasked = sent.clone().ends(server, alias);
            assert_eq!(kernel.host_sends(&unasked, 0x77), Outcome::Dropped);
            assert_eq!(kernel.pod_sends(&sent).redirected(), expected);
            let answer = sent.clone().ends(server, alias).with_macs(FAR_MAC, NODE_MAC);
            let back = kernel.host_sends(&answer, 0).redirected();
            assert_eq!(
                back,
                sent.clone()
                    .ends(sent.destination, sent.source)
                    .with_macs(POD_MAC, FAR_MAC)
            );
            let other = sent.clone().ends(at("10.77.0.99:53"), alias);
            assert_eq!(kernel.host_sends(&other, 0), Outcome::Dropped);
            // The same tuple out of the tenant's network is not an answer.
            let forged = sent.clone().ends(server, sent.source);
            assert_eq!(kernel.pod_gets(&forged).passed(), forged);
            let error = Packet::error(Ipv4Addr::new(169, 254, 77, 1), ALIAS, sent.clone().ends(alias, server));
            let Body::Error { quoted, .. } = kernel.host_sends(&error, 0).redirected().body else {
                panic!()
            };
            assert_eq!((quoted.source, quoted.destination), (sent.source, sent.destination));
        }
    });
}

#[test]
fn a_pod_reaches_itself_through_a_service() {
    in_both_modes(|kernel| {
        kernel.serve("tcp 10.96.0.7:80", &backends(&["10.244.0.5:8080"]));
        let sent = Packet::tcp(at("10.244.0.5:5000"), at(VIP), "S");
        let arrives = kernel.pod_sends(&sent).redirected();
        assert_eq!(
            arrives,
            sent.clone()
                .ends(at("169.254.77.2:5000"), at("10.244.0.5:8080"))
                .with_macs(POD_MAC, ROUTER_MAC)
        );
        let answer = Packet::tcp(at("10.244.0.5:8080"), at("169.254.77.2:5000"), "SA");
        let back = kernel.pod_sends(&answer).redirected();
        assert_eq!(back, answer.ends(at(VIP), sent.source).with_macs(POD_MAC, ROUTER_MAC));
    });
}

#[test]
fn connections_spread_evenly_and_find_the_same_backend_again() {
    in_both_modes(|kernel| {
        let addresses: Vec<String> = (1..=10).map(|i| format!("10.244.1.{i}:80")).collect();
        kernel.serve(
            "tcp 10.96.0.7:80",
            &backends(&addresses.iter().map(String::as_str).collect::<Vec<_>>()),
        );
        let mut chosen = HashMap::new();
        for port in 10_000..12_000 {
            let sent = Packet::tcp(at(&format!("10.244.0.5:{port}")), at(VIP), "S");
            let backend = kernel.pod_sends(&sent).passed().destination;
            *chosen.entry(backend).or_insert(0) += 1;
            if port % 100 == 0 {
                assert_eq!(kernel.pod_sends(&sent).passed().destination, backend);
            }
        }
        assert_eq!(chosen.len(), 10);
        // 200 each; the standard deviation is 13.
        assert!(chosen.values().all(|count| (140..260).contains(count)), "{chosen:?}");
    });
}

#[test]
fn a_connection_whose_flow_was_lost_finds_its_backend() {
    in_both_modes(|kernel| {
        kernel.serve(
            "tcp 10.96.0.7:80",
            &backends(&["10.244.1.1:80", "10.244.1.2:80", "10.244.1.3:80"]),
        );
        for port in 20_000..20_050 {
            let syn = Packet::tcp(at(&format!("10.244.0.5:{port}")), at(VIP), "S");
            let backend = kernel.pod_sends(&syn).passed().destination;
            kernel.sweep_after(100_000);
            assert_eq!(kernel.flows().len(), 0);
            assert_eq!(
                kernel
                    .pod_sends(&Packet::tcp(syn.source, at(VIP), "A"))
                    .passed()
                    .destination,
                backend
            );
        }
    });
}

#[test]
fn datagrams_leave_a_backend_that_is_gone_and_connections_do_not() {
    in_both_modes(|kernel| {
        for protocol in ["tcp", "udp"] {
            kernel.serve(&format!("{protocol} 10.96.0.7:80"), &backends(&["10.244.1.1:80"]));
        }
        let pod = at("10.244.0.5:5000");
        kernel.pod_sends(&Packet::tcp(pod, at(VIP), "S")).passed();
        kernel.pod_sends(&Packet::udp(pod, at(VIP))).passed();
        for protocol in ["tcp", "udp"] {
            kernel.serve(&format!("{protocol} 10.96.0.7:80"), &backends(&["10.244.1.2:80"]));
        }
        assert_eq!(
            kernel.pod_sends(&Packet::udp(pod, at(VIP))).passed().destination,
            at("10.244.1.2:80")
        );
        assert_eq!(
            kernel.pod_sends(&Packet::tcp(pod, at(VIP), "A")).passed().destination,
            at("10.244.1.1:80")
        );
        // The port is used again for a new connection.
        assert_eq!(
            kernel.pod_sends(&Packet::tcp(pod, at(VIP), "S")).passed().destination,
            at("10.244.1.2:80")
        );
        kernel
            .services()
            .remove(service_key("demo", "udp 10.96.0.7:80"))
            .unwrap();
        kernel.synced();
        assert!(
            matches!(kernel.pod_sends(&Packet::udp(pod, at(VIP))), Outcome::Redirected(_)),
            "no service any more"
        );
        assert_eq!(kernel.added(), kernel.flows().len() as u64);
    });
}

#[test]
fn datagrams_stay_with_a_backend_while_others_go() {
    in_both_modes(|kernel| {
        let all: Vec<String> = (1..=20).map(|i| format!("10.244.1.{i}:80")).collect();
        let mut left: Vec<&str> = all.iter().map(String::as_str).collect();
        kernel.serve("udp 10.96.0.7:80", &backends(&left));
        let destination = |kernel: &mut crate::lab::kernel::Kernel| {
            let sent = Packet::udp(at("10.244.0.5:5000"), at(VIP));
            kernel.pod_sends(&sent).passed().destination
        };
        let first = destination(kernel);
        // Each that goes leaves a gap, into which the last one moves: that is this flow's own at least once.
        while let Some(other) = left.iter().position(|address| at(address) != first) {
            left.remove(other);
            kernel.serve("udp 10.96.0.7:80", &backends(&left));
            assert_eq!(destination(kernel), first, "{left:?}");
        }
        assert_eq!(kernel.added(), kernel.flows().len() as u64);
    });
}

#[test]
fn two_flows_that_would_look_the_same_get_different_ports() {
    in_both_modes(|kernel| {
        kernel.serve("tcp 10.96.0.7:80", &backends(&["10.244.1.1:80"]));
        kernel.serve("tcp 10.96.0.8:80", &backends(&["10.244.1.1:80"]));
        let pod = at("10.244.0.5:5000");
        let mut seen = Vec::new();
        // To one service, to another, and to the backend itself; then the backend itself first.
        let mut port = 5000;
        for order in [
            ["10.96.0.7:80", "10.96.0.8:80", "10.244.1.1:80"],
            ["10.244.1.1:80", "10.96.0.8:80", "10.96.0.7:80"],
        ] {
            port += 1;
            let pod = SocketAddrV4::new(*pod.ip(), port);
            for target in order {
                let out = kernel.pod_sends(&Packet::tcp(pod, at(target), "S")).passed();
                assert_eq!(out.destination, at("10.244.1.1:80"));
                assert!(!seen.contains(&out.source), "{target}: {out:?}");
                seen.push(out.source);
                let answer = Packet::tcp(out.destination, out.source, "SA");
                assert_eq!(
                    kernel.pod_gets(&answer).passed(),
                    answer.clone().ends(at(target), pod),
                    "{target}"
                );
                let more = Packet::tcp(pod, at(target), "A");
                assert_eq!(
                    kernel.pod_sends(&more).passed(),
                    more.clone().ends(out.source, out.destination),
                    "{target}"
                );
            }
        }
    });
}

#[test]
fn a_port_that_another_flow_was_given_is_not_used_twice() {
    in_both_modes(|kernel| {
        kernel.serve("udp 10.96.0.7:80", &backends(&["10.244.1.1:80"]));
        let pod = at("10.244.0.5:5000");
        kernel.pod_sends(&Packet::udp(pod, at(VIP))).passed();
        let given = kernel.pod_sends(&Packet::udp(pod, at("10.244.1.1:80"))).passed().source;
        assert_ne!(given, pod);
        // Now the pod itself uses the port that its other flow was given.
        let out = kernel
            .pod_sends(&Packet::udp(given, at("10.244.1.1:80")))
            .passed()
            .source;
        assert_ne!(out, given);
        for (seen, own) in [(given, pod), (out, given)] {
            let answer = Packet::udp(at("10.244.1.1:80"), seen);
            assert_eq!(
                kernel.pod_gets(&answer).passed(),
                answer.clone().ends(answer.source, own)
            );
        }
    });
}

#[test]
fn icmp_errors_are_translated_both_ways() {
    in_both_modes(|kernel| {
        kernel.serve("udp 10.96.0.7:80", &backends(&["10.244.1.1:5353"]));
        let (pod, backend) = (at("10.244.0.5:5000"), at("10.244.1.1:5353"));
        kernel.pod_sends(&Packet::udp(pod, at(VIP))).passed();
        // A router: the packet is too big. Then the backend itself.
        for (from, shown) in [
            (Ipv4Addr::new(10, 244, 0, 1), Ipv4Addr::new(10, 244, 0, 1)),
            (*backend.ip(), *at(VIP).ip()),
        ] {
            let error = Packet::error(from, POD, Packet::udp(pod, backend)).with_macs(POD_MAC, ROUTER_MAC);
            let expected = Packet::error(shown, POD, Packet::udp(pod, at(VIP)));
            let out = kernel.pod_gets(&error).passed();
            assert_eq!(*out.source.ip(), shown);
            let (Body::Error { quoted, .. }, Body::Error { quoted: wanted, .. }) = (out.body, expected.body) else {
                panic!()
            };
            assert_eq!((quoted.source, quoted.destination), (wanted.source, wanted.destination));
        }
        let error = Packet::error(POD, *at(VIP).ip(), Packet::udp(at(VIP), pod));
        let out = kernel.pod_sends(&error).passed();
        assert_eq!(out.destination.ip(), backend.ip());
        let Body::Error { quoted, .. } = out.body else { panic!() };
        assert_eq!((quoted.source, quoted.destination), (backend, pod));
    });
}

/// What an ICMP error tells: from whom to whom it goes, and about a packet from whom to whom.
fn told(error: Packet) -> [SocketAddrV4; 4] {
    let Body::Error { quoted, .. } = error.body else {
        panic!("{error:?}")
    };
    [error.source, error.destination, quoted.source, quoted.destination]
}

#[test]
fn icmp_errors_of_a_pod_that_reaches_itself_find_its_sockets() {
    in_both_modes(|kernel| {
        kernel.serve("udp 10.96.0.7:80", &backends(&["10.244.0.5:8080"]));
        let (client, server, vip) = (at("10.244.0.5:5000"), at("10.244.0.5:8080"), at(VIP));
        let arrived = kernel.pod_sends(&Packet::udp(client, vip)).redirected();
        let (ip, before) = (
            |end: SocketAddrV4| at(&format!("{}:0", end.ip())),
            kernel.count("hairpinned"),
        );
        // The server about the question, and the client about the answer.
        let refused = Packet::error(POD, HAIRPIN, arrived);
        let late = Packet::error(POD, *vip.ip(), Packet::udp(vip, client));
        for (error, expected) in [
            (&refused, [ip(vip), ip(client), client, vip]),
            (
                &late,
                [at("169.254.77.2:0"), ip(server), server, at("169.254.77.2:5000")],
            ),
        ] {
            let out = kernel.pod_sends(error).redirected();
            assert_eq!((out.destination_mac, out.source_mac), (POD_MAC, ROUTER_MAC));
            assert_eq!(told(out), expected);
        }
        assert_eq!(kernel.count("hairpinned"), before + 2);
        // About what never came.
        for (source, destination) in [
            ("169.254.77.2:5001", "10.244.0.5:8080"),
            ("169.254.77.2:5000", "10.244.0.5:8081"),
            ("169.254.77.2:5000", "10.244.0.6:8080"),
        ] {
            let error = Packet::error(POD, HAIRPIN, Packet::udp(at(source), at(destination)));
            assert_eq!(kernel.pod_sends(&error), Outcome::Dropped, "{source} {destination}");
        }
        // Nor in pieces: no error is as long as that (RFC 1812).
        let [first, _] = fragments(&refused.bytes());
        assert_eq!(kernel.pod_sends_raw(&first), None);
    });
}

#[test]
fn icmp_errors_about_answers_over_the_link_go_nowhere() {
    in_both_modes(|kernel| {
        for (vip, backend) in [
            ("udp 10.96.0.10:53", "169.254.77.1:53"),
            ("tcp 10.96.0.10:53", "169.254.77.1:53"),
            ("tcp 10.96.0.1:443", "10.77.0.21:6443"),
            ("udp 10.96.0.20:514", "10.96.0.20:514"),
        ] {
            let host = true;
            kernel.serve(
                vip,
                &Service {
                    host,
                    ..backends(&[backend])
                },
            );
            let (protocol, address) = vip.split_once(' ').unwrap();
            let (pod, vip) = (at("10.244.0.5:5000"), at(address));
            let sent = if protocol == "tcp" {
                Packet::tcp(pod, vip, "S")
            } else {
                Packet::udp(pod, vip)
            };
            kernel.pod_sends(&sent).redirected();
            let before = kernel.count("dropped_unanswerable");
            let error = Packet::error(POD, *vip.ip(), sent.ends(vip, pod));
            assert_eq!(kernel.pod_sends(&error), Outcome::Dropped, "{vip}");
            assert_eq!(kernel.count("dropped_unanswerable"), before + 1);
        }
    });
}

#[test]
fn connections_over_the_host_link_are_few() {
    in_both_modes(|kernel| {
        let limits = Limits {
            flows: 128,
            host: (0, 1000),
            ..Limits::default()
        };
        let to_host = |backend| Service {
            host: true,
            ..backends(&[backend])
        };
        // What the node's own port carries has counted at a pod, or is the node's.
        for (is_node, most, weight) in [(false, 4, 16), (true, 100, 1)] {
            kernel.reset(limits);
            kernel.synced();
            kernel.serve("tcp 10.96.0.1:443", &to_host("192.0.2.1:6443"));
            kernel.serve("udp 10.96.0.10:53", &to_host("169.254.77.1:53"));
            kernel.serve("udp 10.96.0.20:514", &to_host("10.96.0.20:514"));
            kernel.mark_node(is_node);
            let connect = |kernel: &mut crate::lab::kernel::Kernel, port: u16| {
                let syn = Packet::tcp(at(&format!("10.244.0.5:{port}")), at("10.96.0.1:443"), "S");
                kernel.pod_sends(&syn) != Outcome::Dropped
            };
            let connected = (0..100).filter(|port| connect(kernel, 6000 + port)).count();
            assert_eq!(connected, most);
            assert_eq!(kernel.added(), 2 * weight * connected as u64);
            // What has ended makes room.
            kernel.sweep_after(61);
            assert_eq!(kernel.added(), 0);
            assert!(connect(kernel, 5000));
            // Questions to DNS are no connections; other datagrams are.
            let pod = at("10.244.0.5:5001");
            let (question, line) = (
                Packet::udp(pod, at("10.96.0.10:53")),
                Packet::udp(pod, at("10.96.0.20:514")),
            );
            assert_ne!(kernel.pod_sends(&question), Outcome::Dropped);
            assert_eq!(kernel.added(), 2 * weight + 2);
            assert_ne!(kernel.pod_sends(&line), Outcome::Dropped);
            assert_eq!(kernel.added(), 4 * weight + 2);
        }
    });
}

#[test]
fn a_processor_that_is_late_finds_no_new_tokens() {
    in_both_modes(|kernel| {
        let limits = Limits {
            dns: (1, 5),
            ..Limits::default()
        };
        kernel.reset(limits);
        kernel.serve(
            "udp 10.96.0.10:53",
            &Service {
                host: true,
                ..backends(&["169.254.77.1:53"])
            },
        );
        // As if another processor had taken the last token just after this one had looked at the clock.
        kernel.empty_buckets_in(Duration::from_secs(5));
        let question = Packet::udp(at("10.244.0.5:5000"), at("10.96.0.10:53"));
        assert_eq!(kernel.pod_sends(&question), Outcome::Dropped);
        kernel.empty_buckets_in(Duration::ZERO);
        assert_eq!(kernel.pod_sends(&question), Outcome::Dropped);
    });
}

#[test]
fn a_pod_has_its_quota_and_its_rates_and_no_more() {
    in_both_modes(|kernel| {
        let limits = Limits {
            flows: 20,
            dns: (0, 5),
            host: (0, 2),
            refusals: (0, 3),
            fragments: (0, 1),
        };
        kernel.reset(limits);
        kernel.synced();
        kernel.serve("tcp 10.96.0.7:80", &backends(&["10.244.1.1:80"]));
        kernel.serve(
            "udp 10.96.0.10:53",
            &Service {
                host: true,
                ..backends(&["169.254.77.1:53"])
            },
        );
        let dns = Packet::udp(at("10.244.0.5:5000"), at("10.96.0.10:53"));
        let answered = (0..10).filter(|_| kernel.pod_sends(&dns) != Outcome::Dropped).count();
        assert_eq!(answered, 5);
        let another = Packet::udp(at("10.244.0.5:5001"), dns.destination);
        assert_eq!(kernel.pod_sends(&another), Outcome::Dropped);
        assert_eq!(kernel.added(), 2, "a question too many takes no room");
        let nowhere = Packet::udp(at("10.244.0.5:5000"), at("10.96.0.99:53"));
        let refused = (0..10)
            .filter(|_| kernel.pod_sends(&nowhere) != Outcome::Dropped)
            .count();
        assert_eq!(refused, 3);
        let connected = (0..50)
            .filter(|i| {
                kernel.pod_sends(&Packet::tcp(at(&format!("10.244.0.5:{}", 6000 + i)), at(VIP), "S"))
                    != Outcome::Dropped
            })
            .count();
        assert_eq!(connected, 9, "two entries to each of ten flows, one of them to DNS");
        assert_eq!(kernel.added(), 20);
        assert_eq!(kernel.sweep_after(100_000), 20);
        assert_eq!(kernel.added(), 0);
        assert!(matches!(
            kernel.pod_sends(&Packet::tcp(at("10.244.0.5:9000"), at(VIP), "S")),
            Outcome::Passed(_)
        ));
    });
}

#[test]
fn the_sweep_keeps_what_lives() {
    in_both_modes(|kernel| {
        kernel.serve("tcp 10.96.0.7:80", &backends(&["10.244.1.1:80"]));
        let connect = |kernel: &mut crate::lab::kernel::Kernel, port: u16, ends: &[&'static str]| {
            let pod = at(&format!("10.244.0.5:{port}"));
            for flags in ends {
                kernel.pod_sends(&Packet::tcp(pod, at(VIP), flags)).passed();
                kernel
                    .pod_gets(&Packet::tcp(
                        at("10.244.1.1:80"),
                        pod,
                        if *flags == "S" { "SA" } else { flags },
                    ))
                    .passed();
            }
        };
        connect(kernel, 1, &["S"]); // half open: its answer was seen, its third segment not
        connect(kernel, 2, &["S", "A"]);
        connect(kernel, 3, &["S", "A", "FA"]);
        for (seconds, left) in [(50, 6), (70, 2), (3600, 2), (3 * 3600 + 1, 0)] {
            kernel.sweep_after(seconds);
            assert_eq!(kernel.flows().len(), left, "{seconds}: {:?}", kernel.flows());
        }
        assert_eq!(kernel.added(), 0);
    });
}

#[test]
fn a_question_makes_room_soon_after_its_answer() {
    in_both_modes(|kernel| {
        let host = true;
        kernel.serve(
            "udp 10.96.0.10:53",
            &Service {
                host,
                ..backends(&["169.254.77.1:53"])
            },
        );
        kernel.serve(
            "udp 10.96.0.20:514",
            &Service {
                host,
                ..backends(&["10.96.0.20:514"])
            },
        );
        kernel.serve("udp 10.96.0.7:53", &backends(&["10.244.1.1:53"]));
        let (pod, alias) = (at("10.244.0.5:5000"), at(&format!("{ALIAS}:5000")));
        for (service, server) in [
            ("10.96.0.10:53", "169.254.77.1:53"),
            ("10.96.0.20:514", "10.96.0.20:514"),
        ] {
            kernel.pod_sends(&Packet::udp(pod, at(service))).redirected();
            let answer = Packet::udp(at(server), alias).with_macs(FAR_MAC, NODE_MAC);
            kernel.host_sends(&answer, 0).redirected();
        }
        // A server of DNS in the pod's own network has no ration, and is a service like any other.
        kernel.pod_sends(&Packet::udp(pod, at("10.96.0.7:53"))).passed();
        kernel.pod_gets(&Packet::udp(at("10.244.1.1:53"), pod)).passed();
        for (seconds, left) in [(3, 6), (7, 4), (170, 4), (181, 0)] {
            kernel.sweep_after(seconds);
            assert_eq!(kernel.flows().len(), left, "{seconds}: {:?}", kernel.flows());
        }
        assert_eq!(kernel.added(), 0);
    });
}

#[test]
fn the_sweep_leaves_what_is_used_while_it_runs() {
    in_both_modes(|kernel| {
        kernel.serve("tcp 10.96.0.7:80", &backends(&["10.244.1.1:80"]));
        let (used, unused, again) = (at("10.244.0.5:5000"), at("10.244.0.5:5001"), at("10.244.0.5:5002"));
        for pod in [used, unused, again] {
            kernel.pod_sends(&Packet::tcp(pod, at(VIP), "S")).passed();
        }
        kernel.pod_sends(&Packet::tcp(again, at(VIP), "R")).passed();
        kernel.age_flows(Duration::from_secs(61));
        let ended = kernel.programs.find_ended().unwrap();
        kernel.pod_gets(&Packet::tcp(at("10.244.1.1:80"), used, "SA")).passed();
        kernel.pod_sends(&Packet::tcp(again, at(VIP), "S")).passed();
        let swept = kernel.programs.remove_ended(&ended).unwrap();
        assert_eq!((swept.live, swept.removed), (4, 2));
        let mut left: Vec<u16> = kernel
            .flows()
            .iter()
            .map(|(key, _)| u16::from_be(key.local_port))
            .collect();
        left.sort_unstable();
        assert_eq!(left, [5000, 5000, 5002, 5002], "both directions");
        assert_eq!(kernel.added(), 4);
    });
}
