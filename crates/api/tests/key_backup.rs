//! Key backups over HTTP: versions, counts, which session stays.

use serde_json::{Value, json};
use testkit::{Client, Server, start_each};

const VERSION: &str = "/_matrix/client/v3/room_keys/version";
const KEYS: &str = "/_matrix/client/v3/room_keys/keys";
const ALGORITHM: &str = "m.megolm_backup.v1.curve25519-aes-sha2";

async fn ok(answer: impl Future<Output = (u16, Value)>) -> Value {
    let (status, answer) = answer.await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn refused(answer: impl Future<Output = (u16, Value)>, status: u16, errcode: &str) -> Value {
    let (found, answer) = answer.await;
    assert_eq!(
        (found, answer["errcode"].as_str()),
        (status, Some(errcode)),
        "{answer}"
    );
    answer
}

async fn create(client: &Client) -> String {
    let body = json!({ "algorithm": ALGORITHM, "auth_data": { "public_key": "abc" } });
    let answer = ok(client.post(VERSION, body)).await;
    answer["version"].as_str().unwrap().to_owned()
}

fn session(first: u64, forwarded: u64, verified: bool) -> Value {
    json!({
        "first_message_index": first,
        "forwarded_count": forwarded,
        "is_verified": verified,
        "session_data": { "ciphertext": format!("{first} {forwarded} {verified}") },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_made_read_changed_and_deleted() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        refused(alice.get(VERSION), 404, "M_NOT_FOUND").await;
        assert_eq!(create(&alice).await, "1");
        let expected = json!({ "algorithm": ALGORITHM, "auth_data": { "public_key": "abc" }, "count": 0, "etag": "0", "version": "1" });
        assert_eq!(ok(alice.get(VERSION)).await, expected);
        assert_eq!(ok(alice.get(&format!("{VERSION}/1"))).await, expected);
        for version in ["2", "x", "0", "-1", "99999999999999999999"] {
            let path = format!("{VERSION}/{version}");
            refused(alice.get(&path), 404, "M_NOT_FOUND").await;
            refused(alice.delete(&path, json!({})), 404, "M_NOT_FOUND").await;
        }
        let path = format!("{VERSION}/1");
        let update = |algorithm: &str, version: Value| {
            json!({ "algorithm": algorithm, "auth_data": { "public_key": "def" }, "version": version })
        };
        refused(alice.put(&path, update("other", json!("1"))), 400, "M_INVALID_PARAM").await;
        refused(alice.put(&path, update(ALGORITHM, json!("2"))), 400, "M_INVALID_PARAM").await;
        let path2 = format!("{VERSION}/2");
        refused(alice.put(&path2, update(ALGORITHM, json!("2"))), 404, "M_NOT_FOUND").await;
        ok(alice.put(&path, update(ALGORITHM, json!(null)))).await;
        assert_eq!(ok(alice.get(VERSION)).await["auth_data"]["public_key"], "def");
        assert_eq!(create(&alice).await, "2");
        assert_eq!(ok(alice.get(VERSION)).await["version"], "2");
        // Deleted, the one before is current again; deleted twice is deleted; its number is not used again.
        ok(alice.delete(&path2, json!({}))).await;
        ok(alice.delete(&path2, json!({}))).await;
        assert_eq!(ok(alice.get(VERSION)).await["version"], "1");
        assert_eq!(create(&alice).await, "3");
        // Another user has other backups.
        let bob = server.register("bob").await;
        refused(bob.get(VERSION), 404, "M_NOT_FOUND").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_better_session_stays() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        create(&alice).await;
        // (first_message_index, forwarded_count, is_verified): there, new, whether the new one replaces it.
        let table = [
            ((5, 5, false), (9, 9, true), true),
            ((5, 5, true), (0, 0, false), false),
            ((5, 5, false), (4, 9, false), true),
            ((5, 5, false), (6, 0, false), false),
            ((5, 5, true), (5, 4, true), true),
            ((5, 5, true), (5, 6, true), false),
            ((5, 5, true), (5, 5, true), false),
        ];
        for (number, (there, new, replaced)) in table.into_iter().enumerate() {
            let path = format!("{KEYS}/!r:test.example/s{number}?version=1");
            let session = |(first, forwarded, verified)| session(first, forwarded, verified);
            let before = ok(alice.put(&path, session(there))).await;
            assert_eq!(before["count"], number + 1);
            let after = ok(alice.put(&path, session(new))).await;
            assert_eq!(after["count"], before["count"]);
            assert_eq!(
                after["etag"] != before["etag"],
                replaced,
                "{there:?} {new:?}"
            );
            let kept = if replaced { new } else { there };
            assert_eq!(
                ok(alice.get(&path)).await,
                session(kept),
                "{there:?} {new:?}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_put_read_and_deleted_at_three_levels() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        create(&alice).await;
        let one = session(0, 0, true);
        let all = json!({ "rooms": {
            "!a:x": { "sessions": { "1": one, "2": one } },
            "!b:x": { "sessions": { "1": one } },
        }});
        let put = ok(alice.put(&format!("{KEYS}?version=1"), all.clone())).await;
        assert_eq!(put, json!({ "etag": "1", "count": 3 }));
        let put = ok(alice.put(
            &format!("{KEYS}/!b:x?version=1"),
            json!({ "sessions": { "2": one } }),
        ))
        .await;
        assert_eq!(put, json!({ "etag": "2", "count": 4 }));
        let seen = ok(alice.get(&format!("{KEYS}?version=1"))).await;
        assert_eq!(seen["rooms"]["!a:x"], all["rooms"]["!a:x"]);
        assert_eq!(
            seen["rooms"]["!b:x"]["sessions"],
            json!({ "1": one, "2": one })
        );
        assert_eq!(
            ok(alice.get(&format!("{KEYS}/!b:x?version=1"))).await,
            seen["rooms"]["!b:x"]
        );
        assert_eq!(
            ok(alice.get(&format!("{KEYS}/!c:x?version=1"))).await,
            json!({ "sessions": {} })
        );
        refused(
            alice.get(&format!("{KEYS}/!b:x/9?version=1")),
            404,
            "M_NOT_FOUND",
        )
        .await;
        let deleted = ok(alice.delete(&format!("{KEYS}/!b:x/1?version=1"), json!({}))).await;
        assert_eq!(deleted, json!({ "etag": "3", "count": 3 }));
        let deleted = ok(alice.delete(&format!("{KEYS}/!a:x?version=1"), json!({}))).await;
        assert_eq!(deleted, json!({ "etag": "4", "count": 1 }));
        let deleted = ok(alice.delete(&format!("{KEYS}?version=1"), json!({}))).await;
        assert_eq!(deleted, json!({ "etag": "5", "count": 0 }));
        assert_eq!(
            ok(alice.get(&format!("{KEYS}?version=1"))).await,
            json!({ "rooms": {} })
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_backup_is_read_whole() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        create(&alice).await;
        let rooms: serde_json::Map<_, _> = (0..12)
            .map(|room| {
                let sessions: serde_json::Map<_, _> = (0..101)
                    .map(|number| (format!("session {number}"), session(number, 0, true)))
                    .collect();
                (format!("!room{room}:x"), json!({ "sessions": sessions }))
            })
            .collect();
        let all = json!({ "rooms": rooms });
        let put = ok(alice.put(&format!("{KEYS}?version=1"), all.clone())).await;
        assert_eq!(put["count"], 12 * 101);
        assert_eq!(ok(alice.get(&format!("{KEYS}?version=1"))).await, all);
        // Deleted, it is out of sight at once, and swept by the janitor.
        ok(alice.delete(&format!("{VERSION}/1"), json!({}))).await;
        refused(alice.get(&format!("{KEYS}?version=1")), 404, "M_NOT_FOUND").await;
        assert!(server.hs.db.sweep().await.unwrap() >= 12 * 101);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_current_version_takes_sessions() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let one = json!({ "sessions": { "1": session(0, 0, true) } });
        let path = |version: &str| format!("{KEYS}/!a:x?version={version}");
        refused(alice.put(&path("1"), one.clone()), 404, "M_NOT_FOUND").await;
        create(&alice).await;
        create(&alice).await;
        for version in ["1", "3", "x", ""] {
            let answer = refused(
                alice.put(&path(version), one.clone()),
                403,
                "M_WRONG_ROOM_KEYS_VERSION",
            )
            .await;
            assert_eq!(answer["current_version"], "2", "{version}");
        }
        ok(alice.put(&path("2"), one.clone())).await;
        refused(
            alice.put(&format!("{KEYS}/!a:x"), one.clone()),
            400,
            "M_MISSING_PARAM",
        )
        .await;
        refused(alice.get(KEYS), 400, "M_MISSING_PARAM").await;
        for version in ["3", "x"] {
            refused(alice.get(&path(version)), 404, "M_NOT_FOUND").await;
            refused(alice.delete(&path(version), json!({})), 404, "M_NOT_FOUND").await;
        }
        // The older one can still be read.
        assert_eq!(ok(alice.get(&path("1"))).await, json!({ "sessions": {} }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_sessions_are_refused() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        create(&alice).await;
        let with = |name: &str, value: Value| {
            let mut session = session(0, 0, true);
            session[name] = value;
            session
        };
        let path = format!("{KEYS}/!a:x/1?version=1");
        for bad in [
            json!({}),
            with("first_message_index", json!(-1)),
            with("first_message_index", json!("0")),
            with("forwarded_count", json!(1.5)),
            with("is_verified", json!(1)),
            with("session_data", json!("x")),
        ] {
            refused(alice.put(&path, bad), 400, "M_BAD_JSON").await;
        }
        let huge = with("session_data", json!({ "ciphertext": "x".repeat(70_000) }));
        refused(alice.put(&path, huge), 413, "M_TOO_LARGE").await;
        refused(
            alice.post(VERSION, json!({ "algorithm": 1, "auth_data": {} })),
            400,
            "M_BAD_JSON",
        )
        .await;
        refused(
            alice.post(VERSION, json!({ "algorithm": "a" })),
            400,
            "M_BAD_JSON",
        )
        .await;
        refused(server.anonymous().get(VERSION), 401, "M_MISSING_TOKEN").await;
    })
    .await;
}
