//! The pod's network namespace, as the daemon needs it.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rscni_plugin::error::Error;
use rustix::fs::fstat;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The namespace and a NETLINK_ROUTE socket opened in it (see [`POD_DESCRIPTORS`](crate::protocol::POD_DESCRIPTORS)).
#[derive(Debug)]
pub(super) struct PodNamespace {
    namespace: OwnedFd,
    socket: OwnedFd,
}

impl PodNamespace {
    /// Opens the namespace at `path` (`CNI_NETNS`).
    pub(super) fn open(path: Option<&PathBuf>) -> Result<Self, Error> {
        let path = path.ok_or_else(|| Error::missing_env(&["CNI_NETNS"]))?;
        let namespace = OwnedFd::from(open(path)?);
        let own = open(Path::new("/proc/self/ns/net"))?;
        let identity = |fd: BorrowedFd<'_>| fstat(fd).map(|s| (s.st_dev, s.st_ino));
        if identity(namespace.as_fd()).ok() == identity(own.as_fd()).ok() {
            return Err(invalid(path, "it is the host's own network namespace"));
        }
        let socket = socket_inside(namespace.as_fd()).map_err(|e| invalid(path, e))?;
        Ok(Self { namespace, socket })
    }

    /// In the order that the daemon expects.
    pub(super) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.namespace.as_fd(), self.socket.as_fd()]
    }
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|e| invalid(path, e))
}

fn invalid(path: &Path, problem: impl std::fmt::Display) -> Error {
    Error::InvalidNetNS(format!("CNI_NETNS {}: {problem}", path.display()))
}

/// Opens the socket on a thread of its own: a socket stays in the namespace in which its thread was.
fn socket_inside(namespace: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    std::thread::scope(|scope| {
        let open = || {
            move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
            // Protocol 0 of this family is NETLINK_ROUTE.
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
        };
        scope.spawn(open).join().unwrap_or(Err(rustix::io::Errno::AGAIN))
    })
}
