//! What can be read back: identities, services after a crash, decisions about a pod's packets.

use std::os::fd::AsFd as _;
use std::time::Duration;

use stackube_datapath::abi::{Backend, BackendKey, NetworkKey};
use stackube_datapath::{Hook, Identities, Protocol, Service, Trace, is_synced};

use crate::lab::kernel::{ALIAS, DEVICE, Kernel, POD, backends, in_both_modes, service_key};
use crate::lab::packet::{POD_MAC, Packet, at};

#[test]
fn an_alias_and_an_address_lead_to_their_pod() {
    in_both_modes(|kernel| {
        let identities = Identities::open(&kernel.root()).unwrap();
        let found = identities.by_alias(ALIAS).unwrap().unwrap();
        assert_eq!(
            (found.ifindex, found.network, found.ip, found.mac),
            (DEVICE, NetworkKey::of("demo"), POD, POD_MAC)
        );
        assert_eq!(identities.by_address(POD).unwrap(), Some(found.clone()));
        assert_eq!(identities.list().unwrap(), [found]);
        assert_eq!(identities.by_alias(POD).unwrap(), None);
        kernel.programs.detach(DEVICE).unwrap();
        assert_eq!(identities.by_alias(ALIAS).unwrap(), None);
    });
}

#[test]
fn a_new_process_finds_the_services_and_removes_what_a_crash_left() {
    in_both_modes(|kernel| {
        let sticky = Service {
            affinity: Some(Duration::from_secs(60)),
            host: true,
            ..backends(&["10.244.1.1:80", "10.244.1.2:81"])
        };
        let key = service_key("demo", "sctp 10.96.0.7:80");
        assert_eq!(key.protocol, Protocol::Sctp);
        kernel.services().upsert(key, &sticky).unwrap();
        kernel.synced();
        assert!(is_synced(&kernel.root(), NetworkKey::of("demo")).unwrap());
        assert!(!is_synced(&kernel.root(), NetworkKey::of("other")).unwrap());
        let mut slots = Kernel::map::<BackendKey, Backend>(&kernel.root(), "backends");
        let stray = BackendKey { service: 999, slot: 0 };
        slots.insert(stray, Backend { ip: 1, port: 1, pad: 0 }, 0).unwrap();
        let opened = kernel.services();
        assert_eq!(opened.iter().collect::<Vec<_>>(), [(&key, &sticky)]);
        assert!(slots.get(&stray, 0).is_err());
        // A process that ended while it moved the last backend into a gap: the next one ends what it began.
        let (first, last) = (BackendKey { service: 1, slot: 0 }, BackendKey { service: 1, slot: 1 });
        let moved = slots.get(&last, 0).unwrap();
        slots.insert(first, moved, 0).unwrap();
        let mut opened = kernel.services();
        let wanted = Service {
            backends: vec![moved.into()],
            ..sticky
        };
        assert_ne!(opened.get(&key), Some(&wanted), "it is there twice");
        opened.upsert(key, &wanted).unwrap();
        assert_eq!(opened.get(&key), Some(&wanted));
        assert_eq!(kernel.services().get(&key), Some(&wanted));
        assert!(slots.get(&last, 0).is_err());
        // A service whose backends are not all there is none.
        let kept = slots.keys().next().unwrap().unwrap();
        slots.remove(&kept).unwrap();
        assert_eq!(kernel.services().iter().count(), 0);
        assert_eq!(slots.keys().count(), 0);
    });
}

#[test]
fn a_trace_tells_each_decision_about_its_pod_only() {
    in_both_modes(|kernel| {
        kernel.serve("udp 10.96.0.7:80", &backends(&["10.244.1.1:5353"]));
        let sent = Packet::udp(at("10.244.0.5:5000"), at("10.96.0.7:80"));
        kernel.pod_sends(&sent);
        let mut trace = Trace::start(&kernel.root(), DEVICE).unwrap();
        assert_eq!(trace.read(), None);
        kernel.pod_sends(&sent);
        kernel.pod_gets(&Packet::udp(at("10.244.1.1:5353"), at("10.244.0.5:5000")));
        kernel.host_sends(&Packet::tcp(at("169.254.77.1:9"), at("10.244.0.5:80"), "S"), 0);
        let timeout = rustix::time::Timespec { tv_sec: 10, tv_nsec: 0 };
        let mut poll = [rustix::event::PollFd::from_borrowed_fd(
            trace.as_fd(),
            rustix::event::PollFlags::IN,
        )];
        assert_eq!(rustix::event::poll(&mut poll, Some(&timeout)).unwrap(), 1);
        let told = trace.read().unwrap();
        assert_eq!(
            (told.hook, told.reason, told.protocol),
            (Hook::FromPod, "translated", 17)
        );
        assert_eq!(
            (told.source, told.destination, told.remote),
            (sent.source, sent.destination, at("10.244.1.1:5353"))
        );
        let told = trace.read().unwrap();
        assert_eq!(
            (told.hook, told.reason, told.remote),
            (Hook::ToPod, "translated_back", at("10.96.0.7:80"))
        );
        assert_eq!(trace.read().unwrap().reason, "dropped_not_kubelet");
        refused(kernel, &mut trace);
        unread(kernel, &mut trace, &sent);
        let flows = trace.flows().unwrap();
        assert_eq!(
            (flows.len(), flows[0].service, flows[0].backend),
            (1, sent.destination, at("10.244.1.1:5353"))
        );
        drop(trace);
        kernel.pod_sends(&sent);
        assert_eq!(Trace::start(&kernel.root(), DEVICE).unwrap().read(), None);
        assert!(Trace::start(&kernel.root(), 77).is_err());
    });
}

/// Why something is refused is told with whom it was for.
fn refused(kernel: &mut Kernel, trace: &mut Trace) {
    kernel.synced();
    kernel
        .programs
        .set_infrastructure(&["10.77.0.0/24".parse().unwrap()])
        .unwrap();
    kernel.serve("tcp 10.96.0.8:80", &backends(&[]));
    kernel.serve("tcp 10.96.0.9:80", &backends(&["10.77.0.21:10250"]));
    for (to, reason) in [
        ("10.77.0.21:10250", "refused_infrastructure"),
        ("10.96.0.9:80", "refused_infrastructure"),
        ("10.96.0.8:80", "refused_no_backend"),
        ("10.96.0.99:80", "refused_no_service"),
    ] {
        kernel
            .pod_sends(&Packet::tcp(at("10.244.0.5:5001"), at(to), "S"))
            .redirected();
        let told = trace.read().unwrap();
        assert_eq!(
            (told.hook, told.reason, told.destination),
            (Hook::FromPod, reason, at(to))
        );
        assert_eq!(trace.read(), None, "{to}");
    }
}

/// What is not the pod's own, or cannot be read, is told of too.
fn unread(kernel: &mut Kernel, trace: &mut Trace, sent: &Packet) {
    let bytes = sent.bytes();
    let changed = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        bytes
    };
    let mut arp = vec![0xff; 6];
    arp.extend(POD_MAC);
    arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    arp.extend(POD_MAC);
    arp.extend([10, 244, 0, 99]); // another's address
    arp.extend([0; 10]);
    let from = |last: u8| std::net::SocketAddrV4::new(std::net::Ipv4Addr::new(10, 244, 0, last), 0);
    let to = std::net::SocketAddrV4::new(*sent.destination.ip(), 0);
    let nobody = at("0.0.0.0:0");
    for (frame, protocol, source, destination, reason) in [
        (changed(29, 99), 17, from(99), to, "dropped_spoofed_ip"),
        (changed(11, 99), 17, from(5), to, "dropped_spoofed_mac"),
        (changed(16, 0xff), 17, from(5), to, "dropped_malformed"),
        (changed(12, 0x86), 0, nobody, nobody, "dropped_protocol"),
        (arp, 0, nobody, nobody, "dropped_spoofed_arp"),
    ] {
        assert_eq!(kernel.pod_sends_raw(&frame), None, "{reason}");
        let told = trace.read().unwrap();
        assert_eq!(
            (told.hook, told.reason, told.protocol, told.source, told.destination),
            (Hook::FromPod, reason, protocol, source, destination)
        );
    }
    assert_eq!(kernel.pod_gets_raw(&changed(16, 0xff)), None);
    let told = trace.read().unwrap();
    assert_eq!((told.hook, told.reason), (Hook::ToPod, "dropped_malformed"));
}
