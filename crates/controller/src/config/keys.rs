//! The keys of the ConfigMap.

/// Keys of the ConfigMap that this version of Stackube knows, also those that only other components read.
pub(super) const KNOWN: [&str; 36] = [
    "auth-url",
    "ca-file",
    "cluster-dns",
    "cluster-domain",
    "default-quota",
    "default-runtime-class",
    "dns-upstreams",
    "drift-interval",
    "ext-net-id",
    "integration-bridge",
    "interface",
    "keyring",
    "kubernetes-host",
    "kubernetes-port",
    "longest-prefix",
    "password",
    "plugin-name",
    "pool-size",
    "priority-classes",
    "project-domain-name",
    "region",
    "reserved-cidrs",
    "reserved-names",
    "service-cidr",
    "sweep-delete",
    "sweep-grace",
    "sweep-interval",
    "system-cidr",
    "system-gateway",
    "tenant-domain",
    "tenant-name",
    "toleration-keys",
    "user-cidr",
    "user-domain-name",
    "user-gateway",
    "username",
];

/// Keys that name an application credential, with the reason why it cannot be used.
pub(super) const APPLICATION_CREDENTIAL: [&str; 4] = [
    "application-credential-id",
    "application-credential-name",
    "application-credential-secret",
    "application_credential_id",
];
