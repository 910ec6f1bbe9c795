//! Why a packet went where it went: the index into `counters`, and what an event carries.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $value:literal, $text:literal;)*) => {
        $($(#[doc = $doc])+ pub const $name: u8 = $value;)*
        /// Number of reasons.
        pub const COUNT: usize = [$($value),*].len();
        /// Name of each reason, in the order of their numbers, for metrics and messages.
        pub const NAMES: [&str; COUNT] = [$($text),*];
    };
}

reasons! {
    /// Passed to the pod's network as it was.
    PASSED = 0, "passed";
    /// Translated to a backend in the pod's network.
    TRANSLATED = 1, "translated";
    /// Sent over the host link, from the pod's alias.
    TO_HOST = 2, "to_host";
    /// An answer to a probe.
    PROBE_ANSWER = 3, "probe_answer";
    /// Sent back to the pod, which is its own backend.
    HAIRPINNED = 4, "hairpinned";
    /// Translated back on its way to the pod.
    TRANSLATED_BACK = 5, "translated_back";
    /// A packet of kubelet to the pod.
    PROBE = 6, "probe";
    /// Refused: the service has no backend.
    REFUSED_NO_BACKEND = 7, "refused_no_backend";
    /// Refused: the pod's network has no such service.
    REFUSED_NO_SERVICE = 8, "refused_no_service";
    /// Refused: an address of the infrastructure.
    REFUSED_INFRASTRUCTURE = 9, "refused_infrastructure";
    /// Dropped: nothing is known of a pod behind this device.
    DROPPED_UNKNOWN_POD = 10, "dropped_unknown_pod";
    /// Dropped: the source address is not the pod's.
    DROPPED_SPOOFED_IP = 11, "dropped_spoofed_ip";
    /// Dropped: the source MAC address is not the pod's.
    DROPPED_SPOOFED_MAC = 12, "dropped_spoofed_mac";
    /// Dropped: an ARP message in another's name.
    DROPPED_SPOOFED_ARP = 13, "dropped_spoofed_arp";
    /// Dropped: neither untagged IPv4 nor ARP.
    DROPPED_PROTOCOL = 14, "dropped_protocol";
    /// Dropped: cut short, or with lengths that contradict each other.
    DROPPED_MALFORMED = 15, "dropped_malformed";
    /// Dropped: the network's services are not in the maps yet.
    DROPPED_NOT_SYNCED = 16, "dropped_not_synced";
    /// Dropped: the pod has as many flows as it may.
    DROPPED_QUOTA = 17, "dropped_quota";
    /// Dropped: more than the pod's rate.
    DROPPED_RATE = 18, "dropped_rate";
    /// Dropped: no port was free to tell this flow from another.
    DROPPED_CONFLICT = 19, "dropped_conflict";
    /// Dropped: a later fragment of a packet whose first was not seen.
    DROPPED_FRAGMENT = 20, "dropped_fragment";
    /// Dropped: to the node, but not an answer to something it asked.
    DROPPED_NOT_ASKED = 21, "dropped_not_asked";
    /// Dropped: from the node, but not from kubelet and no answer to the pod.
    DROPPED_NOT_KUBELET = 22, "dropped_not_kubelet";
    /// Dropped: nothing can be answered to this kind of packet.
    DROPPED_UNANSWERABLE = 23, "dropped_unanswerable";
    /// Dropped: a map had changed in between; the sender tries again.
    DROPPED_RACE = 24, "dropped_race";
}
