//! Whatever has to be told fits into the status: else the API server refuses all of it.

use kube::Resource;
use stackube_api::conditions::{PROJECT_READY, READY};
use stackube_api::{Network, NetworkSpec, NetworkState, NetworkStatus};

use super::*;
use crate::context::fake::ApiServer;
use crate::stop::Stop;
use crate::tenant::status::Record;

/// The way of a message into the status.
#[derive(Clone, Copy)]
enum Way {
    Terminating,
    Stopped,
    Refused,
    OfTheNetwork,
}

async fn tell(record: &Record<'_>, way: Way, message: String) {
    let told = match way {
        Way::Terminating => record.terminating("NamespaceTerminating", message).await.map(drop),
        Way::Stopped => record.stopped(PROJECT_READY, &Stop::refused("No", message)).await,
        Way::Refused => {
            let refusal = Refusal {
                condition: PROJECT_READY,
                reason: "No",
                message,
            };
            record.refused(&refusal).await
        }
        Way::OfTheNetwork => {
            let spec = NetworkSpec {
                cidr: "10.244.0.0/16".into(),
                gateway: "10.244.0.1".into(),
                network_id: None,
            };
            let mut network = Network::new("test", spec);
            network.status = Some(NetworkStatus {
                state: Some(NetworkState::Failed),
                message: Some(message),
                ..NetworkStatus::default()
            });
            record.finish(Some(&network)).await.map(drop)
        }
    };
    told.unwrap();
}

fn api_server(tenant: &Tenant) -> (ApiServer, kube::Client) {
    let path = format!("{}/test", Tenant::url_path(&(), None));
    ApiServer::new(&path, serde_json::to_value(tenant).unwrap())
}

#[rstest]
#[case::of_a_removal(Way::Terminating)]
#[case::of_a_failure(Way::Stopped)]
#[case::of_a_refusal(Way::Refused)]
#[case::of_the_network(Way::OfTheNetwork)]
#[tokio::test]
async fn a_long_message_is_cut(#[case] way: Way) {
    let tenant = tenant(json!({}));
    let (server, client) = api_server(&tenant);
    tell(&Record::new(client, &tenant), way, "ä".repeat(10_000)).await;
    let status = server.kept().object["status"].clone();
    let length = |message: &Value| message.as_str().unwrap().chars().count();
    assert_eq!(length(&status["message"]), 4096);
    let conditions = status["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|condition| condition["type"] == READY).unwrap();
    assert_eq!(length(&ready["message"]), 4096);
}

#[tokio::test]
async fn a_long_condition_of_a_namespace_is_news_once() {
    let finalizers: Vec<_> = (0..200)
        .map(|n| format!("finalizer-{n}.of.somebody.else.example.org/cleanup"))
        .collect();
    let message = format!("waiting for namespace test to be removed; {}", finalizers.join(", "));
    let going = tenant(json!({}));
    let (server, client) = api_server(&going);
    let record = Record::new(client.clone(), &going);
    assert!(
        record
            .terminating("NamespaceTerminating", message.clone())
            .await
            .unwrap()
    );
    let told: Tenant = serde_json::from_value(server.kept().object.clone()).unwrap();
    let record = Record::new(client, &told);
    assert!(!record.terminating("NamespaceTerminating", message).await.unwrap());
}
