//! Keystone away, as it looks from kubectl.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding as Binding;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
};
use secrecy::ExposeSecret;
use stackube_e2e::{
    always::always,
    desk::{Desk, password},
    devbox::Devbox,
    pods,
    tenant::{self, with_tenant},
    wait,
};

use crate::alone;
use crate::services::put_kubectl;
use crate::tokens::BOUND;

/// What a user waits for at most before kubectl says that there is no way in, on a busy machine.
const QUICKLY: Duration = Duration::from_secs(10);

/// Stops Keystone, runs `body`, and starts it again whatever happened.
async fn with_keystone_away(devbox: &Devbox, body: impl AsyncFnOnce()) {
    // The timer is for a test that is killed: the next ones need Keystone.
    let stop = "systemctl stop e2e-keystone.timer 2>/dev/null
         systemd-run --quiet --collect --unit=e2e-keystone --on-active=15min systemctl start keystone && systemctl stop keystone";
    devbox.host(stop).await.unwrap();
    always(body(), async {
        let start = "systemctl start keystone && systemctl stop e2e-keystone.timer";
        devbox.host(start).await.unwrap();
    })
    .await;
}

/// Asserts that kubectl gets no answer, says so soon, and in these words.
async fn assert_refused(answer: impl Future<Output = anyhow::Result<String>>, words: &str) {
    match tokio::time::timeout(QUICKLY, answer).await {
        Ok(Ok(answer)) => panic!("{words:?} was expected: {answer}"),
        Ok(Err(error)) => assert!(format!("{error:#}").contains(words), "{words:?} is not in {error:#}"),
        Err(_) => panic!("kubectl hangs instead of saying {words:?}"),
    }
}

#[tokio::test]
async fn keystone_away_ends_logins_at_their_bound_and_disturbs_nothing_else() {
    let _guard = alone().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "keystone", "", async |tenant| {
        let name = tenant.name_any();
        let address = pods::run(&devbox, &name, "web", "still-here").await;
        pods::run(&devbox, &name, "client", "x").await;
        put_kubectl(&devbox, &name, "client").await;
        let desk = Desk::of(&devbox, &tenant).await.unwrap();
        let newcomer = Desk::of(&devbox, &tenant).await.unwrap();
        newcomer.run(&["stackube", "logout"]).await.unwrap();
        let issued = devbox.log_in(&name, &name, &password(&tenant)).await.unwrap();
        let (unseen, get) = (issued.secret.expose_secret(), ["-n", name.as_str(), "get", "pods"]);
        desk.kubectl(&get).await.unwrap();
        let known = desk.token().unwrap();

        with_keystone_away(&devbox, async || {
            // Seen a moment ago, so within its bound.
            devbox.kubectl_with(&known, &get).await.unwrap();
            assert_refused(devbox.kubectl_with(unseen, &get), "must be logged in").await;
            assert_refused(newcomer.kubectl(&get), "Keystone cannot be reached").await;
            wait::until("the known token's bound", BOUND, || async {
                let works = devbox.kubectl_with(&known, &get).await.is_ok();
                ensure!(!works, "it still works");
                Ok(())
            })
            .await;
            assert_refused(devbox.kubectl_with(&known, &get), "must be logged in").await;
            // The user's own kubectl keeps the token, and shows it in vain.
            assert_refused(desk.kubectl(&get), "must be logged in").await;

            pods::assert_reaches(&devbox, &name, "client", &address, "still-here").await;
            let own = "/tmp/kubectl get pods -o name";
            let seen = pods::exec(&devbox, &name, "client", own).await.unwrap();
            assert_eq!(seen.trim(), "pod/client\npod/web");
        })
        .await;

        // The tokens are as good as before, and nobody has to do anything.
        wait::until("logins work again", Duration::from_secs(60), || async {
            devbox.kubectl_with(unseen, &get).await?;
            desk.kubectl(&get).await?;
            newcomer.kubectl(&get).await
        })
        .await;
        assert_eq!(desk.token().unwrap(), known);
        tenant::active(&devbox, &name).await;
    })
    .await;
}

#[tokio::test]
async fn doctor_names_the_binding_that_somebody_deleted() {
    let _guard = alone().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "doctor", "", async |tenant| {
        let desk = Desk::of(&devbox, &tenant).await.unwrap();
        let admin = devbox.clouds().with_file_name("kubeconfig");
        let administrator = [("KUBECONFIG", admin.to_str().unwrap())];
        // The policy only warns, so that a test that is killed here leaves nobody less isolated.
        let (api, name) = (Api::<Binding>::all(devbox.kube.clone()), "stackube-no-bandwidth");
        let mut binding = api.get(name).await.unwrap();
        api.delete(name, &DeleteParams::default()).await.unwrap();
        let body = async {
            let (all_well, report) = desk.doctor(&administrator).await.unwrap();
            let said = format!("there is no ValidatingAdmissionPolicyBinding {name}: ");
            let says = report
                .lines()
                .any(|line| line.contains("FAILED") && line.contains(&said) && line.contains("kubectl apply"));
            assert!(!all_well && says, "{report}");
        };
        always(body, async {
            binding.metadata.resource_version = None;
            binding.metadata.uid = None;
            api.create(&PostParams::default(), &binding).await.unwrap();
        })
        .await;
        let (all_well, report) = desk.doctor(&administrator).await.unwrap();
        assert!(all_well, "{report}");
    })
    .await;
}
