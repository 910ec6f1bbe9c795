//! TLS by rustls and ring, without touching the process-wide default provider.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::Settings;
use crate::config::ConfigError;

/// Trusts the CAs of the configured file or, without one, the system's.
pub(super) fn client_config(config: &Settings<'_>) -> Result<ClientConfig, ConfigError> {
    let roots = match config.ca_file {
        Some(path) => roots_from_file(path)?,
        None => system_roots(config)?,
    };
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::setting("TLS", error.to_string()))
        .map(|builder| builder.with_root_certificates(roots).with_no_client_auth())
}

fn roots_from_file(path: &Path) -> Result<RootCertStore, ConfigError> {
    let refuse = |reason: String| ConfigError::CaFile {
        path: path.to_owned(),
        reason,
    };
    let pem = std::fs::read(path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refuse(format!("is not PEM: {error}")))?;
        roots
            .add(certificate)
            .map_err(|error| refuse(format!("holds a certificate that is no CA: {error}")))?;
    }
    if roots.is_empty() {
        return Err(refuse("holds no certificate in PEM format".to_owned()));
    }
    Ok(roots)
}

/// A container image made from scratch has none, which is no fault where Keystone is reached by http.
fn system_roots(config: &Settings<'_>) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() && config.auth_url.as_url().scheme() == "https" {
        return Err(ConfigError::setting(
            "cacert",
            "this system has no CA certificates: name a file with the cloud's CA",
        ));
    }
    Ok(roots)
}
