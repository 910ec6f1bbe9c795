//! Making many ports by few requests: those that wait for a place in their project's lane go out together.
//!
//! Neutron spends most of a request on what is the same for all of its ports: token, policy, quota, one transaction. Nobody waits
//! for a batch to fill: whoever gets a place takes along what has queued up meanwhile.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use stackube_openstack::id::ProjectId;
use stackube_openstack::network::{CreatePort, Port as NeutronPort};
use stackube_openstack::{Error, Session};
use tokio::sync::oneshot;

use super::lanes::Lanes;

/// The most ports of one request: a client that waits for the last of them should not think that its request was lost.
const MOST: usize = 5;

/// Why a port was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    /// What Neutron answered.
    #[error(transparent)]
    OpenStack(#[from] Error),
    /// The reconcile that had sent the request for several was cut off. Whether the port exists is open.
    #[error("the request that this port was part of was cut off; trying again")]
    CutOff,
}

struct Order {
    request: CreatePort,
    answer: oneshot::Sender<Result<NeutronPort, Error>>,
}

/// The ports that wait to be made, for each project.
#[derive(Default)]
pub(crate) struct Batches(Mutex<HashMap<ProjectId, VecDeque<Order>>>);

impl Batches {
    /// Makes a port, perhaps together with others of its project.
    ///
    /// # Errors
    /// [`BatchError`]; each port gets the answer that a request of its own would have had.
    pub(super) async fn create(
        &self,
        lanes: &Lanes,
        session: &Session,
        request: CreatePort,
    ) -> Result<NeutronPort, BatchError> {
        let project = request.project_id.clone();
        let (answer, mut mine) = oneshot::channel();
        self.push(&project, Order { request, answer });
        loop {
            let place = tokio::select! {
                biased;
                made = &mut mine => return Ok(made.map_err(|_| BatchError::CutOff)??),
                place = lanes.enter(&project) => place,
            };
            let orders = self.take(&project);
            if orders.is_empty() {
                // Somebody else's request carries this one.
                drop(place);
                return Ok(mine.await.map_err(|_| BatchError::CutOff)??);
            }
            // Perhaps without this one, if many are ahead of it: then there is another turn.
            send(session, orders).await;
        }
    }

    fn push(&self, project: &ProjectId, order: Order) {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queues.entry(project.clone()).or_default().push_back(order);
    }

    /// What waits longest, without what nobody waits for any more.
    fn take(&self, project: &ProjectId) -> Vec<Order> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queues.get_mut(project) else {
            return vec![];
        };
        queue.retain(|order| !order.answer.is_closed());
        let taken = queue.drain(..queue.len().min(MOST)).collect();
        if queue.is_empty() {
            queues.remove(project);
        }
        taken
    }
}

async fn send(session: &Session, orders: Vec<Order>) {
    if orders.len() > 1 {
        let requests: Vec<_> = orders.iter().map(|order| order.request.clone()).collect();
        match session.create_ports(&requests).await {
            Ok(made) => {
                for (order, port) in orders.into_iter().zip(made) {
                    let _ = order.answer.send(Ok(port));
                }
                return;
            }
            // The same would happen to each alone, or some may exist now: each looks before it tries again.
            Err(error) if error.is_transient() || error.may_have_been_executed() => {
                for order in orders {
                    let _ = order.answer.send(Err(error.clone()));
                }
                return;
            }
            // Some of them, or their number, is refused, and with it all: alone, each gets its own answer.
            Err(error) => tracing::debug!(%error, ports = orders.len(), "refused together, asking one by one"),
        }
    }
    for order in orders {
        let _ = order.answer.send(session.create_port(&order.request).await);
    }
}

#[cfg(test)]
mod tests;
