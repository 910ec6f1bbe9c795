//! One view of a packet for XDP and tc, through helpers only: no pointer into the packet is ever held, so that the verifier has little to
//! prove and a packet's pieces in several buffers need no care.

use core::mem::size_of;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, TC_ACT_OK, TC_ACT_SHOT, xdp_action, xdp_md},
    helpers::generated::{
        bpf_l3_csum_replace, bpf_l4_csum_replace, bpf_redirect, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes,
        bpf_xdp_adjust_tail, bpf_xdp_get_buff_len, bpf_xdp_load_bytes, bpf_xdp_store_bytes,
    },
};

use crate::{
    head::{Frame, Inside},
    refuse,
};

/// Where a packet goes.
#[derive(Clone, Copy)]
pub enum Verdict {
    /// On its way.
    Pass,
    /// Nowhere.
    Drop,
    /// Out of a device.
    Redirect(u32),
}

/// A sum over which a checksum goes changed from one value to another.
#[derive(Clone, Copy)]
pub enum Sum {
    /// Of TCP, over the pseudo header too.
    Tcp,
    /// Of UDP, over the pseudo header too; zero means none.
    Udp,
    /// Of ICMP.
    Icmp,
}

pub trait Packet {
    /// The device that the packet is on.
    fn ifindex(&self) -> u32;
    fn len(&self) -> u32;
    /// Reads at an offset; false beyond the end.
    fn load<T>(&self, at: u32, into: &mut T) -> bool;
    fn store<T>(&self, at: u32, from: &T) -> bool;
    /// Cuts or lengthens the packet.
    fn resize(&self, len: u32) -> bool;
    /// Has a VLAN tag beside its data.
    fn tagged(&self) -> bool;
    fn mark(&self) -> u32;
    fn set_mark(&self, mark: u32);
    /// Corrects the checksum at `at` of an IP header for four bytes that change.
    fn ip_sum(&self, at: u32, from: u32, to: u32);
    /// Corrects the checksum at `at` of another header for four bytes that change; `pseudo` if they are not of the header itself.
    fn sum(&self, kind: Sum, at: u32, pseudo: bool, from: u32, to: u32);
    /// Makes the packet the refusal of itself; `code` is that of an ICMP message. False if it cannot be.
    fn answer(&self, frame: &Frame, inside: &Inside, code: u8) -> bool;
}

pub struct Xdp(pub *mut xdp_md);
pub struct Skb(pub *mut __sk_buff);

impl Packet for Xdp {
    #[inline(always)]
    fn ifindex(&self) -> u32 {
        unsafe { (*self.0).ingress_ifindex }
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        unsafe { bpf_xdp_get_buff_len(self.0) as u32 }
    }

    #[inline(always)]
    fn load<T>(&self, at: u32, into: &mut T) -> bool {
        unsafe { bpf_xdp_load_bytes(self.0, at, core::ptr::from_mut(into).cast(), size_of::<T>() as u32) == 0 }
    }

    #[inline(always)]
    fn store<T>(&self, at: u32, from: &T) -> bool {
        unsafe { bpf_xdp_store_bytes(self.0, at, core::ptr::from_ref(from).cast_mut().cast(), size_of::<T>() as u32) == 0 }
    }

    #[inline(always)]
    fn resize(&self, len: u32) -> bool {
        unsafe { bpf_xdp_adjust_tail(self.0, len as i32 - self.len() as i32) == 0 }
    }

    #[inline(always)]
    fn tagged(&self) -> bool {
        false // a tag that the kernel keeps beside the data is not shown to XDP; OVN drops such packets
    }

    #[inline(always)]
    fn mark(&self) -> u32 {
        0
    }

    #[inline(always)]
    fn set_mark(&self, _mark: u32) {}

    #[inline(always)]
    fn ip_sum(&self, at: u32, from: u32, to: u32) {
        let mut sum = 0u16;
        if self.load(at, &mut sum) {
            let _ = self.store(at, &changed(sum, from, to));
        }
    }

    #[inline(always)]
    fn sum(&self, kind: Sum, at: u32, _pseudo: bool, from: u32, to: u32) {
        let mut sum = 0u16;
        if !self.load(at, &mut sum) || (matches!(kind, Sum::Udp) && sum == 0) {
            return;
        }
        let mut new = changed(sum, from, to);
        if matches!(kind, Sum::Udp) && new == 0 {
            new = 0xffff;
        }
        let _ = self.store(at, &new);
    }

    #[inline(always)]
    fn answer(&self, frame: &Frame, inside: &Inside, code: u8) -> bool {
        refuse::answer_xdp(self.0, frame, inside, code.into()) != 0
    }
}

/// RFC 1624, equation 3, for four bytes. One's complement sums do not depend on the byte order.
#[inline(always)]
fn changed(sum: u16, from: u32, to: u32) -> u16 {
    let mut total = u32::from(!sum);
    total += u32::from(!(from as u16)) + u32::from(!((from >> 16) as u16));
    total += u32::from(to as u16) + u32::from((to >> 16) as u16);
    total = (total & 0xffff) + (total >> 16);
    total = (total & 0xffff) + (total >> 16);
    !(total as u16)
}

impl Packet for Skb {
    #[inline(always)]
    fn ifindex(&self) -> u32 {
        unsafe { (*self.0).ifindex }
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        unsafe { (*self.0).len }
    }

    #[inline(always)]
    fn load<T>(&self, at: u32, into: &mut T) -> bool {
        unsafe { bpf_skb_load_bytes(self.0.cast(), at, core::ptr::from_mut(into).cast(), size_of::<T>() as u32) == 0 }
    }

    #[inline(always)]
    fn store<T>(&self, at: u32, from: &T) -> bool {
        unsafe { bpf_skb_store_bytes(self.0, at, core::ptr::from_ref(from).cast(), size_of::<T>() as u32, 0) == 0 }
    }

    #[inline(always)]
    fn resize(&self, len: u32) -> bool {
        unsafe { bpf_skb_change_tail(self.0, len, 0) == 0 }
    }

    #[inline(always)]
    fn tagged(&self) -> bool {
        unsafe { (*self.0).vlan_present != 0 }
    }

    #[inline(always)]
    fn mark(&self) -> u32 {
        unsafe { (*self.0).mark }
    }

    #[inline(always)]
    fn set_mark(&self, mark: u32) {
        unsafe { (*self.0).mark = mark }
    }

    #[inline(always)]
    fn ip_sum(&self, at: u32, from: u32, to: u32) {
        unsafe { bpf_l3_csum_replace(self.0, at, from.into(), to.into(), 4) };
    }

    /// The kernel's helper knows whether the checksum is complete or left to a device, and minds the sum that a device may have made.
    #[inline(always)]
    fn sum(&self, kind: Sum, at: u32, pseudo: bool, from: u32, to: u32) {
        let mut flags = 4;
        if pseudo {
            flags |= u64::from(BPF_F_PSEUDO_HDR);
        }
        if matches!(kind, Sum::Udp) {
            flags |= u64::from(BPF_F_MARK_MANGLED_0);
        }
        unsafe { bpf_l4_csum_replace(self.0, at, from.into(), to.into(), flags) };
    }

    #[inline(always)]
    fn answer(&self, frame: &Frame, inside: &Inside, code: u8) -> bool {
        refuse::answer_tcx(self.0, frame, inside, code.into()) != 0
    }
}

/// The action that tells XDP of a verdict. Back out of the device itself is a redirection like any other.
#[inline(always)]
pub fn xdp(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Pass => xdp_action::XDP_PASS,
        Verdict::Drop => xdp_action::XDP_DROP,
        Verdict::Redirect(ifindex) => unsafe { bpf_redirect(ifindex, 0) as u32 },
    }
}

/// The action that tells tc of a verdict.
#[inline(always)]
pub fn tc(verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Pass => TC_ACT_OK as i32,
        Verdict::Drop => TC_ACT_SHOT as i32,
        Verdict::Redirect(ifindex) => unsafe { bpf_redirect(ifindex, 0) as i32 },
    }
}
