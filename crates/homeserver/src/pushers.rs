//! Where clients want to be notified: client-server API v1.19, "Push Notifications". Who sends is a follower's matter.

use serde_json::{Map, Value, json};
use storage::pushers::{self, Pusher};

use crate::{Homeserver, Requester};

/// Pushers of a user: one for each app and device, and then some.
const PUSHERS_MAX: usize = 100;

/// The spec's bounds of a pushkey and an app id, in bytes.
const PUSHKEY_MAX: usize = 512;
const APP_ID_MAX: usize = 64;

/// All of a pusher as JSON: names and the gateway's address.
const PUSHER_BYTES_MAX: usize = 16 << 10;

/// Why a pusher was not set.
#[derive(Debug, thiserror::Error)]
pub enum PusherError {
    #[error("these parameters are missing: {0}")]
    Missing(String),
    #[error("{0}")]
    Invalid(&'static str),
    #[error("this account has {PUSHERS_MAX} pushers: delete some")]
    TooMany,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Members that every pusher has, as text.
const TEXTS: [&str; 6] = [
    "pushkey",
    "app_id",
    "kind",
    "app_display_name",
    "device_display_name",
    "lang",
];

/// The requester's pushers, as JSON objects.
pub async fn pushers(hs: &Homeserver, requester: &Requester) -> Result<Vec<Value>, storage::Error> {
    let user = requester.user;
    let pushers = hs.db.read(move |snap| pushers::of_user(snap, user)).await?;
    let bodies = pushers.iter();
    Ok(bodies
        .filter_map(|pusher| serde_json::from_slice(&pusher.body).ok())
        .collect())
}

/// Sets a pusher, or with a `kind` of null deletes it.
pub async fn set_pusher(
    hs: &Homeserver,
    requester: &Requester,
    body: Map<String, Value>,
) -> Result<(), PusherError> {
    let user = requester.user;
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    if body.get("kind") == Some(&Value::Null) {
        let (Some(app_id), Some(pushkey)) = (text("app_id"), text("pushkey")) else {
            return Err(PusherError::Missing("app_id, pushkey".into()));
        };
        return Ok(hs
            .db
            .write(move |tx| pushers::delete(tx, user, &app_id, &pushkey))
            .await?);
    }
    let others_too = body.get("append") == Some(&Value::Bool(true));
    let pusher = checked(requester, &body)?;
    hs.db
        .write(move |tx| {
            let known = pushers::of_user(tx, user)?;
            let same = |old: &Pusher| old.app_id == pusher.app_id && old.pushkey == pusher.pushkey;
            if known.len() >= PUSHERS_MAX && !known.iter().any(same) {
                return Err(PusherError::TooMany);
            }
            if !others_too {
                pushers::delete_of_others(tx, user, &pusher.app_id, &pusher.pushkey)?;
            }
            Ok(pushers::put(tx, user, &pusher)?)
        })
        .await
}

fn checked(requester: &Requester, body: &Map<String, Value>) -> Result<Pusher, PusherError> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let mut missing: Vec<&str> = TEXTS
        .into_iter()
        .filter(|name| text(name).is_none())
        .collect();
    let data = body.get("data").and_then(Value::as_object);
    if data.is_none() {
        missing.push("data");
    }
    let (true, Some(data)) = (missing.is_empty(), data) else {
        return Err(PusherError::Missing(missing.join(", ")));
    };
    if text("kind") != Some("http") {
        return Err(PusherError::Invalid(
            "this server has pushers of kind \"http\" alone",
        ));
    }
    let url = data.get("url").and_then(Value::as_str).unwrap_or_default();
    let path = url.split_once("://").and_then(|(scheme, rest)| {
        matches!(scheme, "https" | "http").then_some(rest.split_once('/')?.1)
    });
    if path != Some("_matrix/push/v1/notify") {
        return Err(PusherError::Invalid(
            "the `url` in `data` is an address with the path /_matrix/push/v1/notify",
        ));
    }
    let (app_id, pushkey) = (
        text("app_id").unwrap_or_default(),
        text("pushkey").unwrap_or_default(),
    );
    if app_id.len() > APP_ID_MAX || pushkey.len() > PUSHKEY_MAX {
        return Err(PusherError::Invalid(
            "an `app_id` has at most 64 bytes, a `pushkey` at most 512",
        ));
    }
    let mut kept = Map::new();
    for name in TEXTS.into_iter().chain(["profile_tag", "data"]) {
        kept.extend(body.get(name).map(|value| (name.to_owned(), value.clone())));
    }
    let kept = json!(kept).to_string().into_bytes();
    if kept.len() > PUSHER_BYTES_MAX {
        return Err(PusherError::Invalid("a pusher has at most 16 KiB"));
    }
    Ok(Pusher {
        app_id: app_id.to_owned(),
        pushkey: pushkey.to_owned(),
        device: requester.device,
        body: kept,
    })
}
