use std::sync::{Arc, Mutex};

use futures::future::join_all;
use stackube_openstack::identity::Actor;
use stackube_openstack::{Cloud, Credentials, Error, RequestEvent, RequestObserver};

use crate::support::{cloud, config, role, with_tenant};

#[derive(Default)]
struct Logins(Mutex<u32>);

impl RequestObserver for Logins {
    fn observe(&self, event: &RequestEvent) {
        if event.route == "auth/tokens" {
            *self.0.lock().unwrap() += 1;
        }
    }
}

#[tokio::test]
async fn concurrent_calls_share_tokens() {
    let logins = Arc::new(Logins::default());
    let cloud = Cloud::with_observer(config(), Arc::<Logins>::clone(&logins)).unwrap();
    let session = cloud.service();
    let results = join_all((0..20).map(|_| session.list_extensions())).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(*logins.0.lock().unwrap(), 1);
}

#[tokio::test]
async fn wrong_passwords_are_refused() {
    let mut config = config();
    let Credentials::Password { password, .. } = &mut config.credentials else {
        panic!("the devbox uses passwords")
    };
    *password = "wrong-Pa55word".into();
    let error = Cloud::new(config).unwrap().service().token_info().await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    assert!(error.call().unwrap().request_id.is_some() && !format!("{error} {error:?}").contains("wrong-Pa55word"));
}

#[tokio::test]
async fn a_service_user_without_a_role_gets_no_token_of_the_project() {
    with_tenant(|tenant| async move {
        let service = tenant.service();
        let info = tenant.session().token_info().await.unwrap();
        assert_eq!(info.project_id, tenant.project);
        assert!(
            info.roles.iter().any(|(_, name)| name == "member") && info.roles.iter().all(|(_, name)| name != "admin")
        );
        let me = Actor::User(info.user_id);
        service
            .revoke_role(&tenant.project, &me, &role(&service, "member").await)
            .await
            .unwrap();
        tenant.cloud.forget(&tenant.project);
        let error = tenant.session().token_info().await.unwrap_err();
        assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
        service
            .grant_role(&tenant.project, &me, &role(&service, "member").await)
            .await
            .unwrap();
        tenant.session().token_info().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_region_that_does_not_exist_is_named() {
    let mut config = config();
    config.region = Some("Nowhere".into());
    let error = Cloud::new(config).unwrap().service().list_agents().await.unwrap_err();
    assert!(
        matches!(&error, Error::NoEndpoint { offers, .. } if !offers.is_empty()),
        "{error:?}"
    );
    assert!(cloud().service().list_agents().await.is_ok());
}
