//! Keys of devices and users over HTTP: given out once, refused where they are wrong, seen by whom they concern.

#[path = "encryption/keys.rs"]
mod keys;

use std::collections::HashSet;

use keys::{SigningKey, signed};
use serde_json::{Value, json};
use testkit::{Client, Server, start_each};

const UPLOAD: &str = "/_matrix/client/v3/keys/upload";
const QUERY: &str = "/_matrix/client/v3/keys/query";
const CLAIM: &str = "/_matrix/client/v3/keys/claim";
const CROSS_SIGNING: &str = "/_matrix/client/v3/keys/device_signing/upload";
const SIGNATURES: &str = "/_matrix/client/v3/keys/signatures/upload";

/// A user's keys as a client has them.
struct Keys {
    device: SigningKey,
    master: SigningKey,
    self_signing: SigningKey,
    user_signing: SigningKey,
}

impl Keys {
    fn of(client: &Client, number: u8) -> Self {
        Self {
            device: SigningKey::new(number).named(&client.device_id),
            master: SigningKey::new(number + 1),
            self_signing: SigningKey::new(number + 2),
            user_signing: SigningKey::new(number + 3),
        }
    }
}

fn device_keys(client: &Client, key: &SigningKey) -> Value {
    let (user_id, device_id) = (&client.user_id, &client.device_id);
    let keys = json!({
        "user_id": user_id,
        "device_id": device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": {
            format!("curve25519:{device_id}"): "3C5BFWi2Y8MaVvjM8M22DBmh24PmgR0nPvJOIArzgyI",
            format!("ed25519:{device_id}"): key.public(),
        },
    });
    signed(keys, user_id, key)
}

fn cross_signing_key(client: &Client, usage: &str, key: &SigningKey, by: &SigningKey) -> Value {
    let object = json!({
        "user_id": client.user_id,
        "usage": [usage],
        "keys": { key.id(): key.public() },
    });
    signed(object, &client.user_id, by)
}

/// All three keys; the master key is signed by the device.
fn cross_signing(client: &Client, keys: &Keys) -> Value {
    json!({
        "master_key": cross_signing_key(client, "master", &keys.master, &keys.device),
        "self_signing_key": cross_signing_key(client, "self_signing", &keys.self_signing, &keys.master),
        "user_signing_key": cross_signing_key(client, "user_signing", &keys.user_signing, &keys.master),
    })
}

async fn ok(answer: impl Future<Output = (u16, Value)>) -> Value {
    let (status, answer) = answer.await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn refused(answer: impl Future<Output = (u16, Value)>, status: u16, errcode: &str) {
    let (found, answer) = answer.await;
    assert_eq!(
        (found, answer["errcode"].as_str()),
        (status, Some(errcode)),
        "{answer}"
    );
}

async fn query(client: &Client, user_id: &str) -> Value {
    ok(client.post(QUERY, json!({ "device_keys": { user_id: [] } }))).await
}

async fn one_time_keys(client: &Client, count: usize) -> Value {
    let keys: serde_json::Map<_, _> = (0..count)
        .map(|number| {
            (
                format!("signed_curve25519:K{number:03}"),
                json!({ "key": format!("key{number}"), "signatures": {} }),
            )
        })
        .collect();
    ok(client.post(UPLOAD, json!({ "one_time_keys": keys }))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_uploads_its_keys_and_others_see_them() {
    start_each(async |server: Server| {
        let (alice, bob) = (server.register("alice").await, server.register("bob").await);
        let keys = Keys::of(&alice, 1);
        let body = json!({ "device_keys": device_keys(&alice, &keys.device) });
        let answer = ok(alice.post(UPLOAD, body)).await;
        assert_eq!(answer, json!({ "one_time_key_counts": { "signed_curve25519": 0 } }));
        let seen = query(&bob, &alice.user_id).await;
        let device = &seen["device_keys"][&alice.user_id]["ALICE"];
        assert_eq!(device["keys"], device_keys(&alice, &keys.device)["keys"]);
        assert_eq!(device["signatures"], device_keys(&alice, &keys.device)["signatures"]);
        // One device of many, and one that is not there.
        let one = json!({ "device_keys": { &alice.user_id: ["OTHER"], "@nobody:test.example": [], "@x:remote.example": [] } });
        let seen = ok(bob.post(QUERY, one)).await;
        assert_eq!(seen["device_keys"], json!({ &alice.user_id: {}, "@nobody:test.example": {} }));
        assert!(seen["failures"]["remote.example"].is_object());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_keys_are_refused() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let keys = device_keys(&alice, &SigningKey::new(1).named("ALICE"));
        let with = |name: &str, value: Value| {
            let mut keys = keys.clone();
            keys[name] = value;
            json!({ "device_keys": keys })
        };
        let table = [
            (
                with("user_id", json!("@bob:test.example")),
                "M_INVALID_PARAM",
            ),
            (with("device_id", json!("OTHER")), "M_INVALID_PARAM"),
            (with("user_id", json!(7)), "M_BAD_JSON"),
            (with("algorithms", json!("olm")), "M_BAD_JSON"),
            (with("algorithms", json!([1])), "M_BAD_JSON"),
            (with("keys", json!({ "a:b": 1 })), "M_BAD_JSON"),
            (with("signatures", json!({ "@a:b": "c" })), "M_BAD_JSON"),
            (with("more", json!(1.5)), "M_BAD_JSON"),
            (json!({ "device_keys": [] }), "M_BAD_JSON"),
            (json!({ "one_time_keys": [] }), "M_BAD_JSON"),
            (json!({ "one_time_keys": { "noid": "key" } }), "M_BAD_JSON"),
            (json!({ "one_time_keys": { ":id": "key" } }), "M_BAD_JSON"),
            (json!({ "one_time_keys": { "a:id": 5 } }), "M_BAD_JSON"),
            (
                json!({ "one_time_keys": { "a:id": { "signatures": {} } } }),
                "M_BAD_JSON",
            ),
            (
                json!({ "fallback_keys": { "a:1": "x", "a:2": "y" } }),
                "M_BAD_JSON",
            ),
        ];
        for (body, errcode) in table {
            let (status, answer) = alice.post(UPLOAD, body.clone()).await;
            assert_eq!(
                (status, &answer["errcode"]),
                (400, &json!(errcode)),
                "{body}"
            );
        }
        let table = [
            (QUERY, json!({})),
            (QUERY, json!({ "device_keys": { "@a:test.example": "x" } })),
            (CLAIM, json!({})),
            (
                CLAIM,
                json!({ "one_time_keys": { "@a:test.example": { "D": 5 } } }),
            ),
        ];
        for (path, body) in table {
            refused(alice.post(path, body), 400, "M_BAD_JSON").await;
        }
        for user_id in ["alice", "@alice", "@a\0:test.example", "@a:"] {
            let body = json!({ "device_keys": { user_id: [] } });
            refused(alice.post(QUERY, body), 400, "M_INVALID_PARAM").await;
            let body = json!({ "one_time_keys": { user_id: { "D": "a" } } });
            refused(alice.post(CLAIM, body), 400, "M_INVALID_PARAM").await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_claimers_at_once_never_get_one_key_twice() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let bob = server.register("bob").await;
        one_time_keys(&alice, 30).await;
        let fallback = json!({ "fallback_keys": { "signed_curve25519:FB": { "key": "f", "fallback": true, "signatures": {} } } });
        let counts = ok(alice.post(UPLOAD, fallback)).await;
        assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 30);
        let wanted = json!({ "one_time_keys": { &alice.user_id: { "ALICE": "signed_curve25519" } } });
        let claims = (0..50).map(|_| {
            let (bob, wanted) = (bob.clone(), wanted.clone());
            tokio::task::spawn(async move { ok(bob.post(CLAIM, wanted)).await })
        });
        let (mut seen, mut fallbacks) = (HashSet::new(), 0);
        for claim in claims.collect::<Vec<_>>() {
            let answer = claim.await.unwrap();
            let keys = answer["one_time_keys"][&alice.user_id]["ALICE"].as_object().unwrap();
            assert_eq!(keys.len(), 1);
            for name in keys.keys() {
                if name == "signed_curve25519:FB" {
                    fallbacks += 1;
                } else {
                    assert!(seen.insert(name.clone()), "{name} was given out twice");
                }
            }
        }
        assert_eq!((seen.len(), fallbacks), (30, 20));
        let unknown = json!({ "one_time_keys": {
            &alice.user_id: { "OTHER": "signed_curve25519" }, "@x:remote.example": { "D": "a" } } });
        let answer = ok(bob.post(CLAIM, unknown)).await;
        assert_eq!(answer["one_time_keys"], json!({}));
        assert!(answer["failures"]["remote.example"].is_object());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_upload_is_fine_and_another_key_of_the_same_id_is_not() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        one_time_keys(&alice, 2).await;
        let again = one_time_keys(&alice, 2).await;
        assert_eq!(again["one_time_key_counts"]["signed_curve25519"], 2);
        // Signed anew, it is the same key.
        let anew =
            json!({ "key": "key0", "signatures": { &alice.user_id: { "ed25519:ALICE": "bmV3" } } });
        ok(alice.post(
            UPLOAD,
            json!({ "one_time_keys": { "signed_curve25519:K000": anew } }),
        ))
        .await;
        let other = json!({ "key": "other", "signatures": {} });
        let body = json!({ "one_time_keys": { "signed_curve25519:K000": other } });
        refused(alice.post(UPLOAD, body), 400, "M_INVALID_PARAM").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cross_signing_keys_are_set_freely_once_and_replaced_by_the_user_alone() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let keys = Keys::of(&alice, 1);
        ok(alice.post(
            UPLOAD,
            json!({ "device_keys": device_keys(&alice, &keys.device) }),
        ))
        .await;
        let lone = json!({ "self_signing_key": cross_signing(&alice, &keys)["self_signing_key"] });
        refused(alice.post(CROSS_SIGNING, lone), 400, "M_MISSING_PARAM").await;
        ok(alice.post(CROSS_SIGNING, cross_signing(&alice, &keys))).await;
        // The answer may have been lost: the same once more, in all or in part.
        ok(alice.post(CROSS_SIGNING, cross_signing(&alice, &keys))).await;
        let part = json!({ "user_signing_key": cross_signing(&alice, &keys)["user_signing_key"] });
        ok(alice.post(CROSS_SIGNING, part)).await;
        let others = Keys {
            device: SigningKey::new(1).named("ALICE"),
            ..Keys::of(&alice, 20)
        };
        let (status, challenge) = alice
            .post(CROSS_SIGNING, cross_signing(&alice, &others))
            .await;
        assert_eq!(status, 401, "{challenge}");
        assert_eq!(
            query(&alice, &alice.user_id).await["master_keys"][&alice.user_id]["keys"],
            json!({ keys.master.id(): keys.master.public() })
        );
        let mut body = cross_signing(&alice, &others);
        body["auth"] = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": alice.user_id },
            "password": Server::PASSWORD,
            "session": challenge["session"],
        });
        ok(alice.post(CROSS_SIGNING, body)).await;
        let seen = query(&alice, &alice.user_id).await;
        assert_eq!(
            seen["master_keys"][&alice.user_id]["keys"],
            json!({ others.master.id(): others.master.public() })
        );
        assert!(seen["user_signing_keys"][&alice.user_id].is_object());
        let bob = server.register("bob").await;
        let seen = query(&bob, &alice.user_id).await;
        assert!(seen["self_signing_keys"][&alice.user_id].is_object());
        assert_eq!(seen["user_signing_keys"], json!({}));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_cross_signing_keys_are_refused() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let keys = Keys::of(&alice, 1);
        ok(alice.post(UPLOAD, json!({ "device_keys": device_keys(&alice, &keys.device) }))).await;
        let whole = cross_signing(&alice, &keys);
        let with = |part: &str, name: &str, value: Value| {
            let mut body = whole.clone();
            body[part][name] = value;
            body
        };
        let by_itself = cross_signing_key(&alice, "self_signing", &keys.self_signing, &keys.self_signing);
        let forged = cross_signing_key(&alice, "master", &keys.master, &SigningKey::new(99).named("ALICE"));
        let two = json!({ keys.master.id(): keys.master.public(), keys.self_signing.id(): keys.self_signing.public() });
        let table = [
            (with("master_key", "user_id", json!("@bob:test.example")), "M_INVALID_PARAM"),
            (with("master_key", "usage", json!(["self_signing"])), "M_INVALID_PARAM"),
            (with("master_key", "keys", json!({})), "M_INVALID_PARAM"),
            (with("master_key", "keys", two), "M_INVALID_PARAM"),
            (with("master_key", "keys", json!({ "ed25519:abc": "abc" })), "M_INVALID_PARAM"),
            (with("self_signing_key", "signatures", json!({})), "M_INVALID_SIGNATURE"),
            (with("user_signing_key", "more", json!(1)), "M_INVALID_SIGNATURE"),
            (json!({ "master_key": whole["master_key"], "self_signing_key": by_itself }), "M_INVALID_SIGNATURE"),
            (json!({ "master_key": forged }), "M_INVALID_SIGNATURE"),
            (json!({ "master_key": "key" }), "M_BAD_JSON"),
            (json!({}), "M_MISSING_PARAM"),
        ];
        for (body, errcode) in table {
            let (status, answer) = alice.post(CROSS_SIGNING, body.clone()).await;
            assert_eq!((status, &answer["errcode"]), (400, &json!(errcode)), "{body}");
        }
        assert_eq!(query(&alice, &alice.user_id).await["master_keys"], json!({}));
        // A key must not be taken for a device.
        alice.another_device(&keys.master.public()).await;
        refused(alice.post(CROSS_SIGNING, whole.clone()), 403, "M_FORBIDDEN").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_verified_before_they_are_stored_and_shown_to_whom_they_concern() {
    start_each(async |server: Server| {
        let (alice, bob) = (server.register("alice").await, server.register("bob").await);
        let carol = server.register("carol").await;
        let (of_alice, of_bob) = (Keys::of(&alice, 1), Keys::of(&bob, 50));
        for (client, keys) in [(&alice, &of_alice), (&bob, &of_bob)] {
            ok(client.post(
                UPLOAD,
                json!({ "device_keys": device_keys(client, &keys.device) }),
            ))
            .await;
            ok(client.post(CROSS_SIGNING, cross_signing(client, keys))).await;
        }
        let device = device_keys(&alice, &of_alice.device);
        let master = cross_signing(&bob, &of_bob)["master_key"].clone();
        let bobs_master = of_bob.master.public();
        let upload = async |user_id: &str, key_id: &str, object: Value| {
            ok(alice.post(SIGNATURES, json!({ user_id: { key_id: object } }))).await["failures"]
                .clone()
        };
        // Refused: by whom it is not for to sign, of another key, of changed keys, with a broken signature.
        let mut changed = device.clone();
        changed["algorithms"] = json!([]);
        let mut broken = signed(device.clone(), &alice.user_id, &of_alice.self_signing);
        broken["signatures"][&alice.user_id][of_alice.self_signing.id()] =
            json!(of_alice.self_signing.sign(b"something else"));
        let table = [
            (
                &alice,
                "ALICE",
                signed(device.clone(), &alice.user_id, &of_alice.user_signing),
                "M_INVALID_SIGNATURE",
            ),
            (&alice, "ALICE", device.clone(), "M_INVALID_SIGNATURE"),
            (&alice, "OTHER", device.clone(), "M_NOT_FOUND"),
            (
                &alice,
                "ALICE",
                signed(changed, &alice.user_id, &of_alice.self_signing),
                "M_INVALID_PARAM",
            ),
            (&alice, "ALICE", broken, "M_INVALID_SIGNATURE"),
            (
                &bob,
                "BOB",
                signed(
                    device_keys(&bob, &of_bob.device),
                    &alice.user_id,
                    &of_alice.user_signing,
                ),
                "M_NOT_FOUND",
            ),
            (
                &bob,
                &bobs_master,
                signed(master.clone(), &alice.user_id, &of_alice.self_signing),
                "M_INVALID_SIGNATURE",
            ),
            (&carol, "CAROL", device.clone(), "M_NOT_FOUND"),
        ];
        for (user, key_id, object, errcode) in table {
            let failures = upload(&user.user_id, key_id, object.clone()).await;
            assert_eq!(
                failures[&user.user_id][key_id]["errcode"], errcode,
                "{object}"
            );
        }
        let before = query(&alice, &bob.user_id).await;
        assert_eq!(
            before["master_keys"][&bob.user_id]["signatures"],
            master["signatures"]
        );
        // Taken: the self-signing key on the own device, the user-signing key on the other's master key, together
        // with one that is refused.
        let good = json!({
            &alice.user_id: {
                "ALICE": signed(device.clone(), &alice.user_id, &of_alice.self_signing),
                "OTHER": device,
            },
            &bob.user_id: { &bobs_master: signed(master, &alice.user_id, &of_alice.user_signing) },
        });
        let answer = ok(alice.post(SIGNATURES, good)).await;
        assert_eq!(
            answer["failures"][&alice.user_id]
                .as_object()
                .unwrap()
                .len(),
            1
        );
        assert_eq!(answer["failures"].as_object().unwrap().len(), 1);
        let signature_on_device = |seen: &Value| {
            seen["device_keys"][&alice.user_id]["ALICE"]["signatures"][&alice.user_id]
                [of_alice.self_signing.id()]
            .is_string()
        };
        assert!(signature_on_device(&query(&bob, &alice.user_id).await));
        assert!(signature_on_device(&query(&carol, &alice.user_id).await));
        let by_alice = async |viewer: &Client| {
            query(viewer, &bob.user_id).await["master_keys"][&bob.user_id]["signatures"]
                [&alice.user_id]
                .clone()
        };
        assert!(by_alice(&alice).await[of_alice.user_signing.id()].is_string());
        assert!(
            by_alice(&bob).await.is_null(),
            "whom Alice trusts is not Bob's business"
        );
        assert!(by_alice(&carol).await.is_null());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_signs_out_leaves_no_key() {
    start_each(async |server: Server| {
        let (alice, bob) = (server.register("alice").await, server.register("bob").await);
        let second = alice.another_device("SECOND").await;
        let key = SigningKey::new(1).named("SECOND");
        ok(second.post(UPLOAD, json!({ "device_keys": device_keys(&second, &key) }))).await;
        one_time_keys(&second, 3).await;
        assert!(
            query(&bob, &alice.user_id).await["device_keys"][&alice.user_id]["SECOND"].is_object()
        );
        ok(second.post("/_matrix/client/v3/logout", json!({}))).await;
        assert_eq!(
            query(&bob, &alice.user_id).await["device_keys"][&alice.user_id],
            json!({})
        );
        let wanted =
            json!({ "one_time_keys": { &alice.user_id: { "SECOND": "signed_curve25519" } } });
        assert_eq!(
            ok(bob.post(CLAIM, wanted)).await["one_time_keys"],
            json!({})
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_since_a_token() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let now = server.hs.db.head().await.unwrap().0;
        let path =
            |from: &str, to: &str| format!("/_matrix/client/v3/keys/changes?from={from}&to={to}");
        let key = SigningKey::new(1).named("ALICE");
        ok(alice.post(UPLOAD, json!({ "device_keys": device_keys(&alice, &key) }))).await;
        let later = server.hs.db.head().await.unwrap().0;
        let told = ok(alice.get(&path(&format!("s{now}"), &format!("s{later}.3")))).await;
        assert_eq!(told, json!({ "changed": [alice.user_id], "left": [] }));
        let told = ok(alice.get(&path(&format!("s{later}"), &format!("s{later}")))).await;
        assert_eq!(told, json!({ "changed": [], "left": [] }));
        refused(alice.get(&path("x1", "s1")), 400, "M_INVALID_PARAM").await;
        refused(alice.get(&path("s1", "-")), 400, "M_INVALID_PARAM").await;
        refused(
            alice.get("/_matrix/client/v3/keys/changes"),
            400,
            "M_MISSING_PARAM",
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_for_those_who_are_signed_in() {
    start_each(async |server: Server| {
        let anybody = server.anonymous();
        for path in [UPLOAD, QUERY, CLAIM, CROSS_SIGNING, SIGNATURES] {
            refused(anybody.post(path, json!({})), 401, "M_MISSING_TOKEN").await;
        }
        let alice = server.register("alice").await;
        let path = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";
        refused(alice.get(path), 404, "M_UNRECOGNIZED").await;
    })
    .await;
}
