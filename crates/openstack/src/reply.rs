//! Successful answers.

use http::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Answer, Call, Error};

/// An answer with a 2xx status.
#[derive(Debug)]
pub(crate) struct Reply {
    call: Call,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    pub(crate) fn new(call: Call, answer: Answer) -> Self {
        Self {
            call,
            headers: answer.headers,
            body: answer.body,
        }
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The whole body.
    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| self.nonsense(error))
    }

    /// What stands under `key` in the body.
    pub(crate) fn decode_key<T: DeserializeOwned>(&self, key: &str) -> Result<T, Error> {
        match self.decode::<Value>()?.get_mut(key) {
            Some(value) => self.decode_value(value.take()),
            None => Err(self.nonsense(format!("there is no {key:?} in it"))),
        }
    }

    pub(crate) fn decode_value<T: DeserializeOwned>(&self, value: Value) -> Result<T, Error> {
        serde_json::from_value(value).map_err(|error| self.nonsense(error))
    }

    pub(crate) fn nonsense(&self, reason: impl ToString) -> Error {
        let reason = reason.to_string().chars().take(300).collect();
        Error::Decode {
            call: Box::new(self.call.clone()),
            reason,
        }
    }
}
