//! Errors in log lines.

use std::error::Error;

/// An error with all its causes in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts = vec![];
    let mut next = Some(error);
    while let Some(error) = next {
        // The API server's errors show the whole Status object, twice; its message says it all.
        if let Some(kube::Error::Api(status)) = error.downcast_ref() {
            texts.push(format!("the API server says: {}", status.message));
            break;
        }
        texts.push(error.to_string());
        next = error.source();
    }
    texts.join(": ")
}
