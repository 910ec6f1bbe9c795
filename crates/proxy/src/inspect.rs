//! What the node has programmed for a pod, and what becomes of its packets: the commands for the person who asks why.

mod decide;
mod pod;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddrV4;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use stackube_datapath::abi::NetworkKey;
use stackube_datapath::{Error as MapError, Hook, Service, Trace, View};
use thiserror::Error;

use crate::args::{ExplainOptions, PodOptions, TraceOptions};
use crate::model::Vip;
use decide::{Facts, decide};
use pod::Found;
pub use pod::PodError;

/// A question cannot be answered.
#[derive(Debug, Error)]
pub enum InspectError {
    /// The pod cannot be found.
    #[error(transparent)]
    Pod(#[from] PodError),
    /// The maps cannot be read.
    #[error("cannot read the datapath's maps")]
    Maps(#[from] MapError),
    /// Nothing can be printed.
    #[error("cannot print")]
    Print(#[from] std::io::Error),
}

/// Prints who the pod is and which services it has.
///
/// # Errors
/// [`InspectError`].
pub async fn show(options: &PodOptions) -> Result<(), InspectError> {
    let found = pod::find(options).await?;
    let view = View::open(&options.root())?;
    let network = NetworkKey::of(&found.network);
    let mut text = heading(&found, view.is_synced(network)?);
    let mut services: Vec<_> = view.services(network)?.into_iter().collect();
    services.sort_unstable_by_key(|(key, _)| *key);
    for (key, service) in services {
        let vip = Vip {
            address: key.vip,
            port: key.port,
            protocol: key.protocol,
        };
        let mut backends = service.backends;
        backends.sort_unstable();
        let backends: Vec<String> = backends.iter().map(ToString::to_string).collect();
        let name = found.services.get(&key.vip).map_or("-", String::as_str);
        let shown = if backends.is_empty() {
            "none: refused".to_owned()
        } else {
            backends.join(" ")
        };
        let way = if service.host { " (over the host link)" } else { "" };
        let sticky = service
            .affinity
            .map_or_else(String::new, |time| format!(" (affinity {} s)", time.as_secs()));
        line(
            &mut text,
            format_args!("{:<24} {name:<32} {shown}{way}{sticky}", vip.to_string()),
        );
    }
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// Prints what would become of a packet from the pod, and why.
///
/// # Errors
/// [`InspectError`].
pub async fn explain(options: &ExplainOptions) -> Result<(), InspectError> {
    let found = pod::find(&options.pod).await?;
    let view = View::open(&options.pod.root())?;
    let network = NetworkKey::of(&found.network);
    let to = options.destination;
    let services = view.services(network)?;
    let entry = services
        .iter()
        .find(|(key, _)| (key.vip, key.port, key.protocol) == (to.address, to.port, to.protocol));
    let facts = Facts {
        plugged: found.identity.is_some(),
        synced: view.is_synced(network)?,
        service: entry.map(|(_, service)| service),
        refused_backends: &refused_backends(&view, entry.map(|(_, service)| service))?,
        service_address: view.is_service_address(to.address)?,
        refused: view.is_refused(to.address)?,
    };
    let text = format!("{} -> {to}: {}\n", found.name, decide(&facts));
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// Those of the service's backends that the programs refuse as they refuse the addresses themselves.
fn refused_backends(view: &View, service: Option<&Service>) -> Result<Vec<SocketAddrV4>, MapError> {
    let mut refused = vec![];
    for backend in service.iter().flat_map(|service| &service.backends) {
        if view.is_refused(*backend.ip())? {
            refused.push(*backend);
        }
    }
    Ok(refused)
}

/// Prints what becomes of the pod's packets, as they come, for the given time.
///
/// # Errors
/// [`InspectError`].
pub async fn trace(options: &TraceOptions) -> Result<(), InspectError> {
    let found = pod::find(&options.pod).await?;
    let identity = found
        .identity
        .as_ref()
        .ok_or_else(|| PodError::NotPlugged(found.name.clone()))?;
    let end = Instant::now() + Duration::from_secs(options.seconds);
    follow(&options.pod.root(), identity.ifindex, end)
}

fn follow(root: &Path, ifindex: u32, end: Instant) -> Result<(), InspectError> {
    let mut trace = Trace::start(root, ifindex)?;
    let mut out = std::io::stdout();
    loop {
        while let Some(d) = trace.read() {
            let hook = match d.hook {
                Hook::FromPod => "from the pod",
                Hook::ToPod => "to the pod",
                Hook::FromHost => "from the node",
            };
            let way = if d.remote == d.source || d.remote == d.destination || d.remote.ip().is_unspecified() {
                String::new()
            } else {
                format!(" ({})", d.remote)
            };
            if d.protocol == 0 {
                writeln!(out, "{hook:<13} not IPv4: {}", d.reason)?;
                continue;
            }
            writeln!(
                out,
                "{hook:<13} protocol {:<3} {} -> {}{way}: {}",
                d.protocol, d.source, d.destination, d.reason
            )?;
        }
        let Some(left) = end.checked_duration_since(Instant::now()) else {
            return Ok(());
        };
        let descriptor = trace.as_fd();
        let timeout = rustix::event::Timespec::try_from(left).ok();
        poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], timeout.as_ref()).map_err(std::io::Error::from)?;
    }
}

fn heading(found: &Found, synced: Option<bool>) -> String {
    let mut text = String::new();
    line(&mut text, format_args!("pod      {} (UID {})", found.name, found.uid));
    match &found.identity {
        Some(i) => line(
            &mut text,
            format_args!(
                "plugged  {} behind device {}, on the host link {}",
                i.ip, i.ifindex, i.alias
            ),
        ),
        None => line(
            &mut text,
            format_args!("plugged  no: kubestackd has not plugged the pod in on this node"),
        ),
    }
    let state = match synced {
        Some(true) => "all Services are programmed",
        Some(false) => "not all Services are programmed yet; until then its packets to Services are dropped",
        None => "stackube-proxy knows nothing of it; packets to Services are dropped",
    };
    line(&mut text, format_args!("network  {}: {state}", found.network));
    text
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing into a String does not fail.
    let _ = writeln!(text, "{arguments}");
}
