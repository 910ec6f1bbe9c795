//! Errors in log lines.

use std::error::Error;

/// An error with all its causes in one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
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

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("cannot write Port ns/p")]
    struct WriteError(#[source] Box<dyn Error>);

    #[test]
    fn causes_follow_and_a_status_is_its_message() {
        let status = Status::failure("ports \"p\" is forbidden", "Forbidden");
        let error = WriteError(Box::new(kube::Error::Api(Box::new(status))));
        assert_eq!(
            chain(&error),
            "cannot write Port ns/p: the API server says: ports \"p\" is forbidden"
        );
        let other = WriteError(Box::new(std::io::Error::other("no space")));
        assert_eq!(chain(&other), "cannot write Port ns/p: no space");
    }
}
