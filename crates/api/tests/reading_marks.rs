//! Receipts, read markers and typing, as clients send them and as they are kept.

use serde_json::{Value, json};
use storage::receipts::{self, Receipt};
use testkit::{Client, Server, start_each};

fn refused(answer: (u16, Value), status: u16, errcode: &str) {
    let errcode_given = answer.1["errcode"].as_str();
    assert_eq!(
        (answer.0, errcode_given),
        (status, Some(errcode)),
        "{}",
        answer.1
    );
}

async fn create_room(client: &Client) -> String {
    let body = json!({ "preset": "public_chat" });
    let (_, made) = client.post("/_matrix/client/v3/createRoom", body).await;
    made["room_id"].as_str().unwrap().to_owned()
}

async fn say(client: &Client, room: &str, number: u32, content: Value) -> String {
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{number}");
    let (status, sent) = client.put(&path, content).await;
    assert_eq!(status, 200, "{sent}");
    sent["event_id"].as_str().unwrap().to_owned()
}

async fn kept(server: &Server, viewer: &Client, room: &str) -> Vec<Receipt> {
    let (user_id, room_id) = (viewer.user_id.clone(), room.to_owned());
    let db = &server.hs.db;
    db.read(move |snap| {
        let user = storage::ids::find_user(snap, &user_id)?.unwrap();
        let room = storage::rooms::find_room(snap, &room_id)?.unwrap();
        receipts::all_for_rooms(snap, user, &[room.key])
    })
    .await
    .unwrap()
}

fn message(body: &str) -> Value {
    json!({ "msgtype": "m.text", "body": body })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_moves_forwards_only_and_a_private_one_is_seen_by_its_owner_alone() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let bob = server.register("bob").await;
        let room = create_room(&alice).await;
        let one = say(&alice, &room, 1, message("one")).await;
        let two = say(&alice, &room, 2, message("two")).await;
        let receipt = |kind: &str, event: &str| {
            format!("/_matrix/client/v3/rooms/{room}/receipt/{kind}/{event}")
        };
        assert_eq!(
            alice.post(&receipt("m.read", &two), json!({})).await,
            (200, json!({}))
        );
        assert_eq!(alice.post(&receipt("m.read", &one), json!({})).await.0, 200);
        assert_eq!(
            alice
                .post(&receipt("m.read.private", &two), json!({}))
                .await
                .0,
            200
        );
        let mine = kept(&server, &alice, &room).await;
        assert_eq!(mine.len(), 2);
        assert!(mine.iter().all(|receipt| receipt.event_id == two));
        assert_eq!(kept(&server, &bob, &room).await.len(), 1);

        refused(
            bob.post(&receipt("m.read", &two), json!({})).await,
            403,
            "M_FORBIDDEN",
        );
        refused(
            alice.post(&receipt("m.seen", &two), json!({})).await,
            400,
            "M_INVALID_PARAM",
        );
        refused(
            alice.post(&receipt("m.read", "$nothing"), json!({})).await,
            404,
            "M_NOT_FOUND",
        );
        server.clock.advance_ms(1);
        let other = create_room(&alice).await;
        let elsewhere = receipt("m.read", &two).replace(&room, &other);
        refused(alice.post(&elsewhere, json!({})).await, 404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_threaded_receipt_stands_in_its_thread() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let room = create_room(&alice).await;
        let root = say(&alice, &room, 1, message("root")).await;
        let mut reply = message("reply");
        reply["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": root });
        let reply = say(&alice, &room, 2, reply).await;
        let plain = say(&alice, &room, 3, message("plain")).await;
        let receipt =
            |event: &str| format!("/_matrix/client/v3/rooms/{room}/receipt/m.read/{event}");
        let thread = |id: &str| json!({ "thread_id": id });
        for (event, id) in [
            (&reply, &*root),
            (&plain, "main"),
            (&root, &root),
            (&root, "main"),
        ] {
            assert_eq!(
                alice.post(&receipt(event), thread(id)).await.0,
                200,
                "{event} {id}"
            );
        }
        for (event, id) in [
            (&reply, "main"),
            (&plain, &*root),
            (&plain, "$none"),
            (&plain, ""),
            (&plain, "x"),
        ] {
            refused(
                alice.post(&receipt(event), thread(id)).await,
                400,
                "M_INVALID_PARAM",
            );
        }
        refused(
            alice
                .post(&receipt(&plain), json!({ "thread_id": 5 }))
                .await,
            400,
            "M_INVALID_PARAM",
        );
        let marker = receipt(&plain).replace("m.read", "m.fully_read");
        refused(
            alice.post(&marker, thread("main")).await,
            400,
            "M_INVALID_PARAM",
        );
        let ids: Vec<_> = kept(&server, &alice, &room).await;
        let mut ids: Vec<_> = ids
            .iter()
            .map(|receipt| (receipt.thread.thread_id(), &receipt.event_id))
            .collect();
        ids.sort();
        let mut wanted = vec![(Some("main"), &plain), (Some(root.as_str()), &reply)];
        wanted.sort();
        assert_eq!(ids, wanted);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_markers_set_all_that_they_name() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let room = create_room(&alice).await;
        let one = say(&alice, &room, 1, message("one")).await;
        let two = say(&alice, &room, 2, message("two")).await;
        let markers = format!("/_matrix/client/v3/rooms/{room}/read_markers");
        let body = json!({ "m.fully_read": two, "m.read": one, "m.read.private": two });
        assert_eq!(alice.post(&markers, body).await, (200, json!({})));
        assert_eq!(kept(&server, &alice, &room).await.len(), 2);
        let marker = format!(
            "/_matrix/client/v3/user/{}/rooms/{room}/account_data/m.fully_read",
            alice.user_id
        );
        assert_eq!(alice.get(&marker).await.1, json!({ "event_id": two }));
        assert_eq!(
            alice.post(&markers, json!({ "m.fully_read": one })).await.0,
            200
        );
        assert_eq!(alice.get(&marker).await.1, json!({ "event_id": two }));
        assert_eq!(alice.post(&markers, json!({})).await.0, 200);
        refused(
            alice.post(&markers, json!({ "m.read": 5 })).await,
            400,
            "M_BAD_JSON",
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_ends_when_it_is_stopped_or_its_time_is_over() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        let bob = server.register("bob").await;
        let room = create_room(&alice).await;
        let path = format!("/_matrix/client/v3/rooms/{room}/typing/{}", alice.user_id);
        let typing = async || {
            let (db, room_id, now_ms) = (&server.hs.db, room.clone(), server.hs.now_ms());
            db.read(move |snap| {
                let room = storage::rooms::find_room(snap, &room_id)?.unwrap();
                storage::typing::in_room(snap, room.key, now_ms)
            })
            .await
            .unwrap()
        };
        let start = json!({ "typing": true, "timeout": 5_000 });
        assert_eq!(alice.put(&path, start.clone()).await, (200, json!({})));
        assert_eq!(typing().await, [alice.user_id.clone()]);
        assert_eq!(alice.put(&path, json!({ "typing": false })).await.0, 200);
        assert!(typing().await.is_empty());
        assert_eq!(alice.put(&path, start.clone()).await.0, 200);
        server.clock.advance_ms(5_000);
        assert!(typing().await.is_empty());
        let before = server.hs.db.head().await.unwrap();
        homeserver::jobs::run_due(&server.hs).await.unwrap();
        assert!(
            server.hs.db.head().await.unwrap() > before,
            "the end is a change of its own"
        );
        refused(bob.put(&path, start.clone()).await, 403, "M_FORBIDDEN");
        let bobs = path.replace("@alice", "@bob");
        refused(bob.put(&bobs, start).await, 403, "M_FORBIDDEN");
        refused(alice.put(&path, json!({})).await, 400, "M_MISSING_PARAM");
        refused(
            alice.put(&path, json!({ "typing": "yes" })).await,
            400,
            "M_BAD_JSON",
        );
    })
    .await;
}
