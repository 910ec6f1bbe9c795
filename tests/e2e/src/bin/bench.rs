//! `make bench`: measures the running devbox and prints a table. Leaves nothing behind.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use anyhow::Result;
use serde_json::json;
use stackube_e2e::{
    bench::{self, Samples},
    devbox::Devbox,
    tenant,
};

/// Pods that are started one after the other. With those of the burst as many as the default quota admits.
const SINGLE: usize = 10;
/// Pods that are started at once.
const MANY: usize = 30;

#[tokio::main]
async fn main() -> Result<()> {
    let devbox = Devbox::connect().await;
    println!("{:<56} {:>9} {:>9}", "", "seconds", "ratio");
    networks(&devbox).await?;
    identity(&devbox).await?;
    let without = pods(&devbox, Some(0)).await;
    let with = pods(&devbox, None).await;
    // Whatever failed, the configuration is as it was.
    devbox.configure(&json!({"pool-size": null})).await?;
    let (without, with) = (without?, with?);
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let (slow, fast) = (without.single.percentile(share), with.single.percentile(share));
        row(&format!("pod bound to ADD returned, {name}, no pool"), slow, None);
        row(&format!("pod bound to ADD returned, {name}, pool"), fast, Some(slow));
        let (slow, fast) = (without.burst.percentile(share), with.burst.percentile(share));
        row(&format!("the same in a burst of {MANY}, {name}, no pool"), slow, None);
        row(
            &format!("the same in a burst of {MANY}, {name}, pool"),
            fast,
            Some(slow),
        );
    }
    row(&format!("{MANY} pods to Ready, no pool"), without.all_ready, None);
    row(
        &format!("{MANY} pods to Ready, pool"),
        with.all_ready,
        Some(without.all_ready),
    );
    row(
        &format!("tenant with {} pods deleted", MANY + SINGLE),
        with.deletion,
        None,
    );
    for process in ["stackube-contro", "kubestackd", "stackube-proxy", "stackube-auth"] {
        println!(
            "{:<56} {:>8.1}M",
            format!("resident memory of {process}"),
            bench::resident(&devbox, process).await?
        );
    }
    println!(
        "Daemons are of the profile that `make deploy` builds (dev). Ratios are to the line that they follow or belong to."
    );
    Ok(())
}

fn row(what: &str, seconds: f64, against: Option<f64>) {
    let ratio = against.map_or(String::new(), |other| format!("{:.2}", seconds / other));
    println!("{what:<56} {seconds:>9.2} {ratio:>9}");
}

/// The same for what takes milliseconds.
fn fine_row(what: &str, seconds: f64, against: Option<f64>) {
    let ratio = against.map_or(String::new(), |other| format!("{:.3}", seconds / other));
    println!("{what:<56} {seconds:>9.4} {ratio:>9}");
}

/// A tenant's network beside the same calls one by one, three times in turn.
async fn networks(devbox: &Devbox) -> Result<()> {
    let (mut active, mut by_hand, mut gone) = (Samples::default(), Samples::default(), Samples::default());
    for round in 0..3 {
        let calls = bench::one_by_one(&devbox.cloud.service()).await?;
        if round == 0 {
            for (call, time) in &calls {
                row(&format!("  {call}"), time.as_secs_f64(), None);
            }
        }
        by_hand.add(calls.iter().map(|(_, time)| *time).sum());
        let name = tenant::unique("bench");
        active.add(bench::network_active(devbox, &name).await);
        gone.add(bench::deletion(devbox, &name).await);
    }
    let sum = by_hand.percentile(0.5);
    row("the Neutron calls of a network one by one, median of 3", sum, None);
    row(
        "Tenant created to Network Active, median of 3",
        active.percentile(0.5),
        Some(sum),
    );
    row("tenant without pods deleted, median of 3", gone.percentile(0.5), None);
    Ok(())
}

/// Who somebody is, beside what Keystone takes to say so.
async fn identity(devbox: &Devbox) -> Result<()> {
    let name = tenant::unique("bench");
    bench::network_active(devbox, &name).await;
    let tenant = tenant::active(devbox, &name).await;
    let measured = bench::identity(devbox, &tenant).await;
    tenant::delete(devbox, &name).await;
    let seen = measured?;
    for (share, of) in [(0.5, "p50"), (0.99, "p99")] {
        let keystone = seen.keystone.percentile(share);
        fine_row(&format!("Keystone validates a token, {of}"), keystone, None);
        let new = format!("TokenReview of a new token by the API server, {of}");
        fine_row(&new, seen.new.percentile(share), Some(keystone));
        let known = format!("stackube-auth about a token that it knows, {of}");
        fine_row(&known, seen.known.percentile(share), Some(keystone));
    }
    let plain = seen.plain.percentile(0.5);
    row("kubectl get pods by certificate, p50", plain, None);
    row(
        "kubectl get pods with a login, p50",
        seen.first.percentile(0.5),
        Some(plain),
    );
    row("kubectl get pods after it, p50", seen.next.percentile(0.5), Some(plain));
    Ok(())
}

/// What was measured with one size of the pool.
struct Pods {
    single: Samples,
    burst: Samples,
    all_ready: f64,
    deletion: f64,
}

async fn pods(devbox: &Devbox, pool: Option<u16>) -> Result<Pods> {
    let size = pool.map(|size| size.to_string());
    devbox.configure(&json!({ "pool-size": size })).await?;
    let name = tenant::unique("bench");
    bench::network_active(devbox, &name).await;
    let measured = async {
        let single = bench::one_after_another(devbox, &name, SINGLE).await?;
        let (all_ready, burst) = bench::burst(devbox, &name, MANY).await?;
        Ok::<_, anyhow::Error>((single, burst, all_ready.as_secs_f64()))
    }
    .await;
    let deletion = bench::deletion(devbox, &name).await.as_secs_f64();
    let (single, burst, all_ready) = measured?;
    Ok(Pods {
        single,
        burst,
        all_ready,
        deletion,
    })
}
