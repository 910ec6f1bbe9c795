//! Lists of frames, as the fuzzer makes them and its corpus has them (`fuzz/fuzz_targets/packet.rs`), through the programs of both modes.
//!
//! A list is, for each frame, a byte that says which way (0: from the pod, 1: to it, 2: from the node, 3: from the node, with kubelet's mark),
//! two bytes of length, the frame.

use stackube_datapath::abi::KUBELET_MARK;
use stackube_datapath::{Limits, Mode, Service};

use super::kernel::{Kernel, POD, backends, lock, net};
use super::packet::POD_MAC;

/// What fits in a device's frame.
const LONGEST: usize = 1500;
const FRAMES: usize = 16;
const NEVER: (u32, u32) = (1_000_000, 1_000_000);

fn prepare(kernel: &mut Kernel) {
    // No token bucket may run empty: then an answer would depend on the time.
    let limits = Limits {
        flows: 65_536,
        dns: NEVER,
        host: NEVER,
        refusals: NEVER,
        fragments: NEVER,
    };
    kernel.reset(limits);
    kernel.programs.set_infrastructure(&[net("10.77.0.0/24")]).unwrap();
    for protocol in ["tcp", "udp", "sctp"] {
        let two = backends(&["10.244.1.1:80", "10.244.0.5:80"]);
        kernel.serve(&format!("{protocol} 10.96.0.7:80"), &two);
        kernel.serve(&format!("{protocol} 10.96.0.8:80"), &backends(&["10.244.1.1:8080"]));
    }
    let dns = Service {
        host: true,
        ..backends(&["169.254.77.1:53"])
    };
    kernel.serve("udp 10.96.0.10:53", &dns);
    kernel.synced();
}

/// Which way a frame goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    FromPod,
    ToPod,
    /// With this mark of its socket.
    FromHost(u32),
}

/// What became of each frame in one mode.
fn decisions(mode: Mode, frames: &[(Way, &[u8])]) -> Vec<Option<(bool, Vec<u8>)>> {
    let mut kernel = lock(mode);
    prepare(&mut kernel);
    let decide = |(way, frame): &(Way, &[u8])| match way {
        Way::FromPod => kernel.pod_sends_raw(frame),
        Way::ToPod => kernel.pod_gets_raw(frame),
        Way::FromHost(mark) => kernel.host_sends_raw(frame, *mark),
    };
    frames.iter().map(decide).collect()
}

/// Whether the kernel runs a program on it: a header of Ethernet, and that of IP if it says so (net/bpf/test_run.c, bpf_prog_test_run_skb).
fn is_taken(frame: &[u8]) -> bool {
    let inner = match frame.get(12..14) {
        Some([0x08, 0x00]) => 20,
        Some([0x86, 0xdd]) => 40,
        _ => 1,
    };
    (14 + inner..=LONGEST).contains(&frame.len())
}

fn frames(mut bytes: &[u8]) -> Vec<(Way, &[u8])> {
    let mut frames = vec![];
    while let [way, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (frame, rest) = rest.split_at(length);
        if is_taken(frame) && frames.len() < FRAMES {
            let way = match way & 3 {
                0 => Way::FromPod,
                1 => Way::ToPod,
                2 => Way::FromHost(0),
                _ => Way::FromHost(KUBELET_MARK),
            };
            frames.push((way, frame));
        }
        bytes = rest;
    }
    frames
}

/// What goes on to the network speaks for the pod and nobody else.
fn assert_own(frame: &[u8]) {
    assert_eq!(frame[6..12], POD_MAC, "source MAC address of {frame:02x?}");
    match frame[12..14] {
        [0x08, 0x00] => assert_eq!(frame[26..30], POD.octets(), "source address of {frame:02x?}"),
        [0x08, 0x06] => {
            assert_eq!(frame[22..28], POD_MAC, "sender of {frame:02x?}");
            let sender = &frame[28..32];
            assert!(sender == POD.octets() || sender == [0; 4], "sender of {frame:02x?}");
        }
        _ => panic!("neither IPv4 nor ARP: {frame:02x?}"),
    }
}

/// Runs a list of frames in both modes. How many of them went on in some way.
///
/// # Panics
/// When something goes on that must not, or the modes differ.
pub(crate) fn check(bytes: &[u8]) -> usize {
    let frames = frames(bytes);
    let xdp = decisions(Mode::Xdp, &frames);
    for ((way, _), decision) in frames.iter().zip(&xdp) {
        match (way, decision) {
            (Way::FromPod, Some((false, frame))) => assert_own(frame),
            (Way::FromHost(_), Some((redirected, frame))) => {
                assert!(
                    *redirected && frame[..6] == POD_MAC,
                    "from the node past the pod: {frame:02x?}"
                );
            }
            _ => {}
        }
    }
    let tcx = decisions(Mode::Tcx, &frames);
    for (number, (xdp, tcx)) in xdp.iter().zip(&tcx).enumerate() {
        let verdict = |decision: &Option<(bool, Vec<u8>)>| decision.as_ref().map(|(redirected, _)| *redirected);
        assert_eq!(verdict(xdp), verdict(tcx), "frame {number}: the modes differ");
    }
    xdp.iter().flatten().count()
}
