//! Floods.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::ensure;
use stackube_e2e::{
    guest::{Answer, hex, question},
    wait,
};

use super::{Scene, frames, frames::End};
use crate::dns::wire::SERVER as DNS;

/// How many requests failed, and how long the others took, in microseconds.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) failed: u64,
    p50: u64,
    p99: u64,
}

/// The API server of every pod, and an address of Services that is none's.
const API: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 111, 255, 254);

impl Scene<'_> {
    /// Floods of questions, of flows, of connections to the API server and of what is refused hold up the one who sends them, and
    /// nobody else.
    pub(super) async fn flood(&self) {
        let (own, router) = (self.attacker.end, self.router);
        let by_router = |address: Ipv4Addr| End { address, ..router };
        let service: Ipv4Addr = self.service.parse().unwrap();
        let questions = frames::question(own, by_router(DNS));
        let flows = frames::flow(own, by_router(service));
        let quiet = self.load().await;
        let connections = frames::syn(own, by_router(API), 443);
        let refused = frames::flow(own, by_router(NOBODY));
        let mut floods = vec![];
        for frame in [&questions, &flows, &connections, &refused] {
            floods.push(self.attacker.guest.start(&["flood", "eth0"], &hex(frame)).await);
        }
        // The first two have used up what the pod may have: it gets no answer of its own any more.
        let own = [
            question("udp", &format!("{DNS}:53"), &questions[42..]),
            question("udp", &format!("{service}:7"), b"who"),
        ];
        wait::until("the floods bite", Duration::from_secs(30), || async {
            let answers = self.attacker.guest.ask(&own).await;
            let none = answers.iter().all(|answer| !matches!(answer, Answer::Reply(_)));
            ensure!(none, "{answers:?}");
            Ok(())
        })
        .await;
        let mut loud = self.load().await;
        // Others have the machine too: a datapath that holds neighbours up does so every time.
        for _ in 0..3 {
            if loud.failed > 0 || loud.p99 > 2_000_000 {
                loud = self.load().await;
            }
        }
        self.attacker.guest.end().await;
        drop(floods);
        assert_eq!((quiet.failed, loud.failed), (0, 0), "requests of another tenant's pod");
        // Most requests meet no full queue: five times as long, or half a second, which a machine whose processors others keep busy may take,
        // and which is too short for a connection that had to be begun again.
        let bound = (5 * quiet.p50).max(500_000);
        assert!(loud.p50 <= bound, "{quiet:?} without the floods, {loud:?} with them");
        // Generous, for a machine whose few processors the floods keep busy as well: ten times as long, or two seconds, since a
        // connection's first packet that finds a full queue there is sent again after one.
        let bound = (10 * quiet.p99).max(2_000_000);
        assert!(loud.p99 <= bound, "{quiet:?} without the floods, {loud:?} with them");
    }

    pub(super) async fn load(&self) -> Load {
        let target = format!("{}:80", self.victims_service);
        let arguments = ["requests", "300", &self.victims_name, &target];
        let said = self.victims_friend.guest.run(&arguments, "").await.unwrap();
        let numbers: Vec<u64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [failed, p50, p99] = numbers[..] else {
            panic!("{said}");
        };
        Load { failed, p50, p99 }
    }
}
