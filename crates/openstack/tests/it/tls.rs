//! TLS with the configured CA, and only with it.

use std::io::Write;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use stackube_openstack::{Cloud, ConfigError, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::support::config;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn pem_file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// A Keystone that answers every request over TLS with a refusal, which is enough to know that TLS worked.
async fn tls_server(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> u16 {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, authority)
        .unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let (acceptor, listener) = (
        TlsAcceptor::from(Arc::new(server)),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let Ok(mut connection) = acceptor.accept(connection).await else {
                continue;
            };
            let _ = connection.read(&mut [0; 8192]).await;
            let _ = connection
                .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
                .await;
            let _ = connection.shutdown().await;
        }
    });
    port
}

async fn login(port: u16, ca_file: &std::path::Path) -> Error {
    let mut config = config(&format!("https://127.0.0.1:{port}/v3"));
    config.ca_file = Some(ca_file.to_owned());
    Cloud::new(config).unwrap().service().token_info().await.unwrap_err()
}

#[tokio::test]
async fn trusts_the_configured_ca() {
    let authority = authority();
    let port = tls_server(&authority, "127.0.0.1").await;
    let ca = pem_file(&authority.pem());
    let error = login(port, ca.path()).await;
    assert!(
        matches!(error, Error::Forbidden { .. }),
        "TLS works, the answer is read: {error:?}"
    );
}

#[tokio::test]
async fn refuses_another_ca_and_another_name() {
    let (mine, other) = (authority(), authority());
    let ca = pem_file(&mine.pem());
    for (port, reason) in [
        (tls_server(&other, "127.0.0.1").await, "UnknownIssuer"),
        (tls_server(&mine, "keystone.example.org").await, "not valid for name"),
    ] {
        let error = login(port, ca.path()).await;
        assert!(matches!(error, Error::Unreachable { sent: false, .. }), "{error:?}");
        let mut causes = vec![error.to_string()];
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        let chain = causes.join(": ");
        assert!(chain.contains(reason) || chain.contains("BadSignature"), "{chain}");
    }
}

#[test]
fn a_file_without_certificates_is_refused_at_once() {
    for text in [
        "",
        "hello",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let file = pem_file(text);
        let mut config = config("https://127.0.0.1/v3");
        config.ca_file = Some(file.path().to_owned());
        let error = Cloud::new(config).unwrap_err();
        assert!(matches!(error, ConfigError::CaFile { .. }), "{error}");
    }
}
