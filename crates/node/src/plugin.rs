//! The CNI plugin: hands each call to the node daemon and its answer back. Synchronous and without state.

mod arguments;
mod client;
mod namespace;

use std::time::Duration;

use rscni_plugin::cni::{Cni, Plugin};
use rscni_plugin::error::Error;
use rscni_plugin::types::{Args, CNIResult};

use self::arguments::{attachment, pod, socket};
use self::client::Client;
use self::namespace::PodNamespace;
use crate::protocol::{Reply, Request};

/// Longest wait for an ADD. kubelet gives a sandbox two minutes (`runtime-request-timeout`); the daemon's own
/// time-outs together are shorter, so that normally it is the daemon who says what was missing.
const ADD_TIMEOUT: Duration = Duration::from_secs(100);
/// Longest wait for any other call.
const TIMEOUT: Duration = Duration::from_secs(45);

/// Serves the call described by the environment and stdin, and writes the answer to stdout.
///
/// # Errors
/// The error that was written to stdout.
pub fn run() -> Result<(), Error> {
    Plugin::default()
        .msg(concat!(
            "kubestack ",
            env!("CARGO_PKG_VERSION"),
            ": Stackube's CNI plugin"
        ))
        .run(&Kubestack)
}

/// The plugin.
#[derive(Debug)]
struct Kubestack;

impl Cni for Kubestack {
    fn add(&self, args: Args) -> Result<CNIResult, Error> {
        let attachment = attachment(&args)?;
        let pod = pod(&args)?;
        let mut client = Client::connect(&socket(args.config())?, ADD_TIMEOUT)?;
        let namespace = PodNamespace::open(args.netns())?;
        let netns = args.netns().map(|p| p.display().to_string()).unwrap_or_default();
        match client.call(&Request::Add { attachment, pod, netns }, &namespace.descriptors())? {
            Reply::Plugged(result) => Ok(result),
            other => Err(unexpected(&other)),
        }
    }

    fn del(&self, args: Args) -> Result<(), Error> {
        let request = Request::Del {
            attachment: attachment(&args)?,
            pod: pod(&args).ok(),
        };
        done(Client::connect(&socket(args.config())?, TIMEOUT)?.call(&request, &[])?)
    }

    fn check(&self, args: Args) -> Result<(), Error> {
        let request = Request::Check {
            attachment: attachment(&args)?,
            previous: args.config().prev_result.clone(),
        };
        let mut client = Client::connect(&socket(args.config())?, TIMEOUT)?;
        let namespace = PodNamespace::open(args.netns())?;
        done(client.call(&request, &namespace.descriptors())?)
    }

    fn status(&self, args: Args) -> Result<(), Error> {
        // Code 50 tells the runtime that the node cannot take new pods, whatever the reason is.
        let unavailable = |e: Error| Error::PluginNotAvailable(e.details().to_owned());
        let mut client = Client::connect(&socket(args.config())?, TIMEOUT).map_err(unavailable)?;
        done(client.call(&Request::Status, &[])?)
    }

    fn gc(&self, args: Args) -> Result<(), Error> {
        // The reference library writes `null` when there is no attachment left, so no list is an empty list.
        let valid = args.config().valid_attachments.clone().unwrap_or_default();
        done(Client::connect(&socket(args.config())?, TIMEOUT)?.call(&Request::Gc { valid }, &[])?)
    }
}

fn done(reply: Reply) -> Result<(), Error> {
    match reply {
        Reply::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(reply: &Reply) -> Error {
    Error::FailedToDecode(format!(
        "the node daemon gave an answer that does not fit the call: {reply:?}"
    ))
}
