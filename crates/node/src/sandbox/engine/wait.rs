//! What an ADD waits for. Every wait ends at its deadline, and at once when the ADD is given up.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::super::record::Record;
use super::{Engine, SandboxError};
use crate::metrics::Phase;
use crate::ovsdb::{OvsdbError, View};
use crate::ports::{Assignment, Unusable, assignment};
use crate::protocol::{Attachment, PodRef};

/// What a wait for a row has found so far.
enum Progress {
    Done,
    Failed(SandboxError),
    Waiting,
}

impl Engine {
    /// Waits for a ready Port whose address is none of `refused`.
    pub(super) async fn wait_for_assignment(
        &self,
        pod: &PodRef,
        refused: &BTreeSet<Ipv4Addr>,
        deadline: Instant,
        cancel: &CancellationToken,
    ) -> Result<Assignment, SandboxError> {
        let mut ports = self.ports.clone();
        loop {
            let reason = match assignment(&ports.borrow_and_update(), pod) {
                Ok(found) if !refused.contains(&found.address.addr()) => return Ok(found),
                Ok(found) => format!(
                    "address {} is held on this node; waiting for another",
                    found.address.addr()
                ),
                Err(Unusable::Never(reason)) => return Err(SandboxError::Refused(reason)),
                Err(Unusable::Waiting(reason)) => reason,
            };
            let timed_out = || SandboxError::NotReady {
                waited: self.settings.port_timeout,
                reason,
            };
            tokio::select! {
                () = cancel.cancelled() => return Err(SandboxError::Aborted),
                changed = timeout_at(deadline, ports.changed()) => match changed {
                    Ok(Ok(())) => {}
                    // The watch has ended: the daemon is going down.
                    Ok(Err(_)) => return Err(SandboxError::Aborted),
                    Err(_) => return Err(timed_out()),
                },
            }
        }
    }

    /// Waits until the programs know what pods may not reach: after the node has booted their maps are empty.
    pub(super) async fn wait_for_protection(
        &self,
        deadline: Instant,
        cancel: &CancellationToken,
    ) -> Result<(), SandboxError> {
        let waited = self.settings.port_timeout;
        tokio::select! {
            () = cancel.cancelled() => Err(SandboxError::Aborted),
            done = timeout_at(deadline, self.protected.cancelled()) => done.map_err(|_| SandboxError::Unprotected { waited }),
        }
    }

    /// The Port must still say what was plugged in.
    pub(super) fn still_assigned(&self, pod: &PodRef, plugged: &Assignment) -> Result<(), SandboxError> {
        match assignment(&self.ports.borrow(), pod) {
            Ok(now) if now == *plugged => Ok(()),
            _ => Err(SandboxError::Changed),
        }
    }

    /// Waits for ovs-vswitchd to have opened the device.
    pub(super) async fn wait_until_open(
        &self,
        attachment: &Attachment,
        device: &str,
        cancel: &CancellationToken,
    ) -> Result<(), SandboxError> {
        let problem = |problem: &str| SandboxError::NotOpened {
            device: device.to_owned(),
            problem: problem.to_owned(),
        };
        let progress = |record: &Record| match (record.ofport, &record.error) {
            (_, Some(error)) => Progress::Failed(problem(error)),
            (Some(ofport), None) if ofport > 0 => Progress::Done,
            _ => Progress::Waiting,
        };
        let started = Instant::now();
        let late = problem("ovs-vswitchd has not looked at it in time: is it running?");
        self.wait_for_row(attachment, self.settings.open_timeout, cancel, late, progress)
            .await?;
        self.metrics.phase(Phase::Open, started.elapsed());
        Ok(())
    }

    /// Waits for ovn-controller to have installed the port's flows.
    pub(super) async fn wait_until_installed(
        &self,
        attachment: &Attachment,
        assignment: &Assignment,
        cancel: &CancellationToken,
    ) -> Result<(), SandboxError> {
        let waited = self.settings.install_timeout;
        let late = SandboxError::NotInstalled {
            port_id: assignment.port_id.clone(),
            waited,
        };
        let progress = |record: &Record| {
            if record.installed {
                Progress::Done
            } else {
                Progress::Waiting
            }
        };
        let started = Instant::now();
        self.wait_for_row(attachment, waited, cancel, late, progress).await?;
        self.metrics.phase(Phase::Install, started.elapsed());
        Ok(())
    }

    async fn wait_for_row(
        &self,
        attachment: &Attachment,
        timeout: Duration,
        cancel: &CancellationToken,
        late: SandboxError,
        progress: impl Fn(&Record) -> Progress,
    ) -> Result<(), SandboxError> {
        // The transaction is in every state from this call on: a row that is missing has been taken away.
        self.ovsdb.current().await?;
        let mut views = self.ovsdb.subscribe();
        let deadline = Instant::now() + timeout;
        loop {
            let now = views.borrow_and_update().clone().ok_or(OvsdbError::Disconnected)?;
            match self.row(&now, attachment).map(|row| progress(&row)) {
                None => return Err(SandboxError::RowGone),
                Some(Progress::Done) => return Ok(()),
                Some(Progress::Failed(error)) => return Err(error),
                Some(Progress::Waiting) => {}
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(SandboxError::Aborted),
                changed = timeout_at(deadline, views.changed()) => match changed {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Err(SandboxError::Aborted),
                    Err(_) => return Err(late),
                },
            }
        }
    }

    /// The row of an attachment.
    pub(super) fn row(&self, view: &View, attachment: &Attachment) -> Option<Record> {
        self.records(view).into_iter().find(|record| record.is_of(attachment))
    }
}
