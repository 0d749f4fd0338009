//! TLS: the service's own certificate, and those that callers may show.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum_server::tls_rustls::RustlsConfig;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};

/// How a server speaks TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Its certificate chain (PEM).
    pub chain: PathBuf,
    /// The private key of the certificate (PEM).
    pub key: PathBuf,
    /// Whether callers are asked for certificates, to bind tokens to them (RFC 8705).
    pub client_certificates: bool,
}

/// When chain and key were changed.
type Changed = [Option<SystemTime>; 2];

impl Tls {
    /// Reads the files; what is wrong with them is said in words.
    pub fn read(&self) -> Result<Arc<ServerConfig>, String> {
        let (chain_file, key_file) = (self.chain.display(), self.key.display());
        let chain = CertificateDer::pem_file_iter(&self.chain).and_then(Iterator::collect);
        let chain: Vec<_> = chain.map_err(|error| format!("{chain_file}: {error}"))?;
        if chain.is_empty() {
            return Err(format!("{chain_file}: there is no certificate (PEM) in it"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| match error {
            pem::Error::NoItemsFound => format!("{key_file}: there is no private key (PEM) in it"),
            error => format!("{key_file}: {error}"),
        })?;
        let both = |error: Error| format!("{chain_file} and {key_file}: {error}");
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(both)?;
        let builder = match self.client_certificates {
            true => builder.with_client_cert_verifier(Arc::new(AnyCertificate::new(&provider))),
            false => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(both)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Reads the files again whenever they changed, for certificates do not last. What cannot be
    /// read, as while only one of the two files is new, leaves what was before.
    pub(crate) async fn renew(self, mut known: Changed, config: RustlsConfig, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            let now = self.changed();
            if now == known {
                continue;
            }
            match self.read() {
                Ok(renewed) => {
                    config.reload_from_config(renewed);
                    known = now;
                    tracing::info!("the certificate is renewed");
                }
                Err(error) => tracing::warn!("the certificate before stays: {error}"),
            }
        }
    }

    /// When the files were changed; ask before they are read.
    pub(crate) fn changed(&self) -> Changed {
        [&self.chain, &self.key]
            .map(|file| fs::metadata(file).and_then(|file| file.modified()).ok())
    }
}

/// Takes any certificate or none, as long as the caller proves to hold the certificate's key. Who
/// calls is not read from it: a client authenticates by its assertion, and its token is bound to
/// the certificate that it was asked for under. So it may be self-signed.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl AnyCertificate {
    fn new(provider: &CryptoProvider) -> AnyCertificate {
        AnyCertificate(provider.signature_verification_algorithms)
    }
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_cannot_be_read_says_why() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let said = |chain: &str, key: &str| {
            let tls = Tls {
                chain: folder.join(chain),
                key: folder.join(key),
                client_certificates: true,
            };
            let text = tls.read().err().unwrap_or_default();
            text.replace(&format!("{}/", folder.display()), "")
        };
        let (one, other) = ("tests/it/tls/one.pem", "tests/it/tls/other.pem");
        assert_eq!(said(one, one), "");
        for (chain, key, expected) in [
            (
                "none.pem",
                one,
                "none.pem: I/O error: No such file or directory (os error 2)",
            ),
            (
                "Cargo.toml",
                one,
                "Cargo.toml: there is no certificate (PEM) in it",
            ),
            (
                one,
                "Cargo.toml",
                "Cargo.toml: there is no private key (PEM) in it",
            ),
            (
                one,
                other,
                "tests/it/tls/one.pem and tests/it/tls/other.pem: keys may not be consistent: \
                 KeyMismatch",
            ),
        ] {
            assert_eq!(said(chain, key), expected);
        }
    }

    #[tokio::test]
    async fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
        let certificates = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("both.pem");
        let put = |name: &str| fs::copy(certificates.join(name), &file).expect("a copy");
        put("one.pem");
        let tls = Tls {
            chain: file.clone(),
            key: file.clone(),
            client_certificates: false,
        };
        let known = tls.changed();
        let first = tls.read().expect("sound files");
        let config = RustlsConfig::from_config(first.clone());
        tokio::spawn(tls.renew(known, config.clone(), Duration::from_millis(5)));
        let some_rounds = || tokio::time::sleep(Duration::from_millis(100));
        some_rounds().await;
        fs::write(&file, "renewed by half").expect("a file");
        some_rounds().await;
        assert!(Arc::ptr_eq(&config.get_inner(), &first));
        put("other.pem");
        for _ in 0..100 {
            if !Arc::ptr_eq(&config.get_inner(), &first) {
                return;
            }
            some_rounds().await;
        }
        panic!("the new certificate is not taken");
    }
}
