//! What the two kinds of session can see: the reason for having two.

use stackube_openstack::network::{NetworkFilter, PortFilter};

use crate::support::with_tenant;

#[tokio::test]
async fn a_project_session_sees_nothing_of_other_projects() {
    with_tenant(|victim| async move {
        let network = victim.network().await;
        with_tenant(|attacker| async move {
            let session = attacker.session();
            assert!(session.get_network(&network.id).await.unwrap_err().is_not_found());
            let all = session
                .list_networks_all_projects(&NetworkFilter::default())
                .await
                .unwrap();
            assert!(all.iter().all(|found| found.id != network.id));
            assert!(
                session
                    .list_networks(&victim.project, &NetworkFilter::default())
                    .await
                    .unwrap()
                    .is_empty()
            );
            session.delete_network(&network.id).await.unwrap();
            let still = victim.session().get_network(&network.id).await.unwrap();
            assert_eq!(still.id, network.id, "for the attacker it was already gone");
            assert!(
                victim
                    .service()
                    .list_ports(&victim.project, &PortFilter::default())
                    .await
                    .unwrap()
                    .is_empty()
            );
        })
        .await;
    })
    .await;
}
