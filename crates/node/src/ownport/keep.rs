//! Keeps the node's own port as its Port says.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use stackube_daemon::chain;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::firewall::{self, Facts};
use crate::metrics::Metrics;
use crate::nodelink::keep::Changes;
use crate::ports::{Own, own};
use crate::sandbox::{Engine, SandboxError};

/// Longest time until a change is found that nobody announces: ranges of Services, and programs that went.
const INTERVAL: Duration = Duration::from_secs(5);

/// The addresses of the node's own port; `None` until it is known which.
pub type Addresses = Option<BTreeSet<Ipv4Addr>>;

/// Runs until `stop`. `publish` gets the address that the firewall has to keep others from.
pub async fn run(engine: Engine, publish: watch::Sender<Addresses>, metrics: Metrics, stop: CancellationToken) {
    let (mut ports, mut changes) = (engine.ports(), Changes::subscribe());
    let (mut last, mut refused) = (String::new(), None);
    loop {
        let wanted = own(&ports.borrow_and_update());
        let problem = match put_in_order(&engine, wanted, &publish, &mut refused).await {
            Ok(problem) => problem,
            Err(error) => error.report(),
        };
        metrics.own_port(engine.is_own_installed());
        if problem != last && !problem.is_empty() {
            warn!(%problem, "the node's own port on the system network is not as it should be");
        }
        last = problem;
        tokio::select! {
            () = stop.cancelled() => return,
            changed = ports.changed() => if changed.is_err() { return },
            () = changes.next() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// One look, at the port and at its zone of connection tracking. What is waited for, if anything.
async fn put_in_order(
    engine: &Engine,
    wanted: Own,
    publish: &watch::Sender<Addresses>,
    refused: &mut Option<Ipv4Addr>,
) -> Result<String, SandboxError> {
    let port = match &wanted {
        Own::Is(_, assignment) => Some(assignment.port_id.clone()),
        Own::Nothing | Own::Waiting(_) => None,
    };
    let waited_for = look(engine, wanted, publish, refused).await;
    // Whatever came of that: the zone may have become a pod's.
    let limited = engine.limit_own(port.as_deref()).await;
    let waited_for = waited_for?;
    limited.map(|()| waited_for)
}

/// One look at the port. What is waited for, if anything. `refused` is the address that the controller was last asked to replace; if it could
/// not be asked, the next look asks again.
async fn look(
    engine: &Engine,
    wanted: Own,
    publish: &watch::Sender<Addresses>,
    refused: &mut Option<Ipv4Addr>,
) -> Result<String, SandboxError> {
    match wanted {
        Own::Waiting(reason) => return Ok(reason),
        Own::Nothing => {
            engine.remove_own().await?;
            tell(publish, BTreeSet::new()).await;
        }
        Own::Is(node, assignment) => {
            // Before the node has the address.
            if !tell(publish, BTreeSet::from([assignment.address.addr()])).await {
                return Ok("the firewall does not stand".into());
            }
            match engine.ensure_own(&node, &assignment).await {
                Ok(done) if done.is_empty() => {}
                Ok(done) => info!(done = %done.join(", "), "put the node's own port in order"),
                Err(error) => {
                    if let SandboxError::AddressHeld { address, holder } = &error
                        && *refused != Some(*address)
                        && engine.refuse_own(&node, &assignment, holder).await
                    {
                        *refused = Some(*address);
                    }
                    return Err(error);
                }
            }
        }
    }
    Ok(String::new())
}

/// Has the firewall keep others from these addresses; whether it does.
async fn tell(publish: &watch::Sender<Addresses>, addresses: BTreeSet<Ipv4Addr>) -> bool {
    if publish.borrow().as_ref() == Some(&addresses) {
        return true;
    }
    let facts = Facts {
        own: Some(addresses.clone()),
        ..Facts::default()
    };
    match tokio::task::spawn_blocking(move || firewall::ensure(&facts)).await {
        Ok(Ok(_)) => {
            publish.send_replace(Some(addresses));
            true
        }
        Ok(Err(error)) => {
            warn!(error = %chain(&error), "cannot keep others from the node's own port");
            false
        }
        Err(_) => false,
    }
}
