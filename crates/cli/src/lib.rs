//! Owns the command `stackube`, also installed as `kubectl-stackube`: login and credentials for kubectl, and checks of a cluster.
