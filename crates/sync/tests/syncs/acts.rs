//! What people do, and how a client reads what it is told.

use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use serde_json::{Value, json};
use testkit::Client;

/// A room made by somebody; its id.
pub async fn create_room(client: &Client, body: Value) -> String {
    let (status, answer) = client.post("/_matrix/client/v3/createRoom", body).await;
    assert_eq!(status, 200, "{answer}");
    answer["room_id"].as_str().unwrap().to_owned()
}

/// A request that must succeed.
pub async fn done(client: &Client, method: Method, path: &str, body: Value) -> Value {
    let (status, answer) = client.request(method.clone(), path, Some(body)).await;
    assert_eq!(status, 200, "{method} {path}: {answer}");
    answer
}

pub fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte.into())
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The path of something in a room.
pub fn in_room(room: &str, rest: &str) -> String {
    format!("/_matrix/client/v3/rooms/{}/{rest}", encoded(room))
}

fn transaction_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::SeqCst)
}

pub async fn send(client: &Client, room: &str, event_type: &str, content: Value) -> String {
    let path = in_room(room, &format!("send/{event_type}/{}", transaction_id()));
    let answer = done(client, Method::PUT, &path, content).await;
    answer["event_id"].as_str().unwrap().to_owned()
}

pub async fn send_text(client: &Client, room: &str, body: &str) -> String {
    send(
        client,
        room,
        "m.room.message",
        json!({ "msgtype": "m.text", "body": body }),
    )
    .await
}

pub async fn set_state(
    client: &Client,
    room: &str,
    event_type: &str,
    key: &str,
    content: Value,
) -> String {
    let path = in_room(room, &format!("state/{event_type}/{}", encoded(key)));
    let answer = done(client, Method::PUT, &path, content).await;
    answer["event_id"].as_str().unwrap().to_owned()
}

pub async fn join(client: &Client, room: &str) {
    done(client, Method::POST, &in_room(room, "join"), json!({})).await;
}

pub async fn leave(client: &Client, room: &str) {
    done(client, Method::POST, &in_room(room, "leave"), json!({})).await;
}

pub async fn invite(client: &Client, room: &str, user_id: &str) {
    done(
        client,
        Method::POST,
        &in_room(room, "invite"),
        json!({ "user_id": user_id }),
    )
    .await;
}

/// A public room of the first, that the others joined.
pub async fn shared_room(first: &Client, others: &[&Client]) -> String {
    let room = create_room(first, json!({ "preset": "public_chat" })).await;
    for other in others {
        join(other, &room).await;
    }
    room
}

/// `GET /v3/sync` after an earlier answer, with more parameters (`&name=value`).
pub async fn sync(client: &Client, since: Option<&Value>, more: &str) -> Value {
    let token = since.map(|answer| answer["next_batch"].as_str().unwrap());
    sync_from(client, token, more).await
}

pub async fn sync_from(client: &Client, token: Option<&str>, more: &str) -> Value {
    let (status, answer) = client.get(&sync_path(token, more)).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

pub fn sync_path(token: Option<&str>, more: &str) -> String {
    let since = token
        .map(|token| format!("since={token}"))
        .unwrap_or_default();
    format!("/_matrix/client/v3/sync?{since}{more}")
}

/// `&filter=` for a filter as JSON.
pub fn filter(filter: Value) -> String {
    format!("&filter={}", encoded(&filter.to_string()))
}

pub const SLIDING: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

/// A sliding sync that must succeed.
pub async fn slide(client: &Client, pos: Option<&Value>, body: Value) -> Value {
    let (status, answer) = try_slide(
        client,
        pos.map(|answer| answer["pos"].as_str().unwrap()),
        0,
        body,
    )
    .await;
    assert_eq!(status, 200, "{answer}");
    answer
}

pub async fn try_slide(
    client: &Client,
    pos: Option<&str>,
    timeout: u64,
    body: Value,
) -> (u16, Value) {
    let pos = pos.map(|pos| format!("&pos={pos}")).unwrap_or_default();
    client
        .post(&format!("{SLIDING}?timeout={timeout}{pos}"), body)
        .await
}

pub fn event_ids(events: &Value) -> Vec<String> {
    let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
    events
        .iter()
        .map(|event| event["event_id"].as_str().unwrap().to_owned())
        .collect()
}

pub fn event<'a>(events: &'a Value, event_type: &str) -> Option<&'a Value> {
    events
        .as_array()?
        .iter()
        .find(|event| event["type"] == event_type)
}

/// The content of a state event that a joined room's answer brings, in `state` or the timeline.
pub fn state_content<'a>(joined: &'a Value, event_type: &str, key: &str) -> &'a Value {
    let lists = [
        &joined["timeline"]["events"],
        &joined["state"]["events"],
        &joined["state_after"]["events"],
    ];
    let mut events = lists
        .into_iter()
        .filter_map(Value::as_array)
        .flat_map(|events| events.iter().rev());
    match events.find(|event| event["type"] == event_type && event["state_key"] == key) {
        Some(event) => &event["content"],
        None => &Value::Null,
    }
}
