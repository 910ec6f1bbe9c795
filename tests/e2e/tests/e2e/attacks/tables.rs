//! The tables of attempts, made into requests.

use anyhow::Result;
use serde_json::{Value, json};

/// What is sent, where to, and what the refusal says (`None`: it is admitted).
pub(super) struct Attempt {
    pub(super) what: String,
    pub(super) path: String,
    pub(super) object: Value,
    pub(super) refusal: Option<String>,
    /// What the refusal says of an object that exists already, where that is something else.
    pub(super) later: Option<String>,
}

impl Attempt {
    /// What is wrong with this answer; `exists`: to a change of what was there already.
    pub(super) fn complaint(&self, answer: &Result<Value>, exists: bool) -> Option<String> {
        let later = self.later.iter().filter(|_| exists);
        let mut refusals = self.refusal.iter().chain(later);
        let (fits, got) = match answer {
            Ok(_) => (self.refusal.is_none(), "admitted".to_owned()),
            Err(error) => {
                let text = format!("{error:#}");
                let expected = refusals.any(|words| text.contains(words.as_str()));
                (self.refusal.is_some() && expected, text)
            }
        };
        let Self {
            what, path, refusal, ..
        } = self;
        (!fits).then(|| format!("{what} at {path}: expected {refusal:?}, got {got}"))
    }
}

/// Everything that makes pods: group and version, plural, kind.
const WORKLOADS: [(&str, &str, &str); 8] = [
    ("apps/v1", "deployments", "Deployment"),
    ("apps/v1", "statefulsets", "StatefulSet"),
    ("apps/v1", "daemonsets", "DaemonSet"),
    ("apps/v1", "replicasets", "ReplicaSet"),
    ("batch/v1", "jobs", "Job"),
    ("batch/v1", "cronjobs", "CronJob"),
    ("v1", "replicationcontrollers", "ReplicationController"),
    ("v1", "podtemplates", "PodTemplate"),
];

fn rows(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_str(yaml).unwrap()
}

fn text(row: &Value, field: &str) -> Option<String> {
    row[field].as_str().map(str::to_owned)
}

/// The rows of `specs.yaml`: a name, the spec of a pod, the refusal of a template, the refusal of a pod.
fn specs() -> impl Iterator<Item = (String, Value, Option<String>, Option<String>)> {
    rows(include_str!("specs.yaml")).into_iter().map(|row| {
        let mut spec = json!({"containers": [{"name": "c", "image": "busybox"}]});
        for (key, value) in row["spec"].as_object().unwrap() {
            spec[key] = value.clone();
        }
        let refusal = text(&row, "refused");
        (
            text(&row, "what").unwrap(),
            spec,
            refusal.clone(),
            text(&row, "pod").or(refusal),
        )
    })
}

/// Each spec as a pod.
pub(super) fn pods(namespace: &str) -> Vec<Attempt> {
    specs()
        .map(|(what, spec, _, refusal)| Attempt {
            what,
            path: format!("/api/v1/namespaces/{namespace}/pods"),
            object: json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "attack"}, "spec": spec}),
            refusal,
            later: None,
        })
        .collect()
}

/// Each spec in each kind of workload: it is refused where it is written, not only later and out of sight.
pub(super) fn workloads(namespace: &str) -> Vec<Attempt> {
    WORKLOADS
        .into_iter()
        .flat_map(|(version, plural, kind)| {
            let root = if version == "v1" { "api" } else { "apis" };
            let path = format!("/{root}/{version}/namespaces/{namespace}/{plural}");
            specs().map(move |(what, spec, refusal, _)| Attempt {
                what: format!("{what} in a {kind}"),
                path: path.clone(),
                object: workload(version, kind, spec),
                // The pods of a Job never change, whatever they would become.
                later: (kind == "Job").then(|| "field is immutable".to_owned()),
                refusal,
            })
        })
        .collect()
}

fn workload(version: &str, kind: &str, mut spec: Value) -> Value {
    if kind.ends_with("Job") {
        spec["restartPolicy"] = json!("Never");
    }
    let template = json!({"metadata": {"labels": {"app": "attack"}}, "spec": spec});
    let labels = json!({"matchLabels": {"app": "attack"}});
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "attack"}});
    let (field, value) = match kind {
        "PodTemplate" => ("template", template),
        "Job" => ("spec", json!({"template": template})),
        "CronJob" => (
            "spec",
            json!({"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template}}}),
        ),
        "ReplicationController" => ("spec", json!({"selector": {"app": "attack"}, "template": template})),
        "StatefulSet" => (
            "spec",
            json!({"serviceName": "x", "selector": labels, "template": template}),
        ),
        _ => ("spec", json!({"selector": labels, "template": template})),
    };
    object[field] = value;
    object
}

/// The rows of `objects.yaml`.
pub(super) fn objects(namespace: &str, project: &str) -> Vec<Attempt> {
    let text_of_rows = include_str!("objects.yaml")
        .replace("NAMESPACE", namespace)
        .replace("PROJECT", project);
    rows(&text_of_rows)
        .into_iter()
        .map(|mut row| Attempt {
            what: text(&row, "what").unwrap(),
            path: text(&row, "path").unwrap(),
            refusal: text(&row, "refused"),
            later: text(&row, "later"),
            object: row["object"].take(),
        })
        .collect()
}

/// Something ordinary of each kind that the tables speak of, which runs no pod.
pub(super) fn ordinary(namespace: &str) -> Vec<(String, Value)> {
    let spec = json!({"containers": [{"name": "c", "image": "busybox"}]});
    let admitted = |attempt: &Attempt| attempt.refusal.is_none() && attempt.object["metadata"]["name"] == "attack";
    let mut found = idle(namespace, &spec);
    for mut attempt in objects(namespace, "none").into_iter().filter(admitted) {
        if attempt.object["kind"] == "Service" {
            // For one with a selector Kubernetes would make the Endpoints.
            attempt.object["spec"]["selector"] = Value::Null;
        }
        if !found.iter().any(|(path, _)| *path == attempt.path) {
            found.push((attempt.path, attempt.object));
        }
    }
    found
}

/// Each kind of workload with this spec, so that it runs no pod.
pub(super) fn idle(namespace: &str, spec: &Value) -> Vec<(String, Value)> {
    let mut spec = spec.clone();
    spec["nodeSelector"] = json!({"nowhere": "x"});
    let workloads = WORKLOADS.into_iter().map(|(version, plural, kind)| {
        let mut object = workload(version, kind, spec.clone());
        match kind {
            "Job" | "CronJob" => object["spec"]["suspend"] = json!(true),
            "DaemonSet" | "PodTemplate" => {}
            _ => object["spec"]["replicas"] = json!(0),
        }
        let root = if version == "v1" { "api" } else { "apis" };
        (format!("/{root}/{version}/namespaces/{namespace}/{plural}"), object)
    });
    workloads.collect()
}
