//! One connection of the plugin.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::protocol::{POD_DESCRIPTORS, Reply, Request, body_length, frame};

/// Longest time for a request to arrive or a reply to leave: both are a few hundred bytes on the same machine.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(10);

/// A call with what came with it.
pub(super) struct Received {
    pub(super) request: Request,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// A connection, good for one call.
pub(super) struct Connection {
    stream: UnixStream,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream }
    }

    /// Reads the call.
    pub(super) async fn receive(&mut self) -> io::Result<Received> {
        timeout(TRANSFER_TIMEOUT, self.receive_all()).await?
    }

    async fn receive_all(&mut self) -> io::Result<Received> {
        let mut header = [0; 4];
        let (count, descriptors) = self.receive_first(&mut header).await?;
        self.stream.read_exact(&mut header[count..]).await?;
        let mut body = vec![0; body_length(header)?];
        self.stream.read_exact(&mut body).await?;
        Ok(Received {
            request: serde_json::from_slice(&body)?,
            descriptors,
        })
    }

    /// The descriptors come with the first byte.
    async fn receive_first(&self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let receive = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(POD_DESCRIPTORS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut data = [IoSliceMut::new(buffer)];
            let received = recvmsg(&self.stream, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            let descriptors = control.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            });
            Ok((received.bytes, descriptors.flatten().collect::<Vec<_>>()))
        };
        let (count, descriptors) = self.stream.async_io(Interest::READABLE, receive).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok((count, descriptors))
    }

    /// Returns when the plugin has gone. It says nothing after its request, so whatever can be read means that.
    pub(super) async fn closed(&mut self) {
        let _ = self.stream.read(&mut [0]).await;
    }

    pub(super) async fn reply(&mut self, reply: &Reply) -> io::Result<()> {
        let message = frame(reply)?;
        timeout(TRANSFER_TIMEOUT, self.stream.write_all(&message)).await?
    }
}
