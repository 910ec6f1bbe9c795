//! Tagged frames that come over a device. There the kernel moves the tag from the data to beside it before tcx sees the packet, and after XDP has:
//! under BPF_PROG_TEST_RUN it stays in the data in both modes.

use std::net::UdpSocket;
use std::time::Duration;

use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{AddressFamily, SendFlags, SocketType, eth, sendto, socket};
use stackube_datapath::Mode;

use crate::lab::node::{Node, PODS};
use crate::lab::packet::{Packet, at};

/// More than what a new pod sends by itself to look for IPv6, which counts as the same.
const FRAMES: u64 = 64;

/// `struct sockaddr_ll` of linux/if_packet.h: a device.
#[repr(C)]
struct Device {
    family: u16,
    protocol: u16,
    ifindex: u32,
    rest: [u8; 12],
}

// SAFETY: The closure gets this very struct, which lives for the call, and its size.
#[expect(unsafe_code, reason = "rustix has no type for the address of a packet socket")]
unsafe impl SocketAddrArg for Device {
    unsafe fn with_sockaddr<R>(&self, f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        f(std::ptr::from_ref(self).cast(), 20)
    }
}

/// The first pod sends a frame as it is, so many times.
fn send(node: &Node, frame: &[u8]) {
    let frame = frame.to_vec();
    node.pods[0].within(move || {
        let text = std::fs::read_to_string("/proc/thread-self/net/dev_mcast").unwrap();
        let eth0 = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let ifindex = eth0.into_iter().find(|words| words[1] == "eth0").unwrap()[0];
        let device = Device {
            family: AddressFamily::PACKET.as_raw(),
            protocol: 0,
            ifindex: ifindex.parse().unwrap(),
            rest: [0; 12],
        };
        let socket = socket(AddressFamily::PACKET, SocketType::RAW, Some(eth::ALL)).unwrap();
        for _ in 0..FRAMES {
            assert_eq!(
                sendto(&socket, &frame, SendFlags::empty(), &device).unwrap(),
                frame.len()
            );
        }
    });
}

fn counted(node: &Node, reason: &str) -> u64 {
    let counters = stackube_datapath::counters(&node.root()).unwrap();
    counters.iter().find(|(name, _)| *name == reason).unwrap().1
}

fn tagged_frames_are_dropped(mode: Mode) {
    let node = Node::new(mode);
    let known = node.programs.as_ref().unwrap().attached().unwrap();
    let mac = |pod: usize| known.iter().find(|identity| identity.ip == PODS[pod]).unwrap().mac;
    let receiver = node.pods[1].within(|| UdpSocket::bind((PODS[1], 9000)).unwrap());
    receiver.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let arrived = || std::iter::from_fn(|| receiver.recv(&mut [0; 2000]).ok()).count() as u64;

    let mut frame = Packet::udp(at("10.244.0.5:5000"), at("10.244.0.6:9000")).bytes();
    frame[..6].copy_from_slice(&mac(1));
    frame[6..12].copy_from_slice(&mac(0));
    send(&node, &frame);
    assert_eq!(arrived(), FRAMES, "without a tag");

    for tag in [[0x81, 0, 0, 5], [0x81, 0, 0, 0], [0x88, 0xa8, 0, 5]] {
        let before = counted(&node, "dropped_protocol");
        let mut tagged = frame.clone();
        tagged.splice(12..12, tag);
        send(&node, &tagged);
        assert_eq!(arrived(), 0, "{tag:02x?}");
        let dropped = counted(&node, "dropped_protocol") - before;
        assert!(dropped >= FRAMES, "{tag:02x?}: {dropped} of {FRAMES}");
    }
}

#[test]
fn tagged_frames_of_a_pod_of_a_userspace_switch_are_dropped() {
    tagged_frames_are_dropped(Mode::Xdp);
}

#[test]
fn tagged_frames_of_a_pod_of_a_kernel_switch_are_dropped() {
    tagged_frames_are_dropped(Mode::Tcx);
}
