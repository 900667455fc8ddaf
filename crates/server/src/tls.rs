//! TLS for `https://` listeners. The certificate is read again when its files change, so that renewals need no restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path}: {problem}")]
    Unreadable { path: PathBuf, problem: String },
    #[error("{path} holds no certificate (PEM)")]
    NoCertificate { path: PathBuf },
    #[error(
        "the certificate {certificate} and the key {private_key} do not work together: {source}"
    )]
    Mismatch {
        certificate: PathBuf,
        private_key: PathBuf,
        source: rustls::Error,
    },
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// The certificate in use, and where it came from.
#[derive(Debug)]
pub struct Certificate {
    certificate: PathBuf,
    private_key: PathBuf,
    /// Written when the files change, read at each handshake; never held across a wait.
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    pub fn load(certificate: &Path, private_key: &Path) -> Result<Arc<Self>, TlsError> {
        let key = read_pair(certificate, private_key)?;
        Ok(Arc::new(Certificate {
            certificate: certificate.to_owned(),
            private_key: private_key.to_owned(),
            current: RwLock::new(Arc::new(key)),
        }))
    }

    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(TlsError::Setup)?
                .with_no_client_auth()
                .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Looks at the files now and then until shutdown. A pair that does not load leaves the old one in use: a
    /// renewal tool may be half-way through writing.
    pub async fn follow_changes(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let mut seen = self.modified();
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                _ = shutdown.wait_for(|down| *down) => return,
                _ = ticks.tick() => {}
            }
            let now = self.modified();
            if now == seen {
                continue;
            }
            match read_pair(&self.certificate, &self.private_key) {
                Ok(key) => {
                    *self
                        .current
                        .write()
                        .unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(key);
                    seen = now;
                    tracing::info!(
                        "the TLS certificate has changed; new connections use the new one"
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, "the TLS certificate has changed but does not load; the old one stays in use")
                }
            }
        }
    }

    fn modified(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.private_key].map(|path| {
            std::fs::metadata(path)
                .and_then(|meta| meta.modified())
                .ok()
        })
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(
            self.current
                .read()
                .unwrap_or_else(|poisoned| poisoned.into_inner())
                .clone(),
        )
    }
}

/// Renewed certificates have weeks of overlap; this is for the person who waits for the result.
const LOOK_EVERY: Duration = Duration::from_secs(5);

fn read_pair(certificate: &Path, private_key: &Path) -> Result<CertifiedKey, TlsError> {
    let unreadable = |path: &Path, problem: String| TlsError::Unreadable {
        path: path.to_owned(),
        problem,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate {
            path: certificate.to_owned(),
        });
    }
    let key = PrivateKeyDer::from_pem_file(private_key)
        .map_err(|error| unreadable(private_key, error.to_string()))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|source| {
        TlsError::Mismatch {
            certificate: certificate.to_owned(),
            private_key: private_key.to_owned(),
            source,
        }
    })
}
