//! Asks a running process for its health over its Unix socket: the probe command of the container.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use thiserror::Error;

use crate::args::ProbeOptions;

/// The process is not healthy, or does not answer.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// Nothing listens, or it does not answer in time.
    #[error("no answer at {socket}: is the process running?")]
    NoAnswer {
        /// The socket's path.
        socket: String,
        /// Why.
        source: std::io::Error,
    },
    /// It answered something else than 200.
    #[error("{0}")]
    NotOk(String),
}

/// Asks once, for at most a second in each direction.
///
/// # Errors
/// [`ProbeError`] unless the answer is 200.
pub fn ask(options: &ProbeOptions) -> Result<(), ProbeError> {
    let answer = exchange(options).map_err(|source| ProbeError::NoAnswer {
        socket: options.socket.display().to_string(),
        source,
    })?;
    let status = answer.split_whitespace().nth(1).unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map_or(answer.as_str(), |(_, body)| body);
    if status == "200" {
        Ok(())
    } else {
        Err(ProbeError::NotOk(body.trim().to_owned()))
    }
}

fn exchange(options: &ProbeOptions) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(&options.socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        options.path
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(64 << 10).read_to_string(&mut answer)?;
    Ok(answer)
}
