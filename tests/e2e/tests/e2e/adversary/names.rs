//! Another tenant's names.

use hickory_proto::rr::RecordType::{A, AAAA, ANY, PTR, SRV};

use super::Scene;
use crate::dns::wire::{How, ask, reverse, words};

/// Another address, of equal length for equal sizes of replies.
fn unused(address: &str) -> String {
    let (network, host) = address.rsplit_once('.').unwrap();
    let other = |digit| if digit == '1' { '2' } else { '1' };
    format!("{network}.{}", host.chars().map(other).collect::<String>())
}

/// The name of a pod by its address, in the namespace of a Service.
fn pod(address: &str, service: &str) -> String {
    let namespace = service.split('.').nth(1).unwrap();
    format!("{}.{namespace}.pod.cluster.local.", address.replace('.', "-"))
}

impl Scene<'_> {
    /// What another tenant has, has the same answers as what nobody has.
    pub(super) async fn resolve(&self) {
        let (victim, nobody) = (&self.victims_name, self.victims_name.replace("victim", "nobody"));
        let service = &self.victims_service;
        let address = self.victim.end.address.to_string();
        let mut pairs = vec![];
        for prefix in ["", "_http._tcp.", "_tcp.", "x."] {
            for kind in [A, AAAA, SRV, ANY] {
                pairs.push((format!("{prefix}{victim}."), format!("{prefix}{nobody}."), kind));
            }
        }
        pairs.push((reverse(service), reverse(&unused(service)), PTR));
        pairs.push((reverse(&address), reverse(&unused(&address)), PTR));
        pairs.push((pod(&address, victim), pod(&unused(&address), victim), A));
        let questions: Vec<_> = pairs
            .iter()
            .flat_map(|(real, made_up, kind)| [real, made_up].map(|name| (name.as_str(), *kind, How::Udp)))
            .collect();
        let replies = ask(&self.attacker.guest, &questions).await;
        for (reply, question) in replies.chunks(2).zip(questions.chunks(2)) {
            let [(real, size), (made_up, other)] = reply else {
                unreachable!("pairs")
            };
            assert_eq!(words(real), "NXDOMAIN", "{question:?}");
            assert_eq!((words(made_up), other), (words(real), size), "{question:?}");
            assert_eq!(
                real.metadata.authoritative, made_up.metadata.authoritative,
                "{question:?}"
            );
        }
        // Its owner gets what there is.
        let own = [
            (format!("{victim}."), A),
            (reverse(service), PTR),
            (pod(&address, victim), A),
        ];
        let own: Vec<_> = own
            .iter()
            .map(|(name, kind)| (name.as_str(), *kind, How::Udp))
            .collect();
        let replies: Vec<_> = ask(&self.victims_friend.guest, &own).await;
        let replies: Vec<_> = replies.iter().map(|(reply, _)| words(reply)).collect();
        assert_eq!(
            replies,
            [format!("A {service}"), format!("PTR {victim}."), format!("A {address}")]
        );
    }
}
