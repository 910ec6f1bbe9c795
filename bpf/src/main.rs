//! The datapath: one pair of programs per pod on the host-side veth, one program at the far end of the host link, and one that marks
//! kubelet's sockets. See docs/developer/datapath.md.
#![no_std]
#![no_main]
#![allow(internal_features)]
#![feature(core_intrinsics)]

#[path = "../../crates/datapath/src/abi.rs"]
#[allow(dead_code)]
mod abi;
mod flow;
mod from_host;
mod from_pod;
mod head;
mod icmp;
mod maps;
mod packet;
mod refuse;
mod sctp;
mod tally;
mod to_pod;

use aya_ebpf::{
    macros::{cgroup_sock, classifier, xdp},
    programs::{SockContext, TcContext, XdpContext},
};
use packet::{Skb, Xdp};

/// Open vSwitch in user space: what a pod sends, before anybody else sees it.
#[xdp]
pub fn from_pod_xdp(ctx: XdpContext) -> u32 {
    packet::xdp(from_pod::from_pod(&Xdp(ctx.ctx)))
}

/// The kernel's Open vSwitch: what a pod sends.
#[classifier]
pub fn from_pod_tcx(ctx: TcContext) -> i32 {
    packet::tc(from_pod::from_pod(&Skb(ctx.skb.skb)))
}

/// What a pod receives.
#[classifier]
pub fn to_pod(ctx: TcContext) -> i32 {
    packet::tc(to_pod::to_pod(&Skb(ctx.skb.skb)))
}

/// What the node sends over the host link.
#[classifier]
pub fn from_host(ctx: TcContext) -> i32 {
    packet::tc(from_host::from_host(&Skb(ctx.skb.skb)))
}

#[cgroup_sock(sock_create)]
pub fn mark_kubelet(ctx: SockContext) -> i32 {
    unsafe { (*ctx.sock).mark = abi::KUBELET_MARK };
    1
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 11] = *b"Apache-2.0\0";
