//! One writer at a time: a lock on the directory of the pins, which the kernel opens again however its holder ends.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

/// The lock cannot be used.
#[derive(Debug, Error)]
pub enum LockError {
    /// There is no such directory yet.
    #[error("{} does not exist: wait until kubestackd has loaded the datapath on this node, or mount /sys/fs/bpf into this process", path.display())]
    NotLoaded {
        /// The directory.
        path: PathBuf,
    },
    /// The directory cannot be opened or locked.
    #[error("cannot lock {}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Held as long as it lives.
#[derive(Debug)]
pub(super) struct WriterLock {
    _directory: File,
}

impl WriterLock {
    /// Takes the lock; `None` while another process has it.
    pub(super) fn acquire(path: &Path) -> Result<Option<Self>, LockError> {
        let failed = |source: io::Error| LockError::Io {
            path: path.to_owned(),
            source,
        };
        let directory = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => LockError::NotLoaded { path: path.to_owned() },
            _ => failed(error),
        })?;
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _directory: directory })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(failed(error.into())),
        }
    }
}
