//! Names of host devices.

use sha2::{Digest, Sha256};

use crate::protocol::Attachment;

/// Every host end of a pod's veth pair begins with this, and nothing else may: the firewall matches it.
pub const HOST_PREFIX: &str = "sk";

/// Hexadecimal digits after the prefix: with it 15 bytes, the most that a device name can have.
const DIGITS: usize = 13;

/// Name of the host end for an attachment: the same for every call about it, and, by 52 bits of a hash, no other's.
pub fn host_name(attachment: &Attachment) -> String {
    let digest = Sha256::new()
        .chain_update(attachment.container_id.as_bytes())
        .chain_update([0])
        .chain_update(attachment.ifname.as_bytes())
        .finalize();
    let hexadecimal: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{HOST_PREFIX}{}", &hexadecimal[..DIGITS])
}

/// Whether a device of that name can only be the host end of a pod's veth pair.
pub fn is_host_name(name: &str) -> bool {
    name.strip_prefix(HOST_PREFIX).is_some_and(|rest| {
        rest.len() == DIGITS && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attachment(container_id: &str, ifname: &str) -> Attachment {
        Attachment {
            container_id: container_id.into(),
            ifname: ifname.into(),
        }
    }

    proptest! {
        #[test]
        fn names_fit_the_kernel_and_are_recognised(container in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,80}", ifname in "[a-z0-9]{1,15}") {
            let name = host_name(&attachment(&container, &ifname));
            prop_assert!(name.len() == 15 && is_host_name(&name));
        }
    }

    #[test]
    fn the_same_attachment_has_the_same_name_and_others_do_not() {
        // Runtimes may give IDs a common prefix: cnitool does.
        let a = host_name(&attachment("cnitool-77383ca0a0715733ca6f", "eth0"));
        assert_eq!(a, host_name(&attachment("cnitool-77383ca0a0715733ca6f", "eth0")));
        assert_ne!(a, host_name(&attachment("cnitool-77383ca0a0715733ca6e", "eth0")));
        assert_ne!(a, host_name(&attachment("cnitool-77383ca0a0715733ca6f", "eth1")));
        assert_ne!(host_name(&attachment("a", "b0")), host_name(&attachment("ab", "0")));
    }

    #[test]
    fn other_devices_are_not_taken_for_ours() {
        for name in [
            "sk",
            "skype0",
            "sk0123456789ab",
            "sk0123456789abcd",
            "sk0123456789ABC",
            "eth0",
            "br-int",
            "",
        ] {
            assert!(!is_host_name(name), "{name}");
        }
    }
}
