//! SIGKILL under load: nothing acknowledged is missing, nothing is there twice, each sender's order is kept, and no
//! one-time key is given out twice. On both engines; PostgreSQL where `KITH_TEST_POSTGRES` names a server.
//!
//! `KITH_TEST_KILLS` is how often the server is killed; 20 unless set.

#[path = "running/http.rs"]
mod http;
#[path = "running/kith.rs"]
#[allow(dead_code, reason = "each test file uses a part of it")]
mod kith;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::Connection;
use kith::Kith;
use serde_json::{Value, json};

/// Senders at once: enough that commits are shared.
const SENDERS: usize = 16;

/// Rooms that they share.
const ROOMS: usize = 4;

/// One-time keys that are there to be claimed.
const KEYS: usize = 900;

/// A sender's memory over all lives of the server.
#[derive(Default)]
struct Sender {
    token: String,
    user_id: String,
    room: String,
    /// The number of the next message; its transaction id is made of it.
    next: usize,
    /// Acknowledged messages: number and event id.
    acknowledged: Vec<(usize, String)>,
    /// One-time keys that claims gave.
    claimed: Vec<String>,
}

fn register(address: &str, name: &str) -> (String, String) {
    let mut connection = Connection::open(address, "").unwrap();
    let body = json!({ "username": name, "password": "correct horse battery", "auth": { "type": "m.login.dummy" } });
    let (status, answer) = connection
        .call("POST", "/_matrix/client/v3/register", &body)
        .unwrap();
    assert_eq!(status, 200, "{answer}");
    (
        answer["access_token"].as_str().unwrap().to_owned(),
        answer["user_id"].as_str().unwrap().to_owned(),
    )
}

fn must(connection: &mut Connection, method: &str, path: &str, body: Value) -> Value {
    let (status, answer) = connection.call(method, path, &body).unwrap();
    assert_eq!(status, 200, "{method} {path}: {answer}");
    answer
}

/// Alice's keys, rooms that all are in, and the senders.
fn set_up(address: &str) -> (Vec<Sender>, Vec<String>, String) {
    let (alice, alice_id) = register(address, "alice");
    let mut connection = Connection::open(address, &alice).unwrap();
    let rooms: Vec<String> = (0..ROOMS)
        .map(|_| {
            let answer = must(
                &mut connection,
                "POST",
                "/_matrix/client/v3/createRoom",
                json!({ "preset": "public_chat" }),
            );
            answer["room_id"].as_str().unwrap().to_owned()
        })
        .collect();
    for batch in 0..KEYS / 100 {
        let keys: serde_json::Map<String, Value> = (0..100)
            .map(|number| {
                (
                    format!("curve25519:K{batch}x{number}"),
                    json!(format!("key {batch} {number}")),
                )
            })
            .collect();
        must(
            &mut connection,
            "POST",
            "/_matrix/client/v3/keys/upload",
            json!({ "one_time_keys": keys }),
        );
    }
    let device = must(
        &mut connection,
        "GET",
        "/_matrix/client/v3/account/whoami",
        Value::Null,
    );
    let claim = json!({ "one_time_keys": { alice_id: { device["device_id"].as_str().unwrap(): "curve25519" } } });
    let senders = (0..SENDERS)
        .map(|number| {
            let (token, user_id) = register(address, &format!("sender{number}"));
            let room = rooms[number % ROOMS].clone();
            let mut connection = Connection::open(address, &token).unwrap();
            must(
                &mut connection,
                "POST",
                &format!("/_matrix/client/v3/join/{}", encode(&room)),
                json!({}),
            );
            Sender {
                token,
                user_id,
                room,
                ..Sender::default()
            }
        })
        .collect();
    (senders, vec![alice, claim.to_string()], rooms.join(" "))
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Sends until the server is gone. A message without an answer is sent again in the next life, with the same id.
fn send_until_killed(
    sender: &mut Sender,
    address: &str,
    claim: &Value,
    sent: &AtomicUsize,
    killed: &AtomicBool,
) {
    let Ok(mut connection) = Connection::open(address, &sender.token) else {
        return;
    };
    while !killed.load(Ordering::Acquire) {
        let number = sender.next;
        let path = format!(
            "/_matrix/client/v3/rooms/{}/send/m.room.message/t{number}",
            encode(&sender.room)
        );
        let body = json!({ "msgtype": "m.text", "body": "hello", "number": number });
        match connection.call("PUT", &path, &body) {
            Ok((200, answer)) => {
                sender
                    .acknowledged
                    .push((number, answer["event_id"].as_str().unwrap().to_owned()));
                sender.next += 1;
                sent.fetch_add(1, Ordering::AcqRel);
            }
            // A busy room says so; the message is sent again.
            Ok((429, _)) => {}
            Ok((status, answer)) => panic!("{status} {answer}"),
            Err(_) => return,
        }
        if number % 8 == 3 {
            match connection.call("POST", "/_matrix/client/v3/keys/claim", claim) {
                Ok((200, answer)) => {
                    let given = answer["one_time_keys"].to_string();
                    if given.contains("curve25519:") {
                        sender.claimed.push(given);
                    }
                }
                Ok((status, answer)) => panic!("{status} {answer}"),
                Err(_) => return,
            }
        }
    }
}

/// All messages of a room, oldest first: event id, sender, number.
fn read_back(address: &str, token: &str, room: &str) -> Vec<(String, String, usize)> {
    let mut connection = Connection::open(address, token).unwrap();
    let mut messages = Vec::new();
    let mut from = String::new();
    loop {
        let path = format!(
            "/_matrix/client/v3/rooms/{}/messages?dir=b&limit=500{from}",
            encode(room)
        );
        let page = must(&mut connection, "GET", &path, Value::Null);
        for event in page["chunk"].as_array().unwrap() {
            if event["type"] == "m.room.message" {
                let text = |key: &str| event[key].as_str().unwrap().to_owned();
                messages.push((
                    text("event_id"),
                    text("sender"),
                    event["content"]["number"].as_u64().unwrap() as usize,
                ));
            }
        }
        match page["end"].as_str() {
            Some(end) => from = format!("&from={end}"),
            None => break,
        }
    }
    messages.reverse();
    messages
}

fn check(kills: usize, settings: &[(&str, &str)]) {
    let directory = tempfile::tempdir().unwrap();
    let mut all = vec![
        ("KITH_REGISTRATION__MODE", "open"),
        ("KITH_LIMITS__ENABLED", "false"),
        ("KITH_LOG", "warn,kith=info"),
    ];
    all.extend_from_slice(settings);
    let mut kith = Kith::start(directory.path(), &all);
    let (mut senders, alice, rooms) = set_up(&kith.address);
    let claim: Value = serde_json::from_str(&alice[1]).unwrap();
    // The lengths of lives differ, and repeat from run to run: a small linear generator.
    let mut lives = (1u64..).scan(7u64, |state, _| {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Some((*state >> 40) as usize % 400)
    });
    for _ in 0..kills {
        let target = 20 + lives.next().unwrap();
        let (sent, killed) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let address = kith.address.clone();
            let threads: Vec<_> = senders
                .iter_mut()
                .map(|sender| {
                    let (address, claim, sent, killed) = (&address, &claim, &sent, &killed);
                    let address = address.clone();
                    scope.spawn(move || send_until_killed(sender, &address, claim, sent, killed))
                })
                .collect();
            while sent.load(Ordering::Acquire) < target
                && threads.iter().any(|thread| !thread.is_finished())
            {
                std::thread::yield_now();
            }
            kith.signal("KILL");
            killed.store(true, Ordering::Release);
        });
        drop(kith);
        kith = Kith::start(directory.path(), &all);
    }
    verify(&kith.address, &senders, &rooms);
    let (status, _) = kith.stop();
    assert!(status.success());
}

fn verify(address: &str, senders: &[Sender], rooms: &str) {
    let mut shown: HashMap<String, Vec<(String, String, usize)>> = HashMap::new();
    for room in rooms.split(' ') {
        let reader = senders.iter().find(|sender| sender.room == room).unwrap();
        shown.insert(room.to_owned(), read_back(address, &reader.token, room));
    }
    let mut total = 0;
    for sender in senders {
        let mine: Vec<_> = shown[&sender.room]
            .iter()
            .filter(|(_, from, _)| *from == sender.user_id)
            .collect();
        let numbers: Vec<usize> = mine.iter().map(|(_, _, number)| *number).collect();
        assert!(
            numbers.windows(2).all(|pair| pair[0] < pair[1]),
            "out of order or twice: {numbers:?}"
        );
        let by_number: BTreeMap<usize, &str> = mine
            .iter()
            .map(|(id, _, number)| (*number, id.as_str()))
            .collect();
        for (number, event_id) in &sender.acknowledged {
            assert_eq!(
                by_number.get(number),
                Some(&event_id.as_str()),
                "message {number} of {}",
                sender.user_id
            );
        }
        total += sender.acknowledged.len();
    }
    let claimed: Vec<&String> = senders.iter().flat_map(|sender| &sender.claimed).collect();
    let distinct: HashSet<_> = claimed.iter().collect();
    assert_eq!(
        distinct.len(),
        claimed.len(),
        "a one-time key was given out twice"
    );
    println!(
        "{total} messages and {} claims acknowledged, all there once",
        claimed.len()
    );
    assert!(total > 100 && !claimed.is_empty(), "the load was no load");
}

fn kills() -> usize {
    std::env::var("KITH_TEST_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20)
}

#[test]
fn nothing_acknowledged_is_lost_to_a_kill_on_sqlite() {
    check(kills(), &[]);
}

#[test]
fn nothing_acknowledged_is_lost_to_a_kill_on_postgresql() {
    let Ok(url) = std::env::var("KITH_TEST_POSTGRES") else {
        eprintln!("SKIPPED on PostgreSQL: KITH_TEST_POSTGRES is not set");
        return;
    };
    let database = format!("kith_crash_{}", std::process::id());
    let run = |statement: String| {
        let psql = std::process::Command::new("psql")
            .args(["-q", "-X", &url, "-c", &statement])
            .status();
        assert!(psql.expect("psql runs").success(), "{statement}");
    };
    run(format!("CREATE DATABASE {database}"));
    let (base, query) = url.split_once('?').unwrap_or((&url, ""));
    let (host, _) = base.rsplit_once('/').unwrap();
    let address = format!("{host}/{database}?{query}");
    check(kills(), &[("KITH_DATABASE", &address)]);
    run(format!("DROP DATABASE {database} WITH (FORCE)"));
}
