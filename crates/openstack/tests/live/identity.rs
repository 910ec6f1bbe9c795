use stackube_openstack::id::{DomainId, ProjectId, UserId};
use stackube_openstack::identity::{
    Actor, AssignmentScope, CreateProject, CreateRole, CreateUser, ProjectFilter, RoleAssignment, UpdateProject,
    UpdateUser,
};
use stackube_openstack::{Cloud, Credentials, Error, Optional, ProjectRef, Session, UserRef};

use crate::support::{Tenant, cloud, config, default_domain, role, unique, with_tenant};

#[tokio::test]
async fn projects() {
    let session = cloud().service();
    let domain = default_domain(&session).await;
    assert_eq!(session.get_domain(&domain).await.unwrap().name, "Default");
    assert!(session.find_domain("no such domain").await.unwrap().is_none());

    let (name, tag) = (unique("project"), unique("tag"));
    let new = CreateProject {
        name: name.clone(),
        domain_id: domain.clone(),
        description: "d".into(),
        tags: vec![tag.clone(), "x=1".into()],
        enabled: true,
    };
    let made = session.create_project(&new).await.unwrap();
    assert!(
        made.tags.contains(&tag) && made.description.as_deref() == Some("d"),
        "{made:?}"
    );
    let twice = session.create_project(&new).await.unwrap_err();
    assert!(
        twice.is_conflict() && twice.call().unwrap().request_id.is_some(),
        "{twice:?}"
    );
    assert_eq!(session.get_project(&made.id).await.unwrap(), made);
    assert_eq!(
        session.find_project(&domain, &name).await.unwrap().as_ref(),
        Some(&made)
    );
    let by_tag = ProjectFilter {
        tags: vec![tag],
        ..ProjectFilter::default()
    };
    assert_eq!(
        session.list_projects(&by_tag).await.unwrap(),
        std::slice::from_ref(&made)
    );
    let change = UpdateProject {
        description: Some("e".into()),
        tags: Some(vec!["y".into()]),
        enabled: Some(false),
        ..UpdateProject::default()
    };
    let changed = session.update_project(&made.id, &change).await.unwrap();
    assert_eq!((changed.tags, changed.enabled), (vec!["y".to_owned()], false));
    session.delete_project(&made.id).await.unwrap();
    session.delete_project(&made.id).await.unwrap();
    assert!(session.get_project(&made.id).await.optional().unwrap().is_none());
}

fn new_user(name: &str, domain: &DomainId, tenant: &Tenant) -> CreateUser {
    CreateUser {
        name: name.to_owned(),
        domain_id: domain.clone(),
        password: "first-Pa55word".into(),
        default_project_id: Some(tenant.project.clone()),
        description: "d".into(),
        enabled: true,
    }
}

fn login(user: &UserId, password: &str, project: &ProjectId) -> Session {
    let mut config = config();
    config.credentials = Credentials::Password {
        user: UserRef::Id(user.clone()),
        password: password.into(),
        project: ProjectRef::Id(project.clone()),
    };
    Cloud::new(config).unwrap().service()
}

#[tokio::test]
async fn users() {
    with_tenant(|tenant| async move {
        let session = tenant.service();
        let (domain, name) = (default_domain(&session).await, unique("user"));
        let new = new_user(&name, &domain, &tenant);
        let user = session.create_user(&new).await.unwrap();
        assert!(session.create_user(&new).await.unwrap_err().is_conflict());
        assert_eq!(session.find_user(&domain, &name).await.unwrap().as_ref(), Some(&user));
        let read = session.get_user(&user.id).await.unwrap();
        assert_eq!(
            (read.default_project_id.as_ref(), read.description.as_deref()),
            (Some(&tenant.project), Some("d"))
        );
        session.delete_user(&user.id).await.unwrap();
        session.delete_user(&user.id).await.unwrap();
        assert!(session.find_user(&domain, &name).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn passwords() {
    with_tenant(|tenant| async move {
        let (session, project) = (tenant.service(), &tenant.project);
        let new = new_user(&unique("user"), &default_domain(&session).await, &tenant);
        let user = session.create_user(&new).await.unwrap().id;
        session
            .grant_role(project, &Actor::User(user.clone()), &role(&session, "reader").await)
            .await
            .unwrap();
        let change = UpdateUser {
            password: Some("second-Pa55word".into()),
            ..UpdateUser::default()
        };
        session.update_user(&user, &change).await.unwrap();

        let refused = login(&user, "first-Pa55word", project).token_info().await.unwrap_err();
        assert!(matches!(refused, Error::Unauthorized { .. }), "{refused}");
        let reader = login(&user, "second-Pa55word", project);
        let info = reader.token_info().await.unwrap();
        assert_eq!((&info.user_id, &info.project_id), (&user, project));
        let new = CreateRole {
            name: unique("role"),
            description: String::new(),
        };
        let forbidden = reader.create_role(&new).await.unwrap_err();
        assert!(matches!(forbidden, Error::Forbidden { .. }), "{forbidden:?}");

        let disable = UpdateUser {
            enabled: Some(false),
            ..UpdateUser::default()
        };
        session.update_user(&user, &disable).await.unwrap();
        assert!(login(&user, "second-Pa55word", project).token_info().await.is_err());
        session.delete_user(&user).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn roles_and_assignments() {
    with_tenant(|tenant| async move {
        let session = tenant.service();
        let name = unique("role");
        let role = session
            .create_role(&CreateRole {
                name: name.clone(),
                description: "d".into(),
            })
            .await
            .unwrap();
        assert_eq!(session.get_role(&role.id).await.unwrap(), role);
        assert_eq!(session.find_role(&name).await.unwrap().as_ref(), Some(&role));
        assert!(session.list_roles().await.unwrap().contains(&role));

        let me = Actor::User(session.token_info().await.unwrap().user_id);
        let here = || AssignmentScope::Project(tenant.project.clone());
        let expected = RoleAssignment {
            role: role.id.clone(),
            actor: me.clone(),
            scope: here(),
            inherited: false,
        };
        for _ in 0..2 {
            session.grant_role(&tenant.project, &me, &role.id).await.unwrap();
        }
        assert!(session.has_role(&tenant.project, &me, &role.id).await.unwrap());
        let in_project = session.list_role_assignments_of_project(&tenant.project).await.unwrap();
        assert!(in_project.contains(&expected) && in_project.iter().all(|found| found.scope == here()));
        assert!(
            session
                .list_role_assignments_of_actor(&me)
                .await
                .unwrap()
                .contains(&expected)
        );
        for _ in 0..2 {
            session.revoke_role(&tenant.project, &me, &role.id).await.unwrap();
        }
        assert!(!session.has_role(&tenant.project, &me, &role.id).await.unwrap());

        let nobody = "0123456789abcdef0123456789abcdef";
        let missing = session
            .grant_role(&tenant.project, &Actor::User(nobody.parse().unwrap()), &role.id)
            .await;
        assert!(missing.unwrap_err().is_not_found());
        session.delete_role(&role.id).await.unwrap();
        let domain = default_domain(&session).await;
        assert!(session.find_group(&domain, "no such group").await.unwrap().is_none());
        assert!(
            session
                .get_group(&nobody.parse().unwrap())
                .await
                .unwrap_err()
                .is_not_found()
        );
    })
    .await;
}
