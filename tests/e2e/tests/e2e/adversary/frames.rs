//! Frames of a pod that pretends to be somebody else, or speaks what pods do not speak.

use std::net::Ipv4Addr;

use etherparse::PacketBuilder;

const EVERYBODY: [u8; 6] = [0xff; 6];
/// Nobody's.
const STRANGE: [u8; 6] = [2, 0xee, 0, 0, 0, 1];

/// The ends of a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) mac: [u8; 6],
    pub(super) address: Ipv4Addr,
}

/// What the receiver knows the frame by.
fn mark(name: &str) -> Vec<u8> {
    // No frame is shorter than Ethernet allows.
    format!("{:.<60}", format!("stackube-frame:{name}."),).into_bytes()
}

fn udp(name: &str, from: End, to: End) -> Vec<u8> {
    let mut frame = vec![];
    PacketBuilder::ethernet2(from.mac, to.mac)
        .ipv4(from.address.octets(), to.address.octets(), 64)
        .udp(4000, 4001)
        .write(&mut frame, &mark(name))
        .unwrap();
    frame
}

/// An ARP message (RFC 826) about `claimed`, from a device with the address `from`.
fn arp(name: &str, operation: u8, from: [u8; 6], claimed: End, to: End) -> Vec<u8> {
    let mut frame = [to.mac, from].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(claimed.mac);
    frame.extend(claimed.address.octets());
    frame.extend(if operation == 1 { [0; 6] } else { to.mac });
    frame.extend(to.address.octets());
    frame.extend(mark(name));
    frame
}

/// A frame with other bytes in the place of its type, before what it carries.
fn retyped(frame: &[u8], bytes: &[u8]) -> Vec<u8> {
    [&frame[..12], bytes, &frame[14..]].concat()
}

/// Any IPv6 packet, from the link-local address `source`, to all nodes or to the receiver's own MAC address.
fn ipv6(name: &str, from: End, mac: [u8; 6], source: u8, icmp: Option<(u8, Vec<u8>)>) -> Vec<u8> {
    let mut address = [0; 16];
    (address[0], address[1], address[15]) = (0xfe, 0x80, source);
    let mut all = [0; 16];
    (all[0], all[1], all[15]) = (0xff, 2, 1);
    let mut frame = vec![];
    // Neighbour discovery holds only with 255 hops (RFC 4861).
    let packet = PacketBuilder::ethernet2(from.mac, mac).ipv6(address, all, 255);
    match icmp {
        None => packet.udp(4000, 4001).write(&mut frame, &mark(name)),
        Some((kind, body)) => {
            let packet = packet.icmpv6_raw(kind, 0, body[..4].try_into().unwrap());
            packet.write(&mut frame, &[&body[4..], &mark(name)].concat())
        }
    }
    .unwrap();
    frame
}

/// Frames that a pod may send.
pub(super) fn honest(own: End, to: End) -> Vec<(String, Vec<u8>)> {
    let all = End {
        mac: EVERYBODY,
        address: Ipv4Addr::BROADCAST,
    };
    [
        ("honest", udp("honest", own, to)),
        ("honest-broadcast", udp("honest-broadcast", own, all)),
        ("honest-arp", arp("honest-arp", 2, own.mac, own, to)),
    ]
    .map(|(name, frame)| (name.to_owned(), frame))
    .into()
}

/// The last frame, for the watcher to end by.
pub(super) fn end(own: End, to: End) -> Vec<u8> {
    udp("end", own, to)
}

/// A question to a DNS server for a name of the cluster.
pub(super) fn question(own: End, server: End) -> Vec<u8> {
    let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend(b"\x0akubernetes\x07default\x03svc\x07cluster\x05local\0\0\x01\0\x01");
    datagram(own, server, 53, &message)
}

/// The first datagram of a flow to port 7.
pub(super) fn flow(own: End, to: End) -> Vec<u8> {
    datagram(own, to, 7, b"who")
}

/// The first datagram of a flow to a port where nobody listens.
pub(super) fn begin(own: End, to: End, port: u16) -> Vec<u8> {
    datagram(own, to, port, b"")
}

/// What begins a connection, with the sequence number that goes with its port in a flood.
pub(super) fn syn(own: End, to: End, port: u16) -> Vec<u8> {
    const SOURCE: u16 = 4000;
    let mut frame = vec![];
    PacketBuilder::ethernet2(own.mac, to.mac)
        .ipv4(own.address.octets(), to.address.octets(), 64)
        .tcp(SOURCE, port, u32::from(!SOURCE), 64_240)
        .syn()
        .write(&mut frame, &[])
        .unwrap();
    frame
}

/// Without a checksum, so that its ports may change.
fn datagram(from: End, to: End, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![];
    PacketBuilder::ethernet2(from.mac, to.mac)
        .ipv4(from.address.octets(), to.address.octets(), 64)
        .udp(4000, port)
        .write(&mut frame, payload)
        .unwrap();
    frame[40..42].fill(0);
    frame
}

/// Frames to `to` that no pod may send, with a name for each.
pub(super) fn forbidden(own: End, to: End, router: End, others: &[(&str, Ipv4Addr)]) -> Vec<(String, Vec<u8>)> {
    let mut all = pretended(own, to, router, others);
    all.extend(tagged(own, to));
    all.extend(ipv6s(own, to));
    all
}

/// In somebody else's name.
fn pretended(own: End, to: End, router: End, others: &[(&str, Ipv4Addr)]) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = vec![];
    let claimed = [("receivers", to.address), ("routers", router.address)];
    for (whose, address) in claimed.iter().chain(others) {
        let name = format!("{whose}-address");
        let frame = udp(
            &name,
            End {
                address: *address,
                ..own
            },
            to,
        );
        all.push((name, frame));
        for (operation, mac) in [(1, EVERYBODY), (2, EVERYBODY), (2, to.mac)] {
            let name = format!("arp-{operation}-{whose}-address-{}", mac[0]);
            let claim = End {
                address: *address,
                ..own
            };
            let frame = arp(&name, operation, own.mac, claim, End { mac, ..to });
            all.push((name, frame));
        }
    }
    for (whose, mac) in [("receivers", to.mac), ("routers", router.mac), ("nobodys", STRANGE)] {
        let name = format!("{whose}-mac");
        let frame = udp(&name, End { mac, ..own }, to);
        all.push((name, frame));
        // In the message only, or in the frame only.
        let (inside, outside) = (format!("arp-inside-{whose}-mac"), format!("arp-outside-{whose}-mac"));
        let frames = [
            arp(&inside, 2, own.mac, End { mac, ..own }, to),
            arp(&outside, 2, mac, own, to),
        ];
        all.extend([inside, outside].into_iter().zip(frames));
    }
    all
}

/// With tags, and of protocols other than IPv4.
fn tagged(own: End, to: End) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![];
    for (tag, bytes) in [
        ("priority", &[0x81, 0, 0, 0, 8, 0][..]),
        ("vlan", &[0x81, 0, 0, 1, 8, 0]),
        ("service", &[0x88, 0xa8, 0, 1, 8, 0]),
        ("two", &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 8, 0]),
        ("mpls", &[0x88, 0x47, 0, 0, 0x11, 0x40]),
        ("lldp", &[0x88, 0xcc]),
        ("pppoe", &[0x88, 0x63]),
        ("llc", &[0, 60]),
    ] {
        let name = format!("type-{tag}");
        let frame = retyped(&udp(&name, own, to), bytes);
        all.push((name, frame));
    }
    all
}

/// Of IPv6, neighbour discovery above all.
fn ipv6s(own: End, to: End) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![];
    // Router and neighbour messages, with the options that carry a MAC address.
    let option = |kind| [vec![kind, 1], own.mac.to_vec()].concat();
    let router_says = [vec![64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0], option(1)].concat();
    let target = |flags: u8| {
        let mut address = vec![flags, 0, 0, 0, 0xfe, 0x80];
        address.resize(20, 0);
        address
    };
    for (name, icmp) in [
        ("udp", None),
        ("router", Some((134, router_says))),
        ("solicit", Some((135, [target(0), option(1)].concat()))),
        ("advertise", Some((136, [target(0xa0), option(2)].concat()))),
    ] {
        for (to_whom, mac) in [("all", [0x33, 0x33, 0, 0, 0, 1]), ("one", to.mac)] {
            let name = format!("ipv6-{name}-{to_whom}");
            let frame = ipv6(&name, own, mac, 1, icmp.clone());
            all.push((name, frame));
        }
    }
    all
}
