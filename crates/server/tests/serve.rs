//! `kith serve` as an operator meets it: first start, refusals, signals.

#[path = "running/kith.rs"]
#[allow(dead_code, reason = "each test file uses a part of it")]
mod kith;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;

use kith::Kith;

#[test]
fn it_starts_with_nothing_and_says_that_it_can_serve() {
    let directory = tempfile::tempdir().unwrap();
    let kith = Kith::start(directory.path(), &[]);
    assert_eq!(kith.get("/health").0, 200);
    let data = directory.path().join("kith-data");
    let mode = |name: &str| {
        std::fs::metadata(data.join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("."), 0o700);
    assert_eq!(mode("signing.key"), 0o600);
    let (status, _) = kith.stop();
    assert!(status.success());
}

#[test]
fn the_signing_key_stays_the_same_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let key = || std::fs::read_to_string(directory.path().join("kith-data/signing.key")).unwrap();
    Kith::start(directory.path(), &[]).stop();
    let first = key();
    Kith::start(directory.path(), &[]).stop();
    assert_eq!(first, key());
}

#[test]
fn it_serves_on_every_listener_it_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let kith = Kith::start(
        directory.path(),
        &[("KITH_LISTEN", "http://127.0.0.1:0,http://[::1]:0")],
    );
    for address in kith.listening() {
        assert_eq!(kith::get(&address, "/health").0, 200, "{address}");
    }
    assert_eq!(kith.listening().len(), 2);
}

#[test]
fn a_taken_port_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let output = Kith::command(&["serve"])
        .current_dir(directory.path())
        .env("KITH_LISTEN", format!("http://127.0.0.1:{port}"))
        .output()
        .unwrap();
    let refusal = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        refusal.contains(&format!("port {port}")) && refusal.contains("KITH_LISTEN"),
        "{refusal}"
    );
}

#[test]
fn two_servers_do_not_share_a_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let first = Kith::start(directory.path(), &[]);
    let second = first.verb(&["serve"]);
    let refusal = String::from_utf8_lossy(&second.stderr);
    assert!(
        !second.status.success() && refusal.contains("another Kith"),
        "{refusal}"
    );
}

#[test]
fn an_idle_connection_does_not_hold_up_the_stop() {
    let directory = tempfile::tempdir().unwrap();
    let mut kith = Kith::start(directory.path(), &[]);
    let mut stream = TcpStream::connect(kith.address.strip_prefix("http://").unwrap()).unwrap();
    // One answered request proves that the server holds the connection.
    let mut byte = [0];
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    stream.read_exact(&mut byte).unwrap();
    kith.signal("TERM");
    kith.wait_for_log("stopping");
    let (status, _) = kith.wait();
    assert!(status.success());
}

#[test]
fn metrics_are_on_their_own_listener_alone() {
    let directory = tempfile::tempdir().unwrap();
    let kith = Kith::start(directory.path(), &[("KITH_METRICS__LISTEN", "127.0.0.1:0")]);
    assert_eq!(kith.get("/metrics").0, 404);
    assert_eq!(kith.get("/health").0, 200);
    let address = kith.metrics_address();
    let (status, body) = kith::get(&address, "/metrics");
    assert_eq!(status, 200);
    assert!(body.contains("kith_http_requests_total"), "{body}");
}
