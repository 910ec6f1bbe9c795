//! SCTP: its checksum through a service, and what begins and ends an association.

use std::net::SocketAddrV4;

use crate::lab::kernel::{Kernel, backends, in_both_modes};
use crate::lab::packet::{Packet, at};

mod sockets;

const VIP: &str = "10.96.0.7:80";
const POD: &str = "10.244.0.5:5000";

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const SHUTDOWN_COMPLETE: u8 = 14;

/// CRC-32C (RFC 9260, appendix A), bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

/// A packet of one chunk with so many bytes of user data; its checksum is right.
fn sctp(from: &str, to: &str, chunk: u8, length: usize) -> Vec<u8> {
    let (from, to): (SocketAddrV4, SocketAddrV4) = (at(from), at(to));
    let udp = Packet {
        payload: vec![0; 8 + length],
        ..Packet::udp(from, to)
    };
    let mut bytes = udp.bytes();
    bytes[23] = 132;
    bytes[24..26].fill(0);
    let sum = etherparse::Ipv4HeaderSlice::from_slice(&bytes[14..])
        .unwrap()
        .to_header()
        .calc_header_checksum();
    bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    bytes[38..42].copy_from_slice(&0xdead_beef_u32.to_be_bytes()); // verification tag
    bytes[42..46].fill(0);
    bytes[46] = chunk;
    bytes[48..50].copy_from_slice(&u16::try_from(4 + length).unwrap().to_be_bytes());
    for (i, byte) in bytes[50..].iter_mut().enumerate() {
        *byte = u8::try_from(i * 7 % 251).unwrap();
    }
    let sum = crc(&bytes[34..]);
    bytes[42..46].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Sends it out of the pod; where it went.
fn sent(kernel: &mut Kernel, to: &str, chunk: u8) -> String {
    let (redirected, bytes) = kernel.pod_sends_raw(&sctp(POD, to, chunk, 20)).unwrap();
    assert!(!redirected, "refused");
    let port = u16::from_be_bytes([bytes[36], bytes[37]]);
    format!("{}.{}.{}.{}:{port}", bytes[30], bytes[31], bytes[32], bytes[33])
}

#[test]
fn the_checksum_is_that_of_the_specification() {
    // The check value of CRC-32C, for "123456789".
    assert_eq!(crc(b"123456789"), 0xe306_9283);
}

#[test]
fn sctp_goes_to_its_backend_of_any_port_and_back_with_a_right_checksum() {
    in_both_modes(|kernel| {
        for (vip, backend) in [(VIP, "10.244.1.1:80"), ("10.96.0.8:80", "10.244.1.1:9999")] {
            kernel.serve(&format!("sctp {vip}"), &backends(&[backend]));
            for (chunk, length) in [
                (INIT, 16),
                (DATA, 0),
                (DATA, 1),
                (DATA, 255),
                (DATA, 1400),
                (SHUTDOWN, 4),
            ] {
                let out = kernel.pod_sends_raw(&sctp(POD, vip, chunk, length)).unwrap();
                assert_eq!(
                    out,
                    (false, sctp(POD, backend, chunk, length)),
                    "{vip} {chunk} {length}"
                );
                let back = kernel.pod_gets_raw(&sctp(backend, POD, chunk, length)).unwrap();
                assert_eq!(back, (false, sctp(vip, POD, chunk, length)), "{vip} {chunk} {length}");
            }
        }
    });
}

#[test]
fn a_checksum_that_is_left_to_a_device_stays_so() {
    in_both_modes(|kernel| {
        kernel.serve("sctp 10.96.0.7:80", &backends(&["10.244.1.1:81"]));
        let without = |mut bytes: Vec<u8>| {
            bytes[42..46].fill(0);
            bytes
        };
        let out = kernel.pod_sends_raw(&without(sctp(POD, VIP, INIT, 16))).unwrap();
        assert_eq!(out, (false, without(sctp(POD, "10.244.1.1:81", INIT, 16))));
    });
}

#[test]
fn two_associations_that_would_look_the_same_get_different_ports() {
    in_both_modes(|kernel| {
        kernel.serve("sctp 10.96.0.7:80", &backends(&["10.244.1.1:81"]));
        kernel.serve("sctp 10.96.0.8:80", &backends(&["10.244.1.1:81"]));
        let mut port = |vip: &str| {
            let (_, bytes) = kernel.pod_sends_raw(&sctp(POD, vip, INIT, 16)).unwrap();
            let port = u16::from_be_bytes([bytes[34], bytes[35]]);
            assert_eq!(bytes, sctp(&format!("10.244.0.5:{port}"), "10.244.1.1:81", INIT, 16));
            port
        };
        assert_eq!(port(VIP), 5000);
        assert_ne!(port("10.96.0.8:80"), 5000);
    });
}

#[test]
fn an_association_stays_with_a_backend_that_is_gone_and_only_init_leaves_it() {
    in_both_modes(|kernel| {
        kernel.serve("sctp 10.96.0.7:80", &backends(&["10.244.1.1:81"]));
        assert_eq!(sent(kernel, VIP, INIT), "10.244.1.1:81");
        kernel.pod_gets_raw(&sctp("10.244.1.1:81", POD, INIT_ACK, 16)).unwrap();
        assert_eq!(sent(kernel, VIP, DATA), "10.244.1.1:81");
        kernel.serve("sctp 10.96.0.7:80", &backends(&["10.244.1.2:81"]));
        for chunk in [DATA, SHUTDOWN, ABORT] {
            assert_eq!(sent(kernel, VIP, chunk), "10.244.1.1:81", "chunk {chunk}");
        }
        assert_eq!(sent(kernel, VIP, INIT), "10.244.1.2:81");
        assert_eq!(sent(kernel, VIP, DATA), "10.244.1.2:81");
        assert_eq!(kernel.added(), kernel.flows().len() as u64);
    });
}

#[test]
fn an_association_that_has_ended_makes_room() {
    in_both_modes(|kernel| {
        kernel.serve("sctp 10.96.0.7:80", &backends(&["10.244.1.1:81"]));
        sent(kernel, VIP, INIT);
        kernel.pod_gets_raw(&sctp("10.244.1.1:81", POD, INIT_ACK, 16)).unwrap();
        sent(kernel, VIP, DATA);
        kernel.pod_gets_raw(&sctp("10.244.1.1:81", POD, DATA, 16)).unwrap();
        kernel.sweep_after(3600);
        assert_eq!(kernel.flows().len(), 2, "idle");
        sent(kernel, VIP, SHUTDOWN);
        kernel
            .pod_gets_raw(&sctp("10.244.1.1:81", POD, SHUTDOWN_ACK, 4))
            .unwrap();
        sent(kernel, VIP, SHUTDOWN_COMPLETE);
        kernel.sweep_after(61);
        assert_eq!(kernel.flows().len(), 0);
    });
}
