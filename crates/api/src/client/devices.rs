//! One's own devices: client-server API v1.19, "Device management".

use homeserver::Requester;
use homeserver::accounts::devices::{self, RenameError};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use storage::devices::Device;

use super::interactive_auth;
use crate::router::{Route, route};
use crate::{ApiError, ClientAddress, Json, PathArgs, State};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, "/_matrix/client/v3/devices", list),
        route(Method::GET, "/_matrix/client/v3/devices/{deviceId}", get),
        route(Method::PUT, "/_matrix/client/v3/devices/{deviceId}", rename),
        route(
            Method::DELETE,
            "/_matrix/client/v3/devices/{deviceId}",
            delete,
        ),
        route(
            Method::POST,
            "/_matrix/client/v3/delete_devices",
            delete_many,
        ),
    ]
}

async fn list(
    state: axum::extract::State<State>,
    requester: Requester,
) -> Result<Json<Value>, ApiError> {
    let devices = devices::list(&state.hs, &requester).await?;
    let devices: Vec<_> = devices.into_iter().map(as_json).collect();
    Ok(Json(json!({ "devices": devices })))
}

async fn get(
    state: axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    let device = devices::find(&state.hs, &requester, path.get("deviceId")).await?;
    device.map(as_json).map(Json).ok_or_else(no_such_device)
}

fn as_json(device: Device) -> Value {
    let mut body = Map::new();
    body.insert("device_id".into(), device.device_id.into());
    if let Some(name) = device.display_name {
        body.insert("display_name".into(), name.into());
    }
    if let Some(ip) = device.last_seen_ip {
        body.insert("last_seen_ip".into(), ip.into());
    }
    body.insert("last_seen_ts".into(), device.last_seen_ms.into());
    body.into()
}

fn no_such_device() -> ApiError {
    ApiError::not_found("You have no such device.")
}

#[derive(Deserialize)]
struct RenameBody {
    display_name: Option<String>,
}

async fn rename(
    state: axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<RenameBody>,
) -> Result<Json<Value>, ApiError> {
    let device_id = path.get("deviceId");
    match devices::rename(&state.hs, &requester, device_id, body.display_name).await {
        Ok(()) => Ok(Json(json!({}))),
        Err(RenameError::NotFound) => Err(no_such_device()),
        Err(RenameError::Device(error)) => Err(error.into()),
        Err(RenameError::Storage(error)) => Err(error.into()),
    }
}

async fn delete(
    state: axum::extract::State<State>,
    requester: Requester,
    path: PathArgs,
    ClientAddress(address): ClientAddress,
    Json(body): Json<Value>,
) -> Result<Json<Value>, ApiError> {
    let device_id = path.get("deviceId").to_owned();
    let endpoint = format!("DELETE devices/{device_id}");
    let (auth, address) = (body.get("auth"), Some(address));
    interactive_auth::require_from(&state, &requester, auth, &endpoint, address).await?;
    devices::delete(&state.hs, &requester, &[device_id]).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct DeleteBody {
    devices: Vec<String>,
    auth: Option<Value>,
}

async fn delete_many(
    state: axum::extract::State<State>,
    requester: Requester,
    ClientAddress(address): ClientAddress,
    Json(body): Json<DeleteBody>,
) -> Result<Json<Value>, ApiError> {
    // JSON keeps apart what the ids hold.
    let endpoint = format!("POST delete_devices {}", json!(body.devices));
    let (auth, address) = (body.auth.as_ref(), Some(address));
    interactive_auth::require_from(&state, &requester, auth, &endpoint, address).await?;
    devices::delete(&state.hs, &requester, &body.devices).await?;
    Ok(Json(json!({})))
}
