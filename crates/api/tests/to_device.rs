//! Messages to devices over HTTP: once per transaction, to whom they are for.

use serde_json::{Value, json};
use storage::{Position, devices, to_device};
use testkit::{Client, Server, start_each};

const SEND: &str = "/_matrix/client/v3/sendToDevice/m.test";

/// What waits for a device, oldest first.
async fn waiting(server: &Server, client: &Client) -> Vec<Value> {
    let (user_id, device_id) = (client.user_id.clone(), client.device_id.clone());
    server
        .hs
        .db
        .read(move |snap| {
            let user = storage::ids::find_user(snap, &user_id)?.unwrap();
            let device = devices::find(snap, user, &device_id)?.unwrap();
            let all = Position(i64::MAX);
            to_device::messages(snap, device.key, Position(0), all, 100)
        })
        .await
        .map(|messages: Vec<to_device::Message>| {
            messages
                .iter()
                .map(|message| serde_json::from_slice(&message.body).unwrap())
                .collect()
        })
        .unwrap_or_else(|error: storage::Error| panic!("{error}"))
}

async fn send(client: &Client, transaction_id: &str, messages: Value) -> (u16, Value) {
    let path = format!("{SEND}/{transaction_id}");
    client.put(&path, json!({ "messages": messages })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_reaches_the_named_device_or_all_of_them() {
    start_each(async |server: Server| {
        let (alice, bob) = (server.register("alice").await, server.register("bob").await);
        let second = bob.another_device("SECOND").await;
        let to_one = json!({ &bob.user_id: { "BOB": { "n": 1 }, "UNKNOWN": { "n": 1 } }, "@nobody:test.example": { "*": {} } });
        assert_eq!(send(&alice, "1", to_one).await, (200, json!({})));
        let to_all = json!({ &bob.user_id: { "*": { "n": 2 } }, "@x:remote.example": { "*": { "n": 2 } } });
        assert_eq!(send(&alice, "2", to_all).await.0, 200);
        let message = |number: u8| json!({ "sender": alice.user_id, "type": "m.test", "content": { "n": number } });
        assert_eq!(waiting(&server, &bob).await, [message(1), message(2)]);
        assert_eq!(waiting(&server, &second).await, [message(2)]);
        // What names a device goes before what goes to all.
        let both = json!({ &bob.user_id: { "*": { "n": 3 }, "BOB": { "n": 4 } } });
        assert_eq!(send(&alice, "3", both).await.0, 200);
        assert_eq!(waiting(&server, &bob).await[2], message(4));
        assert_eq!(waiting(&server, &second).await[1], message(3));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_transaction_sends_nothing() {
    start_each(async |server: Server| {
        let (alice, bob) = (server.register("alice").await, server.register("bob").await);
        let message = json!({ &bob.user_id: { "BOB": {} } });
        let repeats = (0..10).map(|_| {
            let (alice, message) = (alice.clone(), message.clone());
            tokio::task::spawn(async move { send(&alice, "same", message).await })
        });
        for repeat in repeats.collect::<Vec<_>>() {
            assert_eq!(repeat.await.unwrap(), (200, json!({})));
        }
        assert_eq!(waiting(&server, &bob).await.len(), 1);
        // Another type is another endpoint, another device another sender.
        let other = "/_matrix/client/v3/sendToDevice/m.other/same";
        assert_eq!(
            alice.put(other, json!({ "messages": message })).await.0,
            200
        );
        let second = alice.another_device("SECOND").await;
        assert_eq!(send(&second, "same", message).await.0, 200);
        assert_eq!(waiting(&server, &bob).await.len(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_messages_are_refused() {
    start_each(async |server: Server| {
        let alice = server.register("alice").await;
        for body in [
            json!({}),
            json!({ "messages": [] }),
            json!({ "messages": { &alice.user_id: [] } }),
            json!({ "messages": { &alice.user_id: { "ALICE": "text" } } }),
        ] {
            let (status, answer) = alice.put(&format!("{SEND}/1"), body).await;
            assert_eq!((status, &answer["errcode"]), (400, &json!("M_BAD_JSON")));
        }
        let large = json!({ &alice.user_id: { "ALICE": { "x": "x".repeat(70_000) } } });
        let (status, answer) = send(&alice, "1", large).await;
        assert_eq!((status, &answer["errcode"]), (413, &json!("M_TOO_LARGE")));
        // Ids that no server could have are nobody's.
        let odd = json!({ "@a\0:test.example": { "*": {} }, "nonsense": { "*": {} }, "@a:not a name": { "*": {} } });
        assert_eq!(send(&alice, "1", odd).await.0, 200);
        assert!(waiting(&server, &alice).await.is_empty());
        assert_eq!(send(&server.anonymous(), "1", json!({})).await.0, 401);
    })
    .await;
}
