//! `https://` listeners: both versions of HTTP, the right certificate, and its renewal without a restart.
//!
//! `tls/` holds two certificates for `localhost` that are good for a hundred years and trusted by nobody else.

#[path = "running/kith.rs"]
#[allow(dead_code, reason = "each test file uses a part of it")]
mod kith;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use kith::Kith;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const FIRST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/first");
const SECOND: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/second");

/// Puts a certificate and its key where the server reads them.
fn install(pair: &str, directory: &Path) {
    std::fs::copy(format!("{pair}.key.pem"), directory.join("key.pem")).unwrap();
    std::fs::copy(format!("{pair}.pem"), directory.join("certificate.pem")).unwrap();
}

fn start(directory: &Path) -> Kith {
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    Kith::start(
        directory,
        &[
            ("KITH_LISTEN", "https://127.0.0.1:0"),
            ("KITH_TLS__CERTIFICATE", &path("certificate.pem")),
            ("KITH_TLS__PRIVATE_KEY", &path("key.pem")),
        ],
    )
}

/// The version of HTTP that was agreed on and the status of `GET /health` (over HTTP/1.1), where the server shows the
/// certificate of `pair`.
fn health(
    kith: &Kith,
    pair: &str,
    versions: &[&str],
) -> Result<(Option<Vec<u8>>, String), std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(format!("{pair}.pem")).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    config.alpn_protocols = versions
        .iter()
        .map(|version| version.as_bytes().to_vec())
        .collect();
    let connection =
        ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap())
            .unwrap();
    let socket = TcpStream::connect(kith.address.strip_prefix("https://").unwrap())?;
    let mut stream = StreamOwned::new(connection, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    let agreed = stream.conn.alpn_protocol().map(<[u8]>::to_vec);
    if agreed.as_deref() == Some(b"h2") {
        return Ok((agreed, String::new()));
    }
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok((agreed, answer.lines().next().unwrap_or_default().to_owned()))
}

#[test]
fn it_serves_over_tls_and_agrees_on_http_2_where_it_can() {
    let directory = tempfile::tempdir().unwrap();
    install(FIRST, directory.path());
    let kith = start(directory.path());
    let (agreed, status) = health(&kith, FIRST, &["http/1.1"]).unwrap();
    assert_eq!(
        (agreed.as_deref(), status.as_str()),
        (Some(&b"http/1.1"[..]), "HTTP/1.1 200 OK")
    );
    assert_eq!(
        health(&kith, FIRST, &["h2", "http/1.1"])
            .unwrap()
            .0
            .as_deref(),
        Some(&b"h2"[..])
    );
    assert!(
        health(&kith, SECOND, &["http/1.1"]).is_err(),
        "that certificate is not in use"
    );
}

#[test]
fn a_renewed_certificate_is_taken_up_while_it_runs() {
    let directory = tempfile::tempdir().unwrap();
    install(FIRST, directory.path());
    let mut kith = start(directory.path());
    install(SECOND, directory.path());
    kith.wait_for_log("certificate has changed; new connections use the new one");
    assert_eq!(
        health(&kith, SECOND, &["http/1.1"]).unwrap().1,
        "HTTP/1.1 200 OK"
    );
    assert!(health(&kith, FIRST, &["http/1.1"]).is_err());
}

#[test]
fn a_certificate_that_cannot_be_read_stops_the_start_and_is_named() {
    let directory = tempfile::tempdir().unwrap();
    install(FIRST, directory.path());
    std::fs::copy(
        format!("{SECOND}.key.pem"),
        directory.path().join("key.pem"),
    )
    .unwrap();
    let refusal = |certificate: &str| {
        let output = Kith::command(&["serve"])
            .current_dir(directory.path())
            .env("KITH_LISTEN", "https://127.0.0.1:0")
            .env("KITH_TLS__CERTIFICATE", certificate)
            .env("KITH_TLS__PRIVATE_KEY", "key.pem")
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let missing = refusal("nowhere.pem");
    assert!(missing.contains("nowhere.pem"), "{missing}");
    let mismatch = refusal("certificate.pem");
    assert!(
        mismatch.contains("certificate.pem") && mismatch.contains("key.pem"),
        "{mismatch}"
    );
}
