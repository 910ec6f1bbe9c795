//! Packets in pieces, of which only the first has ports.

use stackube_datapath::Service;

use crate::lab::kernel::{Outcome, backends, in_both_modes};
use crate::lab::packet::{Packet, at};

const VIP: &str = "10.96.0.7:80";

/// Splits the bytes of a packet into two fragments.
pub(crate) fn fragments(bytes: &[u8]) -> [Vec<u8>; 2] {
    let piece = |range: std::ops::Range<usize>, field: u16| {
        let mut piece = bytes[..34].to_vec();
        piece.extend(&bytes[34..][range]);
        let total = u16::try_from(piece.len() - 14).unwrap();
        piece[16..18].copy_from_slice(&total.to_be_bytes());
        piece[18..20].copy_from_slice(&[0x12, 0x34]);
        piece[20..22].copy_from_slice(&field.to_be_bytes());
        piece[24..26].fill(0);
        let sum = etherparse::Ipv4HeaderSlice::from_slice(&piece[14..])
            .unwrap()
            .to_header()
            .calc_header_checksum();
        piece[24..26].copy_from_slice(&sum.to_be_bytes());
        piece
    };
    [piece(0..16, 0x2000), piece(16..bytes.len() - 34, 2)]
}

#[test]
fn fragments_follow_their_first() {
    in_both_modes(|kernel| {
        kernel.serve("udp 10.96.0.7:80", &backends(&["10.244.1.1:5353"]));
        let (pod, backend) = (at("10.244.0.5:5000"), at("10.244.1.1:5353"));
        let [first, second] = fragments(&Packet::udp(pod, at(VIP)).bytes());
        assert_eq!(kernel.pod_sends_raw(&second), None, "the first was not seen");
        let [first_out, second_out] = fragments(&Packet::udp(pod, backend).bytes());
        assert_eq!(kernel.pod_sends_raw(&first).unwrap(), (false, first_out));
        assert_eq!(kernel.pod_sends_raw(&second).unwrap(), (false, second_out));
        let [first, second] = fragments(&Packet::udp(backend, pod).bytes());
        let [first_in, second_in] = fragments(&Packet::udp(at(VIP), pod).bytes());
        assert_eq!(kernel.pod_gets_raw(&first).unwrap(), (false, first_in));
        assert_eq!(kernel.pod_gets_raw(&second).unwrap(), (false, second_in));
    });
}

#[test]
fn none_crosses_the_link_to_the_node() {
    in_both_modes(|kernel| {
        // DNS, and a Service of the system network.
        for (service, backend) in [
            ("10.96.0.10:53", "169.254.77.1:53"),
            ("10.96.0.20:514", "10.96.0.20:514"),
        ] {
            let to_host = Service {
                host: true,
                ..backends(&[backend])
            };
            kernel.serve(&format!("udp {service}"), &to_host);
            let whole = Packet::udp(at("10.244.0.5:5000"), at(service));
            assert_ne!(kernel.pod_sends(&whole), Outcome::Dropped);
            for piece in fragments(&whole.bytes()) {
                let before = kernel.count("dropped_fragment");
                assert_eq!(kernel.pod_sends_raw(&piece), None);
                assert_eq!(kernel.count("dropped_fragment"), before + 1);
            }
        }
    });
}
