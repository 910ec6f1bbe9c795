//! What the plugin and the daemon say to each other: one request and one reply over a unix socket, each a length
//! (4 bytes, big endian) and a JSON document. File descriptors travel with the first byte of a request.
//!
//! The plugin keeps the connection open until it has the reply. When it closes earlier, it was killed: the daemon
//! takes an ADD back then.

use std::io;

use rscni_plugin::types::{CNIResult, ErrorResult, GcAttachment};
use serde::{Deserialize, Serialize};

/// Where the daemon listens, unless the network configuration names another socket.
pub const SOCKET: &str = "/run/stackube/kubestack.sock";

/// Largest message, in bytes. A GC request with ten thousand attachments stays below.
pub const MAX_MESSAGE: usize = 1 << 20;

/// An interface in a container: what every CNI call is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// Container (sandbox) ID of the runtime.
    pub container_id: String,
    /// Name of the interface in the container.
    pub ifname: String,
}

/// The pod of a sandbox, as the runtime names it in `CNI_ARGS`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PodRef {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID; of a static pod the hash of its manifest, which no Port has.
    pub uid: String,
}

/// A CNI call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "UPPERCASE")]
pub enum Request {
    /// Plug the pod in. Comes with [`POD_DESCRIPTORS`].
    #[serde(rename_all = "camelCase")]
    Add {
        /// Which interface.
        attachment: Attachment,
        /// Whose.
        pod: PodRef,
        /// Path of the network namespace, for the result only.
        netns: String,
    },
    /// Unplug.
    #[serde(rename_all = "camelCase")]
    Del {
        /// Which interface.
        attachment: Attachment,
        /// Whose, if the runtime says so.
        pod: Option<PodRef>,
    },
    /// Compare what is with what should be. Comes with [`POD_DESCRIPTORS`].
    #[serde(rename_all = "camelCase")]
    Check {
        /// Which interface.
        attachment: Attachment,
        /// What ADD answered.
        previous: Option<CNIResult>,
    },
    /// Can an ADD be served?
    Status,
    /// Unplug everything else.
    #[serde(rename_all = "camelCase")]
    Gc {
        /// What the runtime still knows.
        valid: Vec<GcAttachment>,
    },
}

impl Request {
    /// Name of the CNI command.
    pub fn command(&self) -> &'static str {
        match self {
            Self::Add { .. } => "ADD",
            Self::Del { .. } => "DEL",
            Self::Check { .. } => "CHECK",
            Self::Status => "STATUS",
            Self::Gc { .. } => "GC",
        }
    }
}

/// Number of descriptors with ADD and CHECK: the network namespace, and a NETLINK_ROUTE socket opened inside it.
///
/// The socket is how the daemon works in a pod's namespace without ever entering it: entering needs CAP_SYS_ADMIN,
/// the socket only CAP_NET_ADMIN.
pub const POD_DESCRIPTORS: usize = 2;

/// The daemon's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// ADD succeeded.
    Plugged(CNIResult),
    /// Another command succeeded.
    Done,
    /// The call failed, with the error for the runtime.
    Failed(ErrorResult),
}

/// A message with its length in front.
///
/// # Errors
/// When the message is larger than [`MAX_MESSAGE`].
pub fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).ok().filter(|l| *l as usize <= MAX_MESSAGE);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the message is too large"))?;
    Ok([&length.to_be_bytes()[..], &body].concat())
}

/// Length of the body that follows these 4 bytes.
///
/// # Errors
/// When it is larger than [`MAX_MESSAGE`].
pub fn body_length(header: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(header) as usize;
    if length > MAX_MESSAGE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the peer announces a message that is too large",
        ));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_round_trip() {
        let attachment = Attachment {
            container_id: "c1".into(),
            ifname: "eth0".into(),
        };
        let pod = PodRef {
            namespace: "ns".into(),
            name: "p".into(),
            uid: "u".into(),
        };
        for request in [
            Request::Add {
                attachment: attachment.clone(),
                pod: pod.clone(),
                netns: "/run/netns/a".into(),
            },
            Request::Del {
                attachment: attachment.clone(),
                pod: Some(pod),
            },
            Request::Check {
                attachment,
                previous: None,
            },
            Request::Status,
            Request::Gc {
                valid: vec![GcAttachment {
                    container_id: "c1".into(),
                    ifname: "eth0".into(),
                }],
            },
        ] {
            let bytes = frame(&request).unwrap();
            let length = body_length(bytes[..4].try_into().unwrap()).unwrap();
            assert_eq!(length, bytes.len() - 4);
            assert_eq!(serde_json::from_slice::<Request>(&bytes[4..]).unwrap(), request);
        }
    }

    #[test]
    fn large_messages_are_refused() {
        assert!(frame(&"x".repeat(MAX_MESSAGE)).is_err());
        assert!(body_length(u32::MAX.to_be_bytes()).is_err());
    }
}
