//! Servers that misbehave below HTTP, and connections counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What to do with a connection after the request was read.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Close it.
    Hang,
    /// Say this and close it.
    Say(Vec<u8>),
    /// Wait this long, then close it.
    Silence(Duration),
}

pub(crate) struct Raw {
    pub(crate) url: String,
    requests: Arc<AtomicUsize>,
}

impl Raw {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, behaviour.clone(), Arc::clone(&counter)));
            }
        });
        Self { url, requests }
    }

    /// Requests whose body arrived.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn serve(mut connection: TcpStream, behaviour: Behaviour, counter: Arc<AtomicUsize>) {
    read_request(&mut connection).await;
    counter.fetch_add(1, Ordering::SeqCst);
    match behaviour {
        Behaviour::Hang => {}
        Behaviour::Say(bytes) => {
            let _ = connection.write_all(&bytes).await;
        }
        Behaviour::Silence(pause) => tokio::time::sleep(pause).await,
    }
}

async fn read_request(connection: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let n = connection.read(&mut buffer).await.unwrap_or(0);
        seen.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&seen).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
                return;
            }
        }
        if n == 0 {
            return;
        }
    }
}

/// A catalog's worth of Keystone in front of a misbehaving Neutron.
pub(crate) async fn cloud_with_neutron(raw: &Raw) -> (crate::support::Fake, stackube_openstack::CloudConfig) {
    let network = raw.url.clone();
    let fake = crate::support::Fake::start_with(|keystone| {
        keystone.catalog = serde_json::json!([
            {"type": "network", "endpoints": [{"interface": "public", "region": "RegionOne", "url": network}]}]);
    })
    .await;
    let config = fake.config();
    (fake, config)
}
