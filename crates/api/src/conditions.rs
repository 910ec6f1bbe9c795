//! Condition types, their reasons, and how a list of conditions changes.
//!
//! A reason is one `&'static str` that also names the Event and the metric label of the same fact.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Everything that the object asks for exists.
pub const READY: &str = "Ready";
/// The Keystone project exists and is the tenant's.
pub const PROJECT_READY: &str = "ProjectReady";
/// The Keystone user exists, has the wanted password, and is the tenant's.
pub const USER_READY: &str = "UserReady";
/// Role assignments of the user and the members are as wanted.
pub const ROLES_READY: &str = "RolesReady";
/// The namespace with its label, ResourceQuota and LimitRange exists.
pub const NAMESPACE_READY: &str = "NamespaceReady";
/// Neutron quotas are as wanted.
pub const QUOTA_READY: &str = "QuotaReady";
/// The tenant's Network is Active.
pub const NETWORK_READY: &str = "NetworkReady";

/// One condition as a reconciler wants it, without times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Condition type, CamelCase.
    pub type_: &'static str,
    /// `Some(true)` is True, `Some(false)` False, `None` Unknown.
    pub status: Option<bool>,
    /// Reason, CamelCase, stable.
    pub reason: &'static str,
    /// A sentence that tells a person what to do next.
    pub message: String,
}

impl Wanted {
    /// A condition that holds.
    pub fn met(type_: &'static str, reason: &'static str) -> Self {
        Self {
            type_,
            status: Some(true),
            reason,
            message: String::new(),
        }
    }

    /// A condition that does not hold, with the reason for people.
    pub fn unmet(type_: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            type_,
            status: Some(false),
            reason,
            message: message.into(),
        }
    }

    fn status_text(&self) -> &'static str {
        match self.status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        }
    }
}

/// Merges `wanted` into `current`: types that are not named stay, `lastTransitionTime` moves only when the status does.
pub fn merge(current: &[Condition], wanted: &[Wanted], generation: Option<i64>, now: &Time) -> Vec<Condition> {
    let mut merged = current.to_vec();
    for want in wanted {
        let old = merged.iter().position(|c| c.type_ == want.type_);
        let unchanged_since = old
            .map(|i| &merged[i])
            .filter(|c| c.status == want.status_text())
            .map(|c| c.last_transition_time.clone());
        let condition = Condition {
            type_: want.type_.into(),
            status: want.status_text().into(),
            reason: want.reason.into(),
            message: want.message.clone(),
            observed_generation: generation,
            last_transition_time: unchanged_since.unwrap_or_else(|| now.clone()),
        };
        match old {
            Some(i) => merged[i] = condition,
            None => merged.push(condition),
        }
    }
    merged
}

/// Whether the condition `type_` is True.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    conditions.iter().any(|c| c.type_ == type_ && c.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        serde_json::from_str(&format!("\"{text}\"")).unwrap()
    }

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let (t1, t2, t3) = (
            time("2026-01-01T00:00:00Z"),
            time("2026-01-02T00:00:00Z"),
            time("2026-01-03T00:00:00Z"),
        );
        let first = merge(&[], &[Wanted::unmet(READY, "Waiting", "a")], Some(1), &t1);
        let second = merge(&first, &[Wanted::unmet(READY, "StillWaiting", "b")], Some(2), &t2);
        assert_eq!(second.len(), 1);
        assert_eq!(second[0].last_transition_time, t1);
        assert_eq!(
            (second[0].reason.as_str(), second[0].observed_generation),
            ("StillWaiting", Some(2))
        );
        let third = merge(&second, &[Wanted::met(READY, "Done")], Some(2), &t3);
        assert_eq!(third[0].last_transition_time, t3);
        assert!(is_true(&third, READY));
    }

    #[test]
    fn other_types_stay() {
        let t = time("2026-01-01T00:00:00Z");
        let first = merge(&[], &[Wanted::met(USER_READY, "Done")], None, &t);
        let second = merge(&first, &[Wanted::met(PROJECT_READY, "Done")], None, &t);
        assert_eq!(second.len(), 2);
    }
}
