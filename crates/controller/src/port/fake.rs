//! A Keystone and a Neutron in this process, as far as ports need them, for tests of what the real ones do too rarely:
//! conflicts, lost answers, somebody else's changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use stackube_api::address::{AddressRules, Subnet};
use stackube_openstack::{AuthUrl, Cloud, CloudConfig, Credentials, DomainRef, ProjectRef, Session, UserRef};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::dereference::Target;
use super::neutron::Identity;
use super::{NetworkKey, Place};

/// The host that every port can be bound to.
pub(crate) const HOST: &str = "n1.example";

/// What the fake does wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// The next so many POSTs of ports take effect, and their answers are lost.
    pub(crate) lose_created: usize,
    /// The next so many PUTs of ports take effect, and their answers are lost.
    pub(crate) lose_updated: usize,
    /// The next so many DELETEs of ports are refused.
    pub(crate) refuse_deleted: usize,
    /// No more ports than this in all.
    pub(crate) quota: Option<usize>,
    /// Neutron answers nothing but that it is away.
    pub(crate) away: bool,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) ports: Vec<Value>,
    /// Objects of other kinds, which can be listed and deleted: by collection, `networks` or the like.
    pub(crate) others: HashMap<String, Vec<Value>>,
    pub(crate) faults: Faults,
    /// `METHOD path` of every request to Neutron.
    pub(crate) requests: Vec<String>,
    made: usize,
}

#[derive(Clone)]
struct Respondent(Arc<Mutex<State>>, String);

/// See the module.
pub(crate) struct Fake {
    _server: MockServer,
    state: Arc<Mutex<State>>,
    pub(crate) cloud: Cloud,
    pub(crate) session: Session,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let server = MockServer::start().await;
        let state = Arc::<Mutex<State>>::default();
        let respondent = Respondent(Arc::clone(&state), server.uri());
        Mock::given(any()).respond_with(respondent).mount(&server).await;
        let domain = || DomainRef::Name("Default".into());
        let credentials = Credentials::Password {
            user: UserRef::Name {
                name: "stackube".into(),
                domain: domain(),
            },
            password: SecretString::from("secret"),
            project: ProjectRef::Name {
                name: "stackube".into(),
                domain: domain(),
            },
        };
        let mut config = CloudConfig::new(AuthUrl::parse(&server.uri()).unwrap(), credentials);
        config.request_timeout = Duration::from_secs(3);
        config.retry.first_delay = Duration::from_millis(5);
        let cloud = Cloud::new(config).unwrap();
        let session = cloud.service();
        Self {
            _server: server,
            state,
            cloud,
            session,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Puts a port there that nobody asked for, by `change` of one that is fine for pod `u-1` at 10.244.0.9.
    pub(crate) fn port(&self, change: &Value) -> String {
        let mut port = json!({
            "project_id": "project", "network_id": "network", "description": "u-1", "device_id": "u-1",
            "device_owner": "compute:stackube", "security_groups": ["group"], "admin_state_up": true,
            "fixed_ips": [{"subnet_id": "subnet", "ip_address": "10.244.0.9"}], "binding:host_id": HOST,
            "tags": ["stackube-cluster=c-1", "stackube-owner=u-1"],
        });
        port.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        self.state().create(&port)["id"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn target(range: &str) -> Target {
    let rules = AddressRules {
        longest_prefix: 30,
        reserved: vec![],
    };
    Target {
        key: place().network,
        project: "project".parse().unwrap(),
        network: "network".parse().unwrap(),
        subnet: "subnet".parse().unwrap(),
        group: "group".parse().unwrap(),
        range: Subnet::new(range, None, &rules).unwrap(),
        mtu: 1442,
    }
}

pub(crate) fn place() -> Place {
    Place {
        node: "n1".into(),
        network: NetworkKey {
            namespace: "test".into(),
            name: "test".into(),
        },
    }
}

pub(crate) fn identity(uid: &str) -> Identity {
    Identity {
        cluster: "c-1".into(),
        uid: uid.into(),
        name: format!("kube-test-{uid}"),
    }
}

fn error(status: u16, kind: &str) -> ResponseTemplate {
    let body = json!({"NeutronError": {"type": kind, "message": "refused by the fake", "detail": ""}});
    ResponseTemplate::new(status).set_body_json(body)
}

/// `security_group` of `security-groups`.
fn singular(collection: &str) -> String {
    collection.trim_end_matches('s').replace('-', "_")
}

fn has(list: &Value, word: &str) -> bool {
    list.as_array()
        .is_some_and(|words| words.iter().any(|found| found == word))
}

/// Longer than the client waits.
fn lost() -> ResponseTemplate {
    ResponseTemplate::new(200).set_delay(Duration::from_secs(10))
}

impl State {
    fn create(&mut self, wanted: &Value) -> Value {
        self.made += 1;
        let mut port = wanted.clone();
        let fields = port.as_object_mut().unwrap();
        fields.insert("id".into(), json!(format!("p-{}", self.made)));
        fields.insert("mac_address".into(), json!(format!("fa:16:3e:00:00:{:02x}", self.made)));
        fields.insert("revision_number".into(), json!(1));
        fields.entry("port_security_enabled").or_insert(json!(true));
        self.ports.push(bound(port));
        self.ports.last().unwrap().clone()
    }

    fn index(&self, id: &str) -> Option<usize> {
        self.ports.iter().position(|port| port["id"] == id)
    }

    fn is_taken(&self, wanted: &Value) -> bool {
        let at = |port: &Value| (port["network_id"].clone(), port["fixed_ips"][0]["ip_address"].clone());
        self.ports.iter().any(|port| at(port) == at(wanted))
    }

    fn post(&mut self, body: &Value) -> ResponseTemplate {
        let many = body["ports"].as_array().cloned();
        let wanted = many.clone().unwrap_or_else(|| vec![body["port"].clone()]);
        if self
            .faults
            .quota
            .is_some_and(|quota| self.ports.len() + wanted.len() > quota)
        {
            return error(409, "OverQuota");
        }
        if wanted.iter().any(|port| self.is_taken(port)) {
            return error(409, "IpAddressAlreadyAllocated");
        }
        let made: Vec<_> = wanted.iter().map(|port| self.create(port)).collect();
        if self.faults.lose_created > 0 {
            self.faults.lose_created -= 1;
            return lost();
        }
        let body = if many.is_some() {
            json!({"ports": made})
        } else {
            json!({"port": made[0]})
        };
        ResponseTemplate::new(201).set_body_json(body)
    }

    fn put(&mut self, id: &str, change: &Value, revision: Option<&str>) -> ResponseTemplate {
        let Some(index) = self.index(id) else {
            return error(404, "PortNotFound");
        };
        let now = self.ports[index]["revision_number"].as_u64().unwrap();
        if revision.is_some_and(|wanted| wanted != format!("revision_number={now}")) {
            return error(412, "RevisionNumberConstraintFailed");
        }
        let mut port = self.ports[index].clone();
        port.as_object_mut()
            .unwrap()
            .extend(change["port"].as_object().unwrap().clone());
        port["revision_number"] = json!(now + 1);
        self.ports[index] = bound(port);
        if self.faults.lose_updated > 0 {
            self.faults.lose_updated -= 1;
            return lost();
        }
        ResponseTemplate::new(200).set_body_json(json!({"port": self.ports[index]}))
    }

    fn list(&self, request: &Request) -> ResponseTemplate {
        let found = Self::filtered(&self.ports, request);
        ResponseTemplate::new(200).set_body_json(json!({"ports": found}))
    }

    /// One more of a kind that the fake knows no rules of.
    fn make(&mut self, collection: &str, request: &Request) -> ResponseTemplate {
        self.made += 1;
        let key = singular(collection);
        let wanted: Value = serde_json::from_slice(&request.body).unwrap();
        let mut made = json!({"status": "ACTIVE", "admin_state_up": true});
        let fields = made.as_object_mut().unwrap();
        fields.extend(wanted[&key].as_object().unwrap().clone());
        fields.insert("id".into(), json!(format!("{key}-{}", self.made)));
        self.others.entry(collection.to_owned()).or_default().push(made.clone());
        ResponseTemplate::new(201).set_body_json(json!({key: made}))
    }

    fn change(&mut self, collection: &str, id: &str, request: &Request) -> ResponseTemplate {
        let key = singular(collection);
        let wanted: Value = serde_json::from_slice(&request.body).unwrap();
        let mut all = self.others.get_mut(collection).into_iter().flatten();
        let Some(object) = all.find(|object| object["id"] == id) else {
            return error(404, "NotFound");
        };
        let fields = object.as_object_mut().unwrap();
        fields.extend(wanted[&key].as_object().unwrap().clone());
        ResponseTemplate::new(200).set_body_json(json!({key: object}))
    }

    /// Neutron keeps a router's legs as long as its routes lead through them.
    fn has_routes(&self, router: &str) -> bool {
        let mut routers = self.others.get("routers").into_iter().flatten();
        let routes = routers.find(|found| found["id"] == router);
        routes.is_some_and(|found| found["routes"].as_array().is_some_and(|routes| !routes.is_empty()))
    }

    fn is_worn(&self, group: &str) -> bool {
        self.ports.iter().any(|port| has(&port["security_groups"], group))
    }

    /// Collections that are made, changed, read and deleted only, whole paths like `/v2.0/networks/n-1`.
    fn other(&mut self, request: &Request, path: &str) -> ResponseTemplate {
        let mut parts = path.trim_matches('/').split('/').skip(1);
        let (collection, id) = (parts.next().unwrap_or_default(), parts.next());
        match (request.method.as_str(), id) {
            ("GET", None) => {
                let all = self.others.get(collection).cloned().unwrap_or_default();
                let key = collection.replace('-', "_");
                ResponseTemplate::new(200).set_body_json(json!({key: Self::filtered(&all, request)}))
            }
            ("GET", Some(id)) => {
                let mut all = self.others.get(collection).into_iter().flatten();
                match all.find(|object| object["id"] == id) {
                    Some(found) => ResponseTemplate::new(200).set_body_json(json!({singular(collection): found})),
                    None => error(404, "NotFound"),
                }
            }
            ("POST", None) => self.make(collection, request),
            ("DELETE", Some(id)) if self.is_worn(id) => error(409, "SecurityGroupInUse"),
            ("DELETE", Some(id)) => {
                let all = self.others.entry(collection.to_owned()).or_default();
                let before = all.len();
                all.retain(|object| object["id"] != id);
                ResponseTemplate::new(if all.len() < before { 204 } else { 404 })
            }
            ("PUT", Some(id)) if path.ends_with("/remove_router_interface") => match self.has_routes(id) {
                true => error(409, "RouterInterfaceInUseByRoute"),
                false => ResponseTemplate::new(200).set_body_json(json!({})),
            },
            ("PUT", Some(id)) => self.change(collection, id, request),
            other => panic!("the fake does not know {other:?} of {path}"),
        }
    }

    fn filtered(all: &[Value], request: &Request) -> Vec<Value> {
        let fits = |port: &&Value| {
            request.url.query_pairs().all(|(name, value)| match name.as_ref() {
                "fields" | "limit" | "sort_key" | "sort_dir" | "marker" => true,
                "tags" => value.split(',').all(|tag| has(&port["tags"], tag)),
                "security_groups" => has(&port["security_groups"], &value),
                _ => port[name.as_ref()] == value.as_ref(),
            })
        };
        all.iter().filter(fits).cloned().collect()
    }
}

/// What ML2/OVN does: it knows one host.
fn bound(mut port: Value) -> Value {
    let type_ = match port["binding:host_id"].as_str() {
        Some(HOST) => "ovs",
        None | Some("") => "unbound",
        Some(_) => "binding_failed",
    };
    port["binding:vif_type"] = json!(type_);
    port
}

impl Respond for Respondent {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let path = request.url.path().to_owned();
        if path.ends_with("/auth/tokens") {
            return self.token();
        }
        let mut state = self.0.lock().unwrap();
        state.requests.push(format!("{} {path}", request.method));
        let body = || serde_json::from_slice::<Value>(&request.body).unwrap();
        let revision = request
            .headers
            .get("if-match")
            .map(|value| value.to_str().unwrap().to_owned());
        if state.faults.away && path.starts_with("/v2.0/") {
            return error(503, "ServiceUnavailable");
        }
        // Who has which role is not kept: what is asked for is seen in the requests.
        if path.starts_with("/v3/projects/") && path.contains("/roles/") {
            return ResponseTemplate::new(204);
        }
        if !path.contains("/v2.0/ports") {
            return state.other(request, &path);
        }
        let rest = path
            .split("/v2.0/ports")
            .nth(1)
            .unwrap_or_default()
            .trim_matches('/')
            .to_owned();
        match (request.method.as_str(), rest.as_str()) {
            ("POST", "") => state.post(&body()),
            ("GET", "") => state.list(request),
            ("PUT", id) if id.ends_with("/tags") => {
                let index = state.index(id.trim_end_matches("/tags")).unwrap();
                state.ports[index]["tags"] = body()["tags"].clone();
                ResponseTemplate::new(200).set_body_json(body())
            }
            ("PUT", id) => state.put(id, &body(), revision.as_deref()),
            ("GET", id) => match state.index(id) {
                Some(index) => ResponseTemplate::new(200).set_body_json(json!({"port": state.ports[index]})),
                None => error(404, "PortNotFound"),
            },
            ("DELETE", _) if state.faults.refuse_deleted > 0 => {
                state.faults.refuse_deleted -= 1;
                error(409, "PortInUse")
            }
            ("DELETE", id) => match state.index(id) {
                Some(index) => {
                    state.ports.remove(index);
                    ResponseTemplate::new(204)
                }
                None => error(404, "PortNotFound"),
            },
            other => panic!("the fake does not know {other:?}"),
        }
    }
}

impl Respondent {
    fn token(&self) -> ResponseTemplate {
        let endpoint =
            |url: String| json!([{"id": "e", "interface": "public", "region": "r", "region_id": "r", "url": url}]);
        ResponseTemplate::new(201)
            .insert_header("X-Subject-Token", "token")
            .set_body_json(json!({"token": {
                "expires_at": "2999-01-01T00:00:00.000000Z", "issued_at": "2026-01-01T00:00:00.000000Z",
                "methods": ["password"], "audit_ids": ["a"],
                "user": {"id": "service", "name": "stackube", "domain": {"id": "default", "name": "Default"}},
                "project": {"id": "own", "name": "stackube", "domain": {"id": "default", "name": "Default"}},
                "roles": [{"id": "admin", "name": "admin"}], "is_domain": false,
                "catalog": [
                    {"type": "identity", "name": "keystone", "id": "1", "endpoints": endpoint(self.1.clone())},
                    {"type": "network", "name": "neutron", "id": "2", "endpoints": endpoint(self.1.clone())}],
            }}))
    }
}
