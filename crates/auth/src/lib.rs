//! Owns the TokenReview webhook (authentication.k8s.io/v1): a Keystone token becomes a Kubernetes user. Holds no credential of its own.
