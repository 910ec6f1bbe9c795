//! The one offload setting that the userspace datapath needs.

#![expect(
    unsafe_code,
    reason = "SIOCETHTOOL has no safe wrapper in a kept crate, and rtnetlink cannot set features"
)]

use std::ffi::c_void;
use std::os::fd::BorrowedFd;

use rustix::io::{Errno, Result};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};

/// `SIOCETHTOOL` of linux/sockios.h.
const SIOCETHTOOL: Opcode = 0x8946;
/// `ETHTOOL_STXCSUM` of linux/ethtool.h.
const ETHTOOL_STXCSUM: u32 = 0x17;

/// `struct ethtool_value` of linux/ethtool.h.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// `struct ifreq` of linux/if.h with its member `ifr_data`; the union is 24 bytes long.
#[repr(C)]
struct InterfaceRequest<'v> {
    name: [u8; 16],
    data: &'v mut EthtoolValue,
    rest: [u8; 24 - size_of::<usize>()],
}

/// Makes the device compute the checksums of what it sends itself.
///
/// Between two veth ends the kernel leaves checksums half done, which is fine until a packet meets something that does
/// not take them from the kernel: the userspace datapath of Open vSwitch. `socket` is any socket of the namespace.
pub(crate) fn disable_tx_checksum(socket: BorrowedFd<'_>, device: &str) -> Result<()> {
    let mut name = [0; 16];
    let bytes = device.as_bytes();
    if bytes.is_empty() || bytes.len() >= name.len() {
        return Err(Errno::INVAL);
    }
    name[..bytes.len()].copy_from_slice(bytes);
    let mut value = EthtoolValue {
        command: ETHTOOL_STXCSUM,
        data: 0,
    };
    let request = InterfaceRequest {
        name,
        data: &mut value,
        rest: [0; _],
    };
    // SAFETY: SIOCETHTOOL reads a `struct ifreq`, which `InterfaceRequest` is laid out like; its pointer is to a
    // `struct ethtool_value` that lives until after the call, which is what ETHTOOL_STXCSUM reads.
    unsafe { ioctl(socket, request) }
}

// SAFETY: the request is passed by pointer as SIOCETHTOOL wants it, and nothing is read back from it.
unsafe impl Ioctl for InterfaceRequest<'_> {
    type Output = ();

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        SIOCETHTOOL
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> Result<()> {
        Ok(())
    }
}
