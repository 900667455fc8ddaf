//! Sending message and state events and redactions: client-server API v1.19, "Sending events to a room", "Redactions".

use homeserver::Requester;
use homeserver::rooms::decide::LocalEvent;
use homeserver::rooms::send::{Transaction, send_event};
use homeserver::rooms::{aliases, membership, redact};
use http::Method;
use ruma_common::{OwnedEventId, OwnedUserId};
use serde_json::{Map, Value, json};

use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::PUT,
            "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}",
            put_message,
        ),
        route(
            Method::PUT,
            "/_matrix/client/v3/rooms/{roomId}/state/{eventType}",
            put_state,
        ),
        route(
            Method::PUT,
            "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/",
            put_state,
        ),
        route(
            Method::PUT,
            "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}",
            put_keyed_state,
        ),
        route(
            Method::PUT,
            "/_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}",
            put_redaction,
        ),
    ]
}

/// An event's content as a client sends it: an object.
type Content = Map<String, Value>;

fn event_id(text: &str) -> Result<OwnedEventId, ApiError> {
    OwnedEventId::try_from(text)
        .map_err(|_| ApiError::invalid_param(format!("{text:?} is not an event id.")))
}

async fn put_message(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Json(content): Json<Content>,
) -> Result<Json<Value>, ApiError> {
    let (room_id, event_type, txn_id) =
        (path.get("roomId"), path.get("eventType"), path.get("txnId"));
    let transaction = Transaction {
        endpoint: format!("PUT /rooms/{room_id}/send/{event_type}"),
        transaction_id: txn_id.to_owned(),
    };
    // From room version 11 on a redaction may be sent like any message, its target in the content.
    if event_type == "m.room.redaction"
        && let Some(target) = content.get("redacts").and_then(Value::as_str)
    {
        let target = event_id(target)?;
        let content = Value::Object(content);
        let sent = redact::redact_with(
            &state.hs,
            &requester,
            room_id,
            &target,
            content,
            Some(transaction),
        )
        .await?;
        return Ok(Json(json!({ "event_id": sent })));
    }
    let event = LocalEvent::message(event_type, Value::Object(content).to_string());
    let sent = send_event(&state.hs, &requester, room_id, event, Some(transaction)).await?;
    Ok(Json(json!({ "event_id": sent })))
}

async fn put_state(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Json(content): Json<Content>,
) -> Result<Json<Value>, ApiError> {
    send_state(
        &state,
        &requester,
        path.get("roomId"),
        path.get("eventType"),
        "",
        content,
    )
    .await
}

async fn put_keyed_state(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Json(content): Json<Content>,
) -> Result<Json<Value>, ApiError> {
    send_state(
        &state,
        &requester,
        path.get("roomId"),
        path.get("eventType"),
        path.get("stateKey"),
        content,
    )
    .await
}

async fn send_state(
    state: &State,
    requester: &Requester,
    room_id: &str,
    event_type: &str,
    state_key: &str,
    content: Content,
) -> Result<Json<Value>, ApiError> {
    let content = Value::Object(content);
    if event_type == "m.room.member" {
        let target = OwnedUserId::try_from(state_key).map_err(|_| {
            ApiError::invalid_param("The state key of a membership must be a user id.")
        })?;
        let sent =
            membership::put_membership(&state.hs, requester, room_id, &target, content.to_string())
                .await?;
        return Ok(Json(json!({ "event_id": sent.event_id })));
    }
    if event_type == "m.room.canonical_alias" {
        check_aliases(state, room_id, &content).await?;
    }
    let event = LocalEvent::state(event_type, state_key, content.to_string());
    let sent = send_event(&state.hs, requester, room_id, event, None).await?;
    Ok(Json(json!({ "event_id": sent })))
}

/// The aliases that a room is said to have must be its own: `M_BAD_ALIAS`.
async fn check_aliases(state: &State, room_id: &str, content: &Value) -> Result<(), ApiError> {
    let named = content["alias"].as_str().into_iter().chain(
        content["alt_aliases"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str),
    );
    if let Some(bad) = named
        .clone()
        .find(|alias| !alias.starts_with('#') || !alias.contains(':'))
    {
        return Err(ApiError::invalid_param(format!(
            "{bad:?} is not a room alias."
        )));
    }
    let present = match homeserver::rooms::send::find_room(&state.hs, room_id).await? {
        Some(room) => {
            let key = room.key;
            let row = state
                .hs
                .db
                .read(move |snap| {
                    storage::events::current_state_event(snap, key, "m.room.canonical_alias", "")
                })
                .await?;
            row.and_then(|row| serde_json::from_slice::<Value>(&row.body).ok())
                .unwrap_or_default()["content"]
                .clone()
        }
        None => Value::Null,
    };
    match aliases::aliases_are_good(&state.hs, room_id, content, &present).await? {
        true => Ok(()),
        false => Err(ApiError::new(
            http::StatusCode::BAD_REQUEST,
            "M_BAD_ALIAS",
            "An alias does not point to this room. Add it to the room first.",
        )),
    }
}

#[derive(serde::Deserialize)]
struct RedactBody {
    reason: Option<String>,
}

async fn put_redaction(
    axum::extract::State(state): axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<RedactBody>,
) -> Result<Json<Value>, ApiError> {
    let (room_id, target) = (path.get("roomId"), path.get("eventId"));
    let transaction = Transaction {
        endpoint: format!("PUT /rooms/{room_id}/redact/{target}"),
        transaction_id: path.get("txnId").to_owned(),
    };
    let target = event_id(target)?;
    let reason = body.reason.as_deref();
    let sent = redact::redact_event(
        &state.hs,
        &requester,
        room_id,
        &target,
        reason,
        Some(transaction),
    )
    .await?;
    Ok(Json(json!({ "event_id": sent })))
}
