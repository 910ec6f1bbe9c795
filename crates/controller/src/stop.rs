//! Why a reconcile ended before its object was as wanted.

use std::error::Error as _;
use std::time::Duration;

/// How a reconcile that did not reach its end is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A person has to change something: state `Failed`, looked at again when the object changes, and slowly.
    Refused,
    /// Something runs its course; look again soon. Neither an error nor a Warning.
    Waiting(Duration),
    /// May succeed if repeated: state `Pending`, retried with a growing pause.
    Transient,
}

/// Why a reconcile stopped. Every reconciler of this crate returns it; [`crate::reconcile::drive`] turns it into the pause
/// before the next try, and the reconciler itself writes it into the object's conditions.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// The object cannot be made as asked.
    #[error("{message}")]
    Refused {
        /// Reason of conditions and Events, CamelCase, stable.
        reason: &'static str,
        /// What is wrong and what to do about it.
        message: String,
    },
    /// Something that was started is not finished.
    #[error("{message}")]
    Waiting {
        /// Reason of conditions and Events, CamelCase, stable.
        reason: &'static str,
        /// What is waited for.
        message: String,
        /// When to look again if no watch does it earlier.
        after: Duration,
    },
    /// A call of an OpenStack service failed.
    #[error("OpenStack call failed")]
    OpenStack(#[from] stackube_openstack::Error),
    /// A call of the Kubernetes API failed.
    #[error("Kubernetes API call failed")]
    Kubernetes(#[from] kube::Error),
    /// The whole reconcile took too long; what was done is kept and found again.
    #[error("not done within {0:?}; trying again")]
    TimedOut(Duration),
}

/// Reason of a condition or Event when OpenStack does not answer.
pub(crate) const OPENSTACK_UNAVAILABLE: &str = "OpenStackUnavailable";
/// Reason when OpenStack answers, but refuses.
pub(crate) const OPENSTACK_REFUSED: &str = "OpenStackRefused";
/// Reason when a quota of the project is used up.
pub(crate) const QUOTA_EXCEEDED: &str = "QuotaExceeded";
/// Reason when the Kubernetes API refuses or does not answer.
pub(crate) const KUBERNETES_ERROR: &str = "KubernetesError";
/// Reason when a reconcile took too long.
pub(crate) const TIMED_OUT: &str = "TimedOut";

/// After a conflict: the watch needs a moment to bring the newer object.
const CONFLICT: Duration = Duration::from_millis(300);

impl Stop {
    /// A refusal, with what a person has to do.
    pub(crate) fn refused(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Refused {
            reason,
            message: message.into(),
        }
    }

    /// Something runs its course; `after` is when to look again.
    pub(crate) fn waiting(reason: &'static str, message: impl Into<String>, after: Duration) -> Self {
        Self::Waiting {
            reason,
            message: message.into(),
            after,
        }
    }

    /// Whether somebody else changed the object between reading and writing it: nothing to tell anybody, just to repeat.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Kubernetes(kube::Error::Api(status)) if status.code == 409 && status.reason == "Conflict")
    }

    /// How it is treated.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Refused { .. } => Verdict::Refused,
            Self::Waiting { after, .. } => Verdict::Waiting(*after),
            Self::Kubernetes(_) if self.is_conflict() => Verdict::Waiting(CONFLICT),
            Self::OpenStack(error) if is_refusal(error) => Verdict::Refused,
            Self::Kubernetes(kube::Error::Api(status)) if status.code == 422 => Verdict::Refused,
            Self::OpenStack(_) | Self::Kubernetes(_) | Self::TimedOut(_) => Verdict::Transient,
        }
    }

    /// Reason for conditions, Events and metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Refused { reason, .. } | Self::Waiting { reason, .. } => reason,
            Self::OpenStack(error) if error.is_quota() => QUOTA_EXCEEDED,
            Self::OpenStack(error) if error.is_transient() => OPENSTACK_UNAVAILABLE,
            Self::OpenStack(_) => OPENSTACK_REFUSED,
            Self::Kubernetes(_) => KUBERNETES_ERROR,
            Self::TimedOut(_) => TIMED_OUT,
        }
    }

    /// One line with all causes, for people.
    pub(crate) fn sentence(&self) -> String {
        if let Self::Kubernetes(kube::Error::Api(status)) = self {
            // kube's own text has the whole Status in it, twice.
            return format!("the Kubernetes API refused: {}", status.message);
        }
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// Whether repeating the call is pointless until a person (or another part) has changed something. A wrong password or missing
/// right of the service user is not: it is nothing that the owner of an object could mend, and it ends without a change of
/// the object. Keystone even denies rights that are there while it starts, before it has read its policy.
fn is_refusal(error: &stackube_openstack::Error) -> bool {
    use stackube_openstack::Error as E;
    matches!(
        error,
        E::BadRequest { .. } | E::QuotaExceeded { .. } | E::Ambiguous { .. } | E::Unsupported { .. } | E::Config(_)
    )
}
