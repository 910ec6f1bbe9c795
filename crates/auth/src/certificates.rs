//! The server's certificate, read again when its files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};

use crate::metrics::Metrics;

/// Files in PEM format.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The server's certificate, with intermediate ones after it.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authority that must have signed the API server's certificate; `None`: whoever reaches the port may ask.
    pub client_authority: Option<PathBuf>,
}

/// Certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not readable, or not PEM.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key do not fit, or an authority is none.
    #[error("the certificates cannot be used: {0}")]
    Unusable(String),
}

type Digests = [u8; 32];

impl CertificateFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// [`CertificateError`] with the file and what is wrong with it.
    pub fn load(&self) -> Result<Certificates, CertificateError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|error| CertificateError::File {
                path: path.clone(),
                reason: format!("cannot be read: {error}"),
            })
        };
        let (certificate, key) = (read(&self.certificate)?, read(&self.key)?);
        let authority = self.client_authority.as_ref().map(read).transpose()?;
        let mut hash = Sha256::new();
        for part in [Some(&certificate), Some(&key), authority.as_ref()]
            .into_iter()
            .flatten()
        {
            hash.update(Sha256::digest(part));
        }
        let digests: Digests = hash.finalize().into();
        let config = self.config(&certificate, &key, authority.as_deref())?;
        Ok(Certificates {
            files: self.clone(),
            digests,
            config: RustlsConfig::from_config(Arc::new(config)),
        })
    }

    fn config(
        &self,
        certificate: &[u8],
        key: &[u8],
        authority: Option<&[u8]>,
    ) -> Result<ServerConfig, CertificateError> {
        let unusable = |error: &dyn std::fmt::Display| CertificateError::Unusable(error.to_string());
        let chain = certificates(&self.certificate, certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::File {
            path: self.key.clone(),
            reason: "holds no private key in PEM format".to_owned(),
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?;
        let builder = match (authority, &self.client_authority) {
            (Some(pem), Some(path)) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(path, pem)? {
                    roots.add(authority).map_err(|error| unusable(&error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| unusable(&error))?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| unusable(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let refuse = |reason: &str| CertificateError::File {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(refuse("holds no certificate in PEM format")),
    }
}

/// Certificates in use.
pub struct Certificates {
    files: CertificateFiles,
    digests: Digests,
    config: RustlsConfig,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    pub(crate) fn config(&self) -> RustlsConfig {
        self.config.clone()
    }

    /// Looks at the files every `interval`, for ever. What cannot be used, such as a certificate whose key is not there yet,
    /// leaves the old ones in use. Connections that exist keep theirs.
    pub(crate) async fn follow(mut self, interval: Duration, metrics: Metrics) {
        let mut ticks = tokio::time::interval(interval);
        let mut complained = false;
        loop {
            ticks.tick().await;
            match self.files.load() {
                Ok(new) if new.digests != self.digests => {
                    self.config.reload_from_config(new.config.get_inner());
                    self.digests = new.digests;
                    complained = false;
                    tracing::info!("new certificates are in use");
                }
                Ok(_) => complained = false,
                Err(error) => {
                    metrics.certificates_unusable();
                    if !complained {
                        tracing::warn!(%error, "the certificates on disk cannot be used; those in memory stay in use");
                    }
                    complained = true;
                }
            }
        }
    }
}
