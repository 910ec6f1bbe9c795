//! One call to the daemon.

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rscni_plugin::error::Error;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::protocol::{POD_DESCRIPTORS, Reply, Request, body_length, frame};

/// A connection to the daemon, good for one call.
#[derive(Debug)]
pub(super) struct Client {
    stream: UnixStream,
    path: PathBuf,
    deadline: Instant,
}

impl Client {
    /// Connects; the call has to be over after `timeout`.
    pub(super) fn connect(path: &Path, timeout: Duration) -> Result<Self, Error> {
        let stream = UnixStream::connect(path).map_err(|e| {
            Error::TryAgainLater(format!(
                "Stackube's node daemon does not listen on {} ({e}): look at the pods of DaemonSet kubestack in \
                 namespace stackube-system",
                path.display()
            ))
        })?;
        Ok(Self {
            stream,
            path: path.to_owned(),
            deadline: Instant::now() + timeout,
        })
    }

    /// Sends the request with the descriptors and waits for the reply.
    pub(super) fn call(&mut self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<Reply, Error> {
        let message = frame(request).map_err(|e| Error::FailedToDecode(e.to_string()))?;
        self.send(&message, descriptors).map_err(|e| self.failed(&e))?;
        let mut header = [0; 4];
        self.receive(&mut header)?;
        let mut body = vec![0; body_length(header).map_err(|e| self.failed(&e))?];
        self.receive(&mut body)?;
        match serde_json::from_slice(&body) {
            Ok(Reply::Failed(error)) => Err(Error::from(error)),
            Ok(reply) => Ok(reply),
            Err(e) => Err(Error::FailedToDecode(format!("the node daemon's answer: {e}"))),
        }
    }

    /// The descriptors go with the first bytes, whatever part of the message these are.
    fn send(&mut self, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> std::io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(POD_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(std::io::Error::other("too many descriptors"));
        }
        let sent = sendmsg(
            &self.stream,
            &[IoSlice::new(message)],
            &mut control,
            SendFlags::NOSIGNAL,
        )?;
        self.stream.write_all(&message[sent..])
    }

    fn receive(&mut self, mut buffer: &mut [u8]) -> Result<(), Error> {
        while !buffer.is_empty() {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.silent());
            }
            self.stream.set_read_timeout(Some(left)).map_err(|e| self.failed(&e))?;
            match self.stream.read(buffer) {
                Ok(0) => return Err(self.failed(&"it closed the connection: the daemon was restarted or crashed")),
                Ok(count) => buffer = &mut buffer[count..],
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Err(self.silent()),
                Err(e) => return Err(self.failed(&e)),
            }
        }
        Ok(())
    }

    fn silent(&self) -> Error {
        self.failed(&"it did not answer in time")
    }

    fn failed(&self, problem: &impl std::fmt::Display) -> Error {
        Error::TryAgainLater(format!("Stackube's node daemon at {}: {problem}", self.path.display()))
    }
}
