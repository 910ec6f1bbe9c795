//! The many ways in which OpenStack services word an error.

use serde_json::Value;

/// The longest piece of a service's words that is kept, in characters.
const MAX_MESSAGE: usize = 500;

/// What an error body says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Neutron's exception name, Keystone's title, or the HTTP reason.
    pub(crate) kind: String,
    /// The message as the service gave it.
    pub(crate) message: String,
}

impl Fault {
    /// Reads the body of a response with an error status. Anything unknown is described rather than quoted.
    pub(crate) fn parse(body: &[u8], reason: &str) -> Self {
        let Ok(json) = serde_json::from_slice::<Value>(body) else {
            return Self::new(reason, &not_json(body));
        };
        Self::neutron(&json)
            .or_else(|| Self::keystone(&json, reason))
            .or_else(|| Self::any_message(&json, reason))
            .unwrap_or_else(|| Self::new(reason, "(no message)"))
    }

    /// `{"NeutronError": {"type": "OverQuota", "message": "...", "detail": ""}}`, or just a text there.
    fn neutron(json: &Value) -> Option<Self> {
        match json.get("NeutronError")? {
            Value::String(message) => Some(Self::new("NeutronError", message)),
            error => {
                let kind = error.get("type").and_then(Value::as_str).unwrap_or("NeutronError");
                Some(Self::new(
                    kind,
                    error.get("message").and_then(Value::as_str).unwrap_or_default(),
                ))
            }
        }
    }

    /// `{"error": {"code": 404, "title": "Not Found", "message": "..."}}`.
    fn keystone(json: &Value, reason: &str) -> Option<Self> {
        match json.get("error")? {
            Value::String(message) => Some(Self::new(reason, message)),
            error => {
                let kind = error.get("title").and_then(Value::as_str).unwrap_or(reason);
                Some(Self::new(
                    kind,
                    error.get("message").and_then(Value::as_str).unwrap_or_default(),
                ))
            }
        }
    }

    /// `{"message": "...", "code": "404 Not Found", "title": "Not Found"}` (webob, pecan, middleware), also one level down.
    fn any_message(json: &Value, reason: &str) -> Option<Self> {
        let own = json.get("message").and_then(Value::as_str);
        let inner = || {
            json.as_object()?
                .values()
                .find_map(|value| value.get("message")?.as_str())
        };
        own.or_else(inner).map(|message| Self::new(reason, message))
    }

    fn new(kind: &str, message: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            message: message.to_owned(),
        }
    }

    /// The resources of Neutron's `OverQuota`: `Quota exceeded for resources: ['port', 'network'].`
    pub(crate) fn over_quota_resources(&self) -> Vec<String> {
        let list = self
            .message
            .split_once('[')
            .and_then(|(_, rest)| rest.split_once(']'))
            .map_or("", |(list, _)| list);
        list.split(',')
            .map(|name| name.trim().trim_matches(['\'', '"']).to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    }
}

fn not_json(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() {
        "(no message)".to_owned()
    } else if text.starts_with('<') {
        format!("(a page of {} bytes, probably from a proxy in between)", body.len())
    } else {
        text.to_owned()
    }
}

/// Log lines and Conditions want one line of bounded length.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for (count, c) in text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .enumerate()
    {
        if count == MAX_MESSAGE {
            line.push('…');
            break;
        }
        line.push(if c.is_control() { ' ' } else { c });
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_body_gives_one_bounded_line(body: Vec<u8>) {
            let fault = Fault::parse(&body, "Bad Request");
            fault.over_quota_resources();
            let line = one_line(&fault.message);
            prop_assert!(line.chars().count() <= MAX_MESSAGE + 1);
            prop_assert!(!line.chars().any(char::is_control));
        }

        #[test]
        fn any_json_gives_a_message(text in ".*", key in "NeutronError|error|message|fault", depth in 0..4_usize) {
            let mut json = Value::String(text);
            for _ in 0..depth {
                json = serde_json::json!({ &key: json });
            }
            Fault::parse(json.to_string().as_bytes(), "Bad Request");
        }
    }

    #[test]
    fn reads_the_resources_of_a_quota_error() {
        let resources = |message: &str| Fault::new("OverQuota", message).over_quota_resources();
        assert_eq!(resources("Quota exceeded for resources: ['port']."), ["port"]);
        assert_eq!(
            resources("Quota exceeded for resources: ['port', 'network']."),
            ["port", "network"]
        );
        assert!(resources("Quota exceeded").is_empty() && resources("[]").is_empty() && resources("]['").is_empty());
    }
}
