//! Tenants that cannot be made as asked: why is said, what was there stays as it was, and nothing of theirs is left.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::ResourceExt;
use stackube_api::{TenantState, names::password_secret};
use stackube_e2e::{always::always, devbox::Devbox, tenant};
use stackube_openstack::{
    Session,
    id::{DomainId, ProjectId},
    identity::{CreateProject, CreateUser},
};

use super::status;
use crate::shared;

/// A Tenant that is to be refused.
struct Case {
    name: String,
    spec: String,
    /// Part of its message, in small letters.
    says: String,
}

impl Case {
    fn new(name: String, spec: String, says: &str) -> Self {
        let says = says.to_owned();
        Self { name, spec, says }
    }
}

/// What is somebody else's.
struct Foreign {
    /// Of a project, of a user and of a namespace, with another end each.
    name: String,
    domain: DomainId,
    project: ProjectId,
    service: ProjectId,
}

impl Foreign {
    async fn build(devbox: &Devbox) -> Self {
        let session = devbox.cloud.service();
        let domain = session.find_domain("Default").await.unwrap().unwrap().id;
        let service = session.find_project(&domain, "service").await.unwrap();
        let name = tenant::unique("taken");
        let project = CreateProject {
            name: format!("{name}-project"),
            domain_id: domain.clone(),
            description: "foreign".into(),
            tags: vec![],
            enabled: true,
        };
        let project = session.create_project(&project).await.unwrap().id;
        let user = CreateUser {
            name: format!("{name}-user"),
            domain_id: domain.clone(),
            password: "foreign".into(),
            default_project_id: None,
            description: "foreign".into(),
            enabled: true,
        };
        session.create_user(&user).await.unwrap();
        let namespace = format!("{name}-ns");
        devbox.kubectl(&["create", "namespace", &namespace], "").await.unwrap();
        Self {
            name,
            domain,
            project,
            service: service.unwrap().id,
        }
    }

    /// Who has which role in the projects.
    async fn roles(&self, session: &Session) -> BTreeSet<String> {
        let mut roles = BTreeSet::new();
        for project in [&self.project, &self.service] {
            let held = session.list_role_assignments_of_project(project).await.unwrap();
            roles.extend(held.iter().map(|held| format!("{held:?}")));
        }
        roles
    }

    /// Removes it all, which also shows that it has stayed.
    async fn remove(&self, devbox: &Devbox) {
        let session = devbox.cloud.service();
        let delete = ["delete", "namespace", &format!("{}-ns", self.name), "--timeout=240s"];
        devbox.kubectl(&delete, "").await.unwrap();
        let user = session
            .find_user(&self.domain, &format!("{}-user", self.name))
            .await
            .unwrap();
        let user = user.unwrap();
        assert_eq!(user.description.as_deref(), Some("foreign"));
        session.delete_user(&user.id).await.unwrap();
        let project = session.get_project(&self.project).await;
        let project = project.unwrap();
        assert_eq!(project.description.as_deref(), Some("foreign"));
        session.delete_project(&project.id).await.unwrap();
        session.get_project(&self.service).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_left_alone() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let foreign = Foreign::build(&devbox).await;
    let name = &foreign.name;
    let none = String::new;
    let unknown = "tenantID: \"00000000000000000000000000000000\"".to_owned();
    let service = format!("tenantID: \"{}\"", foreign.service);
    let cases = [
        Case::new(format!("{name}-project"), none(), "a project named"),
        Case::new(format!("{name}-user"), none(), "a user named"),
        Case::new(format!("{name}-ns"), none(), "the namespace"),
        Case::new(tenant::unique("unknown"), unknown, "no project"),
        Case::new(tenant::unique("service"), service, "belongs to a service"),
    ];
    let remove = async {
        for case in &cases {
            let delete = ["delete", "tenant", &case.name, "--ignore-not-found", "--timeout=120s"];
            devbox.kubectl(&delete, "").await.unwrap();
        }
    };
    always(assert_refused(&devbox, &foreign, &cases), async {
        remove.await;
        foreign.remove(&devbox).await;
    })
    .await;
}

async fn assert_refused(devbox: &Devbox, foreign: &Foreign, cases: &[Case]) {
    let session = devbox.cloud.service();
    let roles = foreign.roles(&session).await;
    let mut before = vec![];
    for case in cases {
        before.push(tenant::made_for(devbox, &case.name).await.unwrap());
        tenant::create(devbox, &case.name, &case.spec).await.unwrap();
    }
    for (case, before) in cases.iter().zip(&before) {
        let refused = tenant::in_state(devbox, &case.name, TenantState::Failed, Duration::from_secs(90)).await;
        let status = status(&refused);
        let text = status.message.unwrap_or_default();
        assert!(
            text.to_lowercase().contains(&case.says),
            "{}: {text:?} does not say {:?}",
            case.name,
            case.says
        );
        assert_eq!(
            (status.project_id, status.user_id),
            (None, None),
            "{}",
            refused.name_any()
        );
        // Its password does not stay in the Tenant, also when that is refused.
        let mut now = tenant::made_for(devbox, &case.name).await.unwrap();
        now.retain(|object| object != &format!("secret/{}", password_secret(&case.name)));
        assert_eq!(&now, before, "made for a Tenant that was refused");
    }
    assert_eq!(foreign.roles(&session).await, roles);
    for (case, before) in cases.iter().zip(&before) {
        let delete = ["delete", "tenant", &case.name, "--timeout=120s"];
        devbox.kubectl(&delete, "").await.unwrap();
        assert_eq!(&tenant::made_for(devbox, &case.name).await.unwrap(), before, "left");
    }
}
