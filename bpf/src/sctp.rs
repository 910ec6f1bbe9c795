//! SCTP (RFC 9260): which chunks begin and end an association, and its checksum.

use crate::{
    head::{ACK, FIN, Inside, RST, SYN},
    packet::Packet,
};

/// What the first chunk of a packet means, as flags of TCP. INIT and SHUTDOWN COMPLETE stand alone, and ABORT only behind control chunks; a
/// SHUTDOWN behind another chunk is not seen, and its association is taken for an idle one.
#[inline(always)]
pub fn meaning(chunk: u8) -> u8 {
    match chunk {
        1 => SYN,
        2 => SYN | ACK,
        6 => RST,
        7 | 8 | 14 => ACK | FIN, // SHUTDOWN, SHUTDOWN ACK, SHUTDOWN COMPLETE
        _ => ACK,
    }
}

/// Corrects the checksum of a whole packet for its first four bytes, the ports, as they are in it before and after.
///
/// It is a CRC, so what it changes by depends on the change and its distance from the end alone.
#[inline(always)]
pub fn correct<P: Packet>(packet: &P, inside: &Inside, from: u32, to: u32) -> bool {
    let at = inside.at + 8;
    let mut sum = 0u32;
    if !packet.load(at, &mut sum) {
        return false;
    }
    // None yet: a device is to make it, over what the packet is then.
    if sum == 0 {
        return true;
    }
    sum ^= crc_moved((from ^ to).to_le(), u32::from(inside.length)).to_le();
    packet.store(at, &sum)
}

/// CRC-32C's polynomial, the highest power in the lowest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Remainder of a change with so many bytes from its beginning to the end of the packet: times x to the power of their bits.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn crc_moved(change: u32, bytes: u32) -> u32 {
    let (mut result, mut power) = (change, 1 << 23); // x to the 8th
    for bit in 0..16 {
        if bytes >> bit & 1 != 0 {
            result = crc_product(result, power);
        }
        power = crc_product(power, power);
    }
    result
}

/// Product of two polynomials modulo the CRC's.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn crc_product(a: u32, mut b: u32) -> u32 {
    let mut sum = 0;
    for bit in 0..32 {
        sum ^= b & 0u32.wrapping_sub(a >> (31 - bit) & 1);
        b = b >> 1 ^ POLYNOMIAL & 0u32.wrapping_sub(b & 1);
    }
    sum
}
