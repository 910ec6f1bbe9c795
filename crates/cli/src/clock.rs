//! This machine's clock beside Keystone's.

use std::time::Duration;

use jiff::Timestamp;

/// It may be off by so much, a slow answer included.
const TOLERANCE: Duration = Duration::from_secs(30);

/// What to do if the clock is off, judged by a token that Keystone issued just now.
pub(crate) fn complaint(issued_at: Timestamp, now: Timestamp) -> Option<String> {
    let off = now.duration_since(issued_at);
    (off.unsigned_abs() > TOLERANCE).then(|| {
        format!(
            "this machine's clock is {} s {} Keystone's: set both by NTP, or certificates and tokens seem expired",
            off.unsigned_abs().as_secs(),
            if off.is_negative() { "behind" } else { "ahead of" }
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_which_way_it_is_off() {
        let at = |text: &str| complaint("2026-11-22T07:00:00Z".parse().unwrap(), text.parse().unwrap());
        assert_eq!(at("2026-11-22T07:00:10Z"), None);
        assert!(at("2026-11-22T07:05:00Z").unwrap().contains("300 s ahead of"));
        assert!(at("2026-11-22T06:59:00Z").unwrap().contains("60 s behind"));
    }
}
