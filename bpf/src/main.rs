//! The datapath: one pair of programs per pod on the host-side veth, one program at the far end of the host link, and one that marks
//! kubelet's sockets. See docs/developer/datapath.md.
#![no_std]
#![no_main]
#![allow(static_mut_refs)]

#[path = "../../crates/datapath/src/abi.rs"]
#[allow(dead_code)]
mod abi;
mod maps;

use aya_ebpf::{
    bindings::{TC_ACT_OK, TC_ACT_SHOT, xdp_action},
    macros::{cgroup_sock, classifier, map, xdp},
    programs::{SockContext, TcContext, XdpContext},
};

#[xdp]
pub fn from_pod_xdp(ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[classifier]
pub fn from_pod_tcx(ctx: TcContext) -> i32 {
    TC_ACT_OK
}

#[classifier]
pub fn to_pod(ctx: TcContext) -> i32 {
    TC_ACT_OK
}

#[classifier]
pub fn from_host(ctx: TcContext) -> i32 {
    TC_ACT_SHOT
}

#[cgroup_sock(sock_create)]
pub fn mark_kubelet(ctx: SockContext) -> i32 {
    // SAFETY: the context is the kernel's, and mark may be written by a program of this type.
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
